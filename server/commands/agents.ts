import { visibleLine } from '../../protocol/visible.ts';
import type { Config } from '../config.ts';
import { listAgents, setAuthorised } from '../tenants/agents.ts';
import {
  allExitReasons,
  anyTenantOption,
  defineCommand,
  type ServerCommandGroup,
  tenantOption,
  textOption,
} from './command.ts';
import { CommandError, withDatabase } from './with-database.ts';

const list = defineCommand({
  name: 'list',
  description: 'Muestra los agentes, de un tenant o de todos, y su versión',
  arguments: {},
  options: { tenant: anyTenantOption },
  examples: [['agent list --tenant acme-corp-001', 'Identificador, versión y si está autorizado']],
  exitCodes: allExitReasons,
  async run({ tenant }, { loadConfig, print }) {
    print(await agentList(loadConfig(), tenant));
  },
});

const authorize = defineCommand({
  name: 'authorize',
  description: 'Autoriza a un agente a recibir la contraseña de SQL Server',
  arguments: {},
  options: { tenant: tenantOption, id: textOption('Identificador que muestra init') },
  examples: [['agent authorize --tenant acme-corp-001 --id 3f9a...', 'El segundo agente de un tenant']],
  exitCodes: allExitReasons,
  async run({ tenant, id }, { loadConfig, print }) {
    print(await agentAuthorize(loadConfig(), tenant, id));
  },
});

const revoke = defineCommand({
  name: 'revoke',
  description: 'Retira esa autorización',
  arguments: {},
  options: { tenant: tenantOption, id: textOption('Identificador del agente') },
  examples: [['agent revoke --tenant acme-corp-001 --id 3f9a...', 'El equipo se dio de baja']],
  exitCodes: allExitReasons,
  async run({ tenant, id }, { loadConfig, print }) {
    print(await agentRevoke(loadConfig(), tenant, id));
  },
});

export const agentCommands: ServerCommandGroup = {
  name: 'agent',
  description: 'Agentes y sus claves',
  commands: [list, authorize, revoke],
  examples: [['agent list --tenant acme-corp-001', 'Los de un tenant']],
};

/**
 * Prints one line an agent, of one tenant or of all: id, whether it is authorised, since when it is known, what it
 * runs.
 */
export async function agentList(config: Config, tenant: string | undefined): Promise<string> {
  const agents = await withDatabase(config, (connection) => listAgents(connection, tenant));
  if (agents.length === 0) {
    return tenant === undefined ? 'No hay agentes registrados.' : `El tenant «${tenant}» no tiene agentes registrados.`;
  }
  return agents
    .map(({ tenantId, id, autorizado, createdAt, version, versionDesde }) => {
      const state = autorizado ? 'autorizado   ' : 'sin autorizar';
      const runs = version === null ? 'versión desconocida' : `versión ${version} desde ${versionDesde!.toISOString()}`;
      const whose = tenant === undefined ? `  ${visibleLine(tenantId)}` : '';
      return `${id}  ${state}  desde ${createdAt.toISOString()}  ${runs}${whose}`;
    })
    .join('\n');
}

/** @throws {CommandError} when the tenant has no such agent */
export async function agentAuthorize(config: Config, tenant: string, id: string): Promise<string> {
  await change(config, tenant, id, true);
  return `El agente ${id} de «${tenant}» recibe desde ahora la contraseña de SQL Server.`;
}

/** @throws {CommandError} when the tenant has no such agent */
export async function agentRevoke(config: Config, tenant: string, id: string): Promise<string> {
  await change(config, tenant, id, false);
  return `El agente ${id} de «${tenant}» ya no recibe la contraseña. La que conoce, cámbiela en SQL Server.`;
}

async function change(config: Config, tenant: string, id: string, autorizado: boolean): Promise<void> {
  const found = await withDatabase(config, (connection) => setAuthorised(connection, tenant, id, autorizado));
  if (!found)
    throw new CommandError(`el tenant «${tenant}» no tiene un agente ${id}: vea agent list --tenant ${tenant}`);
}
