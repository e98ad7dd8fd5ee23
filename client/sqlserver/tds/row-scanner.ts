import { UnfitValue } from './unfit.ts';

/** A value of a row: numbers as the text they were written as, nested JSON as its text. */
export type Cell = string | boolean | null;

/** A column to look for in the rows. */
export interface WantedKey {
  name: string;
  /** Whether a JSON number may stand there; where it may not (binary), its digits would pass for base64. */
  numbers: boolean;
}

/** A value that JSON allows and its column does not. */
export class UnfitCell extends UnfitValue {
  readonly index: number;
  readonly value: string;

  constructor(index: number, value: string, rule: string) {
    super(rule);
    this.index = index;
    this.value = value;
  }
}

/**
 * What a value is. ASCII and TEXT are strings without a backslash, the first without a byte beyond ASCII. They are declared here
 * because the scanner's loops took 3 % longer when they were imported.
 */
export const NULL = 0;
export const FALSE = 1;
export const TRUE = 2;
export const NUMBER = 3;
export const ASCII = 4;
export const TEXT = 5;
export const ESCAPED = 6;
export const NESTED = 7;
export type TokenKind = number;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const NEWLINE = 0x0a;

/**
 * Finds the values in flat JSON objects, one a line, as places in the bytes: most are written on from there, and never are a
 * JavaScript value. JSON.parse would not do: here a number stays the text that was sent, so bigint and decimal keep every
 * digit. A nested object or array is its own text.
 *
 * Keys that nobody wants are ignored; wanted ones that a row lacks are NULL; of a repeated key the last counts. A key that
 * differs from a wanted one in case alone is taken for it, as SQL Server would, unless the row has the exact one too.
 */
export class RowScanner {
  /** Of the row read last, in the order of the wanted keys: what each value is, and where, a string's without its quotes. */
  readonly kinds: Uint8Array;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  bytes: Buffer = Buffer.alloc(0);
  readonly #wanted: readonly WantedKey[];
  readonly #tokens: readonly Uint8Array[];
  readonly #indexOf: ReadonlyMap<string, number>;
  readonly #indexOfFolded: ReadonlyMap<string, number>;
  #at = 0;
  #rowStart = 0;
  /** Of the value read last. */
  #kind: TokenKind = NULL;
  #start = 0;
  #end = 0;

  constructor(wanted: readonly WantedKey[]) {
    this.#wanted = wanted;
    this.#tokens = wanted.map(({ name }) => Buffer.from(`${JSON.stringify(name)}:`));
    this.#indexOf = new Map(wanted.map(({ name }, index) => [name, index]));
    this.#indexOfFolded = new Map(wanted.map(({ name }, index) => [name.toLowerCase(), index]));
    this.kinds = new Uint8Array(wanted.length);
    this.starts = new Int32Array(wanted.length);
    this.ends = new Int32Array(wanted.length);
  }

  /** Whole lines of UTF-8, read after those given before are used up, and left as they are until then. */
  feed(lines: Uint8Array): void {
    this.bytes = Buffer.from(lines.buffer, lines.byteOffset, lines.byteLength);
    this.#at = 0;
  }

  /** Bytes of the row read last. */
  get rowBytes(): number {
    return this.#at - this.#rowStart;
  }

