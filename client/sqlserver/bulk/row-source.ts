import { limits } from '../../../protocol/constants.ts';
import type { SqlServerError } from '../errors.ts';
import type { Cell } from './codec.ts';
import { UnfitValue } from './exact.ts';
import { RowScanner, UnfitCell, type WantedKey } from './scanner.ts';

/**
 * NDJSON bytes, cut anywhere, as the rows that a bulk load pulls.
 *
 * tedious awaits only what is a promise, so `next` answers at once while whole lines are at hand, and costs no turn of
 * the event loop per row. It also writes a row before it asks for the next, so one array serves for all of them.
 * Holds the bytes of one piece and of one line that is not whole yet, at most `limits.lineMaxBytes`.
 */
export class RowSource {
  /** Rows handed out so far: the number of the row in hand, from 1. */
  rows = 0;
  /** What the bytes' own source threw, if it did. */
  failure: { error: unknown } | undefined;
  readonly #pieces: AsyncIterator<Uint8Array>;
  readonly #scanner: RowScanner;
  readonly #refuse: (value: string, rule: string, columnIndex: number | undefined) => SqlServerError;
  readonly #onPull: (pulling: boolean) => void;
  readonly #decoder = new TextDecoder('utf-8', { fatal: true });
  #carry: Uint8Array[] = [];
  #carryBytes = 0;
  #primed = false;
  #ended = false;

  constructor(
    pieces: AsyncIterable<Uint8Array>,
    wanted: readonly WantedKey[],
    options: {
      refuse: (value: string, rule: string, columnIndex: number | undefined) => SqlServerError;
      /** Told true before bytes are waited for, false after. */
      onPull: (pulling: boolean) => void;
    },
  ) {
    this.#pieces = pieces[Symbol.asyncIterator]();
    this.#scanner = new RowScanner(wanted);
    this.#refuse = options.refuse;
    this.#onPull = options.onPull;
  }

  /** Reads ahead to the first row; false when there is none. */
  async prime(): Promise<boolean> {
    this.#primed = await this.#advance();
    return this.#primed;
  }

  next(): IteratorResult<Cell[], undefined> | Promise<IteratorResult<Cell[], undefined>> {
    if (this.#primed || this.#scan()) return this.#hand();
    return this.#advance().then((found) => (found ? this.#hand() : { done: true, value: undefined }));
  }

  /** Lets the source go. It may be in the middle of a wait, so nobody waits for it here. */
  return(): { done: true; value: undefined } {
    if (!this.#ended) {
      this.#ended = true;
      void this.#pieces.return?.()?.catch(() => {});
    }
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): AsyncIterator<Cell[]> {
    return this as unknown as AsyncIterator<Cell[]>;
  }

  #hand(): IteratorResult<Cell[], undefined> {
    this.#primed = false;
    this.rows += 1;
    return { done: false, value: this.#scanner.cells };
  }

  #scan(): boolean {
    try {
      return this.#scanner.read();
    } catch (error) {
      if (!(error instanceof UnfitValue)) throw error;
      this.rows += 1;
      if (error instanceof UnfitCell) throw this.#refuse(error.value, error.rule, error.index);
      throw this.#refuse('', error.rule, undefined);
    }
  }

  async #advance(): Promise<boolean> {
    while (!this.#ended) {
      await this.#pull();
      if (this.#scan()) return true;
    }
    return false;
  }

  async #pull(): Promise<void> {
    let result: IteratorResult<Uint8Array>;
    this.#onPull(true);
    try {
      result = await this.#pieces.next();
    } catch (error) {
      this.#ended = true;
      this.failure = { error };
      throw error;
    } finally {
      this.#onPull(false);
    }
    if (result.done === true) {
      this.#ended = true;
      return this.#feed(new Uint8Array());
    }
    const piece = result.value;
    const end = piece.lastIndexOf(0x0a) + 1;
    if (end > 0) this.#feed(piece.subarray(0, end));
    if (end < piece.length) {
      // The piece may be overwritten once the next is asked for.
      this.#carry.push(new Uint8Array(piece.subarray(end)));
      this.#carryBytes += piece.length - end;
      if (this.#carryBytes > limits.lineMaxBytes) {
        this.rows += 1;
        throw this.#refuse('', `la línea pasa de ${limits.lineMaxBytes} bytes`, undefined);
      }
    }
  }

  #feed(lines: Uint8Array): void {
    const bytes = this.#carryBytes === 0 ? lines : Buffer.concat([...this.#carry, lines]);
    this.#carry = [];
    this.#carryBytes = 0;
    try {
      this.#scanner.feed(this.#decoder.decode(bytes));
    } catch {
      throw this.#refuse('', 'no es UTF-8 válido', undefined);
    }
  }
}
