const FIRST = 0x85ebca6b;
const SECOND = 0xc2b2ae35;

/**
 * 64 bits of a row's bytes, for the ledger alone: nobody else has to find the same. Every eight bytes both halves of the state are
 * multiplied (the constants of MurmurHash3) and mixed into each other, each step of which can be undone: rows that differ in eight
 * bytes never collide, others by chance. The seed is secret, so that nobody can look for such a pair. 210 bytes take half as long as
 * by TextHash, which has to be PostgreSQL's.
 */
export class RowHash {
  /** The upper half of the last hash. */
  high = 0;
  /** The lower half of it. */
  low = 0;
  readonly #seedHigh: number;
  readonly #seedLow: number;

  constructor(seed: bigint) {
    const bits = BigInt.asUintN(64, seed);
    this.#seedHigh = Number(bits >> 32n) | 0;
    this.#seedLow = Number(bits & 0xffffffffn) | 0;
  }

  /** Hashes what `view` shows from `start` up to `end`. */
  update(view: DataView, start: number, end: number): void {
    let a = this.#seedHigh ^ (end - start);
    let b = this.#seedLow;
    let at = start;
    for (const last = end - 8; at <= last; at += 8) {
      a = Math.imul(a ^ view.getInt32(at, true), FIRST);
      b = Math.imul(b ^ view.getInt32(at + 4, true), SECOND);
      a ^= (b << 13) | (b >>> 19);
      b = (b + ((a << 17) | (a >>> 15))) | 0;
    }
    for (; at < end; at++) {
      a = Math.imul(a ^ view.getUint8(at), FIRST);
      b = (b ^ ((a << 13) | (a >>> 19))) | 0;
    }
    for (let round = 0; round < 3; round++) {
      a = Math.imul(a ^ (b >>> 15), FIRST);
      b = Math.imul(b ^ (a >>> 13), SECOND);
      a ^= (b << 13) | (b >>> 19);
    }
    this.high = a >>> 0;
    this.low = b >>> 0;
  }
}
