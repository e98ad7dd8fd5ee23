import type { Context } from '../context.ts';
import { agentHandlers } from './agents.ts';
import { bajasHandlers } from './bajas.ts';
import { configHandlers } from './config.ts';
import { downloadHandlers } from './download.ts';
import { generacionesHandlers } from './generaciones.ts';
import { healthHandlers } from './health.ts';
import { keyHandlers } from './keys.ts';
import { logHandlers } from './logs.ts';
import { phaseHandlers } from './phases.ts';
import type { Handlers } from './register.ts';
import { schemaHandlers } from './schemas.ts';
import { statusHandlers } from './status.ts';
import { uploadHandlers } from './upload.ts';
import { uploadsHandlers } from './uploads.ts';
import { verificacionesHandlers } from './verificaciones.ts';

/** Returns what answers each endpoint. One that is declared and has no handler does not compile. */
export function makeHandlers(context: Context): Handlers {
  return {
    ...healthHandlers(context),
    ...agentHandlers(context),
    ...keyHandlers(context),
    ...configHandlers(context),
    ...uploadHandlers(context),
    ...uploadsHandlers(context),
    ...generacionesHandlers(context),
    ...schemaHandlers(context),
    ...downloadHandlers(context),
    ...phaseHandlers(context),
    ...bajasHandlers(context),
    ...verificacionesHandlers(context),
    ...statusHandlers(context),
    ...logHandlers(context),
  };
}
