import type { Cell } from './codec.ts';
import { UnfitValue } from './exact.ts';

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

const number = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

/**
 * Reads flat JSON objects, one a line. JSON.parse would do, but for its numbers: here a number stays the text that was
 * sent, so bigint and decimal keep every digit. A nested object or array is its own text.
 *
 * Keys that nobody wants are ignored; wanted ones that a row lacks are NULL; of a repeated key the last counts. A key that
 * differs from a wanted one in case alone is taken for it, as SQL Server would, unless the row has the exact one too.
 */
export class RowScanner {
  /** The values of the row read last, in the order of the wanted keys. Filled anew by every `read`. */
  readonly cells: Cell[];
  readonly #wanted: readonly WantedKey[];
  readonly #tokens: readonly string[];
  readonly #indexOf: ReadonlyMap<string, number>;
  readonly #indexOfFolded: ReadonlyMap<string, number>;
  #text = '';
  #at = 0;

  constructor(wanted: readonly WantedKey[]) {
    this.#wanted = wanted;
    this.#tokens = wanted.map(({ name }) => `${JSON.stringify(name)}:`);
    this.#indexOf = new Map(wanted.map(({ name }, index) => [name, index]));
    this.#indexOfFolded = new Map(wanted.map(({ name }, index) => [name.toLowerCase(), index]));
    this.cells = wanted.map(() => null);
  }

  /** Whole lines, read after those given before are used up. */
  feed(lines: string): void {
    this.#text = lines;
    this.#at = 0;
  }

  /** Reads the next row into `cells`; false when the lines are used up. Throws UnfitValue where it is no JSON object. */
  read(): boolean {
    this.#skipBlank();
    if (this.#at >= this.#text.length) return false;
    this.cells.fill(null);
    this.#expect('{');
    this.#skipBlank();
    if (this.#take('}')) return true;
    let guess = 0;
    while (true) {
      const index = this.#readKey(guess);
      this.#skipBlank();
      const value = this.#readValue(index);
      if (index !== undefined) {
        this.cells[index] = value;
        guess = index + 1;
      }
      this.#skipBlank();
      if (this.#take('}')) return true;
      this.#expect(',');
      this.#skipBlank();
    }
  }

  /** Rows mostly hold the wanted keys in their order, so the one after the last is tried first. */
  #readKey(guess: number): number | undefined {
    const token = this.#tokens[guess];
    if (token !== undefined && this.#text.startsWith(token, this.#at)) {
      this.#at += token.length;
      return guess;
    }
    if (this.#text.charCodeAt(this.#at) !== 0x22) throw this.#broken();
    const key = this.#readString();
    this.#skipBlank();
    this.#expect(':');
    const exact = this.#indexOf.get(key);
    if (exact !== undefined) return exact;
    const folded = this.#indexOfFolded.get(key.toLowerCase());
    return folded === undefined || this.cells[folded] !== null ? undefined : folded;
  }

  #readValue(index: number | undefined): Cell {
    const text = this.#text;
    switch (text.charCodeAt(this.#at)) {
      case 0x22: // "
        return this.#readString();
      case 0x7b: // {
      case 0x5b: // [
        return this.#readNested();
      case 0x74: // t
        return this.#readWord('true', true);
      case 0x66: // f
        return this.#readWord('false', false);
      case 0x6e: // n
        return this.#readWord('null', null);
    }
    number.lastIndex = this.#at;
    const found = number.exec(text);
    if (found === null) throw this.#broken();
    this.#at = number.lastIndex;
    if (index !== undefined && this.#wanted[index]!.numbers === false) {
      throw new UnfitCell(index, found[0], 'es un número y se espera texto en base64');
    }
    return found[0];
  }

  #readString(): string {
    const text = this.#text;
    const start = this.#at + 1;
    let end = text.indexOf('"', start);
    if (end === -1) throw this.#broken();
    const plain = text.slice(start, end);
    if (!plain.includes('\\')) {
      this.#at = end + 1;
      return plain;
    }
    while (isEscaped(text, end)) {
      end = text.indexOf('"', end + 1);
      if (end === -1) throw this.#broken();
    }
    this.#at = end + 1;
    try {
      return JSON.parse(text.slice(start - 1, end + 1)) as string;
    } catch {
      throw this.#broken();
    }
  }

  #readNested(): string {
    const text = this.#text;
    const start = this.#at;
    let depth = 0;
    do {
      const code = text.charCodeAt(this.#at);
      if (Number.isNaN(code) || code === 0x0a) throw this.#broken();
      if (code === 0x22) {
        this.#readString();
        continue;
      }
      if (code === 0x7b || code === 0x5b) depth += 1;
      else if (code === 0x7d || code === 0x5d) depth -= 1;
      this.#at += 1;
    } while (depth > 0);
    return text.slice(start, this.#at);
  }

  #readWord<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw this.#broken();
    this.#at += word.length;
    return value;
  }

  #skipBlank(): void {
    const text = this.#text;
    while (true) {
      const code = text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at += 1;
    }
  }

  #take(char: string): boolean {
    if (this.#text[this.#at] !== char) return false;
    this.#at += 1;
    return true;
  }

  #expect(char: string): void {
    if (!this.#take(char)) throw this.#broken();
  }

  #broken(): UnfitValue {
    const near = this.#text.slice(Math.max(0, this.#at - 20), this.#at + 20);
    return new UnfitValue(`no es un objeto JSON en una línea (cerca de «${near}»)`);
  }
}

/** Whether the quote at `at` is part of its string: an odd number of backslashes before it. */
function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(at - 1 - backslashes) === 0x5c) backslashes += 1;
  return backslashes % 2 === 1;
}
