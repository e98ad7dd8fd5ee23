import type { Config } from '../config.ts';
import { findConfiguration } from '../data/configurations.ts';
import { CommandError, withDatabase } from './with-database.ts';

/** A tenant's configuration as JSON, its password masked. Throws CommandError when there is no such tenant. */
export async function configShow(config: Config, tenant: string): Promise<string> {
  const found = await withDatabase(config, (connection) => findConfiguration(connection, tenant));
  if (found === undefined) throw new CommandError(`el tenant «${tenant}» no existe`);
  return JSON.stringify({ ...found, sqlServerPassword: '********' }, null, 2);
}
