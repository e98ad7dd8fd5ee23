import { visibleLine } from '../../protocol/visible.ts';
import type { Config } from '../config.ts';
import { allExitReasons, defineCommand, tenantOption } from './command.ts';
import { CommandError, withDatabase } from './with-database.ts';

export const tenantSuspendCommand = defineCommand({
  name: 'suspend',
  description: 'Suspende un tenant: a sus agentes se les dice que está desactivado (TENANT_INACTIVO); nada se borra',
  arguments: {},
  options: { tenant: tenantOption },
  examples: [['tenant suspend --tenant acme-corp-001', 'Hasta tenant resume']],
  exitCodes: allExitReasons,
  async run({ tenant }, { loadConfig, print }) {
    await setActive(loadConfig(), tenant, false);
    print(`Tenant «${visibleLine(tenant)}» suspendido. Para que siga: ax-sync-server tenant resume --tenant ${tenant}`);
  },
});

export const tenantResumeCommand = defineCommand({
  name: 'resume',
  description: 'Vuelve a admitir a un tenant suspendido: sus agentes siguen donde estaban',
  arguments: {},
  options: { tenant: tenantOption },
  examples: [['tenant resume --tenant acme-corp-001', 'Desde la próxima ejecución']],
  exitCodes: allExitReasons,
  async run({ tenant }, { loadConfig, print }) {
    await setActive(loadConfig(), tenant, true);
    print(`Tenant «${visibleLine(tenant)}» activo.`);
  },
});

async function setActive(config: Config, tenant: string, activo: boolean): Promise<void> {
  const { rowCount } = await withDatabase(config, (connection) =>
    connection.query('UPDATE sync_configurations SET activo = $2 WHERE "tenantId" = $1', [tenant, activo]),
  );
  if (rowCount === 0) throw new CommandError(`el tenant «${visibleLine(tenant)}» no existe`);
}
