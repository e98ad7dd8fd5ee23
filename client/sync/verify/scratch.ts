import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { closeSync, openSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { CanonicalRows } from '../../rows/canonical.ts';

/**
 * The rows that a reading saw, as hashes and keys, on the disk: what differs is looked for there, so that nothing is read twice and
 * memory stays the same whatever the number of rows. Sealed (AES-256-GCM) under a key that is nowhere but in this process; the file is
 * removed at the end, and where a process was killed, by the next one.
 *
 * Rows lie in parts by the leading bits of the key's hash; within one, in the order in which they were read.
 */
export const PART_BITS = 6;
const SEGMENT_BYTES = 16 * 1024;
const HEAD_BYTES = 18;
/** A longer key is not kept: such a row is looked for by its hash. */
const KEY_MAX_BYTES = 450;
const NO_KEY = 0xffff;
const TAG_BYTES = 16;
const PREFIX = 'verify-';

/** A row of the file. */
export interface SeenRow {
  keyHigh: number;
  keyLow: number;
  rowHigh: number;
  rowLow: number;
  /** Undefined: too long. */
  key: Buffer | undefined;
}

interface Segment {
  at: number;
  bytes: number;
  number: number;
}

export class Scratch {
  readonly parts = 2 ** PART_BITS;
  readonly #path: string;
  readonly #file: number;
  readonly #key = randomBytes(32);
  readonly #buffers: { bytes: Uint8Array; view: DataView; used: number }[];
  readonly #segments: Segment[][];
  #end = 0;
  #count = 0;

  /** Opens a file in `folder`, and removes what processes left there that were killed. Throws what the disk says. */
  constructor(folder: string) {
    for (const name of readdirSync(folder)) {
      if (name.startsWith(PREFIX) && name.endsWith('.tmp')) rmSync(join(folder, name), { force: true });
    }
    this.#path = join(folder, `${PREFIX}${process.pid}.tmp`);
    this.#file = openSync(this.#path, 'wx+', 0o600);
    this.#segments = Array.from({ length: this.parts }, () => []);
    this.#buffers = this.#segments.map(() => {
      const bytes = new Uint8Array(SEGMENT_BYTES);
      return { bytes, view: new DataView(bytes.buffer), used: 0 };
    });
  }

  /** Adds the row that `rows` stands at. */
  add(rows: CanonicalRows): void {
    const { keyHigh, keyLow, rowHigh, rowLow, keyLength } = rows;
    const part = keyHigh >>> (32 - PART_BITS);
    const buffer = this.#buffers[part]!;
    const length = keyLength > KEY_MAX_BYTES ? 0 : keyLength;
    if (buffer.used + HEAD_BYTES + length > SEGMENT_BYTES) this.#spill(part);
    const { bytes, view, used } = buffer;
    view.setUint32(used, keyHigh);
    view.setUint32(used + 4, keyLow);
    view.setUint32(used + 8, rowHigh);
    view.setUint32(used + 12, rowLow);
    view.setUint16(used + 16, length === keyLength ? length : NO_KEY);
    if (length > 0) rows.copyKey(bytes, used + HEAD_BYTES);
    buffer.used = used + HEAD_BYTES + length;
  }

  /** The rows of a part, in the order in which they were added. Throws where the file is not as it was written. */
  *read(part: number): Generator<SeenRow> {
    for (const segment of this.#segments[part]!) yield* rowsIn(this.#open(segment));
    const { bytes, used } = this.#buffers[part]!;
    yield* rowsIn(Buffer.from(bytes.buffer, 0, used));
  }

  /** Removes the file. */
  close(): void {
    closeSync(this.#file);
    rmSync(this.#path, { force: true });
  }

  #spill(part: number): void {
    const buffer = this.#buffers[part]!;
    const number = this.#count++;
    const cipher = createCipheriv('aes-256-gcm', this.#key, ivOf(number));
    const sealed = Buffer.concat([cipher.update(buffer.bytes.subarray(0, buffer.used)), cipher.final()]);
    const whole = Buffer.concat([sealed, cipher.getAuthTag()]);
    for (let done = 0; done < whole.length; ) {
      done += writeSync(this.#file, whole, done, whole.length - done, this.#end + done);
    }
    this.#segments[part]!.push({ at: this.#end, bytes: whole.length, number });
    this.#end += whole.length;
    buffer.used = 0;
  }

  #open({ at, bytes, number }: Segment): Buffer {
    const whole = Buffer.alloc(bytes);
    for (let done = 0; done < bytes; ) {
      const read = readSync(this.#file, whole, done, bytes - done, at + done);
      if (read === 0) throw new Error('the scratch file of a comparison was cut');
      done += read;
    }
    const decipher = createDecipheriv('aes-256-gcm', this.#key, ivOf(number));
    decipher.setAuthTag(whole.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(whole.subarray(0, -TAG_BYTES)), decipher.final()]);
  }
}

/** One key seals each number once. */
function ivOf(number: number): Buffer {
  const iv = Buffer.alloc(12);
  iv.writeUInt32BE(number, 8);
  return iv;
}

function* rowsIn(bytes: Buffer): Generator<SeenRow> {
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt16BE(at + 16);
    const end = at + HEAD_BYTES + (length === NO_KEY ? 0 : length);
    yield {
      keyHigh: bytes.readUInt32BE(at),
      keyLow: bytes.readUInt32BE(at + 4),
      rowHigh: bytes.readUInt32BE(at + 8),
      rowLow: bytes.readUInt32BE(at + 12),
      key: length === NO_KEY ? undefined : bytes.subarray(at + HEAD_BYTES, end),
    };
    at = end;
  }
}
