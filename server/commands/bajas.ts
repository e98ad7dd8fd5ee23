import { visibleLine } from '../../protocol/visible.ts';
import type { Config } from '../config.ts';
import { type AdministeredBajas, findAllBajas, LISTED_MAX, resolveBajas } from '../rows/bajas.ts';
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
  description: 'Las muestra: cuántas, de cuántas filas, y algunas de sus claves',
  arguments: {},
  options: { tenant: anyTenantOption },
  examples: [['bajas list --tenant acme-corp-001', 'Sin --tenant, las de todos']],
  exitCodes: allExitReasons,
  async run({ tenant }, { loadConfig, print }) {
    print(await bajasList(loadConfig(), tenant));
  },
});

const approve = defineCommand({
  name: 'approve',
  description: 'Las aprueba: la próxima ejecución las aplica, una vez',
  arguments: {},
  options: { tenant: tenantOption, id: textOption('Identificador que muestra bajas list') },
  examples: [['bajas approve --tenant acme-corp-001 --id c4k2...', 'Esas filas ya no existen en el origen']],
  exitCodes: allExitReasons,
  async run({ tenant, id }, { loadConfig, print }) {
    print(await bajasApprove(loadConfig(), tenant, id));
  },
});

const discard = defineCommand({
  name: 'discard',
  description: 'Las descarta: esas filas quedan como están y no se pregunta más por ellas',
  arguments: {},
  options: { tenant: tenantOption, id: textOption('Identificador que muestra bajas list') },
  examples: [['bajas discard --tenant acme-corp-001 --id c4k2...', 'El origen estaba incompleto']],
  exitCodes: allExitReasons,
  async run({ tenant, id }, { loadConfig, print }) {
    print(await bajasDiscard(loadConfig(), tenant, id));
  },
});

export const bajasCommands: ServerCommandGroup = {
  name: 'bajas',
  description: 'Bajas retenidas: filas que desaparecieron del origen y esperan a que alguien decida',
  commands: [list, approve, discard],
  examples: [['bajas list --tenant acme-corp-001', 'Las de un tenant']],
};

const SENTIDO = { upload: 'subida', download: 'bajada' } as const;

/** Bajas retenidas of one tenant, or of all: what waits first, with keys to look at. */
export async function bajasList(config: Config, tenant: string | undefined): Promise<string> {
  const all = await withDatabase(config, (connection) => findAllBajas(connection, tenant));
  if (all.length === 0) {
    return tenant === undefined ? 'No hay bajas retenidas.' : `El tenant «${tenant}» no tiene bajas retenidas.`;
  }
  const more = all.length < LISTED_MAX ? [] : [`Solo las ${LISTED_MAX} primeras: pida las de un tenant con --tenant.`];
  return [...all.flatMap((one) => describe(one, tenant === undefined)), ...more].join('\n');
}

function describe(one: AdministeredBajas, withTenant: boolean): string[] {
  const { id, tenantId, direccion, tabla, agente, bajas, total, altas, estado, desde, hasta, resueltaPor } = one;
  const whose = withTenant ? `  ${visibleLine(tenantId)}` : '';
  const target = agente === '' ? '' : `, agente ${agente}`;
  const until = hasta === null ? '' : `  hasta ${hasta}`;
  const by = resueltaPor === null ? '' : ` por ${visibleLine(resueltaPor)}`;
  const keys = (title: string, sample: string[], count: number) =>
    sample.length === 0
      ? []
      : [`  ${title}: ${sample.map(visibleLine).join(', ')}${sample.length < count ? ', …' : ''}`];
  return [
    `${id}  ${estado}${by}  ${visibleLine(tabla)} (${SENTIDO[direccion]}${target})${whose}  desde ${desde}${until}`,
    `  ${bajas} bajas de ${total} filas; ${altas} altas en la misma ejecución`,
    ...keys('bajas', one.muestra, bajas),
    ...keys('altas', one.muestraAltas, altas),
  ];
}

/** @throws {CommandError} when nothing of this id waits */
export async function bajasApprove(config: Config, tenant: string, id: string): Promise<string> {
  const { bajas, tabla } = await resolve(config, tenant, id, 'aprobada');
  return `Aprobadas ${bajas} bajas de «${visibleLine(tabla)}»: la próxima ejecución las aplica, si siguen siendo las mismas.`;
}

/** @throws {CommandError} when nothing of this id waits */
export async function bajasDiscard(config: Config, tenant: string, id: string): Promise<string> {
  const { bajas, tabla } = await resolve(config, tenant, id, 'descartada');
  return `Descartadas ${bajas} bajas de «${visibleLine(tabla)}»: esas filas quedan como están, y no se pregunta más por ellas.`;
}

async function resolve(
  config: Config,
  tenant: string,
  id: string,
  estado: 'aprobada' | 'descartada',
): Promise<AdministeredBajas> {
  const found = await withDatabase(config, (connection) => resolveBajas(connection, { tenant, id, estado }));
  if (found === undefined) {
    throw new CommandError(
      `el tenant «${tenant}» no tiene bajas retenidas ${id}; si cambiaron, son otras: vea bajas list --tenant ${tenant}`,
    );
  }
  return found;
}
