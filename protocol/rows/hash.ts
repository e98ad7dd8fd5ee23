/**
 * PostgreSQL's `hashtextextended(text COLLATE "C", seed)`, over the UTF-8 bytes of the text: 64 bits of Bob Jenkins' lookup3
 * (hash_bytes_extended in PostgreSQL's common/hashfn.c), as little-endian machines compute it. The agent and PostgreSQL find the
 * same value for the same text, so that neither has to send it.
 *
 * An instance keeps no state between two calls but its last result, in two unsigned halves of 32 bits: a `bigint` a row would
 * cost more than the hash. Measured, Bun 1.4.5: 200 bytes in 0.15 µs, 9 bytes in 0.02.
 */
export class TextHash {
  /** The upper half of the last hash. */
  high = 0;
  /** The lower half of it. */
  low = 0;
  readonly #seedHigh: number;
  readonly #seedLow: number;

  /** `seed`: a bigint of PostgreSQL, -2^63 to 2^63 - 1. */
  constructor(seed: bigint) {
    const bits = BigInt.asUintN(64, seed);
    this.#seedHigh = Number(bits >> 32n) | 0;
    this.#seedLow = Number(bits & 0xffffffffn) | 0;
  }

  /**
   * Hashes `bytes` from `start` up to `end`; with the two halves of another seed, signed, in the place of its own. The mix is written
   * out twice: a function of three results would make an object a call.
   */
  update(bytes: Uint8Array, start: number, end: number, seedHigh = this.#seedHigh, seedLow = this.#seedLow): void {
    let a = (0x9e3779b9 + (end - start) + 3923095) | 0;
    let b = a;
    let c = a;
    if (seedHigh !== 0 || seedLow !== 0) {
      a = (a + seedHigh) | 0;
      b = (b + seedLow) | 0;
      // mix(a, b, c)
      a = ((a - c) | 0) ^ ((c << 4) | (c >>> 28));
      c = (c + b) | 0;
      b = ((b - a) | 0) ^ ((a << 6) | (a >>> 26));
      a = (a + c) | 0;
      c = ((c - b) | 0) ^ ((b << 8) | (b >>> 24));
      b = (b + a) | 0;
      a = ((a - c) | 0) ^ ((c << 16) | (c >>> 16));
      c = (c + b) | 0;
      b = ((b - a) | 0) ^ ((a << 19) | (a >>> 13));
      a = (a + c) | 0;
      c = ((c - b) | 0) ^ ((b << 4) | (b >>> 28));
      b = (b + a) | 0;
    }
    let at = start;
    for (const last = end - 12; at <= last; at += 12) {
      a = (a + (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))) | 0;
      b = (b + (bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24))) | 0;
      c = (c + (bytes[at + 8]! | (bytes[at + 9]! << 8) | (bytes[at + 10]! << 16) | (bytes[at + 11]! << 24))) | 0;
      // mix(a, b, c)
      a = ((a - c) | 0) ^ ((c << 4) | (c >>> 28));
      c = (c + b) | 0;
      b = ((b - a) | 0) ^ ((a << 6) | (a >>> 26));
      a = (a + c) | 0;
      c = ((c - b) | 0) ^ ((b << 8) | (b >>> 24));
      b = (b + a) | 0;
      a = ((a - c) | 0) ^ ((c << 16) | (c >>> 16));
      c = (c + b) | 0;
      b = ((b - a) | 0) ^ ((a << 19) | (a >>> 13));
      a = (a + c) | 0;
      c = ((c - b) | 0) ^ ((b << 4) | (b >>> 28));
      b = (b + a) | 0;
    }
    // The last 11 bytes; the lowest byte of c is left to the length.
    const rest = end - at;
    if (rest > 10) c = (c + (bytes[at + 10]! << 24)) | 0;
    if (rest > 9) c = (c + (bytes[at + 9]! << 16)) | 0;
    if (rest > 8) c = (c + (bytes[at + 8]! << 8)) | 0;
    if (rest > 7) b = (b + (bytes[at + 7]! << 24)) | 0;
    if (rest > 6) b = (b + (bytes[at + 6]! << 16)) | 0;
    if (rest > 5) b = (b + (bytes[at + 5]! << 8)) | 0;
    if (rest > 4) b = (b + bytes[at + 4]!) | 0;
    if (rest > 3) a = (a + (bytes[at + 3]! << 24)) | 0;
    if (rest > 2) a = (a + (bytes[at + 2]! << 16)) | 0;
    if (rest > 1) a = (a + (bytes[at + 1]! << 8)) | 0;
    if (rest > 0) a = (a + bytes[at]!) | 0;
    // final(a, b, c)
    c = ((c ^ b) - ((b << 14) | (b >>> 18))) | 0;
    a = ((a ^ c) - ((c << 11) | (c >>> 21))) | 0;
    b = ((b ^ a) - ((a << 25) | (a >>> 7))) | 0;
    c = ((c ^ b) - ((b << 16) | (b >>> 16))) | 0;
    a = ((a ^ c) - ((c << 4) | (c >>> 28))) | 0;
    b = ((b ^ a) - ((a << 14) | (a >>> 18))) | 0;
    c = ((c ^ b) - ((b << 24) | (b >>> 8))) | 0;
    this.high = b >>> 0;
    this.low = c >>> 0;
  }

  /** The last hash as PostgreSQL's bigint. */
  get value(): bigint {
    return BigInt.asIntN(64, (BigInt(this.high) << 32n) | BigInt(this.low));
  }
}

/** Returns the hash of one text, as PostgreSQL's bigint. */
export function hashText(text: string, seed: bigint): bigint {
  const bytes = Buffer.from(text);
  const hash = new TextHash(seed);
  hash.update(bytes, 0, bytes.length);
  return hash.value;
}
