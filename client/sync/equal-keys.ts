import type { SqlTypeSpec } from '../../protocol/sql-types.ts';
import { type AgentError, agentError } from '../agent-error.ts';
import type { SqlServer } from '../sqlserver/connection.ts';
import { loadType, quoteName } from '../sqlserver/ddl.ts';

/** A column of the key, as it lies in `#temp`. */
export interface KeyColumn {
  name: string;
  type: SqlTypeSpec;
  /** Of the target's column, which says what is equal: `ab` and `AB`, mostly. */
  collation: string | undefined;
}

/** The error that names two rows of `temp` with one key; undefined where there are none. A key with a NULL is none. */
export async function findEqualKeys(
  db: SqlServer,
  { tabla, temp, keys }: { tabla: string; temp: string; keys: readonly KeyColumn[] },
  { signal, cause }: { signal: AbortSignal; cause?: unknown },
): Promise<AgentError | undefined> {
  if (keys.length === 0) return undefined;
  const compared = keys.map(({ name, collation }) =>
    collation === undefined ? quoteName(name) : `${quoteName(name)} COLLATE ${collation}`,
  );
  const known = keys.map(({ name }) => `${quoteName(name)} IS NOT NULL`).join(' AND ');
  const twice =
    `SELECT TOP (1) ${compared.map((key, index) => `${key} AS k${index}`).join(', ')} FROM ${temp} ` +
    `WHERE ${known} GROUP BY ${compared.join(', ')} HAVING COUNT(*) > 1`;
  const shown = keys.map((key, index) => `${textOf(key)} AS v${index}`).join(', ');
  const same = compared.map((key, index) => `s.${key} = d.k${index}`).join(' AND ');
  const sql = `SELECT TOP (2) ${shown} FROM ${temp} AS s INNER JOIN (${twice}) AS d ON ${same}`;
  const rows = await db.query(sql, { signal, isLong: true });
  if (rows.length < 2) return undefined;
  const [una, otra] = rows.map((row) => keys.map((_, index) => String(row[`v${index}`])).join(', '));
  const clave = keys.map(({ name }) => name).join(', ');
  return agentError('CLAVES_IGUALES', { tabla, clave, una: una!, otra: otra! }, cause);
}

function textOf({ name, type }: KeyColumn): string {
  const loaded = loadType(type);
  const moment = /date|time/.test(loaded.name);
  const style = moment ? ', 126' : loaded.name.includes('binary') ? ', 1' : '';
  return `CONVERT(NVARCHAR(400), s.${quoteName(name)}${style})`;
}
