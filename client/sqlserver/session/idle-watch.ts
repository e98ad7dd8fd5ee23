/**
 * Notices a connection that went silent: tedious has no timer between two packets, so a server that hangs, or a
 * firewall that forgets the connection, would stop the agent for good.
 *
 * It looks at a counter of bytes now and then; silence counts only while the other side is the one to speak, so
 * whoever waits for somebody else (a consumer, a source of rows) holds the watch meanwhile.
 */
export class IdleWatch {
  readonly limitMs: number;
  readonly #bytes: () => number;
  #timer: NodeJS.Timeout | undefined;
  #seen = 0;
  #since = 0;
  #held = false;
  #isIdle = false;

  constructor(bytes: () => number, limitMs: number) {
    this.#bytes = bytes;
    this.limitMs = limitMs;
  }

  /** Whether the silence has passed the limit. */
  get isIdle(): boolean {
    return this.#isIdle;
  }

  /** `onIdle` is called once, between `limitMs` and 1.25 times that after the last byte. */
  start(onIdle: () => void): void {
    this.#restart();
    this.#timer = setInterval(() => {
      if (this.#held) return;
      if (this.#bytes() !== this.#seen) this.#restart();
      else if (performance.now() - this.#since >= this.limitMs) {
        this.#isIdle = true;
        this.stop();
        onIdle();
      }
    }, this.limitMs / 4);
  }

  /** The next byte is ours to wait for, not the server's to send. */
  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#restart();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #restart(): void {
    this.#seen = this.#bytes();
    this.#since = performance.now();
  }
}
