import { replaceUnstorable } from '../../../protocol/rows/values.ts';
import { writeNull } from '../tds/piece-writer.ts';
import { IS_LONG, NEEDS_MORE, RowIo, SMALL_VALUE_BYTES, type ValueWriter } from '../tds/row-io.ts';
import type { Column } from '../types/descriptor.ts';
import { findReadable } from '../types/sql-types.ts';
import type { NdjsonBlock } from './ndjson-block.ts';
import type { RowFilter } from './row-filter.ts';
import { RowGate } from './row-gate.ts';

const ROW = 0xd1;
const NBCROW = 0xd2;

/** Finds the first column that the transcoder cannot write, if there is one. */
export function findUnknownColumn(columns: readonly Column[]): Column | undefined {
  return columns.find((column) => writerOf(column) === undefined);
}

/** Undefined where the type of the column, or its code page, is not known. */
function writerOf(column: Column): ValueWriter | undefined {
  return findReadable(column)?.transcode(column);
}

interface TranscoderOptions {
  blockBytes: number;
  lineMaxBytes?: number;
  /** Asked about each row, unless values of its columns may come in pieces. */
  filter?: RowFilter | undefined;
}

/**
 * TDS row tokens in, NDJSON out, no JavaScript value in between.
 *
 * It takes the bytes of ROW and NBCROW tokens ([MS-TDS] 2.2.7.19, 2.2.7.13), cut anywhere, and remembers where in the
 * row it is. Names are written as they come: the caller has seen that none is empty or repeated. A row whose line passes
 * `lineMaxBytes` is the last: it sets `tooLong`, and rows are dropped from there on.
 */
export class RowTranscoder {
  /** As given: whoever reads several results knows by it to which one the transcoder belongs. */
  readonly columns: readonly Column[];
  /** Rows of the block under way. */
  #rows = 0;
  /** Of all blocks. */
  #rowNumber = 0;
  #inRow = false;
  #column = 0;
  /** Of an NBCROW: a bit for each column that is NULL. */
  readonly #nullBits: Uint8Array;
  #hasNullBits = false;
  #inNullBits = false;
  #tooLong: { rowNumber: number; column: string | undefined } | undefined;
  readonly #names: readonly string[];
  readonly #keys: readonly Uint8Array[];
  readonly #writers: readonly ValueWriter[];
  readonly #blockBytes: number;
  readonly #io: RowIo;
  /** Undefined: every row is written. */
  readonly #gate: RowGate | undefined;
  #replacedBefore = 0;

