import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { readMetadata } from 'tedious/lib/metadata-parser.js';
import { describe, expect, test } from 'vitest';
import { type GoldenColumn, goldenColumns } from '../../../fixtures/golden/values.ts';
import type { Column } from '../types/descriptor.ts';
import { describeRows, TRANSCODING } from './row-extent.ts';
import type { RowFilter } from './row-filter.ts';
import { RowTranscoder } from './row-transcoder.ts';

/** Rows that a filter leaves out before they are lines, and what it is told of each. */

const ROW = 0xd1;
const NBCROW = 0xd2;
const DONE = 0xfd;

const bytesOf = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');

function columnOf({ userType, typeInfo }: Pick<GoldenColumn, 'userType' | 'typeInfo'>, colName = 'v'): Column {
  const head = Buffer.alloc(6);
  head.writeUInt32LE(userType);
  const { value } = readMetadata(Buffer.concat([head, bytesOf(typeInfo)]), 0, { tdsVersion: '7_4' } as never);
  return { ...value, colName } as Column;
}

/** What becomes of a row: it is known by its bytes, or by its line, or it goes on. */
type Fate = 'known' | 'taken back' | 'written';

class TestFilter implements RowFilter {
  description: string | undefined;
  /** The bytes of each row that it was asked about. */
  readonly rows: string[] = [];
  readonly lines: string[] = [];
  cuts = 0;
  readonly #fateOf: (row: number) => Fate;
  #bytes = '';
  #known = false;

  constructor(fateOf: (row: number) => Fate) {
    this.#fateOf = fateOf;
  }

  begin(description: string) {
    this.description = description;
    return {
      update: (view: DataView, start: number, end: number) => {
        this.#bytes = Buffer.from(view.buffer, view.byteOffset + start, end - start).toString('hex');
      },
    };
  }

