import { BYTE_LENGTH, extentOf, SHORT_LENGTH } from '../tds/layouts.ts';
import { NEEDS_MORE, type ValueWriter } from '../tds/row-io.ts';
import type { Column } from '../types/descriptor.ts';

const ROW = 0xd1;
const NBCROW = 0xd2;
const NULL_LENGTH = 0xffff;

/** What lies at a place is no row. */
export const NO_ROW = -2;

/**
 * Raise it with every change of what a value of SQL Server becomes as JSON: rows of before are then read as changed, and sent again.
 */
export const TRANSCODING = 1;

/** Returns what the line of a row follows from, besides the row's bytes ([MS-TDS] 2.2.7.4). */
export function describeRows(columns: readonly Column[]): string {
  const parts = columns.map(({ colName, type, userType, dataLength, precision, scale, collation }) => {
    const { lcid, flags, version, sortId, codepage } = collation ?? {};
    return [colName, type.name, userType, dataLength, precision, scale, lcid, flags, version, sortId, codepage];
  });
  return JSON.stringify([TRANSCODING, parts]);
}

/** Finds where rows end, without looking at their values. */
export class RowExtent {
  /** Of each column: its bytes, or how its length is stated. */
  readonly #columns: Int32Array;
  readonly #nullBytes: number;

  private constructor(columns: Int32Array) {
    this.#columns = columns;
    this.#nullBytes = Math.ceil(columns.length / 8);
  }

  /** Undefined where a value may be of any length, in pieces that are cut where SQL Server likes: (max) types, xml, text, sql_variant. */
  static of(writers: readonly ValueWriter[]): RowExtent | undefined {
    const extents = writers.map(extentOf);
    if (extents.some((extent) => extent === undefined)) return undefined;
    return new RowExtent(Int32Array.from(extents as number[]));
  }

  /** Behind the row that begins at `start`; NEEDS_MORE where it is not all there, NO_ROW where none begins. */
  endOf(input: Uint8Array, start: number, end: number): number {
    const token = input[start];
    if (token !== ROW && token !== NBCROW) return NO_ROW;
    const columns = this.#columns;
    const nulls = token === NBCROW ? start + 1 : -1;
    let at = token === NBCROW ? start + 1 + this.#nullBytes : start + 1;
    if (at > end) return NEEDS_MORE;
    for (let column = 0; column < columns.length; column++) {
      if (nulls >= 0 && (input[nulls + (column >> 3)]! & (1 << (column & 7))) !== 0) continue;
      at = endOfValue(input, at, columns[column]!);
      if (at > end) return NEEDS_MORE;
    }
    return at;
  }
}

/** Behind the value at `at`; behind the input where its length is not there. */
function endOfValue(input: Uint8Array, at: number, extent: number): number {
  if (extent === BYTE_LENGTH) return at + 1 + (input[at] ?? 0);
  if (extent !== SHORT_LENGTH) return at + extent;
  const length = (input[at] ?? 0) | ((input[at + 1] ?? 0) << 8);
  return length === NULL_LENGTH ? at + 2 : at + 2 + length;
}
