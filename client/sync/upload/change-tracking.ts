import { randomBytes } from 'node:crypto';
import { limits } from '../../../protocol/constants.ts';
import { TextHash } from '../../../protocol/rows/hash.ts';
import { bajasOf, primaryKeyOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { RowKeys } from '../../rows/row-key.ts';
import { sqlServerError } from '../../sqlserver/errors.ts';
import {
  type BaseTable,
  changedRowsSql,
  goneKeysSql,
  hasRows,
  readPrimaryKey,
  readTrackingState,
  sinceParameter,
  type TrackingState,
} from '../../sqlserver/read/change-tracking.ts';
import { describeResult } from '../../sqlserver/read/range-key.ts';
import type { Queryable } from '../../sqlserver/session/queryable.ts';
import type { TrackingHead } from '../../sqlserver/session/versions.ts';
import { quoteName, quoteTable, type SqlServer, type SqlServerError } from '../../sqlserver/sql-server.ts';
import type { ComparisonResult } from '../../state/ledger/comparison-result.ts';
import type { Watermark } from '../../state/watermarks.ts';
import { WholeUploadNeeded } from '../../state/whole-upload-needed.ts';
import { asWrapped } from './rowversion.ts';

/**
 * `cambios: "seguimiento"`: SQL Server's Change Tracking says which keys changed since the last version, deleted ones too.
 *
 * The order is: current version ▶ least valid version of each base table ▶ which of them changed ▶ their rows ▶ keys that are gone ▶ least
 * valid versions again. Cleanup may come in between, and CHANGETABLE then leaves out changes without a word: what was read is thrown
 * away. The least valid version is judged for each table by itself: that of another one says nothing.
 *
 * Rows come before the keys that are gone: a key that comes back in between is of the next version, and read again.
 */

/** How a table is read, and why. */
export type TrackingPlan =
  | { kind: 'entera'; why: 'primera' | 'retrocedida' | 'completoCada' | 'pedida' }
  /** Changes of this table since the mark are not known any more. */
  | { kind: 'entera'; why: 'caducada'; tabla: string }
  | { kind: 'cambios'; desde: string };

/**
 * Decides from the mark and from what SQL Server says. `isDue`: the whole table is to be read (completoCada);
 * `isAsked`: an attempt of this run came to nothing.
 * @throws {SqlServerError} SEGUIMIENTO_AUSENTE
 */
export function planTracking(
  tablas: readonly string[],
  mark: Pick<Watermark, 'seguimiento'> | undefined,
  { actual, minimos }: TrackingState,
  { isDue, isAsked }: { isDue: boolean; isAsked: boolean },
): TrackingPlan {
  const untracked = actual === null ? 0 : minimos.indexOf(null);
  if (untracked >= 0) throw sqlServerError('SEGUIMIENTO_AUSENTE', { tabla: quoteTable(tablas[untracked]!) });
  const desde = mark?.seguimiento;
  if (isAsked) return { kind: 'entera', why: 'pedida' };
  if (desde === undefined) return { kind: 'entera', why: 'primera' };
  if (BigInt(actual!) < BigInt(desde)) return { kind: 'entera', why: 'retrocedida' };
  const expired = minimos.findIndex((minimo) => BigInt(minimo!) > BigInt(desde));
  if (expired >= 0) return { kind: 'entera', why: 'caducada', tabla: tablas[expired]! };
  return isDue ? { kind: 'entera', why: 'completoCada' } : { kind: 'cambios', desde };
}

/** Returns the base tables whose changes may take rows out of the query whose keys nobody knows. */
export function mayHideRows({ seguimiento = [], ...tabla }: TablaSubida, cambiadas: readonly number[]): boolean {
  if (bajasOf(tabla) === 'ignorar') return false;
  return cambiadas.some((at) => at > 0 && seguimiento[at]!.quitaFilas !== false);
}

export const baseTablesOf = ({ seguimiento = [] }: TablaSubida) => seguimiento.map(({ tabla }) => tabla);

/**
 * Finds which columns of the query the keys of its base tables are, and sees that those of the first one are the key of
 * each row, as the query gives it.
 * @throws {SqlServerError} SEGUIMIENTO_CLAVE, CONSULTA_ENVUELTA for a query that cannot be wrapped
 */
export async function resolveBaseTables(db: Queryable, tabla: TablaSubida, signal: AbortSignal): Promise<BaseTable[]> {
  const { query } = tabla.process;
  const wrapped = `SELECT q.* FROM (${query}\n) AS q`;
  const described = await describeResult(db, wrapped, [], signal).catch((error: unknown) => {
    throw asWrapped(error);
  });
  const columns = described.filter(({ is_hidden }) => !is_hidden);
  const columnOf = (name: string) => columns.find((column) => column.name?.toLowerCase() === name.toLowerCase());
  const found: BaseTable[] = [];
  for (const { tabla: base, clave } of tabla.seguimiento!) {
    const keys = await readPrimaryKey(db, base, signal);
    if (keys.length === 0) throw wrongKey(base, 'no tiene clave primaria, o el usuario no la ve');
    const pairs = Object.entries(clave ?? Object.fromEntries(keys.map((key) => [key, key])));
    for (const [key, column] of pairs) {
      if (!keys.some((one) => one.toLowerCase() === key.toLowerCase())) {
        throw wrongKey(base, `no tiene «${key}» en su clave primaria (${keys.join(', ')})`);
      }
      if (columnOf(column) === undefined)
        throw wrongKey(base, `tiene «${key}», que la consulta no da como «${column}»`);
    }
    found.push({ tabla: base, clave: pairs });
  }
  await assertRowKey(db, tabla, found[0]!, { typeOf: (name) => columnOf(name)!.system_type_name }, signal);
  return found;
}

/** Sees that deletions can be told by the key that the centre knows: its columns, of the same types as in the base table. */
async function assertRowKey(
  db: Queryable,
  tabla: TablaSubida,
  { tabla: base, clave }: BaseTable,
  { typeOf }: { typeOf(column: string): string | null },
  signal: AbortSignal,
): Promise<void> {
  const given = clave.map(([, column]) => column.toLowerCase());
  const key = primaryKeyOf(tabla);
  const wanted = key.length > 1 ? key : [key[0] ?? 'codigo'];
  const lacks = wanted.find((column) => !given.includes(column.toLowerCase()));
  if (lacks !== undefined && !(wanted.length === 1 && given.includes('codigo'))) {
    throw wrongKey(base, `no tiene en su clave la columna «${lacks}», que es la clave de cada fila`);
  }
  const list = clave.map(([column]) => quoteName(column)).join(', ');
  const described = await describeResult(db, `SELECT ${list} FROM ${quoteTable(base)}`, [], signal);
  for (const [at, [from, column]] of clave.entries()) {
    const [one, other] = [described[at]?.system_type_name, typeOf(column)];
    if (one !== other)
      throw wrongKey(base, `tiene «${from}» de tipo ${one}, y la consulta da «${column}» de tipo ${other}`);
  }
}

function wrongKey(tabla: string, motivo: string): SqlServerError {
  return sqlServerError('SEGUIMIENTO_CLAVE', { tabla, motivo });
}

/** Returns the query of a reading of changes; undefined: nothing changed. */
export function changedQuery(tabla: TablaSubida, bases: readonly BaseTable[], { cambiadas }: TrackingHead) {
  if (cambiadas.length === 0) return undefined;
  return changedRowsSql(
    tabla.process.query,
    cambiadas.map((at) => bases[at]!),
  );
}

/**
 * Ends a reading of changes: looks for keys that are gone, and whether what was read may be believed.
 * @throws {WholeUploadNeeded}: cleanup came in between, or more keys are gone than travel
 */
export async function finishTracking(
  db: SqlServer,
  tabla: TablaSubida,
  bases: readonly BaseTable[],
  { head: { desde, cambiadas }, rows }: { head: TrackingHead; rows: number },
  signal: AbortSignal,
): Promise<ComparisonResult | undefined> {
  if (desde === undefined) return undefined;
  const asks = cambiadas.includes(0) && bajasOf(tabla) !== 'ignorar';
  const gone = asks ? await readGone(db, tabla, bases[0]!, desde, signal) : undefined;
  const { minimos } = await readTrackingState(db, baseTablesOf(tabla), signal);
  if (minimos.some((minimo) => minimo === null || BigInt(minimo) > BigInt(desde)))
    throw new WholeUploadNeeded('caducada');
  if (gone === undefined || gone.huellas === '') return undefined;
  // The guard asks whether the source is empty; how many rows it has nobody has counted.
  const leidas = rows > 0 || (await hasRows(db, tabla.process.query, signal)) ? Math.max(rows, 1) : 0;
  return { leidas, bajas: { ...gone, leidas } };
}

/** @throws {WholeUploadNeeded} where they are too many */
async function readGone(
  db: SqlServer,
  tabla: TablaSubida,
  base: BaseTable,
  desde: string,
  signal: AbortSignal,
): Promise<{ semilla: string; huellas: string }> {
  const semilla = BigInt.asIntN(64, randomBytes(8).readBigUInt64BE());
  const hash = new TextHash(semilla);
  const keys = new RowKeys(primaryKeyOf(tabla));
  const found: bigint[] = [];
  const sql = goneKeysSql(tabla.process.query, base);
  const names = [...primaryKeyOf(tabla), 'codigo'];
  for await (const block of db.readRows(sql, { parameters: [sinceParameter(desde)], names, signal })) {
    const bytes = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
    for (let row = 0, start = 0; row < block.rows; row++) {
      const end = bytes.indexOf(0x0a, start);
      // A key without value names no row at the centre.
      if (keys.hash(bytes, start, end, hash)) found.push((BigInt(hash.high >>> 0) << 32n) | BigInt(hash.low >>> 0));
      start = end + 1;
    }
    if (found.length > limits.bajasMaxCount) throw new WholeUploadNeeded('muchasBajas');
  }
  const sorted = [...new Set(found)].sort((a, b) => (a < b ? -1 : 1));
  const bytes = Buffer.alloc(sorted.length * 8);
  for (const [at, one] of sorted.entries()) bytes.writeBigUInt64BE(one, at * 8);
  return { semilla: String(semilla), huellas: bytes.toString('base64') };
}

/**
 * Reads under SNAPSHOT where the database allows it: rows and keys that are gone are of one moment then. The session has its own level
 * again afterwards, on every path.
 */
export async function underSnapshot<T>(db: SqlServer, allowed: boolean, read: () => Promise<T>): Promise<T> {
  if (!allowed) return read();
  await db.execute('SET TRANSACTION ISOLATION LEVEL SNAPSHOT');
  try {
    return await db.transaction(read);
  } finally {
    await db.execute('SET TRANSACTION ISOLATION LEVEL READ COMMITTED').catch(() => {});
  }
}
