import { randomUUID } from 'node:crypto';
import type { Commit, UploadResult } from '../../../protocol/api.ts';
import { defined } from '../../../protocol/defined.ts';
import { digestOfDigests } from '../../../protocol/digest.ts';
import { SyncError } from '../../../protocol/errors.ts';
import { runTogether } from '../../async/run-together.ts';
import { AgentError, agentError } from '../../errors/agent-error.ts';
import type { Backend, CompressedChunk } from '../../http/backend.ts';
import type { ChunkStore } from '../../state/spool/chunk-store.ts';
import { CHUNKS_IN_FLIGHT, type UploadBuffer } from './buffer.ts';
import { compressNothing } from './chunks.ts';
import type { Announcement } from './columns.ts';
import type { UploadEvents } from './events.ts';
import { abandon, openToTheEnd, toldOf } from './open.ts';
import { Patience } from './patience.ts';

/** The end of an upload: chunks go to the backend, which applies all of them or none. */

/** How often the backend may turn out to have forgotten the upload, or part of it, before that counts as a failure. */
const MAX_ROUNDS = 5;

export interface SentUpload {
  result: UploadResult;
  chunks: number;
  rows: number;
  /** Of all chunks, compressed. */
  bytes: number;
  /** Chunks that the backend had from an earlier run or attempt. */
  alreadyThere: number;
  /** The description of its columns that it named. */
  esquema: string | undefined;
}

/** Returns whether the backend has lost a chunk that is no longer kept here either: the table has to be read again. */
export function isChunkLost(error: unknown): boolean {
  return error instanceof AgentError && error.code === 'TROZO_PERDIDO';
}

/** Returns whether the backend has forgotten the columns that the upload names. */
function isForgotten(error: unknown): boolean {
  return error instanceof SyncError && error.code === 'ESQUEMA_DESCONOCIDO';
}

/** An upload at the backend, and the chunks that it has. */
interface Found {
  id: string;
  stored: ReadonlySet<number>;
  committed: boolean;
}

/**
 * Delivers one upload: `send` while chunks still come, then `commit`. Many chunks go through the buffer's store, those that the
 * backend has from before not being sent again; an only one goes in the request that has it applied.
 *
 * Both throw SyncError or BackendError (the store is as it was), AgentError TROZO_PERDIDO, the signal's reason.
 */
export class Delivery {
  readonly #backend: Backend;
  readonly #buffer: UploadBuffer;
  readonly #events: UploadEvents;
  readonly #announcement: Announcement | undefined;
  #patience: Patience | undefined;
  #round = 1;
  #id = '';
  #alreadyThere = 0;
  #esquema: string | undefined;

  /** Without `announcement` the upload names no columns. */
  constructor(backend: Backend, buffer: UploadBuffer, events: UploadEvents, announcement?: Announcement) {
    this.#backend = backend;
    this.#buffer = buffer;
    this.#events = events;
    this.#announcement = announcement;
  }

