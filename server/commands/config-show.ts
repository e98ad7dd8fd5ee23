import { visibleJson } from '../../protocol/visible.ts';
import type { Config } from '../config.ts';
import { findConfiguration } from '../tenants/configurations.ts';
import { mapPasswords, readConnections } from '../tenants/connections.ts';
import { allExitReasons, defineCommand, tenantOption } from './command.ts';
import { CommandError, withDatabase } from './with-database.ts';

export const configShowCommand = defineCommand({
  name: 'show',
  description: 'Muestra la configuración',
  arguments: {},
  options: { tenant: tenantOption },
  examples: [['config show --tenant acme-corp-001', 'Sin la contraseña de SQL Server']],
  exitCodes: allExitReasons,
  async run({ tenant }, { loadConfig, print }) {
    print(await configShow(loadConfig(), tenant));
  },
});

/** In the place of a password; `config set` takes it for the one that is stored. */
export const MASK = '********';

/**
 * Prints a tenant's configuration as JSON, its passwords masked.
 * @throws {CommandError} when there is no such tenant, CONFIG_INVALIDA where its connections make no sense
 */
export async function configShow(config: Config, tenant: string): Promise<string> {
  const found = await withDatabase(config, (connection) => findConfiguration(connection, tenant));
  if (found === undefined) throw new CommandError(`el tenant «${tenant}» no existe`);
  const sqlServerConexiones = mapPasswords(readConnections(found), () => MASK);
  return visibleJson({ ...found, sqlServerPassword: MASK, sqlServerConexiones }, 2);
}
