import { readMetadata } from 'tedious/lib/metadata-parser.js';
import { describe, expect, test } from 'vitest';
import { type GoldenColumn, type GoldenValue, goldenColumns } from '../../../fixtures/golden/values.ts';
import type { Column } from '../types/descriptor.ts';
import { findUnknownColumn, RowTranscoder } from './row-transcoder.ts';

const ROW = 0xd1;
const NBCROW = 0xd2;
const DONE = 0xfd;

const bytesOf = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');

/** A column as tedious parses it from COLMETADATA. */
function columnOf({ userType, typeInfo }: Pick<GoldenColumn, 'userType' | 'typeInfo'>, colName = 'v'): Column {
  const head = Buffer.alloc(6);
  head.writeUInt32LE(userType);
  const { value } = readMetadata(Buffer.concat([head, bytesOf(typeInfo)]), 0, { tdsVersion: '7_4' } as never);
  return { ...value, colName } as Column;
}

const rowOf = (...values: Buffer[]) => Buffer.concat([Buffer.of(ROW), ...values]);

/** Feeds `pieces` as the parser does: what is left of one comes again in front of the next. */
function feed(transcoder: RowTranscoder, pieces: readonly Buffer[]): Buffer {
  let rest: Buffer = Buffer.alloc(0);
  for (const piece of pieces) {
    const input = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    rest = input.subarray(transcoder.transcode(input, 0));
  }
  return rest;
}

function read(columns: readonly Column[], pieces: readonly Buffer[]) {
  const transcoder = new RowTranscoder(columns, { blockBytes: 1 << 20 });
  const rest = feed(transcoder, pieces);
  expect(transcoder.needsMore).toBe(false);
  expect(rest.length).toBe(0);
  const block = transcoder.take()!;
  return { text: Buffer.from(block.bytes).toString(), rows: block.rows, replaced: block.replacedCharacters };
}

const lineOf = ({ json }: GoldenValue) => `{"v":${json}}\n`;
const replacedOf = (values: readonly GoldenValue[]) => values.reduce((sum, { replaced = 0 }) => sum + replaced, 0);

describe.each(goldenColumns)('$type', (golden) => {
  const { values } = golden;
  const columns = [columnOf(golden)];
  const stream = Buffer.concat(values.map(({ hex }) => rowOf(bytesOf(hex))));
  const expected = { text: values.map(lineOf).join(''), rows: values.length, replaced: replacedOf(values) };

  test.each(values)('$hex is $json', (value) => {
    expect(read(columns, [rowOf(bytesOf(value.hex))])).toEqual({
      text: lineOf(value),
      rows: 1,
      replaced: value.replaced ?? 0,
    });
  });

  test('is the same byte by byte', () => {
    expect(
      read(
        columns,
        Array.from(stream, (byte) => Buffer.of(byte)),
      ),
    ).toEqual(expected);
  });

  test('is the same cut in two anywhere', () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      expect(read(columns, [stream.subarray(0, cut), stream.subarray(cut)]), `cut at ${cut}`).toEqual(expected);
    }
  });
});

/** Every type, side by side in one row; NULL's own type has no value to leave out. */
const nbc = goldenColumns.filter(({ type }) => type !== 'NULL');

test('NBCROW leaves out what its bitmap says, cut anywhere', () => {
  const columns = nbc.map((golden, index) => columnOf(golden, `c${index}`));
  for (const parity of [0, 1]) {
    const bits = Buffer.alloc(Math.ceil(nbc.length / 8));
    const present: Buffer[] = [];
    const fields = nbc.map(({ values }, index) => {
      if (index % 2 === parity) {
        bits[index >> 3]! |= 1 << (index & 7);
        return `"c${index}":null`;
      }
      present.push(bytesOf(values[0]!.hex));
      return `"c${index}":${values[0]!.json}`;
    });
    const stream = Buffer.concat([Buffer.of(NBCROW), bits, ...present]);
    const expected = `{${fields.join(',')}}\n`;
    for (let cut = 0; cut <= stream.length; cut++) {
      expect(read(columns, [stream.subarray(0, cut), stream.subarray(cut)]).text, `cut at ${cut}`).toBe(expected);
    }
  }
});

test('names are escaped', () => {
  const column = columnOf({ userType: 0, typeInfo: '30' }, 'año "x"\\\ud800');
  expect(read([column], [rowOf(Buffer.of(7))]).text).toBe('{"año \\"x\\"\\\\\uFFFD":7}\n');
});

test('stops at a token that is no row, and goes on after it', () => {
  const transcoder = new RowTranscoder([columnOf({ userType: 0, typeInfo: '30' })], { blockBytes: 1000 });
  const input = Buffer.of(ROW, 1, DONE, 0);
  expect(transcoder.transcode(input, 0)).toBe(2);
  expect(transcoder.needsMore).toBe(false);
  expect(transcoder.transcode(Buffer.of(ROW, 2), 0)).toBe(2);
  expect(Buffer.from(transcoder.take()!.bytes).toString()).toBe('{"v":1}\n{"v":2}\n');
  expect(transcoder.take()).toBeUndefined();
});

test('a block ends at its size, and is whole while the next one fills', () => {
  const transcoder = new RowTranscoder([columnOf({ userType: 0, typeInfo: '30' })], { blockBytes: 10 });
  const input = Buffer.of(ROW, 1, ROW, 2, ROW, 3, ROW, 4);
  const stopped = transcoder.transcode(input, 0);
  expect(stopped).toBe(4);
  expect(transcoder.full).toBe(true);
  const first = transcoder.take()!;
  expect(first.rows).toBe(2);
  expect(transcoder.full).toBe(false);
  expect(transcoder.transcode(input, stopped)).toBe(8);
  expect(Buffer.from(first.bytes).toString()).toBe('{"v":1}\n{"v":2}\n');
  expect(Buffer.from(transcoder.take()!.bytes).toString()).toBe('{"v":3}\n{"v":4}\n');
});

