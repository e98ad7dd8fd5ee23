import { bajasOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { readClocks } from '../../sqlserver/session/clock.ts';
import type { NdjsonBlock, SqlServer } from '../../sqlserver/sql-server.ts';
import type { Gone } from '../../state/ledger/comparison-result.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import type { SyncContext } from '../context.ts';
import { recordPhase } from '../phases.ts';
import { UploadBuffer } from '../upload/buffer.ts';
import { compressChunks, cutChunks } from '../upload/chunks.ts';
import { Delivery } from '../upload/deliver.ts';
import { fill } from '../upload/extract.ts';
import { deliverAsRead, uploadTable } from '../upload/upload.ts';
import { type Confirmed, rowsWanted } from './look.ts';
import type { TableSource } from './source.ts';

/** What differs goes up by the ordinary upload, merge and guard. Its mark and its ledger are forgotten: the next sync sends all of it. */

/** Uploads the table from its beginning. Answers the rows sent. */
export async function repairWhole(context: SyncContext, tabla: TablaSubida): Promise<number> {
  await context.watermarks.forget(tabla.nombre);
  const { filas } = await uploadTable(context, tabla);
  await context.watermarks.forget(tabla.nombre);
  return filas;
}

interface RowsJob {
  context: SyncContext;
  tabla: TablaSubida;
  db: SqlServer;
  /** Rows that the source has. */
  leidas: number;
}

/**
 * Uploads the rows that the centre lacks or has otherwise, and by their hashes, in the commit, the keys that the source
 * no longer has. Answers how many rows.
 * @throws {SyncError} GENERACION_DESCONOCIDA where a hash does not say which row that is
 */
export async function repairRows(
  { context, tabla, db, leidas }: RowsJob,
  source: TableSource,
  confirmed: readonly Confirmed[],
): Promise<number> {
  const wanted = new Map(confirmed.filter(({ kind }) => kind !== 'sobra').map((one) => [one.clave, one]));
  const gone = bajasOf(tabla) === 'ignorar' ? [] : confirmed.filter(({ kind }) => kind === 'sobra');
  if (wanted.size === 0 && gone.length === 0) return 0;
  const { nombre } = tabla;
  const { local, utc } = await readClocks(db, context.signal);
  const head: UploadHead = {
    ...{ tabla: nombre, modo: 'incremental', huella: '', reloj: { local, utc }, ultimaSync: null, desde: null },
    ...{ lectura: utc, particion: null },
  };
  await context.watermarks.forget(nombre);
  const place = { direccion: 'upload', tabla: nombre, fase: 'process', ejecutadoEn: 'origen' } as const;
  return recordPhase(context, place, async () => {
    const buffer = new UploadBuffer(head);
    if (gone.length > 0) buffer.huellas = { leidas, bajas: goneOf(gone, source.seed, leidas) };
    const read = (signal: AbortSignal) =>
      fill(buffer, compressChunks(cutChunks(linesOf(source, wanted, signal), context.chunkBytes)), signal);
    const events = { onRead: () => {}, onDelivered: () => {}, onOffline: () => {}, onCommit: () => {} };
    const sent = await deliverAsRead(
      new Delivery(context.backend, buffer, events),
      read,
      gone.length > 0,
      context.signal,
    );
    const rows = sent?.rows ?? 0;
    const metadata = { reparacion: true, ...sent?.result };
    const { bajasRetenidas = 0, registrosDesactivados = 0 } = sent?.result ?? {};
    const bajas = gone.length === 0 ? '' : `, ${registrosDesactivados} bajas, ${bajasRetenidas} retenidas`;
    const message = `Reparación: ${rows} filas enviadas otra vez${bajas}`;
    if (bajasRetenidas > 0) context.log.warn(`${message}: el administrador las decide`, nombre);
    return { value: rows, rows, message, metadata, ...(bajasRetenidas > 0 ? { estado: 'parcial' as const } : {}) };
  });
}

/** In the order of the hashes, which are those of the keys under the seed of the comparison. */
function goneOf(gone: readonly Confirmed[], seed: bigint, leidas: number): Gone {
  const hashes = BigUint64Array.from(gone, ({ clave }) => clave).sort();
  const bytes = Buffer.alloc(8 * hashes.length);
  for (const [index, hash] of hashes.entries()) bytes.writeBigUInt64BE(hash, 8 * index);
  return { semilla: String(seed), huellas: bytes.toString('base64'), leidas };
}

async function* linesOf(
  source: TableSource,
  wanted: ReadonlyMap<bigint, Confirmed>,
  signal: AbortSignal,
): AsyncGenerator<NdjsonBlock> {
  if (wanted.size === 0) return;
  for await (const row of rowsWanted(source.readAll(signal), wanted)) {
    yield { bytes: Buffer.from(row.line), rows: 1, replacedCharacters: 0 };
  }
}
