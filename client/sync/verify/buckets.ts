import { limits } from '../../../protocol/constants.ts';
import { bucketOf } from '../../../protocol/rows/buckets.ts';
import { PART_BITS } from './scratch.ts';

/** The rows of one side by bucket: leading bits of the key's hash. Active ones and others apart. */

/** Rows that a bucket has on the average. */
const BUCKET_ROWS = 64;
/** A part of the scratch file is whole buckets. */
const MIN_BITS = PART_BITS;
/** Where nobody knows how many rows there are. */
const ASSUMED_ROWS = 1_000_000;

/** Returns the number of leading bits for about so many rows. */
export function chooseBits(rows: number = ASSUMED_ROWS): number {
  return Math.min(limits.verifyMaxBits, Math.max(MIN_BITS, Math.ceil(Math.log2(Math.max(1, rows / BUCKET_ROWS)))));
}

export class Buckets {
  readonly bits: number;
  readonly size: number;
  /** Rows, by twice the bucket: active ones; and behind each the others. */
  readonly counts: Uint32Array;
  readonly #high: Int32Array;
  readonly #low: Int32Array;

  constructor(bits: number) {
    this.bits = bits;
    this.size = 2 ** bits;
    this.counts = new Uint32Array(2 * this.size);
    this.#high = new Int32Array(2 * this.size);
    this.#low = new Int32Array(2 * this.size);
  }

  /** The bucket of a key's hash. */
  bucketOf(keyHigh: number): number {
    return bucketOf(keyHigh, this.bits);
  }

  /** Adds a row, whose lowest bit says whether it is active. */
  add(bucket: number, rowHigh: number, rowLow: number): void {
    const at = 2 * bucket + 1 - (rowLow & 1);
    this.counts[at]! += 1;
    this.#high[at]! ^= rowHigh;
    this.#low[at]! ^= rowLow;
  }

  /** Takes a line of the centre's: `"bucket,n,xor,n,xor"`, hexadecimal. Throws SyntaxError for anything else. */
  take(line: string): void {
    const parts = /^"([\da-f]{1,5}),([\da-f]{1,8}),([\da-f]{1,16}),([\da-f]{1,8}),([\da-f]{1,16})"$/.exec(line);
    const bucket = Number.parseInt(parts?.[1] ?? '', 16);
    if (parts === null || bucket >= this.size) throw new SyntaxError('not a summary of a bucket');
    for (const side of [0, 1]) {
      const xor = parts[3 + 2 * side]!.padStart(16, '0');
      const at = 2 * bucket + side;
      this.counts[at] = Number.parseInt(parts[2 + 2 * side]!, 16);
      this.#high[at] = Number.parseInt(xor.slice(0, 8), 16) | 0;
      this.#low[at] = Number.parseInt(xor.slice(8), 16) | 0;
    }
  }

  /**
   * Whether the source has in `bucket` what this, the target, has. Rows that are not active count only where the source has some
   * that are not, too: those that it no longer has are equal.
   */
  agreesWith(source: Buckets, bucket: number): boolean {
    const active = 2 * bucket;
    if (!this.#same(source, active)) return false;
    return source.counts[active + 1] === 0 || this.#same(source, active + 1);
  }

  #same(other: Buckets, at: number): boolean {
    return (
      this.counts[at] === other.counts[at] && this.#high[at] === other.#high[at] && this.#low[at] === other.#low[at]
    );
  }
}
