import { TextHash } from '../../protocol/rows/hash.ts';
import { type Layout, readLayout } from './canonical-layout.ts';
import { canonicalNumber, isPlainNumber } from './canonical-number.ts';
import { endOfScalar } from './json-bytes.ts';

/**
 * Rows as PostgreSQL has them, from the bytes of their NDJSON: the key and the name in their columns, and jsonb's own text of the
 * document (keys by length and then by bytes, `", "` and `": "`, numbers in plain notation with their scale), so that both sides
 * find the same hash of the same row without sending it:
 *
 *     clave = hashtextextended(codigo, semilla)
 *     fila  = hashtextextended(parametros_json::text, hashtextextended(nombre, clave))   -- nombre NULL: ~clave
 *             & ~1 | activo
 *
 * The key is inside the row's hash: contents that two rows have exchanged are two differences.
 *
 * All lines of a result have the same columns in the same order (row-transcoder.ts), so that names are looked at once. What is
 * between two names is copied as it stands: strings are escaped by JSON.stringify's rules, which are escape_json's.
 */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const NEWLINE = 0x0a;
const LETTER_N = 0x6e;
const ZERO = 0x30;
const LETTERS = 0x41;
/** Longer values are copied natively. */
const LOOP_MAX_BYTES = 48;

/** One reading of a table, row by row. After `next`, what it says is of the row read last. */
export class CanonicalRows {
  keyHigh = 0;
  keyLow = 0;
  rowHigh = 0;
  /** Its lowest bit: `activo`. */
  rowLow = 0;
  /** Whether an upload would refuse the row: without key, with two that differ, or with another `activo` than there is. */
  invalid = false;
  readonly seed: bigint;
  readonly #primaryKey: readonly string[];
  readonly #hash: TextHash;
  #layout: Layout | undefined;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #starts = new Int32Array(0);
  #ends = new Int32Array(0);
  #out = Buffer.allocUnsafeSlow(64 * 1024);
  /** A text that was found last: of the line, or unescaped. */
  #text: Uint8Array = new Uint8Array(0);
  #textStart = 0;
  #textEnd = 0;
  #key: Uint8Array = new Uint8Array(0);
  #keyStart = 0;
  #keyEnd = 0;

  constructor(primaryKey: readonly string[], seed: bigint) {
    this.seed = seed;
    this.#primaryKey = primaryKey;
    this.#hash = new TextHash(seed);
  }

  /** Goes on with these lines, all of which must be whole. */
  begin(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#at = 0;
  }

