import { visibleLine } from '../../protocol/visible.ts';
import type { Config } from '../config.ts';
import { deleteTenant } from '../rows/whole-tenant.ts';
import { findConfiguration } from '../tenants/configurations.ts';
import { allExitReasons, defineCommand, tenantOption, textOption } from './command.ts';
import { CommandError, withDatabase } from './with-database.ts';

export const tenantDeleteCommand = defineCommand({
  name: 'delete',
  description:
    'Borra todo lo que hay de un tenant suspendido: filas, claves, configuración, registros. La auditoría queda',
  arguments: {},
  options: { tenant: tenantOption, confirmar: textOption('Otra vez el ID del tenant') },
  examples: [
    ['tenant delete --tenant acme-corp-001 --confirmar acme-corp-001', 'Después de tenant suspend y tenant export'],
  ],
  exitCodes: allExitReasons,
  async run({ tenant, confirmar }, { loadConfig, print }) {
    print(await tenantDelete(loadConfig(), tenant, confirmar));
  },
});

/**
 * Deletes a suspended tenant, or what is left of one.
 * @throws {CommandError} unless `confirmed` is its name
 */
export async function tenantDelete(config: Config, tenant: string, confirmed: string): Promise<string> {
  const shown = visibleLine(tenant);
  if (tenant !== confirmed)
    throw new CommandError(`--confirmar debe ser el ID del tenant, «${shown}»: no se borró nada`);
  const deleted = await withDatabase(config, async (connection) => {
    if ((await findConfiguration(connection, tenant))?.activo === true) {
      throw new CommandError(
        `el tenant «${shown}» está activo: primero ax-sync-server tenant suspend --tenant ${tenant}`,
      );
    }
    return deleteTenant(connection, tenant);
  });
  const counts = [...deleted].filter(([, rows]) => rows > 0).map(([table, rows]) => `${table} ${rows}`);
  if (counts.length === 0) throw new CommandError(`no hay nada de «${shown}»`);
  return `Tenant «${shown}» borrado. Filas: ${counts.join(', ')}. La auditoría queda.`;
}
