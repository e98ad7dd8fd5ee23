import { defined } from '../../../protocol/defined.ts';
import { Condition } from '../../async/condition.ts';
import { agentError } from '../../errors/agent-error.ts';
import type { CompressedChunk } from '../../http/backend.ts';
import type { ComparisonResult } from '../../state/ledger/comparison-result.ts';
import { type ChunkStore, MemoryChunks, type StoredChunk } from '../../state/spool/chunk-store.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import type { Spool } from '../../state/spool/spool.ts';
import type { SpooledUpload } from '../../state/spool/spooled-upload.ts';
import type { ColumnDescription } from './columns.ts';
import { asBegunBefore, type UploadKind } from './open.ts';

/** Chunks that are on their way at once, each on a connection of its own. Measured, 1 M rows: 5.6 s with one, 3.1 s with two. */
export const CHUNKS_IN_FLIGHT = 2;

/**
 * The chunks of one upload between extraction, which adds them, and delivery, which sends them. They wait in the spool, or in
 * memory where there is none. An only chunk needs no store: it goes in one request.
 */
export class UploadBuffer {
  #head: UploadHead;
  readonly #isPending: boolean;
  readonly #spool: Spool | undefined;
  readonly #changes = new Condition();
  #store: ChunkStore | undefined;
  #idempotencyKey: string | undefined;
  #first: StoredChunk | undefined;
  #ended = false;
  /** Characters that became U+FFFD so far. */
  replaced: number;
  /** What the comparison with a ledger came to, once all is read. */
  huellas: ComparisonResult | undefined;

  /** `pending`: what an earlier run left in the spool, which is gone on with. */
  constructor(head: UploadHead, spool?: Spool, pending?: SpooledUpload) {
    this.#head = head;
    this.#isPending = pending !== undefined;
    this.#spool = spool;
    this.#store = pending;
    this.#idempotencyKey = pending?.idempotencyKey;
    this.replaced = pending?.replaced ?? 0;
    this.huellas = pending?.huellas;
  }

  get head(): UploadHead {
    return this.#head;
  }

  get kind(): UploadKind {
    return this.#isPending ? asBegunBefore(this.#head) : this.#head;
  }

  /**
   * Takes the columns of the rows that come next. Of an upload that an agent of before began they are not known.
   *
   * @throws AgentError COLUMNAS_CAMBIADAS: the rows before have others
   */
  describe(esquema: ColumnDescription | undefined): void {
    if (this.#head.esquema !== undefined && esquema !== undefined && this.#head.esquema.huella !== esquema.huella) {
      throw agentError('COLUMNAS_CAMBIADAS', { tabla: this.#head.tabla });
    }
    if (!this.#isPending && esquema !== undefined) this.#head = { ...this.#head, esquema };
  }

  get store(): ChunkStore | undefined {
    return this.#store;
  }

  /** The only chunk, once all is read and there is no other. */
  get only(): CompressedChunk | undefined {
    return this.#store === undefined ? this.#first : undefined;
  }

  /** Of the one request in which an earlier run's only chunk goes. */
  get idempotencyKey(): string | undefined {
    return this.#idempotencyKey;
  }

  /** Takes the next chunk; waits while there is no room. Throws the signal's reason, or what the disk says. */
  async add(chunk: StoredChunk, signal: AbortSignal): Promise<void> {
    if (this.#store !== undefined) return this.#store.add(chunk, signal);
    const first = this.#first;
    if (first === undefined) {
      this.#first = chunk;
      return;
    }
    const store = (await this.#spool?.create(this.#head)) ?? new MemoryChunks(CHUNKS_IN_FLIGHT);
    this.#store = store;
    this.#first = undefined;
    this.#changes.notify();
    await store.add(first, signal);
    await store.add(chunk, signal);
  }

  /** No chunk comes any more. Keys that are gone go with the commit of a resumable upload: that is one then, however small. */
  async finish(signal: AbortSignal): Promise<void> {
    if (this.huellas?.bajas !== undefined && this.#store === undefined) {
      this.#store = (await this.#spool?.create(this.#head)) ?? new MemoryChunks(CHUNKS_IN_FLIGHT);
      if (this.#first !== undefined) await this.#store.add(this.#first, signal);
      this.#first = undefined;
    }
    await this.#store?.finish(this.replaced, this.huellas);
    this.#ended = true;
    this.#changes.notify();
  }

  /** Resolves with the store once there is one, with undefined once all is read and there is one chunk at most. */
  async opened(signal: AbortSignal): Promise<ChunkStore | undefined> {
    while (this.#store === undefined && !this.#ended) await this.#changes.next(signal);
    return this.#store;
  }

  /** Keeps an only chunk for a later run, should the answer to its one request be lost. */
  async keep(chunk: CompressedChunk, clave: string): Promise<void> {
    this.#store = await this.#spool?.keep(this.#head, chunk, {
      clave,
      sustituidos: this.replaced,
      ...defined({ huellas: this.huellas }),
    });
  }
}
