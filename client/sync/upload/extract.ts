import { defined } from '../../../protocol/defined.ts';
import { bajasOf, cambiosOf, primaryKeyOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { mentionsMark } from '../../../protocol/tenant-config/ultima-sync.ts';
import { tap } from '../../async/tap.ts';
import { guardedNames, isKnownQuery, withKnownQuery } from '../../config/sensitive-pins.ts';
import { encryptRows, refuseColumns, sensitiveColumnsOf } from '../../rows/field-encryption.ts';
import { allowsSnapshot, type BaseTable, sinceParameter } from '../../sqlserver/read/change-tracking.ts';
import { findRangeKey } from '../../sqlserver/read/range-key.ts';
import { type RangeEnd, readRanges } from '../../sqlserver/read/ranges.ts';
import type { ResultColumn } from '../../sqlserver/read/result-columns.ts';
import {
  DEFAULT_BLOCK_BYTES,
  type NdjsonBlock,
  type RowFilter,
  type SqlParameter,
  type SqlServer,
} from '../../sqlserver/sql-server.ts';
import { Comparison } from '../../state/ledger/comparison.ts';
import type { LedgerName } from '../../state/ledger/ledgers.ts';
import type { StoredChunk } from '../../state/spool/chunk-store.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import { WholeUploadNeeded } from '../../state/whole-upload-needed.ts';
import type { UploadBuffer } from './buffer.ts';
import { changedQuery, finishTracking, resolveBaseTables, underSnapshot } from './change-tracking.ts';
import { changedRows, makeFilter, type ReadRows } from './changed-rows.ts';
import { compressChunks, cutChunks } from './chunks.ts';
import { describeColumns } from './columns.ts';
import type { UploadEvents } from './events.ts';
import type { UploadJob } from './job.ts';
import { rowsIn } from './pending.ts';
import { queryOf, readsChanges } from './reading.ts';
import { versionParameters } from './rowversion.ts';

/** The beginning of an upload: rows of SQL Server become chunks in the buffer. */

export interface Source extends Pick<UploadJob, 'context' | 'tabla' | 'withoutSnapshot'> {
  db: SqlServer;
  /** What a reading by ranges goes on behind; undefined: it begins with the first row. */
  from: { key: string; ledger: LedgerName | undefined } | undefined;
}

/**
 * Reads a table into the buffer, behind the chunks that are in it already: rows, without what must not leave in plain, encrypted
 * where they are sensitive, cut into chunks, compressed. Throws what reading or the disk throw, the signal's reason.
 */
export async function extract(
  source: Source,
  buffer: UploadBuffer,
  events: UploadEvents,
  signal: AbortSignal,
): Promise<void> {
  const { context, db, tabla } = source;
  const { head } = buffer;
  const isTracked = (head.seguimiento?.cambiadas.length ?? 0) > 0;
  const bases = isTracked ? await resolveBaseTables(db, tabla, signal) : [];
  const comparison = await openComparison(source, head);
  let sent = buffer.store === undefined ? 0 : rowsIn(buffer.store);
  try {
    const onRead = ({ rows, bytes }: ReadRows) => events.onRead(rows, bytes);
    const sensitive = sensitiveColumnsOf(tabla, context.dataKey);
    const onColumns = (columns: ResultColumn[]) =>
      buffer.describe(describeColumns(columns, (name) => sensitive?.has(name) === true));
    const rows = readLeaving({ ...source, bases }, head, { comparison, sensitive, onRead, onColumns, signal });
    const counted = tap(rows, (item) => {
      if ('ultima' in item) return;
      buffer.replaced += item.replacedCharacters;
      sent += item.rows;
    });
    const atEnd = async () => {
      const { seguimiento } = head;
      buffer.huellas =
        seguimiento === undefined
          ? await comparison?.finish(sent)
          : await finishTracking(db, tabla, bases, { head: seguimiento, rows: sent }, signal);
    };
    const chunks = compressChunks(cutChunks(counted, context.chunkBytes), buffer.store?.ready);
    const snapshot = head.seguimiento?.snapshot === true || (await mayReadUnderSnapshot(source, head, signal));
    await underSnapshot(db, snapshot, () => fill(buffer, chunks, signal, atEnd));
  } finally {
    await comparison?.close();
  }
}

/**
 * Returns whether everything is read, and may be under SNAPSHOT. Without it a row that moves while it is read may be
 * met twice or not at all, and then be taken for gone.
 */
async function mayReadUnderSnapshot(
  { db, tabla, withoutSnapshot }: Source,
  head: UploadHead,
  signal: AbortSignal,
): Promise<boolean> {
  if (withoutSnapshot === true || (readsChanges(cambiosOf(tabla)) && head.entera !== true)) return false;
  return allowsSnapshot(db, signal);
}

/**
 * The comparison with the ledger of the last reading, where the table has one; with none, every row goes and a ledger
 * begins. Undefined where no ledger is kept.
 * @throws {WholeUploadNeeded}
 */
async function openComparison(
  { context: { lastRetained, ledgers }, tabla, from }: Source,
  { huellas }: UploadHead,
): Promise<Comparison | undefined> {
  if (huellas === undefined || ledgers === undefined) return undefined;
  const { nombre } = tabla;
  const { contra } = huellas;
  // A reading that is gone on with, of which nobody knows how far its ledger came.
  const isLost = from !== undefined && from.ledger === undefined;
  if (isLost && contra === undefined) return undefined;
  const old = contra && (await ledgers.find(nombre, contra));
  if (contra !== undefined && (isLost || old === undefined)) throw new WholeUploadNeeded('danado');
  const comparison = new Comparison({
    ...{ ledgers, tabla: nombre, old },
    tellsGone: bajasOf(tabla) !== 'ignorar',
    someWait: lastRetained('upload', nombre),
  });
  try {
    if (from?.ledger !== undefined) await comparison.resume(from.ledger);
    return comparison;
  } catch (error) {
    await comparison.close();
    throw error;
  }
}

/** Adds all chunks to the buffer, and says that there are no others, once `atEnd` has been done. */
export async function fill(
  buffer: UploadBuffer,
  chunks: AsyncIterable<StoredChunk>,
  signal: AbortSignal,
  atEnd: () => Promise<void> = async () => {},
): Promise<void> {
  for await (const chunk of chunks) await buffer.add(chunk, signal);
  await atEnd();
  await buffer.finish(signal);
}

/** What placeholders of the query are bound to. */
type ReadWith = Pick<UploadHead, 'ultimaSync' | 'versiones' | 'entera' | 'seguimiento'>;

interface Leaving {
  comparison: Comparison | undefined;
  onRead: (read: ReadRows) => void;
  sensitive: ReturnType<typeof sensitiveColumnsOf>;
  onColumns: (columns: ResultColumn[]) => void;
  signal: AbortSignal;
}

/** Yields the rows as they may leave the machine. */
export function readLeaving(
  { context, tabla, db, from, bases }: Source & { bases: readonly BaseTable[] },
  head: ReadWith,
  { comparison, sensitive, onRead, onColumns, signal }: Leaving,
): AsyncGenerator<NdjsonBlock | RangeEnd> {
  const { chunkBytes, sensitivePins } = context;
  const blockBytes = Math.min(DEFAULT_BLOCK_BYTES, chunkBytes);
  // A range goes on behind its last row, which has to be a line.
  const filter = comparison && tabla.particion === undefined ? makeFilter(tabla, comparison) : undefined;
  const rows = readTable(db, tabla, head, { bases, after: from?.key, blockBytes, filter, onColumns, signal });
  const onClean = () => context.learn((known) => withKnownQuery(known, tabla));
  const checked = isKnownQuery(sensitivePins, tabla)
    ? rows
    : refuseColumns(rows, tabla, guardedNames(sensitivePins, tabla), onClean);
  // Before it is encrypted: the same value is the same text then too, and only what goes needs the work.
  const leaving =
    comparison === undefined
      ? tap(checked, (item) => {
          if (!('ultima' in item)) onRead({ rows: item.rows, bytes: item.bytes.length });
        })
      : changedRows(checked, tabla, comparison, onRead);
  return sensitive === undefined ? leaving : encryptRows(leaving, tabla, sensitive);
}

interface TableReading extends Pick<Leaving, 'onColumns' | 'signal'> {
  after: string | undefined;
  blockBytes: number;
  filter: RowFilter | undefined;
  /** Of a reading by Change Tracking. */
  bases: readonly BaseTable[];
}

async function* readTable(
  db: SqlServer,
  tabla: TablaSubida,
  head: ReadWith,
  { bases, after, blockBytes, filter, onColumns, signal }: TableReading,
): AsyncGenerator<NdjsonBlock | RangeEnd> {
  const { particion } = tabla;
  const { entera, seguimiento } = head;
  const isTracked = seguimiento?.desde !== undefined;
  const query = isTracked ? changedQuery(tabla, bases, seguimiento) : queryOf(tabla, entera === true);
  if (query === undefined) return;
  const parameters = isTracked ? [sinceParameter(seguimiento.desde!)] : (parametersOf(query, head).parameters ?? []);
  const names = namesOf(tabla);
  if (particion === undefined) {
    yield* db.readRows(query, { parameters, names, blockBytes, filter, onColumns, signal });
    return;
  }
  const key = await findRangeKey(db, query, parameters, particion.columna, signal);
  const { filas } = particion;
  yield* readRanges(db, query, {
    ...{ parameters, names, blockBytes, onColumns, signal, key, filas },
    ...defined({ after }),
  });
}

/** The columns that the backend looks for by name (protocol/SPEC.md, R2 and R3). */
function namesOf(tabla: TablaSubida): string[] {
  return [...primaryKeyOf(tabla), 'codigo', 'nombre', 'descripcion', 'razon_social', 'activo'];
}

/** Returns the values of `@ultimaSync`, `@desdeVersion` and `@hastaVersion` for SQL that mentions them. */
export function parametersOf(
  sql: string,
  { ultimaSync, versiones, entera }: ReadWith,
): { parameters?: SqlParameter[] } {
  const parameters: SqlParameter[] = versiones === undefined ? [] : versionParameters(sql, versiones, entera === true);
  if (mentionsMark(sql)) parameters.push({ name: 'ultimaSync', type: 'datetime2', value: ultimaSync });
  return parameters.length === 0 ? {} : { parameters };
}
