import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { daysFromDate } from './calendar.ts';
import {
  formatBinary,
  formatDate,
  formatDateTime,
  formatDateTime2,
  formatDateTimeOffset,
  formatDecimal,
  formatFloat,
  formatReal,
  formatRowversion,
  formatSmallDateTime,
  formatTime,
  replaceUnstorable,
} from './values.ts';

describe('decimals', () => {
  test.each([
    [1250n, 2, '12.50'],
    [-50n, 2, '-0.50'],
    [0n, 4, '0.0000'],
    [0n, 0, '0'],
    [1n, 38, `0.${'0'.repeat(37)}1`],
    [-99999999999999999999999999999999999999n, 0, '-99999999999999999999999999999999999999'],
    [9223372036854775807n, 4, '922337203685477.5807'],
  ])('%s of scale %s is %s', (unscaled, scale, text) => {
    expect(formatDecimal(unscaled, scale)).toBe(text);
  });
});

describe('floats', () => {
  test.each([
    [0.1, '0.1'],
    [-0, '-0'],
    [1e21, '1e+21'],
    [5e-324, '5e-324'],
    [1.7976931348623157e308, '1.7976931348623157e+308'],
  ])('double %s', (value, text) => {
    expect(formatFloat(value)).toBe(text);
  });

  test.each([
    [0.1, '0.1'],
    [-0, '-0'],
    [3.4028234663852886e38, '3.4028235e+38'],
    [1.401298464324817e-45, '1e-45'],
    [16777216, '16777216'],
    [1 / 3, '0.33333334'],
  ])('real %s', (value, text) => {
    expect(formatReal(Math.fround(value))).toBe(text);
  });

  test('the text of a real names that real', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(Object.is(Math.fround(Number(formatReal(value))), value)).toBe(true);
      }),
      { seed: 1, numRuns: 1000 },
    );
  });
});

describe('dates and times', () => {
  test.each([
    ['0001-01-01', 0],
    ['1753-01-01', 639_905],
    ['1900-01-01', 693_595],
    ['1970-01-01', 719_162],
    ['2000-02-29', 730_178],
    ['9999-12-31', 3_652_058],
  ])('%s is day %s', (text, days) => {
    const [year, month, day] = text.split('-').map(Number) as [number, number, number];
    expect(daysFromDate(year, month, day)).toBe(days);
    expect(formatDate(days)).toBe(text);
  });

  test('every day of 400 years agrees with the calendar of Date', () => {
    const wrong: string[] = [];
    for (let days = 719_162; days < 719_162 + 146_097; days++) {
      const expected = new Date((days - 719_162) * 86_400_000).toISOString().slice(0, 10);
      if (formatDate(days) !== expected) wrong.push(expected);
    }
    expect(wrong).toEqual([]);
  });

  test.each([
    [0, 0, '00:00:00'],
    [863_999_999_999, 7, '23:59:59.9999999'],
    [1, 7, '00:00:00.0000001'],
    [378_001_234, 4, '10:30:00.1234'],
  ])('time %s of scale %s', (units, scale, text) => {
    expect(formatTime(units, scale)).toBe(text);
  });

  test('datetime rounds its 1/300 s to milliseconds as SQL Server prints them', () => {
    expect(formatDateTime(0, 0)).toBe('1900-01-01T00:00:00.000');
    expect(formatDateTime(-53_690, 0)).toBe('1753-01-01T00:00:00.000');
    expect(formatDateTime(2_958_463, 25_919_999)).toBe('9999-12-31T23:59:59.997');
    expect([1, 2, 3].map((ticks) => formatDateTime(0, ticks).slice(-3))).toEqual(['003', '007', '010']);
  });

  test('smalldatetime and datetime2', () => {
    expect(formatSmallDateTime(65_535, 1439)).toBe('2079-06-06T23:59:00');
    expect(formatDateTime2(0, 1_234_567, 7)).toBe('0001-01-01T00:00:00.1234567');
    expect(formatDateTime2(3_652_058, 86_399, 0)).toBe('9999-12-31T23:59:59');
  });

  test('datetimeoffset shows the local time of its offset', () => {
    const day = 738_899; // 2024-01-15
    expect(formatDateTimeOffset(day, 0, 7, -300)).toBe('2024-01-14T19:00:00.0000000-05:00');
    expect(formatDateTimeOffset(day, 0, 0, 0)).toBe('2024-01-15T00:00:00+00:00');
    expect(formatDateTimeOffset(day, 36_000, 0, 840)).toBe('2024-01-16T00:00:00+14:00');
    expect(formatDateTimeOffset(day, 0, 0, -30)).toBe('2024-01-14T23:30:00-00:30');
    expect(formatDateTimeOffset(day, 0, 0, 345)).toBe('2024-01-15T05:45:00+05:45');
  });
});

describe('bytes and text', () => {
  test('rowversion and binary', () => {
    expect(formatRowversion(Uint8Array.of(0, 0, 0, 0, 0, 0, 7, 0xd1))).toBe('0x00000000000007D1');
    expect(formatBinary(Uint8Array.of(0, 0xff))).toBe('AP8=');
    expect(formatBinary(new Uint8Array())).toBe('');
  });

  test.each([
    ['plain ñ 😀 \u0301', 'plain ñ 😀 \u0301', 0],
    ['a\0b\0', 'a\uFFFDb\uFFFD', 2],
    ['\uD83D', '\uFFFD', 1],
    ['\uDE00x', '\uFFFDx', 1],
    ['\uD83D\uD83D\uDE00', '\uFFFD😀', 1],
    ['\uDE00\uD83D', '\uFFFD\uFFFD', 2],
  ])('%j keeps what jsonb can hold', (text, expected, replaced) => {
    expect(replaceUnstorable(text)).toEqual({ text: expected, replaced });
  });
});
