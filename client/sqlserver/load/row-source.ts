import { isUtf8 } from 'node:buffer';
import { limits } from '../../../protocol/constants.ts';
import type { SqlServerError } from '../errors.ts';
import { type Codec, MAX_OVERHEAD, writeNil } from '../tds/codec.ts';
import { type Cell, NULL, RowScanner, UnfitCell, type WantedKey } from '../tds/row-scanner.ts';
import { RowWriter } from '../tds/row-writer.ts';
import { UnfitValue } from '../tds/unfit.ts';
import { NOT_NULLABLE } from '../types/tedious-type.ts';

/** A column of the load. */
export interface SourceColumn extends WantedKey {
  nullable: boolean;
  codec: Codec;
}

/**
 * What a bulk load pulls: the bytes of several rows, which begin after the first one's ROW token, as the only member; or the
 * values of one long row.
 */
export type Rows = [Buffer] | Cell[];

/** Rows go to tedious so many bytes at a time. */
const BATCH_BYTES = 64 * 1024;
/** [MS-TDS] 2.2.7.19. */
const ROW_TOKEN = 0xd1;

/**
 * NDJSON bytes, cut anywhere, as the rows of a bulk load. Most rows are encoded here, several into one buffer, because tedious
 * takes its time for each value that it writes itself; it writes those of a row that would not fit the buffer, one by one.
 *
 * tedious awaits only what is a promise, so `next` answers at once while whole lines are at hand.
 * Holds the bytes of one piece, of one line that is not whole yet, at most `limits.lineMaxBytes`, and of one batch.
 */
export class RowSource {
  /** Rows taken from the lines so far: the number of the row in hand, from 1. */
  rows = 0;
  /** What the bytes' own source threw, if it did. */
  failure: { error: unknown } | undefined;
  readonly #pieces: AsyncIterator<Uint8Array>;
  readonly #columns: readonly SourceColumn[];
  readonly #scanner: RowScanner;
  readonly #writer = new RowWriter(BATCH_BYTES);
  readonly #refuse: (value: string, rule: string, columnIndex: number | undefined) => SqlServerError;
  readonly #onPull: (pulling: boolean) => void;
  /** The scanner's row has not been written yet. */
  #held = false;
  #carry: Uint8Array[] = [];
  #carryBytes = 0;
  #ended = false;

  constructor(
    pieces: AsyncIterable<Uint8Array>,
    columns: readonly SourceColumn[],
    options: {
      refuse: (value: string, rule: string, columnIndex: number | undefined) => SqlServerError;
      /** Told true before bytes are waited for, false after. */
      onPull: (pulling: boolean) => void;
    },
  ) {
    this.#pieces = pieces[Symbol.asyncIterator]();
    this.#columns = columns;
    this.#scanner = new RowScanner(columns);
    this.#refuse = options.refuse;
    this.#onPull = options.onPull;
  }

  /** Reads ahead to the first row; false when there is none. */
  async prime(): Promise<boolean> {
    while (!this.#held && !this.#ended) {
      await this.#pull();
      this.#held = this.#scan();
    }
    return this.#held;
  }

  next(): IteratorResult<Rows, undefined> | Promise<IteratorResult<Rows, undefined>> {
    const rows = this.#fill();
    return rows === undefined ? this.#pullAndFill() : { done: false, value: rows };
  }

  /** Lets the source go. It may be in the middle of a wait, so nobody waits for it here. */
  return(): { done: true; value: undefined } {
    if (!this.#ended) {
      this.#ended = true;
      void this.#pieces.return?.()?.catch(() => {});
    }
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): AsyncIterator<Rows> {
    return this as unknown as AsyncIterator<Rows>;
  }

  async #pullAndFill(): Promise<IteratorResult<Rows, undefined>> {
    while (!this.#ended) {
      await this.#pull();
      const rows = this.#fill();
      if (rows !== undefined) return { done: false, value: rows };
    }
    if (this.#writer.pos > 0) return { done: false, value: this.#takeBatch() };
    return { done: true, value: undefined };
  }

  /** A full batch, or a long row; undefined where the lines at hand are used up before. */
  #fill(): Rows | undefined {
    const writer = this.#writer;
    const overhead = 1 + MAX_OVERHEAD * this.#columns.length;
    while (this.#held || this.#scan()) {
      this.#held = true;
      const most = overhead + 2 * this.#scanner.rowBytes;
      if (most > writer.left && writer.pos > 0) return this.#takeBatch();
      this.#held = false;
      this.rows += 1;
      if (most > writer.capacity) return this.#columns.map((_, index) => this.#cell(index));
      writer.writeUInt8(ROW_TOKEN);
      for (let index = 0; index < this.#columns.length; index++) this.#encode(index);
    }
    return undefined;
  }

  #takeBatch(): Rows {
    // tedious writes the first token.
    return [this.#writer.take().subarray(1)];
  }

  #encode(index: number): void {
    const { codec, nullable } = this.#columns[index]!;
    const { kinds, starts, ends, bytes } = this.#scanner;
    const kind = kinds[index]!;
    const writer = this.#writer;
    if (kind === NULL) {
      if (!nullable) throw this.#refuse('NULL', NOT_NULLABLE, index);
      writeNil(codec, writer);
      return;
    }
    try {
      if (codec.encode?.(writer, kind, bytes, starts[index]!, ends[index]!) === true) return;
      codec.write(writer, this.#cell(index) as string | boolean);
    } catch (error) {
      throw error instanceof UnfitValue ? this.#refuse(String(this.#cell(index)), error.rule, index) : error;
    }
  }

  #cell(index: number): Cell {
    try {
      return this.#scanner.cell(index);
    } catch (error) {
      throw error instanceof UnfitValue ? this.#refuse('', error.rule, undefined) : error;
    }
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
      this.#feed(new Uint8Array());
      return;
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
    if (!isUtf8(bytes)) throw this.#refuse('', 'no es UTF-8 válido', undefined);
    this.#scanner.feed(bytes);
  }
}
