import { setTimeout as sleep } from 'node:timers/promises';

/** Bytes that may pass at once after a pause, as time at the full rate. */
const BURST_MS = 100;

/**
 * A token bucket that all transfers of a run share: together they stay at or below the rate. What is downloaded is taken at
 * that pace; of what the operating system takes in ahead (its socket's buffer, some MB at most) it knows nothing.
 */
export class Bandwidth {
  readonly #bytesPerMs: number;
  /** How large a piece to ask for at a time, in bytes. */
  readonly pieceBytes: number;
  /** When everything that was granted so far has passed. */
  #freeAt = 0;

  /** `kbps`: thousands of bits a second. */
  constructor(kbps: number) {
    this.#bytesPerMs = kbps / 8;
    this.pieceBytes = Math.max(1024, Math.min(64 * 1024, Math.round(this.#bytesPerMs * BURST_MS)));
  }

  /** Resolves when `bytes` may pass. Throws the signal's reason. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const now = performance.now();
    this.#freeAt = Math.max(this.#freeAt, now - BURST_MS) + bytes / this.#bytesPerMs;
    const wait = this.#freeAt - now;
    if (wait > 0) await sleep(wait, undefined, { signal });
  }

  /** How long `bytes` take when nothing else is on its way, in milliseconds. */
  timeOf(bytes: number): number {
    return bytes / this.#bytesPerMs;
  }
}

/** Yields `body` in pieces, each when it may pass. */
export function throttled(body: Uint8Array, bandwidth: Bandwidth, signal: AbortSignal): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const piece = body.subarray(at, at + bandwidth.pieceBytes);
        if (piece.length === 0) return controller.close();
        await bandwidth.take(piece.length, signal);
        at += piece.length;
        controller.enqueue(piece);
      },
    },
    { highWaterMark: 0 },
  );
}
