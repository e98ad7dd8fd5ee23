import type { TextHash } from '../../protocol/rows/hash.ts';
import { canonicalNumber } from './canonical-number.ts';
import { endOfScalar, endOfString } from './json-bytes.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const CLOSING_BRACE = 0x7d;

/**
 * Finds the key of NDJSON lines as the centre stores it in `codigo` (protocol/SPEC.md, R2), and hashes its UTF-8 bytes. All lines
 * of one result have the same members in the same order, as the transcoder and the row events write them: where the key
 * stands is learned from the first.
 */
export class RowKeys {
  readonly #columns: readonly string[];
  /** Lengths of the members' names with what stands around them, up to the value. */
  #names: readonly number[] | undefined;
  /** Of each part of the key, how many members stand before it. */
  #indexes: readonly number[] = [];

  /** `columns`: of `primaryKey`; none: `codigo`. */
  constructor(columns: readonly string[]) {
    this.#columns = columns;
  }

  /**
   * Hashes the key of the line from `start` to `end`, which is one object without blanks. Returns false where the row has
   * none, and the centre will say so.
   */
  hash(bytes: Buffer, start: number, end: number, hash: TextHash): boolean {
    if (this.#names === undefined) this.#learn(bytes.toString('utf8', start, end));
    const [only, ...more] = this.#indexes;
    if (only === undefined) return false;
    if (more.length === 0) {
      const from = this.#valueAt(bytes, start, only);
      if (bytes[from] === QUOTE) {
        const stop = endOfPlainString(bytes, from + 1);
        if (stop >= 0) {
          hash.update(bytes, from + 1, stop);
          return stop > from + 1;
        }
      }
    }
    const key = this.#keyOf(bytes, start);
    if (key === undefined) return false;
    const text = Buffer.from(key);
    hash.update(text, 0, text.length);
    return true;
  }

  #keyOf(bytes: Buffer, start: number): string | undefined {
    const parts: string[] = [];
    for (const index of this.#indexes) {
      const from = this.#valueAt(bytes, start, index);
      const part = scalarOf(bytes.toString('utf8', from, endOfScalar(bytes, from)));
      if (part === undefined) return undefined;
      parts.push(part);
    }
    if (parts.length < 2) return parts[0];
    return parts.map((part) => part.replaceAll('\\', '\\\\').replaceAll('|', '\\|')).join('|');
  }

  #valueAt(bytes: Buffer, start: number, index: number): number {
    const names = this.#names!;
    let at = start + names[0]!;
    for (let member = 0; member < index; member++) at = endOfScalar(bytes, at) + names[member + 1]!;
    return at;
  }

  #learn(line: string): void {
    const names: string[] = [];
    const lengths: number[] = [];
    const bytes = Buffer.from(line);
    for (let at = 0; bytes[at] !== CLOSING_BRACE && at < bytes.length; ) {
      const end = endOfString(bytes, at + 1);
      names.push(JSON.parse(bytes.toString('utf8', at + 1, end)) as string);
      lengths.push(end + 1 - at);
      at = endOfScalar(bytes, end + 1);
    }
    const codigo = names.indexOf('codigo');
    const indexes = this.#columns.map((column) => names.indexOf(column));
    // Of a single column `codigo` takes the place: a query may call it so.
    this.#indexes = this.#columns.length < 2 && codigo >= 0 ? [codigo] : indexes;
    // What is missing in one row is missing in all: none has a key.
    if (this.#indexes.includes(-1)) this.#indexes = [];
    this.#names = lengths;
  }
}

/** As the centre's sync_escalar: undefined for null and empty text, and for what is no scalar. */
function scalarOf(json: string): string | undefined {
  const first = json[0];
  if (first === '"') return (JSON.parse(json) as string) || undefined;
  if (json === 'null' || first === '{' || first === '[') return undefined;
  return json === 'true' || json === 'false' ? json : canonicalNumber(json);
}

/** Where the quote stands that ends the string that began before `from`; -1 where it has an escape. */
function endOfPlainString(bytes: Buffer, from: number): number {
  for (let at = from; ; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH || byte === undefined) return -1;
  }
}
