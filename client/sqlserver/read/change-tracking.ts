import type { Queryable } from '../session/queryable.ts';
import type { SqlParameter } from '../session/request.ts';
import { quoteName, quoteTable } from '../tables/ddl.ts';
import { wrapQuery } from './range-key.ts';

/** Change Tracking, as SQL: what a database knows of its changes, and which rows of a query they are. */

/** A base table of a query. */
export interface BaseTable {
  tabla: string;
  /** Columns of its primary key, each with the column of the query that has its values. */
  clave: readonly (readonly [key: string, column: string])[];
}

/** What SQL Server says before and after a reading; versions are bigints as text. */
export interface TrackingState {
  /** Null: Change Tracking is not enabled on the database. */
  actual: string | null;
  /** Whether the database allows SNAPSHOT. */
  snapshot: boolean;
  /** Of each table, in their order: the least version that its changes may be asked for since; null: no right, or not tracked. */
  minimos: (string | null)[];
}

/** The parameter of the version that changes are asked for since. */
const SINCE = 'desdeCambio';

export function sinceParameter(version: string): SqlParameter {
  return { name: SINCE, type: 'bigint', value: version };
}

export async function readTrackingState(
  db: Queryable,
  tablas: readonly string[],
  signal: AbortSignal,
): Promise<TrackingState> {
  const minimums = tablas.map(
    (_, at) => `CONVERT(varchar(20), CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID(@t${at}))) AS minimo${at}`,
  );
  const parameters = tablas.map((tabla, at) => ({
    name: `t${at}`,
    type: 'nvarchar' as const,
    value: quoteTable(tabla),
  }));
  const sql = `SELECT CONVERT(varchar(20), CHANGE_TRACKING_CURRENT_VERSION()) AS actual, ${minimums.join(', ')},
    (SELECT d.snapshot_isolation_state FROM sys.databases AS d WHERE d.database_id = DB_ID()) AS aislada`;
  const [row = {}] = await db.query(sql, { parameters, signal });
  const text = (value: unknown) => (typeof value === 'string' ? value : null);
  return {
    actual: text(row.actual),
    snapshot: Number(row.aislada) === 1,
    minimos: tablas.map((_, at) => text(row[`minimo${at}`])),
  };
}

/** Returns which of the tables changed since `version`, by their places: one statement, whatever their number. */
export async function findChanged(
  db: Queryable,
  tablas: readonly string[],
  version: string,
  signal: AbortSignal,
): Promise<number[]> {
  const looks = tablas.map(
    (tabla, at) => `CASE WHEN EXISTS (SELECT 1 FROM ${changesOf(tabla)} AS ct) THEN 1 ELSE 0 END AS cambio${at}`,
  );
  const [row = {}] = await db.query(`SELECT ${looks.join(', ')}`, { parameters: [sinceParameter(version)], signal });
  return tablas.flatMap((_, at) => (Number(row[`cambio${at}`]) === 1 ? [at] : []));
}

/** The rows of `query` that a change in one of the tables may have changed. */
export function changedRowsSql(query: string, tablas: readonly BaseTable[]): string {
  const among = tablas.map((base) => `EXISTS (SELECT 1 FROM ${changesOf(base.tabla)} AS ct WHERE ${joinOf(base)})`);
  return `SELECT q.* FROM ${wrapQuery(query)} AS q WHERE ${among.join(' OR ')}`;
}

/** The keys of a table that changed and are not in `query` any more, deleted or filtered out, under the query's names. */
export function goneKeysSql(query: string, base: BaseTable): string {
  const items = base.clave.map(([key, column]) => `ct.${quoteName(key)} AS ${quoteName(column)}`);
  return `SELECT DISTINCT ${items.join(', ')} FROM ${changesOf(base.tabla)} AS ct
    WHERE NOT EXISTS (SELECT 1 FROM ${wrapQuery(query)} AS q WHERE ${joinOf(base)})`;
}

/** Whether `query` gives any row. */
export async function hasRows(db: Queryable, query: string, signal: AbortSignal): Promise<boolean> {
  const sql = `SELECT CASE WHEN EXISTS (SELECT 1 FROM ${wrapQuery(query)} AS q) THEN 1 ELSE 0 END AS hay`;
  const [row] = await db.query(sql, { signal, isLong: true });
  return Number(row?.hay) === 1;
}

/** The columns of a table's primary key, in its order. */
export async function readPrimaryKey(db: Queryable, tabla: string, signal: AbortSignal): Promise<string[]> {
  const sql = `SELECT c.name FROM sys.indexes AS i
    JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id AND k.key_ordinal > 0
    JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
    WHERE i.object_id = OBJECT_ID(@tabla) AND i.is_primary_key = 1 ORDER BY k.key_ordinal`;
  const parameters = [{ name: 'tabla', type: 'nvarchar' as const, value: quoteTable(tabla) }];
  return (await db.query(sql, { parameters, signal })).map(({ name }) => String(name));
}

function changesOf(tabla: string): string {
  return `CHANGETABLE(CHANGES ${quoteTable(tabla)}, @${SINCE})`;
}

function joinOf({ clave }: BaseTable): string {
  return clave.map(([key, column]) => `q.${quoteName(column)} = ct.${quoteName(key)}`).join(' AND ');
}
