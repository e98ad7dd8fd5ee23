import { addAbortListener } from 'node:events';

/** Wakes all who wait for the next change. */
export class Condition {
  readonly #waiting = new Set<() => void>();

  notify(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** @throws the signal's reason. */
  async next(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve } = Promise.withResolvers<void>();
    using _ = addAbortListener(signal, () => resolve());
    this.#waiting.add(resolve);
    await promise;
    this.#waiting.delete(resolve);
    signal.throwIfAborted();
  }
}