  /** Has the backend store all chunks, those too that are still to come. Sends nothing where there is one at most. */
  async send(signal: AbortSignal): Promise<void> {
    const store = await this.#buffer.opened(signal);
    if (store === undefined || this.#buffer.idempotencyKey !== undefined) return;
    this.#patience ??= new Patience(store, this.#events);
    for (;;) {
      try {
        const { id, stored, committed } = await this.#patience.keep(() => this.#findOrOpen(store, signal), signal);
        this.#id = id;
        if (this.#round === 1) this.#alreadyThere = committed ? store.ready : stored.size;
        if (!committed) await this.#sendLacking(store, stored, signal);
        return;
      } catch (error) {
        await this.#makeAgain(store, error);
      }
    }
  }

  /**
   * Has the backend apply what it has; sends again what a crash of PostgreSQL emptied. Undefined: there were no rows, and nothing
   * was asked. `sendEmpty`: even an upload of no rows has something to do there.
   */
  async commit({ sendEmpty }: { sendEmpty: boolean }, signal: AbortSignal): Promise<SentUpload | undefined> {
    const { idempotencyKey, only, store } = this.#buffer;
    if (store !== undefined && idempotencyKey !== undefined) {
      return this.#sendWhole(await readChunk(store, 0), idempotencyKey, signal);
    }
    if (store !== undefined) return this.#commitStore(store, signal);
    if (only === undefined && !sendEmpty) return undefined;
    const chunk = only ?? (await compressNothing());
    const name = newName();
    await this.#buffer.keep(chunk, name);
    return this.#sendWhole(chunk, name, signal);
  }

  async #sendWhole(chunk: CompressedChunk, idempotencyKey: string, signal: AbortSignal): Promise<SentUpload> {
    this.#events.onCommit();
    for (;;) {
      try {
        const esquema = await this.#announce(signal);
        const told = { ...toldOf(this.#buffer.kind), ...defined({ esquema }) };
        const result = await this.#backend.uploadOnce(told, chunk, { idempotencyKey, signal });
        return { result, chunks: 1, rows: chunk.rows, bytes: chunk.body.length, alreadyThere: 0, esquema };
      } catch (error) {
        if (!isForgotten(error) || this.#round++ >= MAX_ROUNDS) throw error;
        this.#announcement?.forget();
      }
    }
  }

  /** What the upload names of its columns, once the backend knows them. */
  async #announce(signal: AbortSignal): Promise<string | undefined> {
    return this.#announcement?.make(this.#buffer.head.esquema, signal);
  }

  async #commitStore(store: ChunkStore, signal: AbortSignal): Promise<SentUpload> {
    for (;;) {
      this.#events.onCommit();
      const { totals, bytes } = totalsOf(store);
      const bajas = this.#buffer.huellas?.bajas;
      try {
        const result = await this.#backend.commitUpload(this.#id, { ...totals, ...defined({ bajas }) }, signal);
        return {
          result,
          chunks: totals.trozos,
          rows: totals.filas,
          bytes,
          alreadyThere: this.#alreadyThere,
          esquema: this.#esquema,
        };
      } catch (error) {
        await this.#makeAgain(store, error);
        // Applied with other rows: this folder was restored, and has gone on from there. These rows are another upload.
        if (error instanceof SyncError && error.code === 'SUBIDA_CERRADA') await store.setId(undefined);
        await this.send(signal);
      }
    }
  }

  /** Prepares one more round after `error`. Throws it where another one would be of no use. */
  async #makeAgain(store: ChunkStore, error: unknown): Promise<void> {
    if (this.#round >= MAX_ROUNDS || !(error instanceof SyncError)) throw error;
    // Expired, or abandoned by another agent: all of it again under another name.
    if (error.code === 'SUBIDA_DESCONOCIDA') await store.setId(undefined);
    else if (isForgotten(error)) this.#announcement?.forget();
    // PostgreSQL crashed and emptied what it had (TOTALES_DISTINTOS); or it is committed already (SUBIDA_CERRADA).
    else if (error.code !== 'TOTALES_DISTINTOS' && error.code !== 'SUBIDA_CERRADA') throw error;
    this.#round++;
  }

  /** The upload at the backend; a new one where what it has is not what the store holds. */
  async #findOrOpen(store: ChunkStore, signal: AbortSignal): Promise<Found> {
    this.#esquema = await this.#announce(signal);
    if (store.id !== undefined) {
      const { id } = store;
      const { estado, trozos } = await this.#backend.findUpload(id, signal);
      const same = ({ trozo, digest }: { trozo: number; digest: string }) =>
        trozo < store.ready && store.info(trozo).digest === digest;
      const mayGoOn = this.#buffer.kind.reopen !== true || this.#round > 1;
      if (estado === 'confirmada' || (mayGoOn && trozos.every(same))) {
        for (const { trozo } of trozos) store.delivered(trozo);
        return { id, stored: new Set(trozos.map(({ trozo }) => trozo)), committed: estado === 'confirmada' };
      }
      await abandon(this.#backend, id);
    }
    const id = newName();
    // Known before it exists: a run that dies here leaves nothing that the next one does not find.
    await store.setId(id);
    await openToTheEnd(
      this.#backend,
      { id, ...toldOf(this.#buffer.kind), ...defined({ esquema: this.#esquema }) },
      signal,
    );
    return { id, stored: new Set(), committed: false };
  }

  /** Sends what is not in `stored`, until the store is complete and all of it is there. */
  async #sendLacking(store: ChunkStore, stored: ReadonlySet<number>, signal: AbortSignal): Promise<void> {
    let next = 0;
    const connection = async (inner: AbortSignal) => {
      while (true) {
        while (next < store.ready && stored.has(next)) next++;
        if (next < store.ready) await this.#sendChunk(store, next++, inner);
        else if (store.complete) return;
        else await store.changed(inner);
      }
    };
    await runTogether(
      signal,
      Array.from({ length: CHUNKS_IN_FLIGHT }, () => connection),
    );
  }

  async #sendChunk(store: ChunkStore, n: number, signal: AbortSignal): Promise<void> {
    const put = async () => this.#backend.putChunk(this.#id, await readChunk(store, n), signal);
    await this.#patience!.keep(put, signal);
    store.delivered(n);
    this.#events.onDelivered(store.info(n));
    this.#patience!.delivered();
  }
}

/** By which the backend knows an upload, and the generation that it makes. */
function newName(): string {
  return randomUUID().replaceAll('-', '');
}

async function readChunk(store: ChunkStore, n: number): Promise<CompressedChunk> {
  const body = await store.read(n);
  if (body === undefined) throw agentError('TROZO_PERDIDO', { trozo: n });
  const { digest, filas: rows } = store.info(n);
  return { n, digest, rows, body };
}

function totalsOf(store: ChunkStore): { totals: Commit; bytes: number } {
  const digests: string[] = [];
  let filas = 0;
  let bytes = 0;
  for (let n = 0; n < store.ready; n++) {
    const chunk = store.info(n);
    digests.push(chunk.digest);
    filas += chunk.filas;
    bytes += chunk.bytes;
  }
  return { totals: { trozos: digests.length, filas, digest: digestOfDigests(digests) }, bytes };
}
