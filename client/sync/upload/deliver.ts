import { randomUUID } from 'node:crypto';
import type { Commit, UploadResult } from '../../../protocol/api.ts';
import { digestOfDigests } from '../../../protocol/digest.ts';
import { SyncError } from '../../../protocol/errors.ts';
import { AgentError, agentError } from '../../errors/agent-error.ts';
import type { Backend, SealedChunk, UploadDescription } from '../../http/backend.ts';
import type { ChunkStore, StoredChunk } from '../../state/spool/chunk-store.ts';
import type { ChunkInfo, UploadHead } from '../../state/spool/manifest.ts';
import { sealNothing } from './chunks.ts';
import { Patience } from './patience.ts';

/** The end of an upload: chunks go to the backend, which applies all of them or none. */

/** Each on a connection of its own. Measured, 1 M rows: 5.6 s with one in flight, 3.1 s with two. */
export const CHUNKS_IN_FLIGHT = 2;
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
}

/** Whether the backend has lost a chunk that is no longer kept here either: the table has to be read again. */
export function isChunkLost(error: unknown): boolean {
  return error instanceof AgentError && error.code === 'TROZO_PERDIDO';
}

/** What the backend is told of an upload, of whichever kind. */
export type UploadKind = Pick<UploadHead, 'tabla' | 'modo' | 'base' | 'lectura' | 'relojAtrasado'> & {
  /** It was opened with `relojAtrasado`, which no longer holds (pending.ts): unless it is committed, it is opened anew. */
  reopen?: boolean;
};

export interface SendOptions extends UploadKind {
  /** Whether an upload without rows still has to happen. */
  sendEmpty: boolean;
  /** Where chunks wait, with those that are in it already: an upload that goes on. */
  store?: ChunkStore;
  /** Otherwise, where they wait when there is more than one. */
  openStore(): Promise<ChunkStore>;
  /** Told of an only chunk before it is sent: for a later run, should the answer be lost. */
  keep?(chunk: SealedChunk, idempotencyKey: string): Promise<void>;
  /** After the last chunk: characters that became U+FFFD. */
  countReplaced(): number;
  /** Told once when the network fails while rows are still read. */
  onWait(error: unknown): void;
  /** Told when all chunks are there, and applying them is what is left. */
  onCommit?(): void;
  signal: AbortSignal;
}

/**
 * Sends the chunks that `read` makes and has them applied. One chunk goes in one request; more go through a store, two at
 * a time while `read` goes on, and are committed together. No chunks: nothing is sent, unless `sendEmpty`.
 *
 * On failure nothing has been applied. Throws what `read`, the store or the backend throw, AgentError TROZO_PERDIDO, the signal's reason.
 */
export async function sendChunks(
  backend: Backend,
  options: SendOptions,
  read: (signal: AbortSignal) => AsyncGenerator<StoredChunk>,
): Promise<SentUpload | undefined> {
  const controller = new AbortController();
  const stop = () => controller.abort(options.signal.reason);
  options.signal.addEventListener('abort', stop, { once: true });
  const chunks = read(controller.signal);
  try {
    if (options.store !== undefined) return await sendMany(backend, options, options.store, chunks, controller);
    const first = await chunks.next();
    if (first.done === true) {
      return options.sendEmpty ? await sendOne(backend, options, await sealNothing()) : undefined;
    }
    const second = await chunks.next();
    if (second.done === true) return await sendOne(backend, options, first.value);
    const store = await options.openStore();
    return await sendMany(backend, options, store, joined([first.value, second.value], chunks), controller);
  } finally {
    options.signal.removeEventListener('abort', stop);
    controller.abort();
    await chunks.return(undefined);
  }
}

async function sendOne(
  backend: Backend,
  options: UploadKind & Pick<SendOptions, 'keep' | 'onCommit' | 'signal'>,
  chunk: SealedChunk,
): Promise<SentUpload> {
  const idempotencyKey = newName();
  await options.keep?.(chunk, idempotencyKey);
  return sendWhole(backend, options, chunk, options, idempotencyKey);
}

