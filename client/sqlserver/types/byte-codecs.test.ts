import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSqlType } from '../../../protocol/rows/sql-types.ts';
import type { Codec } from '../tds/codec.ts';
import { RowScanner } from '../tds/row-scanner.ts';
import { RowWriter } from '../tds/row-writer.ts';
import { UnfitValue } from '../tds/unfit.ts';
import { codecOf } from './sql-types.ts';

/**
 * The short way from bytes to bytes against the long one, `Codec.write`, whose bytes data-types.test.ts checks against
 * [MS-TDS]: wherever the short way answers, both write the same or refuse for the same reason.
 */

interface Written {
  hex?: string;
  rule?: string;
}

function attempt(write: (out: RowWriter) => boolean): Written | undefined {
  const out = new RowWriter(8192);
  try {
    return write(out) ? { hex: out.take().toString('hex') } : undefined;
  } catch (error) {
    if (!(error instanceof UnfitValue)) throw error;
    return { rule: error.rule };
  }
}

/** What either way makes of `{"v":<json>}`; `short` is undefined where the short way does not answer. */
function bothWays(codec: Codec, json: string): { short: Written | undefined; long: Written } {
  const scanner = new RowScanner([{ name: 'v', numbers: true }]);
  // Another byte after each value: nothing may read past its end.
  scanner.feed(Buffer.from(`{"v":${json},"w":"0123456789:0123456789+00:00"}\n`));
  scanner.read();
  const [kind, start, end] = [scanner.kinds[0]!, scanner.starts[0]!, scanner.ends[0]!];
  const short = attempt((out) => codec.encode!(out, kind, scanner.bytes, start, end));
  const long = attempt((out) => {
    codec.write(out, scanner.cell(0) as string | boolean);
    return true;
  });
  return { short, long: long! };
}

function expectSame(type: string, json: string, codePage?: string): boolean {
  const { short, long } = bothWays(codecOf(parseSqlType(type), codePage), json);
  if (short !== undefined) expect(short).toEqual(long);
  return short !== undefined;
}

const digits = (min: number, max: number) =>
  fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: min, maxLength: max });
const sign = fc.constantFrom('', '-');
const decimal = fc
  .tuple(sign, digits(0, 18), fc.option(digits(0, 18), { nil: undefined }), fc.constantFrom('', '', 'e2', 'E-3', ' '))
  .map(
    ([minus, whole, fraction, exponent]) =>
      `${minus}${whole}${fraction === undefined ? '' : `.${fraction}`}${exponent}`,
  );
/** As a string, and as a number where JSON allows it. */
const number = fc.tuple(decimal, fc.boolean()).map(([text, bare]) => (bare && isJsonNumber(text) ? text : `"${text}"`));
const isJsonNumber = (text: string) => /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text);

const numberTypes = [
  'tinyint',
  'smallint',
  'int',
  'bigint',
  'decimal(5,2)',
  'decimal(18,4)',
  'numeric(28,10)',
  'decimal(38,0)',
  'decimal(38,38)',
  'money',
  'smallmoney',
  'float',
  'real',
];

describe('numbers', () => {
  test.each(numberTypes)('%s', (type) => {
    fc.assert(
      fc.property(number, (json) => {
        expectSame(type, json);
      }),
      { seed: 11, numRuns: 2000 },
    );
  });

  test.each(['float', 'real'])('any double of few digits is the nearest %s', (type) => {
    const few = fc.tuple(fc.integer({ min: -999_999_999, max: 999_999_999 }), fc.nat(15));
    fc.assert(
      fc.property(few, ([units, decimals]) => {
        const padded = String(Math.abs(units)).padStart(decimals + 1, '0');
        const text = `${units < 0 ? '-' : ''}${padded.slice(0, padded.length - decimals)}.${padded.slice(padded.length - decimals)}`;
        if (isJsonNumber(text)) expectSame(type, text);
      }),
      { seed: 12, numRuns: 5000 },
    );
  });
});

describe('instants', () => {
  const two = (max: number) => fc.nat(max).map((n) => String(n).padStart(2, '0'));
  const date = fc
    .tuple(fc.nat(10_000), two(13), two(32), fc.constantFrom('-', '-', '-', '/'))
    .map(([year, month, day, separator]) => `${String(year).padStart(4, '0')}${separator}${month}${separator}${day}`);
  const time = fc
    .tuple(two(24), two(60), two(60), fc.option(digits(0, 9), { nil: undefined }))
    .map(
      ([hour, minute, second, fraction]) =>
        `${hour}:${minute}:${second}${fraction === undefined ? '' : `.${fraction}`}`,
    );
  const offset = fc.oneof(
    fc.constantFrom('', '', 'Z', 'z', ' +01:00', '+0100', '+01'),
    fc.tuple(fc.constantFrom('+', '-'), two(15), two(60)).map(([way, hours, minutes]) => `${way}${hours}:${minutes}`),
  );
  const text = fc
    .tuple(
      fc.option(date, { nil: undefined }),
      fc.option(time, { nil: undefined }),
      fc.constantFrom('T', 'T', ' ', 't', ''),
      offset,
    )
    .map(
      ([day, hour, separator, zone]) =>
        `${day ?? ''}${day !== undefined && hour !== undefined ? separator : ''}${hour ?? ''}${zone}`,
    );
  test.each([
    'date',
    'time(7)',
    'time(2)',
    'datetime2(7)',
    'datetime2(3)',
    'datetime2(0)',
    'datetime',
    'smalldatetime',
    'datetimeoffset(7)',
    'datetimeoffset(3)',
  ])('%s', (type) => {
    fc.assert(
      fc.property(text, (value) => {
        expectSame(type, `"${value}"`);
      }),
      { seed: 13, numRuns: 5000 },
    );
  });

  test.each(['datetime2(7)', 'datetime', 'smalldatetime', 'date'])('every day there is, as %s', (type) => {
    const codec = codecOf(parseSqlType(type), undefined);
    // 29 February of leap years, of centuries, and the ends of months among them.
    for (let days = 0; days < 3_652_059; days += 61) {
      const value = new Date(Date.UTC(2000, 0, 1) + (days - 730_119) * 86_400_000).toISOString().slice(0, 10);
      const { short, long } = bothWays(codec, `"${value}"`);
      expect(short, value).toEqual(long);
    }
  });
});

