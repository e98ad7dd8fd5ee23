/** Rows in buckets by the leading bits of their key's hash, as agent and server compare them (protocol/SPEC.md, D9 and Y2). */

/** Returns the bucket of a key's hash, of which `keyHigh` is the upper half. */
export function bucketOf(keyHigh: number, bits: number): number {
  return bits === 0 ? 0 : keyHigh >>> (32 - bits);
}

/** Returns whether a bucket's bit is set, the lowest of a byte first; past the end there is none. */
export function hasBit(bits: Uint8Array, bucket: number): boolean {
  return ((bits[bucket >> 3] ?? 0) & (1 << (bucket & 7))) !== 0;
}

/** Sets a bucket's bit, which has to be there. */
export function setBit(bits: Uint8Array, bucket: number): void {
  bits[bucket >> 3]! |= 1 << (bucket & 7);
}
