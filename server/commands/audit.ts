import { visibleJson, visibleLine } from '../../protocol/visible.ts';
import type { Config } from '../config.ts';
import { type AuditEntry, findAuditGaps, readAuditEntries } from '../tenants/audit.ts';
import { allExitReasons, anyTenantOption, defineCommand } from './command.ts';
import { CommandError, withDatabase } from './with-database.ts';

export const auditCommand = defineCommand({
  name: 'audit',
  description: 'Muestra los cambios de configuraciones, claves y secretos: quién, cuándo, desde dónde y qué',
  arguments: {},
  options: {
    tenant: anyTenantOption,
    desde: {
      type: 'string',
      requiresArg: true,
      describe: 'Fecha, por ejemplo 2026-01-31 o 2026-01-31T10:00:00Z',
    },
    limite: { type: 'number', default: 100, requiresArg: true, describe: 'Cuántos, los últimos' },
    json: { type: 'boolean', default: false, describe: 'Un objeto JSON por línea' },
  },
  examples: [['audit --tenant acme-corp-001 --desde 2026-11-01', 'Los últimos 100 desde ese día']],
  exitCodes: allExitReasons,
  async run({ tenant, desde, limite, json }, { loadConfig, print }) {
    await audit(loadConfig(), { tenant, desde, limite, json }, print);
  },
});

const LIMIT_MAX = 10_000;
/** A value longer than this is cut in the text for a person; `--json` has all of it. */
const SHOWN_LENGTH = 200;

export interface AuditOptions {
  tenant: string | undefined;
  desde: string | undefined;
  limite: number;
  json: boolean;
}

/**
 * Prints the newest entries of the audit, oldest first: text for a person, or a JSON object a line.
 * @throws {CommandError}, also (after printing) when a trigger of the audit is missing or switched off: what was listed
 * is then not everything
 */
export async function audit(config: Config, options: AuditOptions, print: (line: string) => void): Promise<void> {
  const { tenant, desde, limite, json } = options;
  if (!(Number.isInteger(limite) && limite >= 1 && limite <= LIMIT_MAX)) {
    throw new CommandError(`--limite «${limite}» no vale: debe ser un número entero entre 1 y ${LIMIT_MAX}`);
  }
  const since = desde === undefined ? undefined : new Date(desde);
  if (since !== undefined && Number.isNaN(since.getTime())) {
    throw new CommandError(`--desde «${visibleLine(desde!)}» no es una fecha, por ejemplo 2026-01-31`);
  }
  let found = 0;
  const gaps = await withDatabase(config, async (connection) => {
    for await (const entry of readAuditEntries(connection, { tenant, since, limit: limite })) {
      found += 1;
      for (const line of json ? [visibleJson(entry)] : linesOf(entry)) print(line);
    }
    return findAuditGaps(connection);
  });
  if (found === 0 && !json) print('No hay cambios anotados.');
  if (gaps.length > 0) {
    throw new CommandError(
      `la auditoría no está completa: los disparadores de ${gaps.join(', ')} faltan o están desactivados`,
    );
  }
}

function linesOf(entry: AuditEntry): string[] {
  const { createdAt, actor, origen, login, direccion, operacion, tabla, registro, tenantId, cambios } = entry;
  const whose = tenantId === null ? '' : ` de «${tenantId}»`;
  const session = `${login}@${direccion ?? 'local'}`;
  return [
    visibleLine(
      `${createdAt.toISOString()} ${operacion} ${tabla} ${registro}${whose}, por ${actor} desde ${origen} (${session})`,
    ),
    ...cambios.map(({ campo, antes, despues }) => `    ${visibleLine(campo)}: ${show(antes)} → ${show(despues)}`),
  ];
}

function show(value: unknown): string {
  if (value === null || value === undefined) return '∅';
  const text = visibleJson(value);
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH - 1)}…` : text;
}
