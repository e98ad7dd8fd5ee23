import { primaryKeyOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { RowKeys } from '../../rows/row-key.ts';
import type { RangeEnd } from '../../sqlserver/read/ranges.ts';
import type { NdjsonBlock, RowFilter } from '../../sqlserver/sql-server.ts';
import type { Comparison } from '../../state/ledger/comparison.ts';
import type { LedgerName } from '../../state/ledger/ledgers.ts';
import { makeCollector } from '../memory.ts';

const LINE_FEED = 0x0a;
const REPLACEMENT = Buffer.from('\uFFFD');

/** The end of a range, and how far the next ledger has come there. */
export type ComparedRangeEnd = RangeEnd & { huellas?: LedgerName };

/** What was read, of which perhaps nothing is sent. */
export interface ReadRows {
  rows: number;
  bytes: number;
}

/**
 * Rows on their way up of which those go on that are not as the ledger has them. `onRead` is told of all. A row without
 * a key goes on: the centre says what is wrong with it.
 * @throws {WholeUploadNeeded}
 */
export async function* changedRows(
  blocks: AsyncIterable<NdjsonBlock | RangeEnd>,
  tabla: TablaSubida,
  comparison: Comparison,
  onRead: (read: ReadRows) => void,
): AsyncGenerator<NdjsonBlock | ComparedRangeEnd> {
  const keys = new RowKeys(primaryKeyOf(tabla));
  const collect = makeCollector('comparison');
  for await (const block of blocks) {
    if ('ultima' in block) {
      const huellas = await comparison.checkpoint();
      yield { ...block, ...(huellas === undefined ? {} : { huellas }) };
      continue;
    }
    const { rows, bytes } = block.read ?? { rows: block.rows, bytes: block.bytes.length };
    const changed = block.read === undefined ? selectChanged(block, keys, comparison) : block;
    await comparison.settle();
    onRead({ rows, bytes });
    // Chunks are counted where they are cut.
    collect(Math.max(0, bytes - changed.bytes.length));
    if (changed.rows > 0) yield changed;
  }
}

/**
 * Returns what leaves out rows that are as the ledger has them while they come from SQL Server: `changedRows` is given
 * the others.
 */
export function makeFilter(tabla: TablaSubida, comparison: Comparison): RowFilter {
  const keys = new RowKeys(primaryKeyOf(tabla));
  return {
    begin: (description) => comparison.begin(description),
    isNext: () => comparison.isNext(),
    keeps: (out, start, end) => !keys.hash(out, start, end, comparison.keyHash) || comparison.take(),
    cut: () => comparison.cut(),
  };
}

/** The lines of a block that go on, moved together where they lie: the block is its reader's own until the next one. */
function selectChanged(block: NdjsonBlock, keys: RowKeys, comparison: Comparison): NdjsonBlock {
  const bytes = Buffer.from(block.bytes.buffer, block.bytes.byteOffset, block.bytes.byteLength);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { keyHash, rowHash } = comparison;
  let rows = 0;
  let kept = 0;
  // Lines that go on and follow each other are moved at once.
  let from = 0;
  let start = 0;
  for (let row = 0; row < block.rows; row++) {
    const end = bytes.indexOf(LINE_FEED, start) + 1;
    rowHash.update(view, start, end - 1);
    if (!keys.hash(bytes, start, end - 1, keyHash) || comparison.take()) {
      rows++;
    } else {
      if (start > from) kept = move(bytes, from, start, kept);
      from = end;
    }
    start = end;
  }
  comparison.cut();
  if (rows === block.rows) return block;
  if (start > from) kept = move(bytes, from, start, kept);
  const left = bytes.subarray(0, kept);
  return { bytes: left, rows, replacedCharacters: countReplaced(left, block.replacedCharacters) };
}

function move(bytes: Buffer, from: number, end: number, to: number): number {
  if (from !== to) bytes.copyWithin(to, from, end);
  return to + end - from;
}

/** Characters that became U+FFFD in what goes on: at most `all`, since a source may have the character itself. */
function countReplaced(bytes: Buffer, all: number): number {
  let count = 0;
  for (let at = 0; count < all; at += REPLACEMENT.length) {
    at = bytes.indexOf(REPLACEMENT, at);
    if (at < 0) return count;
    count++;
  }
  return count;
}
