import { limits } from '../../../protocol/constants.ts';
import { LongValue } from './long-value.ts';
import type { PieceIo } from './piece-writer.ts';

/** What a value writer answers where the value is not all there yet; it has then written nothing. */
export const NEEDS_MORE = -1;
/** What a value writer answers where it has handed the value to {@link RowIo.long}. */
export const IS_LONG = -2;

/**
 * Writes the JSON of the value at `position` of `io.input` and answers the position after it, NEEDS_MORE or IS_LONG.
 * Throws Error where the bytes are no value of its type.
 */
export type ValueWriter = (io: RowIo, position: number) => number;

/** No value but those that ask for room themselves takes more: datetimeoffset has 35, a decimal 41, a float 25. */
export const SMALL_VALUE_BYTES = 64;

/**
 * Input and output of the value writers, in one object whose shape never changes. Two output buffers take turns: one
 * fills while the consumer has the other.
 */
export class RowIo implements PieceIo {
  input: Buffer = Buffer.alloc(0);
  /** Input ends here. */
  end = 0;
  out: Uint8Array<ArrayBuffer>;
  /** Output goes here. */
  at = 0;
  lineStart = 0;
  /** The column under way, from 0. */
  column = 0;
  /** Characters that became U+FFFD since the block began. */
  replaced = 0;
  /** Rows are read, to find their end, and dropped. */
  discarding = false;
  /** A line passed `lineMaxBytes`; rows have been discarded since. */
  overflowed = false;
  readonly long = new LongValue();
  /** Where its bytes begin, once a writer has answered IS_LONG. */
  longStart = 0;
  /** Room that is left, beside what `reserve` is asked for, for the small values and the names of one row. */
  readonly rowBytes: number;
  readonly lineMaxBytes: number;
  readonly #usualBytes: number;
  #spare: Uint8Array<ArrayBuffer>;

  constructor(rowBytes: number, blockBytes: number, lineMaxBytes: number = limits.lineMaxBytes) {
    this.rowBytes = rowBytes;
    this.lineMaxBytes = lineMaxBytes;
    this.#usualBytes = blockBytes + rowBytes + 64 * 1024;
    this.out = new Uint8Array(this.#usualBytes);
    this.#spare = new Uint8Array(0);
  }

  /** Makes room for `bytes` at `at`. A writer reads `out` and `at` only after it. */
  reserve(bytes: number): void {
    if (this.out.length - this.at < bytes + this.rowBytes) this.#grow(bytes + this.rowBytes);
  }

  /** The bytes so far; they stay valid until it is called again. */
  take(): Uint8Array {
    const bytes = this.out.subarray(0, this.at);
    const next = this.#spare;
    this.#spare = this.out;
    // A buffer that one huge line had grown goes back to its usual size.
    this.out = next.length === this.#usualBytes ? next : new Uint8Array(this.#usualBytes);
    this.at = 0;
    this.replaced = 0;
    return bytes;
  }

  /** From here on rows are dropped. */
  discard(): void {
    this.discarding = true;
    this.at = 0;
  }

  #grow(bytes: number): void {
    if (!this.discarding && this.at - this.lineStart > this.lineMaxBytes) {
      this.overflowed = true;
      this.discard();
    }
    if (this.discarding) this.at = 0;
    const needed = this.at + bytes;
    if (needed <= this.out.length) return;
    const bound = this.#usualBytes + this.lineMaxBytes;
    const larger = new Uint8Array(Math.max(needed, Math.min(this.out.length * 2, bound)));
    larger.set(this.out.subarray(0, this.at));
    this.out = larger;
  }
}
