import { bucketOf, hasBit } from '../../../protocol/rows/buckets.ts';
import { type LedgerReader, PAIR_WORDS } from '../../state/ledger/ledger-file.ts';

/** What a ledger has in each bucket of leading bits of a key's hash, as the backend compares it (protocol/SPEC.md, D9). */

const SIGNATURE_BYTES = 8;

export class Signatures {
  readonly bits: number;
  /** Upper and lower half of the XOR of the rows' hashes. */
  readonly #words: Uint32Array;
  readonly #counts: Uint32Array;

  private constructor(bits: number) {
    this.bits = bits;
    this.#words = new Uint32Array(2 * 2 ** bits);
    this.#counts = new Uint32Array(2 ** bits);
  }

  /** Throws LedgerDamaged. */
  static read(reader: LedgerReader, bits: number): Signatures {
    const read = new Signatures(bits);
    for (const block of reader.blocks()) {
      for (let at = 0; at < block.length; at += PAIR_WORDS) {
        read.#add(bucketOf(block[at]!, bits), block[at + 2]!, block[at + 3]!, 1);
      }
    }
    return read;
  }

  /** The same by fewer bits. */
  fold(bits: number): Signatures {
    const folded = new Signatures(bits);
    for (const [bucket, count] of this.#counts.entries()) {
      const [high, low] = [this.#words[2 * bucket]!, this.#words[2 * bucket + 1]!];
      folded.#add(bucket >> (this.bits - bits), high, low, count);
    }
    return folded;
  }

  /** In base64: of the buckets within those of `bits` bits whose bit is set; of all, without. */
  encode(within?: { cubos: Uint8Array; bits: number }): string {
    const bytes = Buffer.alloc(this.#counts.length * SIGNATURE_BYTES);
    let end = 0;
    for (const [bucket, count] of this.#counts.entries()) {
      if (within !== undefined && !hasBit(within.cubos, bucket >> (this.bits - within.bits))) continue;
      bytes.writeUInt32BE(this.#words[2 * bucket]!, end);
      bytes.writeUInt32BE((this.#words[2 * bucket + 1]! ^ count) >>> 0, end + 4);
      end += SIGNATURE_BYTES;
    }
    return bytes.toString('base64', 0, end);
  }

  #add(bucket: number, high: number, low: number, count: number): void {
    this.#words[2 * bucket]! ^= high;
    this.#words[2 * bucket + 1]! ^= low;
    this.#counts[bucket]! += count;
  }
}