  /** Reads the next row; false at the end of the lines. Throws Error where a line has other columns than the first. */
  next(): boolean {
    if (this.#at >= this.#bytes.length) return false;
    this.#layout ??= this.#readLayout();
    this.#scan(this.#layout);
    this.#hashRow(this.#layout);
    return true;
  }

  /** The key of the row, as the centre has it. */
  get codigo(): string {
    return Buffer.from(this.#key.subarray(this.#keyStart, this.#keyEnd)).toString('utf8');
  }

  /** Bytes of the key. */
  get keyLength(): number {
    return this.#keyEnd - this.#keyStart;
  }

  /** Writes the bytes of the key. */
  copyKey(out: Uint8Array, position: number): void {
    const key = this.#key;
    const end = this.#keyEnd;
    let at = position;
    for (let from = this.#keyStart; from < end; from++) out[at++] = key[from]!;
  }

  /** The line of the row, with its end; valid as long as the bytes of `begin`. */
  get line(): Uint8Array {
    return this.#bytes.subarray(this.#lineStart, this.#at);
  }
  #lineStart = 0;

  /** The document as jsonb's text. */
  get documentText(): string {
    return this.#out.toString('utf8', 0, this.#document(this.#layout!));
  }

  /** The name in its column; null where there is none. */
  get nombre(): string | null {
    return this.#findNombre(this.#layout!)
      ? Buffer.from(this.#text.subarray(this.#textStart, this.#textEnd)).toString('utf8')
      : null;
  }

  /** The canonical text of each member of the document, by name. */
  get members(): Map<string, string> {
    const { kept, names } = this.#layout!;
    const found = new Map<string, string>();
    for (const column of kept) {
      const end = this.#writeValue(column, 0);
      found.set(names[column]!, this.#out.toString('utf8', 0, end));
    }
    return found;
  }

  /** What the first line says of all. */
  #readLayout(): Layout {
    const bytes = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    const line = bytes.toString('utf8', this.#at, bytes.indexOf(NEWLINE, this.#at));
    const layout = readLayout(line, this.#primaryKey);
    this.#starts = new Int32Array(layout.names.length);
    this.#ends = new Int32Array(layout.names.length);
    return layout;
  }

  /** Where the values of the next line are. */
  #scan({ skips }: Layout): void {
    const bytes = this.#bytes;
    const starts = this.#starts;
    const ends = this.#ends;
    const columns = skips.length;
    let at = this.#at;
    this.#lineStart = at;
    if (columns === 0) at += 1;
    try {
      for (let column = 0; column < columns; column++) {
        at += skips[column]!;
        starts[column] = at;
        at = endOfScalar(bytes, at);
        ends[column] = at;
      }
    } catch {
      // Where its names are others, their values are looked for where none begins.
      throw otherColumns();
    }
    if (bytes[at] !== CLOSE || bytes[at + 1] !== NEWLINE) throw otherColumns();
    this.#at = at + 2;
  }

  #hashRow(layout: Layout): void {
    const hash = this.#hash;
    const active = this.#readActivo(layout.activo);
    this.invalid = !this.#readKey(layout) || active === undefined;
    if (this.invalid) return;
    hash.update(this.#key, this.#keyStart, this.#keyEnd);
    let high = hash.high | 0;
    let low = hash.low | 0;
    this.keyHigh = hash.high;
    this.keyLow = hash.low;
    if (this.#findNombre(layout)) {
      hash.update(this.#text, this.#textStart, this.#textEnd, high, low);
      high = hash.high | 0;
      low = hash.low | 0;
    } else {
      high = ~high;
      low = ~low;
    }
    const end = this.#document(layout);
    hash.update(this.#out, 0, end, high, low);
    this.rowHigh = hash.high;
    this.rowLow = ((hash.low & ~1) | (active ? 1 : 0)) >>> 0;
  }

  /** False where there is none, or where two values that should be one differ. */
  #readKey({ key, twin }: Layout): boolean {
    if (key.length === 0) return false;
    if (key.length > 1) return this.#readJoinedKey(key);
    if (!this.#findScalar(key[0]!)) return false;
    this.#key = this.#text;
    this.#keyStart = this.#textStart;
    this.#keyEnd = this.#textEnd;
    if (twin < 0) return true;
    return (
      this.#findScalar(twin) &&
      Buffer.compare(this.#key.subarray(this.#keyStart, this.#keyEnd), this.#textBytes()) === 0
    );
  }

  #readJoinedKey(key: Int32Array): boolean {
    const parts: string[] = [];
    for (const column of key) {
      if (!this.#findScalar(column)) return false;
      const text = Buffer.from(this.#textBytes()).toString('utf8');
      parts.push(text.replaceAll('\\', '\\\\').replaceAll('|', '\\|'));
    }
    this.#key = Buffer.from(parts.join('|'));
    this.#keyStart = 0;
    this.#keyEnd = this.#key.length;
    return true;
  }

  #textBytes(): Uint8Array {
    return this.#text.subarray(this.#textStart, this.#textEnd);
  }

  /** sync_escalar: false for NULL and empty text. */
  #findScalar(column: number): boolean {
    return column >= 0 && this.#findText(column) && this.#textEnd > this.#textStart;
  }

  #findNombre({ nombre }: Layout): boolean {
    for (let i = 0; i < nombre.length; i++) if (this.#findText(nombre[i]!)) return true;
    return false;
  }

  /** The value of a column as `->>` gives it; false for null. */
  #findText(column: number): boolean {
    const bytes = this.#bytes;
    const start = this.#starts[column]!;
    const end = this.#ends[column]!;
    const first = bytes[start]!;
    if (first === LETTER_N) return false;
    if (first !== QUOTE) {
      if (first < LETTERS && !isPlainNumber(bytes, start, end)) {
        this.#setText(canonicalNumber(latin1(bytes, start, end)));
        return true;
      }
      this.#text = bytes;
      this.#textStart = start;
      this.#textEnd = end;
      return true;
    }
    for (let at = start + 1; at < end - 1; at++) {
      if (bytes[at] === BACKSLASH) {
        const json = Buffer.from(bytes.subarray(start, end)).toString('utf8');
        this.#setText(JSON.parse(json) as string);
        return true;
      }
    }
    this.#text = bytes;
    this.#textStart = start + 1;
    this.#textEnd = end - 1;
    return true;
  }

  #setText(text: string): void {
    this.#text = Buffer.from(text);
    this.#textStart = 0;
    this.#textEnd = this.#text.length;
  }

  /** sync_activo; undefined where it is none of its values. */
  #readActivo(column: number): boolean | undefined {
    if (column < 0) return true;
    const bytes = this.#bytes;
    const start = this.#starts[column]!;
    const length = this.#ends[column]! - start;
    const first = bytes[start]!;
    if (length === 4 && (first === 0x74 || first === LETTER_N)) return true;
    if (length === 5 && first === 0x66) return false;
    if (length === 1 && (first === ZERO || first === ZERO + 1)) return first !== ZERO;
    const json = latin1(bytes, start, this.#ends[column]!);
    if (json === '"true"' || json === '"1"') return true;
    if (json === '"false"' || json === '"0"') return false;
    if (first === QUOTE) return undefined;
    const number = canonicalNumber(json).replace(/\.0+$/, '');
    return number === '1' ? true : number === '0' ? false : undefined;
  }

  /** Writes the document to the scratch and answers its end. */
  #document({ kept, prefixes }: Layout): number {
    const columns = kept.length;
    this.#reserve(this.#at - this.#lineStart + 4 * columns + 2);
    let at = 0;
    if (columns === 0) this.#out[at++] = OPEN;
    for (let i = 0; i < columns; i++) {
      const prefix = prefixes[i]!;
      // Anew for each: a long number makes it grow.
      const out = this.#out;
      for (let j = 0; j < prefix.length; j++) out[at++] = prefix[j]!;
      at = this.#writeValue(kept[i]!, at);
    }
    this.#out[at++] = CLOSE;
    return at;
  }

  #writeValue(column: number, position: number): number {
    const bytes = this.#bytes;
    const start = this.#starts[column]!;
    const end = this.#ends[column]!;
    const first = bytes[start]!;
    // A digit, or a sign.
    if (first < LETTERS && first !== QUOTE && !isPlainNumber(bytes, start, end)) {
      const text = canonicalNumber(latin1(bytes, start, end));
      this.#reserve(position + text.length + 2 * (this.#at - this.#lineStart) + 64);
      return position + this.#out.write(text, position, 'latin1');
    }
    const out = this.#out;
    let at = position;
    if (end - start > LOOP_MAX_BYTES) {
      out.set(bytes.subarray(start, end), at);
      return at + end - start;
    }
    for (let from = start; from < end; from++) out[at++] = bytes[from]!;
    return at;
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#out.length) return;
    const grown = Buffer.allocUnsafeSlow(2 * bytes);
    grown.set(this.#out);
    this.#out = grown;
  }
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

function otherColumns(): Error {
  return new Error('a row with other columns than the first of its result');
}
