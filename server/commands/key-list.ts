import { visibleLine } from '../../protocol/visible.ts';
import type { Config } from '../config.ts';
import { type ApiKey, findApiKeys } from '../tenants/api-keys.ts';
import { allExitReasons, anyTenantOption, defineCommand } from './command.ts';
import { withDatabase } from './with-database.ts';

export const keyListCommand = defineCommand({
  name: 'list',
  description: 'Muestra las claves: uso, caducidad y estado',
  arguments: {},
  options: { tenant: anyTenantOption },
  examples: [['key list --tenant acme-corp-001', 'Sin --tenant, las de todos']],
  exitCodes: allExitReasons,
  async run({ tenant }, { loadConfig, print }) {
    print(await keyList(loadConfig(), tenant));
  },
});

/** Prints the keys of a tenant, or of all, as a table. */
export async function keyList(config: Config, tenant: string | undefined): Promise<string> {
  const keys = await withDatabase(config, (connection) => findApiKeys(connection, tenant));
  if (keys.length === 0) return 'No hay claves.';
  const head = ['ID', 'TENANT', 'NOMBRE', 'CREADA', 'ÚLTIMO USO', 'ESTADO', 'ROTADA DE'];
  const rows = [head, ...keys.map(cellsOf)];
  const widths = head.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function cellsOf(key: ApiKey): string[] {
  const { id, tenantId, nombre, createdAt, lastUsedAt, rotatedFrom } = key;
  return [id, tenantId, nombre ?? '-', minute(createdAt), minute(lastUsedAt), stateOf(key), rotatedFrom ?? '-'].map(
    visibleLine,
  );
}

/** Returns what holds of a key, in words. */
export function stateOf({ inForce, end, revokedAt }: ApiKey): string {
  if (!inForce) return revokedAt === null ? `caducada el ${minute(end)}` : `retirada el ${minute(end)}`;
  if (end === null) return 'en vigor';
  return revokedAt === null ? `en vigor hasta ${minute(end)}` : `en retirada, vale hasta ${minute(end)}`;
}

/** UTC, to the minute. */
function minute(at: Date | null): string {
  return at === null ? '-' : `${at.toISOString().slice(0, 16).replace('T', ' ')}Z`;
}