/** Sends what an earlier run kept of a one-shot upload, under its key. Throws AgentError TROZO_PERDIDO. */
export async function sendKept(
  backend: Backend,
  kind: UploadKind,
  store: ChunkStore,
  options: Pick<SendOptions, 'onCommit' | 'signal'>,
  idempotencyKey: string,
): Promise<SentUpload> {
  return sendWhole(backend, kind, await readChunk(store, 0), options, idempotencyKey);
}

async function sendWhole(
  backend: Backend,
  kind: UploadKind,
  chunk: SealedChunk,
  { onCommit, signal }: Pick<SendOptions, 'onCommit' | 'signal'>,
  idempotencyKey: string,
): Promise<SentUpload> {
  onCommit?.();
  const result = await backend.uploadOnce(toldOf(kind), chunk, { idempotencyKey, signal });
  return { result, chunks: 1, rows: chunk.rows, bytes: chunk.body.length, alreadyThere: 0 };
}

/** Reads into `store` and delivers from it at the same time. The first failure stops the other side and is thrown. */
async function sendMany(
  backend: Backend,
  options: Pick<SendOptions, 'tabla' | 'modo' | 'countReplaced' | 'onWait' | 'onCommit' | 'signal'>,
  store: ChunkStore,
  chunks: AsyncIterable<StoredChunk>,
  controller: AbortController,
): Promise<SentUpload> {
  let failure: { error: unknown } | undefined;
  const guarded = <T>(work: Promise<T>) =>
    work.catch((error: unknown) => {
      failure ??= { error };
      controller.abort(error);
      return undefined;
    });
  const { signal } = controller;
  const reading = async () => {
    for await (const chunk of chunks) await store.add(chunk, signal);
    await store.finish(options.countReplaced());
  };
  const [, sent] = await Promise.all([
    guarded(reading()),
    guarded(deliver(backend, options, store, { ...options, signal })),
  ]);
  options.signal.throwIfAborted();
  if (failure !== undefined) throw failure.error;
  return sent!;
}

export interface DeliverOptions extends Pick<SendOptions, 'onWait' | 'onCommit' | 'signal'> {
  /** Told of each chunk that has been sent. */
  onDelivered?(chunk: ChunkInfo): void;
}

/**
 * Has the backend store and commit all chunks of `store`, those that it has from before not being sent again. Goes on while
 * chunks are still added; repeats what a crash of PostgreSQL emptied.
 *
 * Throws SyncError or BackendError (the store is as it was), AgentError TROZO_PERDIDO, the signal's reason.
 */
export async function deliver(
  backend: Backend,
  kind: UploadKind,
  store: ChunkStore,
  { signal, onWait, onCommit, onDelivered }: DeliverOptions,
): Promise<SentUpload> {
  const patience = new Patience(store, onWait, signal);
  let alreadyThere = 0;
  for (let round = 1; ; round++) {
    try {
      const { id, stored, committed } = await patience.keep(() =>
        findOrOpen(backend, kind, store, signal, round === 1),
      );
      if (round === 1) alreadyThere = committed ? store.ready : stored.size;
      if (!committed) await sendLacking(backend, id, store, stored, patience, { signal, onDelivered });
      onCommit?.();
      const { totals, bytes } = totalsOf(store);
      const result = await backend.commitUpload(id, totals, signal);
      return { result, chunks: totals.trozos, rows: totals.filas, bytes, alreadyThere };
    } catch (error) {
      if (round >= MAX_ROUNDS || !(error instanceof SyncError)) throw error;
      // Expired, or abandoned by another agent: all of it again under another name.
      if (error.code === 'SUBIDA_DESCONOCIDA') await store.setId(undefined);
      // PostgreSQL crashed and emptied what it had (TOTALES_DISTINTOS); or it is committed already (SUBIDA_CERRADA).
      else if (error.code !== 'TOTALES_DISTINTOS' && error.code !== 'SUBIDA_CERRADA') throw error;
    }
  }
}

