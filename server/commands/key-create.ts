import type { Config } from '../config.ts';
import { createApiKey } from '../data/api-keys.ts';
import { findConfiguration } from '../data/configurations.ts';
import { CommandError, withDatabase } from './with-database.ts';

/** Makes a key for a tenant and returns it: it is shown this once. Throws CommandError when there is no such tenant. */
export async function keyCreate(config: Config, tenant: string, nombre: string | null): Promise<string> {
  return withDatabase(config, async (connection) => {
    if ((await findConfiguration(connection, tenant)) === undefined) {
      throw new CommandError(`el tenant «${tenant}» no existe`);
    }
    return createApiKey(connection, tenant, nombre);
  });
}