describe('long values', () => {
  const varchar = '09 04 d0 00 34';
  const text = 'añ😀"'.repeat(4_000_000);
  const utf16 = Buffer.from(text, 'utf16le');

  function* packets(bytes: Buffer, size: number): Generator<Buffer> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }

  test('20 million characters in packets of an odd size', () => {
    const parts: Buffer[] = [Buffer.of(ROW), Buffer.from('feffffffffffffff', 'hex')];
    for (const chunk of packets(utf16, 8_000_001)) {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(chunk.length);
      parts.push(length, chunk);
    }
    parts.push(Buffer.alloc(4));
    const transcoder = new RowTranscoder([columnOf({ userType: 0, typeInfo: `e7 ff ff ${varchar}` })], {
      blockBytes: 1 << 18,
    });
    feed(transcoder, [...packets(Buffer.concat(parts), 32_761)]);
    const { bytes, rows } = transcoder.take()!;
    expect(rows).toBe(1);
    expect(Buffer.compare(bytes, Buffer.from(`{"v":${JSON.stringify(text)}}\n`))).toBe(0);
  });

  test('8,000 bytes that all need an escape', () => {
    const value = Buffer.alloc(8002, 1);
    value.writeUInt16LE(8000);
    const column = columnOf({ userType: 0, typeInfo: `a7 40 1f ${varchar}` });
    const columns = Array.from({ length: 40 }, (_, index) => ({ ...column, colName: `c${index}` }));
    const { text: line } = read(columns, [rowOf(...columns.map(() => value))]);
    const json = `"${'\\u0001'.repeat(8000)}"`;
    expect(line).toBe(`{${columns.map(({ colName }) => `"${colName}":${json}`).join(',')}}\n`);
  });

  test('a line over the limit names its row and column, and the rows after it are dropped', () => {
    const columns = [columnOf({ userType: 0, typeInfo: '30' }, 'n'), columnOf({ userType: 0, typeInfo: 'a5 ff ff' })];
    const transcoder = new RowTranscoder(columns, { blockBytes: 1000, lineMaxBytes: 200_000 });
    const size = Buffer.alloc(12);
    size.writeUInt32LE(1_000_000);
    size.writeUInt32LE(1_000_000, 8);
    const nothing = Buffer.alloc(8, 0xff);
    const rows = [rowOf(Buffer.of(1), nothing), rowOf(Buffer.of(2), size, Buffer.alloc(1_000_004))];
    rows.push(rowOf(Buffer.of(3), nothing));
    const rest = feed(transcoder, [...packets(Buffer.concat(rows), 4096)]);
    expect(transcoder.tooLong).toEqual({ rowNumber: 2, column: 'v' });
    expect(rest.length).toBe(0);
    expect(transcoder.needsMore).toBe(false);
    expect(transcoder.take()).toBeUndefined();
  });

  test('a line over the limit by a little is no exception', () => {
    const columns = [columnOf({ userType: 0, typeInfo: `a7 40 1f ${varchar}` })];
    const transcoder = new RowTranscoder(columns, { blockBytes: 1000, lineMaxBytes: 100 });
    const value = (length: number) => Buffer.concat([Buffer.of(length, 0), Buffer.alloc(length, 0x61)]);
    feed(transcoder, [rowOf(value(91))]);
    expect(transcoder.tooLong).toBeUndefined();
    feed(transcoder, [rowOf(value(92))]);
    expect(transcoder.tooLong).toEqual({ rowNumber: 2, column: undefined });
  });
});

describe('what is no value of its type is refused', () => {
  test.each([
    ['int NULL of 3 bytes', '26 04', '03 01 02 03'],
    ['decimal of 6 bytes', '6a 11 26 00', '06 01 00 00 00 00 00'],
    ['time(7) of 4 bytes', '29 07', '04 00 00 00 00'],
    ['time past midnight', '29 00', '03 80 51 01'],
    ['date after 9999', '28', '03 ff ff ff'],
    ['half a UTF-16 unit', 'e7 64 00 09 04 d0 00 34', '03 00 61 00 62'],
    ['a value shorter than it said', 'a5 ff ff', '05 00 00 00 00 00 00 00 02 00 00 00 01 02 00 00 00 00'],
    ['sql_variant of an unknown type', '62 49 1f 00 00', '03 00 00 00 99 00 01'],
  ])('%s', (_, typeInfo, hex) => {
    const transcoder = new RowTranscoder([columnOf({ userType: 0, typeInfo })], { blockBytes: 1000 });
    expect(() => transcoder.transcode(rowOf(bytesOf(hex)), 0)).toThrow(/^TDS: /);
  });
});

test('a column of an unknown type, or code page, is named', () => {
  const known = columnOf({ userType: 0, typeInfo: '30' }, 'n');
  expect(findUnknownColumn([known])).toBeUndefined();
  expect(findUnknownColumn([known, { ...known, colName: 'x', type: { name: 'Vector' } }])?.colName).toBe('x');
  // LCID 0x7fff belongs to no collation.
  const odd = columnOf({ userType: 0, typeInfo: 'a7 0a 00 ff 7f d0 00 00' }, 'texto');
  expect(findUnknownColumn([known, odd])?.colName).toBe('texto');
});
