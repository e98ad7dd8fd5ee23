import { describeCambios } from '../../protocol/rows/drift.ts';
import { visibleLine } from '../../protocol/visible.ts';
import type { Config } from '../config.ts';
import { type AdministeredSchema, approveSchema, findWaitingSchemas, LISTED_MAX } from '../rows/schema-approval.ts';
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
  description: 'Los muestra: qué columnas, qué cambió y desde cuándo',
  arguments: {},
  options: { tenant: anyTenantOption },
  examples: [['schema list --tenant acme-corp-001', 'Sin --tenant, los de todos']],
  exitCodes: allExitReasons,
  async run({ tenant }, { loadConfig, print }) {
    print(await schemaList(loadConfig(), tenant));
  },
});

const approve = defineCommand({
  name: 'approve',
  description: 'Aprueba uno: la próxima subida sigue con esas columnas; las que ya no están se quitan',
  arguments: {},
  options: { tenant: tenantOption, id: textOption('Identificador que muestra schema list') },
  examples: [['schema approve --tenant acme-corp-001 --id c4k2...', 'El cambio es bueno']],
  exitCodes: allExitReasons,
  async run({ tenant, id }, { loadConfig, print }) {
    print(await schemaApprove(loadConfig(), tenant, id));
  },
});

export const schemaCommands: ServerCommandGroup = {
  name: 'schema',
  description: 'Columnas que cambiaron en el origen y esperan a que alguien lo apruebe',
  commands: [list, approve],
  examples: [['schema list --tenant acme-corp-001', 'Las de un tenant']],
};

/** Prints what waits, of one tenant or of all: tables that are stopped first. */
export async function schemaList(config: Config, tenant: string | undefined): Promise<string> {
  const all = await withDatabase(config, (connection) => findWaitingSchemas(connection, tenant));
  if (all.length === 0) {
    return tenant === undefined
      ? 'No hay cambios de columnas por aprobar.'
      : `El tenant «${tenant}» no tiene cambios de columnas por aprobar.`;
  }
  const more = all.length < LISTED_MAX ? [] : [`Solo los ${LISTED_MAX} primeros: pida los de un tenant con --tenant.`];
  return [...all.flatMap((one) => describe(one, tenant === undefined)), ...more].join('\n');
}

const MEANS = {
  pendiente: 'la tabla sigue subiendo; de las columnas que ya no están queda el último valor',
  rechazado: 'la tabla está detenida',
  aprobado: 'la próxima subida lo aplica',
} as const;

function describe(one: AdministeredSchema, withTenant: boolean): string[] {
  const { id, tenantId, tabla, agente, estado, cambios, desde, resueltaPor } = one;
  const whose = withTenant ? `  ${visibleLine(tenantId)}` : '';
  const who = agente === '' ? '' : `  agente ${agente}`;
  const by = resueltaPor === null ? '' : ` por ${visibleLine(resueltaPor)}`;
  return [
    `${id}  ${estado}${by}  ${visibleLine(tabla)}${whose}${who}  desde ${desde}`,
    `  ${visibleLine(describeCambios(cambios))}`,
    `  ${MEANS[estado]}`,
  ];
}

/** @throws {CommandError} when nothing of this id waits */
export async function schemaApprove(config: Config, tenant: string, id: string): Promise<string> {
  const found = await withDatabase(config, (connection) => approveSchema(connection, { tenant, id }));
  if (found === undefined) {
    throw new CommandError(
      `el tenant «${tenant}» no tiene un cambio de columnas ${id} por aprobar; si cambió otra vez, es otro: vea schema list --tenant ${tenant}`,
    );
  }
  const whole = found.whole ? ' La tabla sube entera.' : '';
  return `Aprobado el cambio de columnas de «${visibleLine(found.tabla)}»: la próxima subida lo aplica.${whole}`;
}
