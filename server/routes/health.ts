import { SyncError } from '../../protocol/errors.ts';
import { openApi } from '../../protocol/openapi.ts';
import type { Context } from '../context.ts';
import { makeDeepLook } from '../plugins/deep-health.ts';
import { CLEANING_MS } from '../plugins/janitor.ts';
import { makeOperatorCheck } from '../plugins/operator.ts';
import type { Handlers } from './register.ts';

/** What is open: whether the server answers, and what its API is. For the administrator also how it stands (`?profundo=1`). */
export const healthHandlers = ({ config, database, meters }: Context) => {
  const assertOperator = makeOperatorCheck(config);
  const look = makeDeepLook(database);
  const started = Date.now();
  return {
    async checkHealth(request) {
      if (request.query.profundo !== '1') return { success: true, status: 'ok' };
      assertOperator(request);
      const { value, error } = await look();
      if (value === undefined || error !== undefined) {
        if (error instanceof SyncError) throw error;
        throw new SyncError('BASE_NO_DISPONIBLE', 'PostgreSQL no respondió a tiempo.', { cause: error });
      }
      const { migraciones } = value;
      const limpieza = meters.lastCleaning();
      const avisos = [
        ...migraciones.faltan.map((name) => `falta la migración ${name}: ejecute migrate`),
        ...migraciones.sobran.map((name) => `la base tiene la migración ${name}, de una versión más nueva`),
        ...(Date.now() - (limpieza?.getTime() ?? started) > 3 * CLEANING_MS
          ? ['la limpieza periódica de este proceso no acaba bien desde hace media hora: mire el log']
          : []),
      ];
      return {
        success: true,
        status: avisos.length === 0 ? 'ok' : 'degradado',
        avisos,
        ...value,
        node: process.versions.node,
        conexiones: database.usage(),
        limpieza: limpieza?.toISOString() ?? null,
      };
    },

    async describeApi() {
      return openApi;
    },
  } satisfies Partial<Handlers>;
};
