import type { Layout } from './canonical-layout.ts';
import { canonicalNumber, isPlainNumber } from './canonical-number.ts';
import { endOfScalar } from './json-bytes.ts';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const CLOSE = 0x7d;
const NEWLINE = 0x0a;
const LETTER_F = 0x66;
const LETTER_N = 0x6e;
const LETTER_T = 0x74;
const ZERO = 0x30;
/** From here on come letters: of true, false and null. Below are digits and signs. */
const LETTERS = 0x41;

/** Lines of NDJSON with the same columns, one after another: where the values of one are, and what PostgreSQL makes of them. */
export class LineScan {
  bytes: Uint8Array = new Uint8Array(0);
  /** Behind the line that was read last. */
  at = 0;
  lineStart = 0;
  starts = new Int32Array(0);
  ends = new Int32Array(0);
  /** The text that was found last: of the line, or unescaped. */
  text: Uint8Array = new Uint8Array(0);
  textStart = 0;
  textEnd = 0;

  /** Goes on with these lines, all of which must be whole. */
  begin(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.at = 0;
  }

  /** The line that comes next, without its end. */
  peek(): string {
    const bytes = Buffer.from(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    return bytes.toString('utf8', this.at, bytes.indexOf(NEWLINE, this.at));
  }

  /** Makes room for the values of so many columns. */
  hold(columns: number): void {
    this.starts = new Int32Array(columns);
    this.ends = new Int32Array(columns);
  }

  /** Finds the values of the next line. Throws Error where it has other columns. */
  scan({ skips }: Layout): void {
    const { bytes, starts, ends } = this;
    const columns = skips.length;
    let at = this.at;
    this.lineStart = at;
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
    this.at = at + 2;
  }

  /** The text that was found last. */
  textBytes(): Uint8Array {
    return this.text.subarray(this.textStart, this.textEnd);
  }

  /** sync_escalar: false for NULL and empty text. */
  findScalar(column: number): boolean {
    return column >= 0 && this.findText(column) && this.textEnd > this.textStart;
  }

  /** Finds the value of a column as `->>` gives it; false for null. */
  findText(column: number): boolean {
    const { bytes } = this;
    const start = this.starts[column]!;
    const end = this.ends[column]!;
    const first = bytes[start]!;
    if (first === LETTER_N) return false;
    if (first !== QUOTE) {
      const number = this.unusualNumber(column);
      if (number === undefined) this.#setBytes(start, end);
      else this.#setText(number);
      return true;
    }
    for (let at = start + 1; at < end - 1; at++) {
      if (bytes[at] === BACKSLASH) {
        const json = Buffer.from(bytes.subarray(start, end)).toString('utf8');
        this.#setText(JSON.parse(json) as string);
        return true;
      }
    }
    this.#setBytes(start + 1, end - 1);
    return true;
  }

  /** A number that jsonb writes otherwise than the line does, as jsonb writes it; undefined: it is none. */
  unusualNumber(column: number): string | undefined {
    const { bytes } = this;
    const start = this.starts[column]!;
    const end = this.ends[column]!;
    const first = bytes[start]!;
    if (first >= LETTERS || first === QUOTE || isPlainNumber(bytes, start, end)) return undefined;
    return canonicalNumber(latin1(bytes, start, end));
  }

  /** sync_activo; undefined where it is none of its values. */
  readActivo(column: number): boolean | undefined {
    if (column < 0) return true;
    const { bytes } = this;
    const start = this.starts[column]!;
    const length = this.ends[column]! - start;
    const first = bytes[start]!;
    if (length === 4 && (first === LETTER_T || first === LETTER_N)) return true;
    if (length === 5 && first === LETTER_F) return false;
    if (length === 1 && (first === ZERO || first === ZERO + 1)) return first !== ZERO;
    const json = latin1(bytes, start, this.ends[column]!);
    if (json === '"true"' || json === '"1"') return true;
    if (json === '"false"' || json === '"0"') return false;
    if (first === QUOTE) return undefined;
    const number = canonicalNumber(json).replace(/\.0+$/, '');
    return number === '1' ? true : number === '0' ? false : undefined;
  }

  #setBytes(start: number, end: number): void {
    this.text = this.bytes;
    this.textStart = start;
    this.textEnd = end;
  }

  #setText(text: string): void {
    this.text = Buffer.from(text);
    this.textStart = 0;
    this.textEnd = this.text.length;
  }
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}

function otherColumns(): Error {
  return new Error('a row with other columns than the first of its result');
}
