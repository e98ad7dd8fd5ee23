import { endOfString } from './json-bytes.ts';
import { endOfValue } from './line-keys.ts';

/** The values of a line of NDJSON as they stand there, without parsing them: a number keeps every digit. */
export class LineValues {
  readonly #ends: Int32Array;
  #bytes: Uint8Array = new Uint8Array(0);

  /** `count`: of each line's members. */
  constructor(count: number) {
    this.#ends = new Int32Array(2 * count);
  }

  /** Reads the line from `start` to `end`. Throws SyntaxError where it has fewer members. */
  read(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes;
    let at = start + 1;
    for (let index = 0; index < this.#ends.length; index += 2) {
      at = endOfString(bytes, at, end) + 1;
      this.#ends[index] = at;
      at = endOfValue(bytes, at, end);
      this.#ends[index + 1] = at;
      at++;
    }
  }

  areEqual(one: number, other: number): boolean {
    const [from, to] = [this.#ends[2 * one]!, this.#ends[2 * one + 1]!];
    const [otherFrom, otherTo] = [this.#ends[2 * other]!, this.#ends[2 * other + 1]!];
    if (to - from !== otherTo - otherFrom) return false;
    for (let at = from; at < to; at++) if (this.#bytes[at] !== this.#bytes[otherFrom + at - from]) return false;
    return true;
  }

  /** The JSON of the values from `first` to before `last`, with commas between them. */
  textOf(first: number, last: number): string {
    const texts: string[] = [];
    for (let index = first; index < last; index++) {
      texts.push(
        Buffer.from(this.#bytes.subarray(this.#ends[2 * index]!, this.#ends[2 * index + 1]!)).toString('utf8'),
      );
    }
    return texts.join(',');
  }
}
