import type { Config } from '../config.ts';
import { createApiKey } from '../tenants/api-keys.ts';
import { CommandError, withDatabase } from './with-database.ts';

/** Ten years: what lasts longer is as good as for ever. */
const DAYS_MAX = 3650;

/**
 * Makes a key for a tenant and returns it: it is shown this once. `dias`: how long it is valid. Throws CommandError, and
 * SyncError CONFIG_NO_ENCONTRADA when there is no such tenant, DEMASIADAS_CLAVES when it has too many.
 */
export async function keyCreate(
  config: Config,
  tenant: string,
  { nombre, dias }: { nombre: string | undefined; dias: number | undefined },
): Promise<string> {
  if (dias !== undefined && !(Number.isInteger(dias) && dias >= 1 && dias <= DAYS_MAX)) {
    throw new CommandError(`--dias «${dias}» no vale: debe ser un número entero entre 1 y ${DAYS_MAX}`);
  }
  return withDatabase(config, (connection) =>
    createApiKey(connection, tenant, { nombre: nombre ?? null, days: dias ?? null }),
  );
}
