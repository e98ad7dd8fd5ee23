import { type AgentClock, CLOCKS, type ClockReading, clocksOf, readAgentClock } from '../session/clock.ts';
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

const CURRENT = 'CONVERT(varchar(20), CHANGE_TRACKING_CURRENT_VERSION())';

const ISOLATED = '(SELECT d.snapshot_isolation_state FROM sys.databases AS d WHERE d.database_id = DB_ID())';

/** Returns whether the database allows SNAPSHOT. */
export async function allowsSnapshot(db: Queryable, signal: AbortSignal): Promise<boolean> {
  const [row] = await db.query(`SELECT ${ISOLATED} AS aislada`, { signal });
  return Number(row?.aislada) === 1;
}

/** The parameter of the version that changes are asked for since. */
const SINCE = 'desdeCambio';

export function sinceParameter(version: string): SqlParameter {
  return { name: SINCE, type: 'bigint', value: version };
}

/** Asks for the version that Change Tracking is at, and for the oldest one that a table can still be read from. */
export async function readTrackingState(
  db: Queryable,
  tablas: readonly string[],
  signal: AbortSignal,
): Promise<TrackingState> {
  const minimums = tablas.map((_, at) => `${minimumOf(`@t${at}`)} AS minimo${at}`);
  const parameters = tablas.map((tabla, at) => ({
    name: `t${at}`,
    type: 'nvarchar' as const,
    value: quoteTable(tabla),
  }));
  const sql = `SELECT ${CURRENT} AS actual, ${minimums.join(', ')},
    ${ISOLATED} AS aislada`;
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
  const looks = tablas.map((tabla, at) => `${hasChanges(tabla, SINCE)} AS cambio${at}`);
  const [row = {}] = await db.query(`SELECT ${looks.join(', ')}`, { parameters: [sinceParameter(version)], signal });
  return tablas.flatMap((_, at) => (Number(row[`cambio${at}`]) === 1 ? [at] : []));
}

/** The base tables of a query, and the version that their changes are asked for since. */
export interface Tracked {
  tablas: readonly string[];
  desde: string;
}

/** What one look at many queries showed. */
export interface LookedAt {
  reloj: ClockReading;
  actual: string;
  /** Of each query, in their order: whether nothing changed in its base tables, for certain. */
  iguales: boolean[];
}

/** A query without news since version `desde`, and when it was looked at. */
export interface Unchanged {
  desde: string;
  hasta: string;
  now: ClockReading;
  /** The agent's clock after `now`. */
  after: AgentClock;
}

/**
 * Looks at once which queries may have news: clocks and current version, changes, least valid versions, in this order
 * and in one request. A least version that has passed `desde` by then may have taken changes out of sight.
 * @throws {SqlServerError} for all of them where one is not tracked, or this login may not see it
 */
export async function lookAtChanges(
  db: Queryable,
  queries: readonly Tracked[],
  signal: AbortSignal,
): Promise<LookedAt> {
  const parameters = queries.map(({ desde }, at) => ({ name: `${SINCE}${at}`, type: 'bigint' as const, value: desde }));
  const bases = queries.flatMap(({ tablas }, at) => tablas.map((tabla, of) => ({ tabla, at, suffix: `${at}_${of}` })));
  const changes = bases.map(({ tabla, at, suffix }) => `${hasChanges(tabla, `${SINCE}${at}`)} AS cambio${suffix}`);
  const minimums = bases.map(({ tabla, suffix }) => `${minimumOf(nameLiteral(tabla))} AS minimo${suffix}`);
  const sql = `SELECT ${CURRENT} AS actual, ${CLOCKS};
    SELECT ${changes.join(', ')};
    SELECT ${minimums.join(', ')}`;
  const agente = readAgentClock();
  const rows = await db.query(sql, { parameters, signal });
  const row: Record<string, unknown> = Object.assign({}, ...rows);
  const actual = BigInt(String(row.actual));
  const iguales = queries.map(({ tablas, desde }, at) =>
    tablas.every((_, of) => {
      const minimo = row[`minimo${at}_${of}`];
      if (typeof minimo !== 'string' || BigInt(minimo) > BigInt(desde)) return false;
      return actual >= BigInt(desde) && Number(row[`cambio${at}_${of}`]) === 0;
    }),
  );
  return { reloj: clocksOf(row, agente), actual: String(actual), iguales };
}

/** Returns the SQL of the rows of `query` that a change in one of the tables may have changed. */
export function changedRowsSql(query: string, tablas: readonly BaseTable[]): string {
  const among = tablas.map((base) => `EXISTS (SELECT 1 FROM ${changesOf(base.tabla)} AS ct WHERE ${joinOf(base)})`);
  return `SELECT q.* FROM ${wrapQuery(query)} AS q WHERE ${among.join(' OR ')}`;
}

/**
 * Returns the SQL of the keys of a table that changed and are not in `query` any more, deleted or filtered out, under
 * the query's names.
 */
export function goneKeysSql(query: string, base: BaseTable): string {
  const items = base.clave.map(([key, column]) => `ct.${quoteName(key)} AS ${quoteName(column)}`);
  return `SELECT DISTINCT ${items.join(', ')} FROM ${changesOf(base.tabla)} AS ct
    WHERE NOT EXISTS (SELECT 1 FROM ${wrapQuery(query)} AS q WHERE ${joinOf(base)})`;
}

/** Returns whether `query` gives any row. */
export async function hasRows(db: Queryable, query: string, signal: AbortSignal): Promise<boolean> {
  const sql = `SELECT CASE WHEN EXISTS (SELECT 1 FROM ${wrapQuery(query)} AS q) THEN 1 ELSE 0 END AS hay`;
  const [row] = await db.query(sql, { signal, isLong: true });
  return Number(row?.hay) === 1;
}

/** Returns the columns of a table's primary key, in its order. */
export async function readPrimaryKey(db: Queryable, tabla: string, signal: AbortSignal): Promise<string[]> {
  const sql = `SELECT c.name FROM sys.indexes AS i
    JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id AND k.key_ordinal > 0
    JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
    WHERE i.object_id = OBJECT_ID(@tabla) AND i.is_primary_key = 1 ORDER BY k.key_ordinal`;
  const parameters = [{ name: 'tabla', type: 'nvarchar' as const, value: quoteTable(tabla) }];
  return (await db.query(sql, { parameters, signal })).map(({ name }) => String(name));
}

function changesOf(tabla: string, since = SINCE): string {
  return `CHANGETABLE(CHANGES ${quoteTable(tabla)}, @${since})`;
}

function hasChanges(tabla: string, since: string): string {
  return `CASE WHEN EXISTS (SELECT 1 FROM ${changesOf(tabla, since)} AS ct) THEN 1 ELSE 0 END`;
}

function minimumOf(name: string): string {
  return `CONVERT(varchar(20), CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID(${name})))`;
}

function nameLiteral(tabla: string): string {
  return `N'${quoteTable(tabla).replaceAll("'", "''")}'`;
}

function joinOf({ clave }: BaseTable): string {
  return clave.map(([key, column]) => `q.${quoteName(column)} = ct.${quoteName(key)}`).join(' AND ');
}