  /** Throws Error where {@link findUnknownColumn} finds one. */
  constructor(columns: readonly Column[], options: TranscoderOptions) {
    this.columns = columns;
    this.#names = columns.map(({ colName }) => colName);
    this.#keys = this.#names.map((name, index) =>
      Buffer.from(`${index === 0 ? '{' : ','}${JSON.stringify(replaceUnstorable(name).text)}:`),
    );
    this.#writers = columns.map((column) => {
      const writer = writerOf(column);
      if (writer === undefined) throw new Error(`no transcoder for the type ${column.type.name}`);
      return writer;
    });
    this.#nullBits = new Uint8Array(Math.ceil(columns.length / 8));
    const keyBytes = this.#keys.reduce((sum, key) => sum + key.length, 0);
    this.#blockBytes = options.blockBytes;
    this.#io = new RowIo(keyBytes + (columns.length + 1) * SMALL_VALUE_BYTES, options.blockBytes, options.lineMaxBytes);
    this.#gate = RowGate.open(options.filter, columns, this.#writers);
  }

  /** `transcode` stopped within a row: the next byte is for it, whatever it is. */
  get needsMore(): boolean {
    return this.#inRow || this.#inNullBits || this.#gate?.waits === true;
  }

  /** The block has its `blockBytes`; `transcode` begins no further row. */
  get full(): boolean {
    return (this.#io.at >= this.#blockBytes || this.#gate?.full === true) && !this.#inRow;
  }

  /** What the filter threw: rows are dropped from there on. */
  get failure(): { error: unknown } | undefined {
    return this.#gate?.failure;
  }

  /** The row that was too long for a line; `column` where one column alone was. */
  get tooLong(): { rowNumber: number; column: string | undefined } | undefined {
    return this.#tooLong;
  }

  /** The rows since the last call, if there are any; the bytes stay valid until it is called again. Not within a row. */
  take(): NdjsonBlock | undefined {
    const io = this.#io;
    const gate = this.#gate;
    if ((this.#rows === 0 && (gate === undefined || gate.rows === 0)) || this.#inRow) return undefined;
    const rows = this.#rows;
    const replacedCharacters = io.replaced;
    this.#rows = 0;
    const block = { bytes: io.take(), rows, replacedCharacters };
    return gate === undefined ? block : { ...block, read: gate.cut() };
  }

  /** From here on rows are read and dropped: the rest of an answer that nobody wants. */
  discard(): void {
    this.#io.discard();
    this.#gate?.close();
    this.#rows = 0;
  }

  /**
   * Reads rows from `position` on and answers where it stopped: at a token that is no row, before a row when the block is
   * full, or where the bytes end; what is left of a value that is cut is to be given again, with more behind it.
   */
  transcode(input: Buffer, start: number): number {
    const io = this.#io;
    const end = input.length;
    let position = start;
    io.input = input;
    io.end = end;
    while (true) {
      if (!this.#inRow) {
        position = this.#nextRow(input, position);
        if (!this.#inRow) return position;
      }
      position = this.#columns(position);
      if (this.#column < this.#writers.length) return position;
      this.#endRow();
    }
  }

  /** Begins the next row that is to be written, unless the block is full or there is none: then it is not in a row. */
  #nextRow(input: Buffer, start: number): number {
    const gate = this.#gate;
    const { at, discarding } = this.#io;
    let position = start;
    if (at >= this.#blockBytes) return position;
    if (gate !== undefined && !discarding) {
      position = gate.pass(input, position);
      if (gate.failure !== undefined) this.discard();
      else if (!gate.isOpen) return position;
    }
    if (position >= input.length) return position;
    const begun = this.#readRowStart(input, position);
    if (begun === position) return position;
    this.#beginRow();
    return begun;
  }

  /** Reads the token of a row and its null bits, and answers the position behind them; `position` where they are not there. */
  #readRowStart(input: Buffer, position: number): number {
    const type = input[position];
    if (type === ROW) {
      this.#hasNullBits = false;
      return position + 1;
    }
    if (type !== NBCROW) return position;
    const bits = this.#nullBits;
    this.#inNullBits = input.length - position - 1 < bits.length;
    if (this.#inNullBits) return position;
    for (let i = 0; i < bits.length; i++) bits[i] = input[position + 1 + i]!;
    this.#hasNullBits = true;
    return position + 1 + bits.length;
  }

  #beginRow(): void {
    this.#inRow = true;
    this.#column = 0;
    this.#rowNumber += 1;
    this.#io.lineStart = this.#io.at;
    this.#replacedBefore = this.#io.replaced;
    this.#io.reserve(0);
  }

  /** The columns that are there. */
  #columns(start: number): number {
    const io = this.#io;
    const keys = this.#keys;
    const writers = this.#writers;
    let position = start;
    let column = this.#column;
    for (; column < writers.length; column++) {
      if (io.long.active) {
        position = io.long.feed(io, position);
        if (io.long.active) break;
        continue;
      }
      const before = io.at;
      const key = keys[column]!;
      const { out } = io;
      let at = before;
      for (let i = 0; i < key.length; i++) out[at++] = key[i]!;
      io.at = at;
      if (this.#isNull(column)) {
        writeNull(io);
        continue;
      }
      const next = writers[column]!(io, position);
      if (next >= 0) {
        position = next;
      } else if (next === NEEDS_MORE) {
        io.at = before;
        break;
      } else if (next === IS_LONG) {
        position = io.long.feed(io, io.longStart);
        if (io.long.active) break;
      }
    }
    if (io.overflowed) this.#noteTooLong(column);
    this.#column = column;
    return position;
  }

  #isNull(column: number): boolean {
    return this.#hasNullBits && (this.#nullBits[column >> 3]! & (1 << (column & 7))) !== 0;
  }

  #noteTooLong(column: number): void {
    if (this.#tooLong !== undefined) return;
    this.#tooLong = { rowNumber: this.#rowNumber, column: this.#names[column] };
    this.#rows = 0;
  }

  #endRow(): void {
    const io = this.#io;
    io.out[io.at++] = 0x7d;
    io.out[io.at++] = 0x0a;
    this.#inRow = false;
    if (!io.discarding && io.at - io.lineStart > io.lineMaxBytes) {
      this.#tooLong = { rowNumber: this.#rowNumber, column: undefined };
      this.discard();
    } else if (!io.discarding) {
      this.#rows += 1;
      if (this.#gate?.isOpen === true && !this.#gate.judge(io)) this.#takeBack();
    }
    if (io.discarding) io.at = 0;
  }

  /** The line that was written last is not wanted. */
  #takeBack(): void {
    const io = this.#io;
    if (this.#gate!.failure !== undefined) this.discard();
    io.at = io.discarding ? 0 : io.lineStart;
    io.replaced = this.#replacedBefore;
    this.#rows = Math.max(0, this.#rows - 1);
  }
}
