import type { SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import { type AgentError, agentError } from '../../errors/agent-error.ts';
import type { SqlServer } from '../../sqlserver/sql-server.ts';
import { catalogView, quoteName, quoteTable } from '../../sqlserver/tables/ddl.ts';
import { describeType } from '../../sqlserver/types/sql-types.ts';

/** A column of the key, as it lies in `#temp`. */
export interface KeyColumn {
  name: string;
  type: SqlTypeSpec;
  /** Of the target's column, which says what is equal: `ab` and `AB`, mostly. */
  collation: string | undefined;
}

/**
 * Finds the error that names two rows of `temp` with one key; undefined where there are none. A key with a NULL is
 * none.
 */
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

/**
 * Returns the columns of each unique index of a table, as sets: what else than the configured key may be given twice.
 */
export async function uniqueColumnsOf(db: SqlServer, tabla: string, signal: AbortSignal): Promise<Set<string>[]> {
  const sql = `SELECT i.index_id AS indice, c.name AS columna FROM ${catalogView('indexes', tabla)} AS i
    INNER JOIN ${catalogView('index_columns', tabla)} AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
    INNER JOIN ${catalogView('columns', tabla)} AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
    WHERE i.object_id = OBJECT_ID(@nombre) AND i.is_unique = 1 AND i.has_filter = 0 AND k.is_included_column = 0`;
  const parameters = [{ name: 'nombre', type: 'nvarchar' as const, value: quoteTable(tabla) }];
  const byIndex = new Map<number, Set<string>>();
  for (const { indice, columna } of await db.query(sql, { parameters, signal })) {
    const columns = byIndex.get(Number(indice)) ?? new Set();
    byIndex.set(Number(indice), columns.add(String(columna).toLowerCase()));
  }
  return [...byIndex.values()];
}

function textOf({ name, type }: KeyColumn): string {
  const { textStyle } = describeType(type);
  return `CONVERT(NVARCHAR(400), s.${quoteName(name)}${textStyle === undefined ? '' : `, ${textStyle}`})`;
}
