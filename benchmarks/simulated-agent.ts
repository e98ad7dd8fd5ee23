import { assertValidConfig } from '../client/config/remote.ts';
import { endsRun } from '../client/errors/describe-error.ts';
import { Backend } from '../client/http/backend.ts';
import { BackendError } from '../client/http/backend-error.ts';
import { Outbox } from '../client/state/outbox.ts';
import { PhaseFailure, recordFailure, recordPhase } from '../client/sync/phases.ts';
import { UploadBuffer } from '../client/sync/upload/buffer.ts';
import { compressChunks, type RawChunk } from '../client/sync/upload/chunks.ts';
import { Delivery } from '../client/sync/upload/deliver.ts';
import { silentEvents } from '../client/sync/upload/events.ts';
import { fill } from '../client/sync/upload/extract.ts';
import { deliverAsRead } from '../client/sync/upload/upload.ts';
import { Secrets } from '../client/ui/secrets.ts';
import { makeRandom } from '../fixtures/chaos/faults.ts';
import { SyncError } from '../protocol/errors.ts';
import type { TablaSubida } from '../protocol/tenant-config/config.ts';
import { codigoOf, lineOf } from './rows.ts';

/** An agent as the server sees it: its requests in their order, made by its own code from the chunk on. */

export const MAX_CHANGED = 50;
/** Rows of a table that change now and then. */
export const KEYS = 500;
/** What became of a row. */
const NEVER = 0;
const SENT = 1;
const CONFIRMED = 2;
const signal = new AbortController().signal;
const random = makeRandom(20_240_115);
export const below = (limit: number) => Math.floor(random() * limit);

export interface Tenant {
  /** From 0. */
  n: number;
  name: string;
  key: string;
  /** Of its install. */
  folder: string;
  etag: string | undefined;
  tablas: TablaSubida[];
  /** For each table and key: NEVER, SENT or CONFIRMED. */
  sent: Uint8Array[];
}

/** What came of one run. */
export interface Outcome {
  uploads: number;
  rows: number;
  failed: boolean;
}

/** Errors by code: those after which a request was made again, and those that a table or a run ended with. */
export const retried = new Map<string, number>();
export const final = new Map<string, number>();
export const count = (errors: Map<string, number>, code: string) => errors.set(code, (errors.get(code) ?? 0) + 1);
let version = 0;
const silentLog = { info: () => {}, warn: () => {}, error: () => {} };

/** One run as the server sees it. */
export async function simulateRun(url: string, tenant: Tenant): Promise<Outcome> {
  const backend = new Backend({
    url,
    tenant: tenant.name,
    key: tenant.key,
    onRetry: (error) => count(retried, codeOf(error)),
  });
  const outcome: Outcome = { uploads: 0, rows: 0, failed: false };
  const fail = (error: unknown) => {
    count(final, codeOf(error));
    outcome.failed = true;
  };
  const records = { outbox: await Outbox.open(tenant.folder, new Secrets()), log: silentLog };
  try {
    const { changed } = await backend.fetchConfig(tenant.etag, signal);
    if (changed !== undefined) {
      assertValidConfig(changed.config);
      tenant.etag = changed.etag;
      tenant.tablas = changed.config.configuracionTablas.tablasSubida ?? [];
    }
    for (const [n, { nombre }] of tenant.tablas.entries()) {
      try {
        const rows = await uploadChanges(backend, records, nombre, tenant.sent[n]!);
        if (rows > 0) outcome.uploads++;
        outcome.rows += rows;
      } catch (error) {
        if (!(error instanceof PhaseFailure)) throw error;
        recordFailure(records, error);
        fail(error.cause);
        if (endsRun(error.cause)) break;
      }
    }
    await records.outbox.ship(backend, signal);
  } catch (error) {
    fail(error);
  }
  return outcome;
}

async function uploadChanges(
  backend: Backend,
  records: Parameters<typeof recordPhase>[0],
  tabla: string,
  sent: Uint8Array,
): Promise<number> {
  const place = { direccion: 'upload', tabla, fase: 'process', ejecutadoEn: 'origen' } as const;
  const modo = 'incremental';
  const changed = drawChanges();
  const clock = { local: '2026-01-01T00:00:00', utc: '2026-01-01T00:00:00' };
  const buffer = new UploadBuffer({
    ...{ tabla, modo, huella: '', reloj: clock },
    ...{ ultimaSync: null, desde: null, particion: null },
  });
  const delivery = new Delivery(backend, buffer, silentEvents);
  const read = (inner: AbortSignal) => fill(buffer, compressChunks(chunkOf(changed)), inner);
  return recordPhase(records, place, async () => {
    for (const key of changed) if (sent[key] === NEVER) sent[key] = SENT;
    const done = await deliverAsRead(delivery, read, false, signal);
    for (const key of changed) sent[key] = CONFIRMED;
    const filas = done?.rows ?? 0;
    const ultimaSync = new Date().toISOString().slice(0, -1);
    if (done === undefined) {
      const message = 'Sin novedades: no hay filas que subir';
      return { value: filas, rows: filas, message, metadata: { modo, ultimaSync, filas } };
    }
    const { registrosInsertados, registrosActualizados, registrosSinCambios, registrosDesactivados } = done.result;
    const counts = { registrosInsertados, registrosActualizados, registrosSinCambios, registrosDesactivados };
    const message =
      `${filas} filas subidas: ${registrosInsertados} nuevas, ${registrosActualizados} actualizadas, ` +
      `${registrosSinCambios} sin cambios, ${registrosDesactivados} desactivadas`;
    const metadata = { modo, ultimaSync, filas, bytes: done.bytes, trozos: done.chunks, ...counts };
    return { value: filas, rows: filas, message, metadata };
  });
}

/** The keys of 0 to MAX_CHANGED rows. */
function drawChanges(): number[] {
  const first = below(KEYS);
  return Array.from({ length: below(MAX_CHANGED + 1) }, (_, n) => (first + n) % KEYS);
}

async function* chunkOf(keys: readonly number[]): AsyncGenerator<RawChunk> {
  if (keys.length === 0) return;
  // Every codigo has the same length: the line of another row with this one's in its place.
  const head = (codigo: string) => `{"codigo":"${codigo}"`;
  const { length } = head(codigoOf(0));
  const lines = keys.map((key) => head(codigoOf(key)) + lineOf(version++).slice(length));
  yield { bytes: Buffer.from(lines.join('')), rows: keys.length };
}

/** Throws what is no answer of the backend: a fault of the benchmark itself. */
function codeOf(error: unknown): string {
  if (error instanceof SyncError) return error.code;
  if (error instanceof BackendError) return error.status === undefined ? 'no answer' : `HTTP ${error.status}`;
  throw error;
}

/** How many rows were confirmed, and how many more were sent and maybe applied. */
export function countSent(tenants: readonly Tenant[]): { confirmed: number; unsure: number } {
  const counts = [0, 0, 0];
  for (const { sent } of tenants) for (const keys of sent) for (const state of keys) counts[state]!++;
  return { confirmed: counts[CONFIRMED]!, unsure: counts[SENT]! };
}