describe('text', () => {
  const character = fc.oneof(
    fc.constantFrom('a', 'Z', '0', ' ', 'ñ', 'é', '€', '’', '中', 'ｱ', '😀', '\u0301', '\u0000'),
    fc.string({ unit: 'grapheme', maxLength: 1 }),
  );
  const value = fc.array(character, { maxLength: 40 }).map((parts) => JSON.stringify(parts.join('')));
  test.each([
    ['nvarchar(20)', undefined],
    ['nvarchar(max)', undefined],
    ['nchar(30)', undefined],
    ['nvarchar(60)', 'CP1252'],
    ['nvarchar(60)', 'CP1251'],
    ['nvarchar(60)', 'CP932'],
    ['nvarchar(60)', 'utf-8'],
  ] as const)('%s %s', (type, codePage) => {
    fc.assert(
      fc.property(fc.oneof(value, number), (json) => {
        expectSame(type, json, codePage);
      }),
      { seed: 14, numRuns: 2000 },
    );
  });
});

test('uniqueidentifier', () => {
  const wrong = fc
    .tuple(fc.uuid(), fc.nat(35), fc.constantFrom('g', '-', '0', 'F'))
    .map(([text, at, byte]) => text.slice(0, at) + byte + text.slice(at + 1));
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uuid(),
        fc.uuid().map((text) => text.toUpperCase()),
        fc.uuid().map((text) => `{${text}}`),
        wrong,
      ),
      (text) => {
        expectSame('uniqueidentifier', `"${text}"`);
      },
    ),
    { seed: 15, numRuns: 2000 },
  );
});

describe('what most values look like goes the short way', () => {
  test.each([
    ['bit', 'true'],
    ['bit', 'false'],
    ['tinyint', '255'],
    ['smallint', '-32768'],
    ['int', '2147483647'],
    ['int', '"-5"'],
    ['bigint', '-999999999999999'],
    ['decimal(18,4)', '-12345678901.5'],
    ['decimal(38,10)', '12345.1234567890'],
    ['money', '-0.0001'],
    ['smallmoney', '214748.3647'],
    ['float', '0.1'],
    ['float', '-0'],
    ['real', '-123.25'],
    ['uniqueidentifier', '"6F9619FF-8B86-D011-B42D-00C04FC964FF"'],
    ['date', '"2024-02-29"'],
    ['date', '"2024-01-15T00:00:00"'],
    ['time(7)', '"23:59:59.9999999"'],
    ['datetime2(7)', '"2024-01-15T10:30:00.1234567"'],
    ['datetime2(0)', '"2024-01-15 10:30:00"'],
    ['datetime', '"2024-01-15T10:30:00.997"'],
    ['smalldatetime', '"2024-01-15T10:30:00"'],
    ['datetimeoffset(7)', '"2024-01-15T10:30:00.5-03:00"'],
    ['datetimeoffset(7)', '"2024-01-15T10:30:00Z"'],
    ['nvarchar(20)', '"Ferretería 😀"'],
    ['nvarchar(20)', '12.50'],
    ['nvarchar(max)', '""'],
    ['nvarchar(max)', '"Ñandú"'],
  ])('%s %s', (type, json) => {
    expect(expectSame(type, json)).toBe(true);
    if (type.startsWith('nvarchar')) expect(expectSame(type, json, 'CP1252')).toBe(!json.includes('😀'));
  });

  test.each([
    ['int', '2147483648'],
    ['bigint', '1234567890123456'],
    ['decimal(5,2)', '1000'],
    ['decimal(5,2)', '1.001'],
    ['smallmoney', '214748.3648'],
    ['money', '9999999999999.99'],
    ['money', '999999999999.99999'],
    ['float', '0.1234567890123456'],
    ['bigint', '9007199254740993'],
    ['nvarchar(2)', '"abc"'],
    ['nvarchar(2)', '"\\u0041"'],
    ['date', '"2023-02-29"'],
    ['datetime2(7)', '"2024-01-15T24:00:00"'],
    ['datetimeoffset(7)', '"2024-01-15T10:30:00+14:01"'],
    ['int', '{"a":1}'],
    ['int', 'true'],
  ])('and %s %s does not', (type, json) => {
    expect(expectSame(type, json)).toBe(false);
  });
});