  /** Reads the next row; false when the lines are used up. Throws UnfitValue where it is no JSON object. */
  read(): boolean {
    this.#skipBlank();
    if (this.#at >= this.bytes.length) return false;
    this.#rowStart = this.#at;
    this.kinds.fill(NULL);
    this.#expect(0x7b);
    this.#skipBlank();
    if (this.#take(0x7d)) return true;
    let guess = 0;
    while (true) {
      const index = this.#readKey(guess);
      this.#skipBlank();
      this.#readValue();
      if (index !== -1) {
        this.kinds[index] = this.#kind;
        this.starts[index] = this.#start;
        this.ends[index] = this.#end;
        guess = index + 1;
        if (this.#kind === NUMBER && this.#wanted[index]!.numbers === false) {
          throw new UnfitCell(index, this.cell(index) as string, 'es un número y se espera texto en base64');
        }
      }
      this.#skipBlank();
      if (this.#take(0x7d)) return true;
      this.#expect(0x2c);
      this.#skipBlank();
    }
  }

  /** A value of the row read last. Throws UnfitValue for a string with an escape that JSON has not got. */
  cell(index: number): Cell {
    const start = this.starts[index]!;
    const end = this.ends[index]!;
    switch (this.kinds[index]) {
      case NULL:
        return null;
      case FALSE:
        return false;
      case TRUE:
        return true;
      case NUMBER:
      case ASCII:
        return this.bytes.toString('latin1', start, end);
      case ESCAPED:
        return this.#unescape(start, end);
      case NESTED: {
        const text = this.bytes.toString('utf8', start, end);
        this.#parse(text);
        return text;
      }
      default:
        return this.bytes.toString('utf8', start, end);
    }
  }

  /** The index of the key, -1 for one that nobody wants. Rows mostly hold the wanted keys in their order: that one is tried first. */
  #readKey(guess: number): number {
    const { bytes } = this;
    const token = this.#tokens[guess];
    if (token !== undefined) {
      const at = this.#at;
      let matched = 0;
      while (matched < token.length && bytes[at + matched] === token[matched]) matched += 1;
      if (matched === token.length) {
        this.#at = at + matched;
        return guess;
      }
    }
    if (bytes[this.#at] !== QUOTE) throw this.#broken();
    this.#readString();
    const [start, end] = [this.#start, this.#end];
    const key = this.#kind === ESCAPED ? this.#unescape(start, end) : bytes.toString('utf8', start, end);
    this.#skipBlank();
    this.#expect(0x3a);
    const exact = this.#indexOf.get(key);
    if (exact !== undefined) return exact;
    const folded = this.#indexOfFolded.get(key.toLowerCase());
    return folded === undefined || this.kinds[folded] !== NULL ? -1 : folded;
  }

  #readValue(): void {
    const byte = this.bytes[this.#at];
    if (byte === QUOTE) this.#readString();
    else if (byte === 0x7b || byte === 0x5b) this.#readNested();
    else if (byte === 0x74) this.#readWord('true', TRUE);
    else if (byte === 0x66) this.#readWord('false', FALSE);
    else if (byte === 0x6e) this.#readWord('null', NULL);
    else this.#readNumber();
  }

  #readString(): void {
    const { bytes } = this;
    const start = this.#at + 1;
    let at = start;
    let seen = 0;
    let byte = bytes[at];
    while (byte !== QUOTE && byte !== BACKSLASH) {
      if (byte === undefined || byte === NEWLINE) throw this.#broken();
      seen |= byte;
      byte = bytes[++at];
    }
    this.#kind = seen < 0x80 ? ASCII : TEXT;
    if (byte === BACKSLASH) {
      this.#kind = ESCAPED;
      while (byte !== QUOTE) {
        if (byte === BACKSLASH) at += 1;
        if (bytes[at] === undefined || bytes[at] === NEWLINE) throw this.#broken();
        byte = bytes[++at];
      }
    }
    this.#start = start;
    this.#end = at;
    this.#at = at + 1;
  }

  /** -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)? */
  #readNumber(): void {
    const { bytes } = this;
    const start = this.#at;
    let at = start;
    if (bytes[at] === 0x2d) at += 1;
    if (bytes[at] === 0x30) at += 1;
    else at = this.#digits(at);
    if (bytes[at] === 0x2e) at = this.#digits(at + 1);
    if (bytes[at] === 0x65 || bytes[at] === 0x45) {
      const sign = bytes[at + 1];
      at = this.#digits(sign === 0x2b || sign === 0x2d ? at + 2 : at + 1);
    }
    this.#kind = NUMBER;
    this.#start = start;
    this.#end = at;
    this.#at = at;
  }

  /** Where the digits that begin at `from` end: there is at least one. */
  #digits(from: number): number {
    const { bytes } = this;
    let at = from;
    while (bytes[at]! >= 0x30 && bytes[at]! <= 0x39) at += 1;
    if (at === from) throw this.#broken();
    return at;
  }

  #readNested(): void {
    const { bytes } = this;
    const start = this.#at;
    let depth = 0;
    do {
      const byte = bytes[this.#at];
      if (byte === undefined || byte === NEWLINE) throw this.#broken();
      if (byte === QUOTE) {
        this.#readString();
        continue;
      }
      if (byte === 0x7b || byte === 0x5b) depth += 1;
      else if (byte === 0x7d || byte === 0x5d) depth -= 1;
      this.#at += 1;
    } while (depth > 0);
    this.#kind = NESTED;
    this.#start = start;
    this.#end = this.#at;
  }

  #readWord(word: string, kind: TokenKind): void {
    for (let index = 0; index < word.length; index++) {
      if (this.bytes[this.#at + index] !== word.charCodeAt(index)) throw this.#broken();
    }
    this.#kind = kind;
    this.#start = this.#at;
    this.#at += word.length;
    this.#end = this.#at;
  }

  #skipBlank(): void {
    const { bytes } = this;
    while (true) {
      const byte = bytes[this.#at];
      if (byte !== 0x20 && byte !== NEWLINE && byte !== 0x0d && byte !== 0x09) return;
      this.#at += 1;
    }
  }

  #take(byte: number): boolean {
    if (this.bytes[this.#at] !== byte) return false;
    this.#at += 1;
    return true;
  }

  #expect(byte: number): void {
    if (!this.#take(byte)) throw this.#broken();
  }

  #unescape(start: number, end: number): string {
    return this.#parse(`"${this.bytes.toString('utf8', start, end)}"`) as string;
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      throw this.#broken();
    }
  }

  #broken(): UnfitValue {
    const near = this.bytes.toString('utf8', Math.max(0, this.#at - 20), this.#at + 20);
    return new UnfitValue(`no es un objeto JSON en una línea (cerca de «${near}»)`);
  }
}
