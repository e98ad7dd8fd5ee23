import { setTimeout as sleep } from 'node:timers/promises';
import { isRetryable } from '../../errors/retry.ts';
import type { ChunkStore } from '../../state/spool/chunk-store.ts';
import type { UploadEvents } from './events.ts';

/** While rows are still read into the spool a dead network is no failure; it is tried again so often. */
const PAUSE_MS = 5000;
/** So long without a chunk delivered while the spool is full, and the reading is given up: it holds SQL Server's locks. */
const FULL_MS = 15 * 60_000;

/**
 * While rows are read into a store that outlives the process, a network that is down is waited for: the rows are safe, and
 * stopping would have them read again. Once all is read, or when the store has been full for long, the failure counts.
 */
export class Patience {
  readonly #store: ChunkStore;
  readonly #events: UploadEvents;
  #deliveredAt = performance.now();
  #told = false;

  constructor(store: ChunkStore, events: UploadEvents) {
    this.#store = store;
    this.#events = events;
  }

  delivered(): void {
    this.#deliveredAt = performance.now();
    this.#told = false;
  }

  async keep<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    while (true) {
      // Asked before the attempt: one more is made after the last chunk is there.
      const reading = this.#store.durable && !this.#store.complete;
      try {
        return await work();
      } catch (error) {
        if (!reading || signal.aborted || !isRetryable(error)) throw error;
        if (this.#store.full && performance.now() - this.#deliveredAt > FULL_MS) throw error;
        if (!this.#told) this.#events.onOffline(error);
        this.#told = true;
        await sleep(PAUSE_MS, undefined, { signal });
      }
    }
  }
}