/** The upload at the backend and the chunks that it has; a new one where what it has is not what the store holds. */
async function findOrOpen(
  backend: Backend,
  kind: UploadKind,
  store: ChunkStore,
  signal: AbortSignal,
  isFirst: boolean,
): Promise<{ id: string; stored: Set<number>; committed: boolean }> {
  if (store.id !== undefined) {
    const { id } = store;
    const { estado, trozos } = await backend.findUpload(id, signal);
    const same = ({ trozo, digest }: { trozo: number; digest: string }) =>
      trozo < store.ready && store.info(trozo).digest === digest;
    const mayGoOn = kind.reopen !== true || !isFirst;
    if (estado === 'confirmada' || (mayGoOn && trozos.every(same))) {
      for (const { trozo } of trozos) store.delivered(trozo);
      return { id, stored: new Set(trozos.map(({ trozo }) => trozo)), committed: estado === 'confirmada' };
    }
    await abandon(backend, id);
  }
  const id = newName();
  // Known before it exists: a run that dies here leaves nothing that the next one does not find.
  await store.setId(id);
  await openToTheEnd(backend, { id, ...toldOf(kind) }, signal);
  return { id, stored: new Set(), committed: false };
}

/** By which the backend knows an upload, and the generation that it makes. */
function newName(): string {
  return randomUUID().replaceAll('-', '');
}

/** SQL Server tells its UTC clock without a zone. */
function toldOf({ tabla, modo, base, lectura, relojAtrasado }: UploadKind): UploadDescription {
  return {
    ...{ tabla, modo },
    ...(base === undefined ? {} : { base }),
    ...(lectura === undefined ? {} : { lectura: `${lectura}Z` }),
    ...(relojAtrasado === undefined ? {} : { relojAtrasado }),
  };
}

const ABANDON_MS = 5000;

/**
 * Opens an upload. Aborted meanwhile, it still waits a little for the answer: a request that comes after the one that
 * abandons the upload would leave it open. Throws the signal's reason.
 */
async function openToTheEnd(
  backend: Backend,
  upload: UploadDescription & { id: string },
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const late = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const onAbort = () => {
    timer = setTimeout(() => late.abort(signal.reason), ABANDON_MS);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await backend.openUpload(upload, late.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
  signal.throwIfAborted();
}

/** Tells the backend to forget an upload. Best effort: it forgets by itself in the end. */
export async function abandon(backend: Backend, id: string): Promise<void> {
  await backend.abandonUpload(id, AbortSignal.timeout(ABANDON_MS)).catch(() => {});
}

/** Sends what is not in `stored`, until the store is complete and all of it is there. */
async function sendLacking(
  backend: Backend,
  id: string,
  store: ChunkStore,
  stored: ReadonlySet<number>,
  patience: Patience,
  { signal, onDelivered }: { signal: AbortSignal; onDelivered: DeliverOptions['onDelivered'] },
): Promise<void> {
  const controller = new AbortController();
  const stop = () => controller.abort(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  const inner = controller.signal;
  let failure: { error: unknown } | undefined;
  let next = 0;
  const connection = async () => {
    while (true) {
      while (next < store.ready && stored.has(next)) next++;
      if (next < store.ready) {
        const n = next++;
        await patience.keep(() => sendChunk(backend, id, store, n, inner));
        store.delivered(n);
        onDelivered?.(store.info(n));
        patience.delivered();
      } else if (store.complete) return;
      else await store.changed(inner);
    }
  };
  const guarded = () =>
    connection().catch((error: unknown) => {
      failure ??= { error };
      controller.abort(error);
    });
  try {
    await Promise.all(Array.from({ length: CHUNKS_IN_FLIGHT }, guarded));
  } finally {
    signal.removeEventListener('abort', stop);
  }
  signal.throwIfAborted();
  if (failure !== undefined) throw failure.error;
}

async function sendChunk(
  backend: Backend,
  id: string,
  store: ChunkStore,
  n: number,
  signal: AbortSignal,
): Promise<void> {
  await backend.putChunk(id, await readChunk(store, n), signal);
}

async function readChunk(store: ChunkStore, n: number): Promise<SealedChunk> {
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

async function* joined<T>(read: T[], rest: AsyncGenerator<T>): AsyncGenerator<T> {
  yield* read.splice(0);
  yield* rest;
}
