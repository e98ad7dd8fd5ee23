/**
 * The time that PostgreSQL may take for a download. It runs while PostgreSQL is waited for, and stands still while the reader is:
 * a batch is whole in PostgreSQL before its first bytes come, and what comes after them comes at the reader's pace. Its own
 * statement_timeout cannot tell the two apart.
 */
export class DatabaseClock {
  readonly #onExpired: () => void;
  #leftMs: number;
  /** When the wait began that is under way. */
  #since: number | undefined;
  #fail: ((reason: unknown) => void) | undefined;
  #stopped: { reason: unknown } | undefined;

  /** `onExpired` is to call `stop`. */
  constructor(limitMs: number, onExpired: () => void) {
    this.#leftMs = limitMs;
    this.#onExpired = onExpired;
  }

  /** Ends what is counted, now and from now on, with `reason`; the first one counts. */
  stop(reason: unknown): void {
    this.#stopped ??= { reason };
    this.#fail?.(this.#stopped.reason);
  }

  /** Passes `source`, which waits for nothing but PostgreSQL, on. Throws what it throws and the reason of `stop`. */
  async *count<T>(source: AsyncIterable<T>): AsyncGenerator<T> {
    const steps = source[Symbol.asyncIterator]();
    const timer = this.#start();
    try {
      for (let step = await this.#wait(steps); step.done !== true; step = await this.#wait(steps)) yield step.value;
    } finally {
      timer.stop();
      const ended = steps.return?.();
      // A query whose connection is closed may never answer.
      if (this.#stopped === undefined) await ended;
      else ended?.catch(() => {});
    }
  }

  async #wait<T>(steps: AsyncIterator<T>): Promise<IteratorResult<T>> {
    if (this.#stopped !== undefined) throw this.#stopped.reason;
    this.#since = performance.now();
    try {
      return await new Promise((resolve, reject) => {
        this.#fail = reject;
        steps.next().then(resolve, reject);
      });
    } finally {
      this.#leftMs = this.#left();
      this.#since = undefined;
      this.#fail = undefined;
    }
  }

  #left(): number {
    return this.#leftMs - (this.#since === undefined ? 0 : performance.now() - this.#since);
  }

  /** One timer for many waits: a row is one of them, and costs less than a timer. */
  #start(): { stop(): void } {
    let timer: NodeJS.Timeout;
    const look = () => {
      if (this.#since !== undefined && this.#left() <= 0) this.#onExpired();
      else arm();
    };
    const arm = () => {
      timer = setTimeout(look, Math.max(20, this.#left()));
    };
    arm();
    return { stop: () => clearTimeout(timer) };
  }
}
