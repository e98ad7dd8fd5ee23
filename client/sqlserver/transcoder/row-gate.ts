import { NEEDS_MORE, type RowIo, type ValueWriter } from '../tds/row-io.ts';
import type { Column } from '../types/descriptor.ts';
import { describeRows, NO_ROW, RowExtent } from './row-extent.ts';
import type { RowFilter } from './row-filter.ts';

/** Rows between two blocks, though nothing of them is written. */
const BLOCK_ROWS = 8192;

/** Asks a filter about rows before they are written, and about those that it did not know once they are. */
export class RowGate {
  /** A row has begun that is not all there. */
  waits = false;
  /** The row that comes next, or is under way, is one that the filter did not know. */
  isOpen = false;
  /** What the filter threw: it is not asked again. */
  failure: { error: unknown } | undefined;
  readonly #filter: RowFilter;
  readonly #extent: RowExtent;
  readonly #hash: ReturnType<RowFilter['begin']>;
  #rows = 0;
  #bytes = 0;
  /** Of the row that is open. */
  #rowBytes = 0;
  /** The output, as the filter takes it. */
  #lines = Buffer.alloc(0);

  private constructor(filter: RowFilter, extent: RowExtent, columns: readonly Column[]) {
    this.#filter = filter;
    this.#extent = extent;
    this.#hash = filter.begin(describeRows(columns));
  }

  /** Undefined where there is no filter, or where values of the columns may come in pieces. */
  static open(
    filter: RowFilter | undefined,
    columns: readonly Column[],
    writers: readonly ValueWriter[],
  ): RowGate | undefined {
    const extent = filter && RowExtent.of(writers);
    return extent && new RowGate(filter!, extent, columns);
  }

  /** Rows since the last block, written or not. */
  get rows(): number {
    return this.#rows;
  }

  /** A block is to end here. */
  get full(): boolean {
    return this.#rows >= BLOCK_ROWS;
  }

  /** Goes on behind the rows from `start` on that need no line, to one that needs one, or is not all there. */
  pass(input: Buffer, start: number): number {
    const end = input.length;
    let position = start;
    this.waits = false;
    this.isOpen = false;
    if (start >= end || this.failure !== undefined) return start;
    const view = new DataView(input.buffer, input.byteOffset, end);
    try {
      while (position < end && this.#rows < BLOCK_ROWS) {
        const next = this.#extent.endOf(input, position, end);
        this.waits = next === NEEDS_MORE;
        if (this.waits || next === NO_ROW) return position;
        this.#hash.update(view, position, next);
        this.#rowBytes = next - position;
        this.isOpen = !this.#filter.isNext();
        if (this.isOpen) return position;
        this.#count();
        position = next;
      }
    } catch (error) {
      this.failure = { error };
    }
    return position;
  }

  /** Whether the line of the open row, the last of the output, goes on. */
  judge({ out, lineStart, at }: RowIo): boolean {
    this.#count();
    this.isOpen = false;
    if (this.#lines.buffer !== out.buffer) this.#lines = Buffer.from(out.buffer);
    try {
      return this.#filter.keeps(this.#lines, lineStart, at - 1);
    } catch (error) {
      this.failure = { error };
      return false;
    }
  }

  /** The block ends. Throws what the filter throws. */
  cut(): { rows: number; bytes: number } {
    const read = { rows: this.#rows, bytes: this.#bytes };
    this.#rows = 0;
    this.#bytes = 0;
    this.#filter.cut();
    return read;
  }

  /** It is asked nothing any more. */
  close(): void {
    this.waits = false;
    this.isOpen = false;
    this.#rows = 0;
  }

  #count(): void {
    this.#rows += 1;
    this.#bytes += this.#rowBytes;
  }
}
