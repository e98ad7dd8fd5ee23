import { defined } from '../../../protocol/defined.ts';
import { primaryKeyOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { mentionsMark } from '../../../protocol/tenant-config/ultima-sync.ts';
import { tap } from '../../async/tap.ts';
import { guardedNames, isKnownQuery, withKnownQuery } from '../../config/sensitive-pins.ts';
import { encryptRows, refuseColumns, sensitiveColumnsOf } from '../../rows/field-encryption.ts';
import { findRangeKey } from '../../sqlserver/read/range-key.ts';
import { type RangeEnd, readRanges } from '../../sqlserver/read/ranges.ts';
import {
  DEFAULT_BLOCK_BYTES,
  type NdjsonBlock,
  type SqlParameter,
  type SqlServer,
} from '../../sqlserver/sql-server.ts';
import type { StoredChunk } from '../../state/spool/chunk-store.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import type { SyncContext } from '../context.ts';
import type { UploadBuffer } from './buffer.ts';
import { compressChunks, cutChunks } from './chunks.ts';
import type { UploadEvents } from './events.ts';
import { queryOf } from './reading.ts';

/** The beginning of an upload: rows of SQL Server become chunks in the buffer. */

export interface Source {
  context: SyncContext;
  tabla: TablaSubida;
  db: SqlServer;
  /** The key behind which a reading by ranges goes on; undefined: from the first row. */
  after: string | undefined;
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
  const rows = readLeaving(source, buffer.head, signal);
  const counted = tap(rows, (item) => {
    if ('ultima' in item) return;
    buffer.replaced += item.replacedCharacters;
    events.onRead(item.rows, item.bytes.length);
  });
  await fill(buffer, compressChunks(cutChunks(counted, source.context.chunkBytes), buffer.store?.ready), signal);
}

/** Adds all chunks to the buffer, and says that there are no others. */
export async function fill(
  buffer: UploadBuffer,
  chunks: AsyncIterable<StoredChunk>,
  signal: AbortSignal,
): Promise<void> {
  for await (const chunk of chunks) await buffer.add(chunk, signal);
  await buffer.finish();
}

/** The rows as they may leave the machine. */
function readLeaving(
  { context, tabla, db, after }: Source,
  head: UploadHead,
  signal: AbortSignal,
): AsyncGenerator<NdjsonBlock | RangeEnd> {
  const { chunkBytes, dataKey, sensitivePins } = context;
  const blockBytes = Math.min(DEFAULT_BLOCK_BYTES, chunkBytes);
  const rows = readTable(db, tabla, head, { after, blockBytes, signal });
  const onClean = () => context.learn((known) => withKnownQuery(known, tabla));
  const checked = isKnownQuery(sensitivePins, tabla)
    ? rows
    : refuseColumns(rows, tabla, guardedNames(sensitivePins, tabla), onClean);
  const sensitive = sensitiveColumnsOf(tabla, dataKey);
  return sensitive === undefined ? checked : encryptRows(checked, tabla, sensitive);
}

async function* readTable(
  db: SqlServer,
  tabla: TablaSubida,
  { ultimaSync, entera }: UploadHead,
  { after, blockBytes, signal }: { after: string | undefined; blockBytes: number; signal: AbortSignal },
): AsyncGenerator<NdjsonBlock | RangeEnd> {
  const { particion } = tabla;
  const query = queryOf(tabla, entera === true);
  const parameters = parametersOf(query, ultimaSync).parameters ?? [];
  const names = namesOf(tabla);
  if (particion === undefined) {
    yield* db.readRows(query, { parameters, names, blockBytes, signal });
    return;
  }
  const key = await findRangeKey(db, query, parameters, particion.columna, signal);
  const { filas } = particion;
  yield* readRanges(db, query, {
    ...{ parameters, names, blockBytes, signal, key, filas },
    ...defined({ after }),
  });
}

/** The columns that the backend looks for by name (protocol/SPEC.md, R2 and R3). */
function namesOf(tabla: TablaSubida): string[] {
  return [...primaryKeyOf(tabla), 'codigo', 'nombre', 'descripcion', 'razon_social', 'activo'];
}

/** The value of `@ultimaSync` for SQL that mentions it. */
export function parametersOf(sql: string, ultimaSync: string | null): { parameters?: SqlParameter[] } {
  if (!mentionsMark(sql)) return {};
  return { parameters: [{ name: 'ultimaSync', type: 'datetime2', value: ultimaSync }] };
}
