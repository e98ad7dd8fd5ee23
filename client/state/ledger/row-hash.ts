/**
 * 64 bits of a row's bytes, for the ledger alone: nobody else has to find the same. It is HalfSipHash-1-3 (Aumasson and Bernstein): of
 * rows that differ, whatever the difference, the same hash comes by chance alone, and nobody who does not know the seed can look for
 * two that have it. The ledger is believed on this hash. 150 bytes take about 0.1 µs.
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

  /** Hashes what `view` shows from `start` up to `end`. The round is written out: a function of four results would make an object. */
  update(view: DataView, start: number, end: number): void {
    let v0 = this.#seedLow;
    let v1 = this.#seedHigh ^ 0xee;
    let v2 = this.#seedLow ^ 0x6c796765;
    let v3 = this.#seedHigh ^ 0x74656462;
    let at = start;
    const last = end - 4;
    let isLast = false;
    while (!isLast) {
      let word: number;
      if (at <= last) {
        word = view.getInt32(at, true);
        at += 4;
      } else {
        // The bytes that are left, and the length.
        word = (end - start) << 24;
        for (let shift = 0; at < end; shift += 8) word |= view.getUint8(at++) << shift;
        isLast = true;
      }
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    v2 ^= 0xee;
    for (let round = 0; round < 6; round++) {
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      if (round !== 2) continue;
      this.low = (v1 ^ v3) >>> 0;
      v1 ^= 0xdd;
    }
    this.high = (v1 ^ v3) >>> 0;
  }
}