  isNext(): boolean {
    this.#known = this.#fateOf(this.rows.length) === 'known';
    if (this.#known) this.rows.push(this.#bytes);
    return this.#known;
  }

  keeps(out: Buffer, start: number, end: number): boolean {
    const fate = this.#fateOf(this.rows.length);
    this.rows.push(this.#bytes);
    this.lines.push(out.toString('utf8', start, end));
    return fate === 'written';
  }

  cut(): void {
    this.cuts++;
  }
}

/** Feeds `stream` as the parser does, cut at these places. */
function read(columns: readonly Column[], stream: Buffer, cuts: readonly number[], filter?: RowFilter) {
  const transcoder = new RowTranscoder(columns, { blockBytes: 1 << 20, filter });
  let rest: Buffer = Buffer.alloc(0);
  let from = 0;
  for (const cut of [...cuts, stream.length]) {
    const input = Buffer.concat([rest, stream.subarray(from, cut)]);
    rest = input.subarray(transcoder.transcode(input, 0));
    expect(rest.length === 0 || transcoder.needsMore || transcoder.failure !== undefined).toBe(true);
    from = cut;
  }
  expect([rest.length, transcoder.needsMore]).toEqual([0, false]);
  return { transcoder, block: transcoder.take() };
}

const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString();
const everywhere = (stream: Buffer) => Array.from({ length: stream.length - 1 }, (_, at) => at + 1);

describe.each(goldenColumns)('$type', (golden) => {
  const columns = [columnOf(golden)];
  const rows = golden.values.map(({ hex }) => Buffer.concat([Buffer.of(ROW), bytesOf(hex)]));
  const stream = Buffer.concat(rows);
  const lines = golden.values.map(({ json }) => `{"v":${json}}`);

  test('rows are told by their bytes, wherever they are cut, or the filter is not asked', () => {
    for (const cuts of [[], everywhere(stream)]) {
      const known = new TestFilter(() => 'known');
      const { block } = read(columns, stream, cuts, known);
      if (known.description === undefined) {
        expect([textOf(block!.bytes), block!.read]).toEqual([`${lines.join('\n')}\n`, undefined]);
        continue;
      }
      expect(known.rows).toEqual(rows.map((row) => row.toString('hex')));
      expect([block!.rows, block!.read]).toEqual([0, { rows: rows.length, bytes: stream.length }]);
      const written = new TestFilter((row) => (row % 2 === 0 ? 'written' : 'taken back'));
      const even = golden.values.filter((_, row) => row % 2 === 0);
      const read2 = read(columns, stream, cuts, written).block!;
      expect([written.rows, written.lines]).toEqual([known.rows, lines]);
      expect(textOf(read2.bytes)).toBe(even.map(({ json }) => `{"v":${json}}\n`).join(''));
      expect([read2.rows, read2.replacedCharacters]).toEqual([
        even.length,
        even.reduce((sum, { replaced = 0 }) => sum + replaced, 0),
      ]);
    }
  });
});

/** Of which a filter is asked, side by side. */
const known = goldenColumns.filter((golden) => {
  const filter = new TestFilter(() => 'known');
  new RowTranscoder([columnOf(golden)], { blockBytes: 1000, filter });
  return filter.description !== undefined;
});

test('what is written is what the filter lets go on, of any rows of any types, cut anywhere', () => {
  const columns = known.map((golden, index) => columnOf(golden, `c${index}`));
  const row = fc.record({
    fate: fc.constantFrom<Fate>('known', 'taken back', 'written'),
    values: fc.tuple(...known.map(({ values }) => fc.option(fc.constantFrom(...values)))),
  });
  fc.assert(
    fc.property(fc.array(row, { maxLength: 8 }), fc.array(fc.nat(5000), { maxLength: 5 }), (rows, places) => {
      const tokens = rows.map(({ values }) => {
        const bits = Buffer.alloc(Math.ceil(values.length / 8));
        const present: Buffer[] = [];
        for (const [index, value] of values.entries()) {
          if (value === null) bits[index >> 3]! |= 1 << (index & 7);
          else present.push(bytesOf(value.hex));
        }
        return Buffer.concat([Buffer.of(NBCROW), bits, ...present]);
      });
      const stream = Buffer.concat(tokens);
      const cuts = places.filter((at) => at < stream.length).toSorted((a, b) => a - b);
      const filter = new TestFilter((at) => rows[at]!.fate);
      const { block } = read(columns, stream, cuts, filter);
      const lineOf = ({ values }: (typeof rows)[number]) =>
        `{${values.map((value, index) => `"c${index}":${value?.json ?? 'null'}`).join(',')}}`;
      expect(filter.rows).toEqual(tokens.map((token) => token.toString('hex')));
      expect(filter.lines).toEqual(rows.filter(({ fate }) => fate !== 'known').map(lineOf));
      const written = rows.filter(({ fate }) => fate === 'written').map((one) => `${lineOf(one)}\n`);
      expect(textOf(block?.bytes ?? Buffer.of())).toBe(written.join(''));
      expect(block?.read?.rows ?? 0).toBe(rows.length);
    }),
    { numRuns: 60, seed: 20261130 },
  );
});

test('a block ends after many rows of which none is written', () => {
  const filter = new TestFilter(() => 'known');
  const transcoder = new RowTranscoder([columnOf({ userType: 0, typeInfo: '30' })], { blockBytes: 1000, filter });
  const input = Buffer.alloc(20_000, Buffer.of(ROW, 7));
  const stopped = transcoder.transcode(input, 0);
  expect([transcoder.full, stopped, filter.cuts]).toEqual([true, 16_384, 0]);
  expect(transcoder.take()).toMatchObject({ rows: 0, read: { rows: 8192, bytes: 16_384 } });
  expect([transcoder.full, filter.cuts]).toEqual([false, 1]);
  expect(transcoder.transcode(input, stopped)).toBe(20_000);
});

test.each(['known', 'written'] as const)('what the filter throws ends the reading (%s)', (fate) => {
  const filter = new TestFilter((row) => {
    if (row === 1) throw new Error('no more');
    return fate;
  });
  const { transcoder, block } = read(
    [columnOf({ userType: 0, typeInfo: '30' })],
    Buffer.of(ROW, 1, ROW, 2, ROW, 3),
    [1, 3],
    filter,
  );
  expect(transcoder.failure).toEqual({ error: new Error('no more') });
  expect(block).toBeUndefined();
  // The rest of the answer is read all the same.
  expect(transcoder.transcode(Buffer.of(ROW, 4, DONE), 0)).toBe(2);
});

test('another type, scale, code page or name is another description, whatever the bytes of the rows', () => {
  const base = columnOf({ userType: 0, typeInfo: 'a7 14 00 09 04 d0 00 34' });
  const { collation } = base;
  const others: Column[] = [
    { ...base, colName: 'w' },
    { ...base, dataLength: 30 },
    { ...base, userType: 0x50 },
    { ...base, type: { name: 'Char' } },
    { ...base, scale: 2 },
    { ...base, precision: 9 },
    ...(['lcid', 'flags', 'sortId', 'codepage'] as const).map((part): Column => {
      return { ...base, collation: { ...collation, [part]: 1 } as never };
    }),
  ];
  const described = [base, ...others].map((column) => describeRows([column]));
  expect(new Set(described).size).toBe(described.length);
  expect(describeRows([base, others[0]!])).not.toBe(describeRows([others[0]!, base]));
});

/** The ledgers of agents stand on it: what a value becomes may only change together with the number. */
test('TRANSCODING is raised with every change of what a value becomes', () => {
  const digest = createHash('sha256').update(JSON.stringify(goldenColumns)).digest('hex').slice(0, 16);
  expect({ TRANSCODING, digest }).toEqual({ TRANSCODING: 1, digest: '90370d68ab761e87' });
});
