import { bajasOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { readClocks } from '../../sqlserver/session/clock.ts';
import type { NdjsonBlock, SqlServer } from '../../sqlserver/sql-server.ts';
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

/** Whether what differs can go up by itself; else the whole table does, which is what tells the centre which rows are gone. */
export function goesWhole(tabla: TablaSubida, confirmed: readonly Confirmed[], unlooked: number): boolean {
  if (unlooked > 0) return true;
  return bajasOf(tabla) !== 'ignorar' && confirmed.some(({ kind }) => kind === 'sobra');
}

/** Uploads the table from its beginning. Answers the rows sent. */
export async function repairWhole(context: SyncContext, tabla: TablaSubida): Promise<number> {
  await context.watermarks.forget(tabla.nombre);
  const { filas } = await uploadTable(context, tabla);
  await context.watermarks.forget(tabla.nombre);
  return filas;
}

/** Uploads the rows that the centre lacks or has otherwise. Answers how many. */
export async function repairRows(
  { context, tabla, db }: { context: SyncContext; tabla: TablaSubida; db: SqlServer },
  source: TableSource,
  confirmed: readonly Confirmed[],
): Promise<number> {
  const wanted = new Map(confirmed.filter(({ kind }) => kind !== 'sobra').map((one) => [one.clave, one]));
  if (wanted.size === 0) return 0;
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
    const read = (signal: AbortSignal) =>
      fill(buffer, compressChunks(cutChunks(linesOf(source, wanted, signal), context.chunkBytes)), signal);
    const events = { onRead: () => {}, onDelivered: () => {}, onOffline: () => {}, onCommit: () => {} };
    const sent = await deliverAsRead(new Delivery(context.backend, buffer, events), read, false, context.signal);
    const rows = sent?.rows ?? 0;
    const metadata = { reparacion: true, ...sent?.result };
    return { value: rows, rows, message: `Reparación: ${rows} filas enviadas otra vez`, metadata };
  });
}

async function* linesOf(
  source: TableSource,
  wanted: ReadonlyMap<bigint, Confirmed>,
  signal: AbortSignal,
): AsyncGenerator<NdjsonBlock> {
  for await (const row of rowsWanted(source.readAll(signal), wanted)) {
    yield { bytes: Buffer.from(row.line), rows: 1, replacedCharacters: 0 };
  }
}
