import type { TextHash } from '../../protocol/rows/hash.ts';
import { endOfString } from './json-bytes.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const CLOSE = 0x7d;

/**
 * Hashes the key of NDJSON lines as it stands there: the JSON of its values, in the order of the primaryKey, with commas between them
 * (server/rows/download-query.ts has the same in SQL). All lines have the same members in the same order, without blanks.
 */
export class LineKeys {
  readonly #columns: readonly string[];
  /** Of each part of the key, how many members stand before it. */
  #indexes: readonly number[] | undefined;
  /** Where the value of each member begins and ends, as far as the last part of the key. */
  #values: Int32Array = new Int32Array(0);
  #buffer = Buffer.alloc(256);

  constructor(columns: readonly string[]) {
    this.#columns = columns;
  }

  /** Throws SyntaxError where the line from `start` to `end` has not got a column of the key, or is no object. */
  hash(bytes: Uint8Array, start: number, end: number, hash: TextHash): void {
    this.#indexes ??= this.#learn(bytes, start, end);
    const values = this.#values;
    const count = values.length / 2;
    let at = start + 1;
    for (let member = 0; member < count; member++) {
      at = endOfString(bytes, at, end);
      if (bytes[at] !== COLON) throw new SyntaxError('a member without a value');
      values[2 * member] = at + 1;
      at = endOfValue(bytes, at + 1, end);
      values[2 * member + 1] = at;
      at++;
    }
    const [only] = this.#indexes;
    if (this.#indexes.length === 1) {
      hash.update(bytes, values[2 * only!]!, values[2 * only! + 1]!);
      return;
    }
    this.#hashParts(bytes, this.#indexes, hash);
  }

  #hashParts(bytes: Uint8Array, indexes: readonly number[], hash: TextHash): void {
    let used = 0;
    for (const index of indexes) {
      const from = this.#values[2 * index]!;
      const to = this.#values[2 * index + 1]!;
      const needed = used + to - from + 1;
      if (needed > this.#buffer.length) this.#buffer = Buffer.concat([this.#buffer], 2 * needed);
      if (used > 0) this.#buffer[used++] = COMMA;
      this.#buffer.set(bytes.subarray(from, to), used);
      used += to - from;
    }
    hash.update(this.#buffer, 0, used);
  }

  #learn(bytes: Uint8Array, start: number, end: number): number[] {
    const names: string[] = [];
    for (let at = start; bytes[at] !== CLOSE; ) {
      const nameEnd = endOfString(bytes, at + 1, end);
      const name = Buffer.from(bytes.subarray(at + 1, nameEnd)).toString('utf8');
      names.push((JSON.parse(name) as string).toLowerCase());
      at = endOfValue(bytes, nameEnd + 1, end);
    }
    const indexes = this.#columns.map((column) => names.indexOf(column.toLowerCase()));
    if (indexes.includes(-1)) throw new SyntaxError('a row without its key');
    this.#values = new Int32Array(2 * (Math.max(...indexes) + 1));
    return indexes;
  }
}

/** Behind the value that begins at `start`. */
export function endOfValue(bytes: Uint8Array, start: number, end: number): number {
  let depth = 0;
  for (let at = start; at < end; ) {
    const byte = bytes[at]!;
    if (byte === QUOTE) {
      at = endOfString(bytes, at, end);
      continue;
    }
    // [ and ] are 0x5b and 0x5d, { and } 0x7b and 0x7d.
    if ((byte | 0x20) === 0x7b) depth++;
    else if ((byte | 0x20) === 0x7d) {
      if (depth === 0) return at;
      depth--;
    } else if (byte === COMMA && depth === 0) return at;
    at++;
  }
  throw new SyntaxError('a value that does not end');
}
