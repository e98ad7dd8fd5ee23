import { SqlServerError } from '../errors.ts';
import type { Queryable } from '../session/queryable.ts';
import type { SqlParameter } from '../session/request.ts';
import { quoteName } from '../tables/ddl.ts';
import { describeResult, indexesSql } from './range-key.ts';

/** What is known of the index behind a column of a query. */
export type IndexFinding =
  | { estado: 'con-indice'; nombre: string }
  /** `create` makes one. */
  | { estado: 'sin-indice'; tabla: string; create: string }
  /** It comes from no column of a table. */
  | { estado: 'calculada' }
  /** The result has no such column. */
  | { estado: 'ausente' }
  | { estado: 'no-se-ve'; tabla: string }
  | { estado: 'no-se-sabe'; motivo: string };

/**
 * Returns whether the table behind `columna` of the result of `query` has an index that begins with it.
 * @throws {SqlServerError}
 */
export async function findIndex(
  db: Queryable,
  query: string,
  parameters: readonly SqlParameter[],
  columna: string,
  signal: AbortSignal,
): Promise<IndexFinding> {
  const described = await describeResult(db, query, parameters, signal).catch((error: unknown) => {
    // A query that SQL Server cannot describe may be read all the same: #temp tables, several statements.
    if (error instanceof SqlServerError && !error.retryable) return error;
    throw error;
  });
  if (described instanceof SqlServerError) return { estado: 'no-se-sabe', motivo: 'la consulta no se deja describir' };
  const column = described.find(({ name, is_hidden }) => !is_hidden && name?.toLowerCase() === columna.toLowerCase());
  if (column === undefined) return { estado: 'ausente' };
  const { source_table: table, source_column: source, source_schema: schema } = column;
  if (table === null || source === null) return { estado: 'calculada' };
  if (column.source_server !== null) return { estado: 'no-se-sabe', motivo: 'es de un servidor vinculado' };
  const tabla = `${schema ?? 'dbo'}.${table}`;
  const values = { esquema: schema ?? 'dbo', tabla: table, columna: source };
  const found = await db.query(indexesSql(column.source_database, { alone: false }), {
    parameters: Object.entries(values).map(([name, value]) => ({ name, type: 'nvarchar' as const, value })),
    signal,
  });
  if (found.length === 0) return { estado: 'no-se-ve', tabla };
  const index = found.find(({ name, is_disabled, has_filter }) => name !== null && !is_disabled && !has_filter);
  if (index !== undefined) return { estado: 'con-indice', nombre: String(index.name) };
  const name = quoteName(`IX_${table}_${source}`);
  const create = `CREATE INDEX ${name} ON ${quoteName(values.esquema)}.${quoteName(table)} (${quoteName(source)})`;
  return { estado: 'sin-indice', tabla, create };
}
