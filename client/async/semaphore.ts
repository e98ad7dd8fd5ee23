import { addAbortListener } from 'node:events';

/** So many permits; who comes when all are taken waits, first come first served. */
export class Semaphore {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(permits: number) {
    this.#free = permits;
  }

  /**
   * Resolves with what gives the permit back, to be called once.
   *
   * @throws the signal's reason.
   */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#wait(signal);
    return () => {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    };
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    using _ = addAbortListener(signal, () => {
      const index = this.#waiting.indexOf(resolve);
      // A permit may have come just before: then it is taken.
      if (index >= 0) this.#waiting.splice(index, 1);
      reject(signal.reason);
    });
    this.#waiting.push(resolve);
    await promise;
  }
}
