import { Condition } from '../../async/condition.ts';
import type { CompressedChunk } from '../../http/backend.ts';
import type { ComparisonResult } from '../ledger/comparison-result.ts';
import type { LedgerName } from '../ledger/ledgers.ts';
import type { ChunkInfo } from './manifest.ts';

/** Where a range ends. */
export interface RangePlace {
  /** The key of its last row. */
  ultima: string;
  /** Characters that became U+FFFD, from the first chunk on. */
  sustituidos: number;
  /** How far the next ledger has come. */
  huellas?: LedgerName;
}

/** A sealed chunk; `range` when it ends a range of `particion`: the key of its last row. */
export type StoredChunk = CompressedChunk & { range?: RangePlace };

/** Where the chunks of one upload wait between extraction, which adds them, and delivery, which sends them. */
export interface ChunkStore {
  /** Whether they outlive the process. */
  readonly durable: boolean;
  /** How many chunks, from number 0, may be sent. Grows. */
  readonly ready: number;
  /** Chunk `n`, one of those that are ready. */
  info(n: number): ChunkInfo;
  /** Whether all chunks are ready. */
  readonly complete: boolean;
  /** Whether extraction waits for a place that delivery has to free. */
  readonly full: boolean;
  /** The backend's name of the upload, once there is one. */
  readonly id: string | undefined;
  setId(id: string | undefined): Promise<void>;
  /** Takes the next chunk; waits while there is no room. Throws the signal's reason, or what the disk says. */
  add(chunk: StoredChunk, signal: AbortSignal): Promise<void>;
  /** No chunk comes any more. `sustituidos`: characters that became U+FFFD; `huellas`: what a comparison came to. */
  finish(sustituidos: number, huellas?: ComparisonResult): Promise<void>;
  /** The gzip member, or undefined where it is no longer kept (it was delivered, and its place was needed). */
  read(n: number): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** The backend has stored it. */
  delivered(n: number): void;
  /** Resolves when `ready`, `complete` or `full` may have changed. */
  changed(signal: AbortSignal): Promise<void>;
  /** Forgets everything, on the disk too. */
  remove(): Promise<void>;
}

/** Chunks in memory, as few as keep every connection busy: `--sin-spool`, and disks that cannot be written. */
export class MemoryChunks implements ChunkStore {
  readonly durable = false;
  complete = false;
  full = false;
  id: string | undefined;
  readonly #chunks: ChunkInfo[] = [];
  readonly #bodies = new Map<number, Uint8Array<ArrayBuffer>>();
  readonly #changes = new Condition();
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get ready(): number {
    return this.#chunks.length;
  }

  info(n: number): ChunkInfo {
    return this.#chunks[n]!;
  }

  async setId(id: string | undefined): Promise<void> {
    this.id = id;
  }

  async add({ n, digest, rows: filas, body }: StoredChunk, signal: AbortSignal): Promise<void> {
    this.#bodies.set(n, body);
    this.#chunks.push({ n, digest, filas, bytes: body.length });
    this.#changes.notify();
    // It waits behind the chunk, not before: so the first ones are on their way at once.
    while (this.#bodies.size >= this.#capacity) await this.#changes.next(signal);
  }

  async finish(): Promise<void> {
    this.complete = true;
    this.#changes.notify();
  }

  async read(n: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    return this.#bodies.get(n);
  }

  delivered(n: number): void {
    this.#bodies.delete(n);
    this.#changes.notify();
  }

  changed(signal: AbortSignal): Promise<void> {
    return this.#changes.next(signal);
  }

  async remove(): Promise<void> {
    this.#bodies.clear();
  }
}
