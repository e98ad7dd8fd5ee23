import { primaryKeyOf, type TablaBajada } from '../../protocol/tenant-config/config.ts';
import { sqlServerError } from '../sqlserver/errors.ts';
import type { SqlServer } from '../sqlserver/sql-server.ts';
import { quoteTable } from '../sqlserver/tables/ddl.ts';
import type { Finding } from './checklist.ts';

/** Asks SQL Server for the permissions that a download needs at its target. */
export async function checkPermissions(
  db: SqlServer,
  tabla: TablaBajada,
  { exists, database, user }: { exists: boolean; database: string; user: string },
  signal: AbortSignal,
): Promise<Finding<void>> {
  const wanted = exists ? permissionsOnTarget(tabla) : ['CREATE TABLE'];
  const [object, kind] = exists ? [quoteTable(tabla.nombre), 'OBJECT'] : [database, 'DATABASE'];
  const asked = wanted.map((name, index) => `HAS_PERMS_BY_NAME(@objeto, '${kind}', '${name}') AS p${index}`);
  const parameters = [{ name: 'objeto', type: 'nvarchar' as const, value: object }];
  const [row = {}] = await db.query(`SELECT ${asked.join(', ')}`, { parameters, signal });
  return judgePermissions(wanted, row, { object, user });
}

/** What the built-in update does to the target; a post_process of one's own, most likely, no less. */
function permissionsOnTarget(tabla: TablaBajada): string[] {
  return ['SELECT', 'INSERT', primaryKeyOf(tabla).length === 0 ? 'DELETE' : 'UPDATE'];
}

/**
 * Judges the permissions. `row` holds `p0`, `p1`, …: 1 for what is granted.
 * @throws {AgentError} that names what is missing
 */
export function judgePermissions(
  wanted: readonly string[],
  row: Record<string, unknown>,
  { object, user }: { object: string; user: string },
): Finding<void> {
  const missing = wanted.filter((_, index) => row[`p${index}`] !== 1);
  if (missing.length === 0) return { value: undefined, note: `${user} tiene ${wanted.join(', ')}` };
  const grant =
    missing[0] === 'CREATE TABLE'
      ? `GRANT CREATE TABLE TO ${user}; GRANT ALTER ON SCHEMA::dbo TO ${user}`
      : `GRANT ${missing.join(', ')} ON ${object} TO ${user}`;
  throw sqlServerError('PERMISOS_AUSENTES', { objeto: object, permisos: missing.join(', '), orden: grant });
}
