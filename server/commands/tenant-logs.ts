import { visibleLine } from '../../protocol/visible.ts';
import type { Config } from '../config.ts';
import { allExitReasons, defineCommand, tenantOption } from './command.ts';
import { CommandError, withDatabase } from './with-database.ts';

export const tenantLogsCommand = defineCommand({
  name: 'logs',
  description: 'Dice cuántos días se guardan los registros de un tenant; sin --dias, los de LOGS_DIAS',
  arguments: {},
  options: {
    tenant: tenantOption,
    dias: { type: 'number', requiresArg: true, describe: 'De 7 a 3650' },
  },
  examples: [
    ['tenant logs --tenant acme-corp-001 --dias 365', 'Un año'],
    ['tenant logs --tenant acme-corp-001', 'Como los demás'],
  ],
  exitCodes: allExitReasons,
  async run({ tenant, dias }, { loadConfig, print }) {
    print(await tenantLogs(loadConfig(), tenant, dias));
  },
});

/** @throws {CommandError} `days` is not what sync_configurations takes, or there is no such tenant */
async function tenantLogs(config: Config, tenant: string, days: number | undefined): Promise<string> {
  if (days !== undefined && !(Number.isInteger(days) && days >= 7 && days <= 3650)) {
    throw new CommandError(`--dias debe ser un número entero de 7 a 3650, no ${days}`);
  }
  const { rowCount } = await withDatabase(config, (connection) =>
    connection.query('UPDATE sync_configurations SET "logsDias" = $2 WHERE "tenantId" = $1', [tenant, days ?? null]),
  );
  if (rowCount === 0) throw new CommandError(`el tenant «${visibleLine(tenant)}» no existe`);
  return `Los registros de «${visibleLine(tenant)}» se guardan ${days ?? config.LOGS_DIAS} días.`;
}
