import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DAYS_TO_1900 } from '../../../protocol/rows/calendar.ts';
import {
  formatDate,
  formatDateTime,
  formatDateTimeOffset,
  formatDecimal,
  formatFloat,
  formatReal,
} from '../../../protocol/rows/values.ts';
import { writeDecimal, writeDouble, writeInt64, writeSingle } from '../tds/numbers.ts';
import { RowIo } from '../tds/row-io.ts';
import { writeDate, writeDateTime, writeDateTimeOffset } from './date-writers.ts';

/** The writers work on bytes and the canonical text on values: the two are to agree on every value, not on samples alone. */

const io = new RowIo(64, 1024);

function written(bytes: Buffer, write: (io: RowIo) => void): string {
  io.input = bytes;
  io.end = bytes.length;
  io.at = 0;
  write(io);
  return Buffer.from(io.out.subarray(0, io.at)).toString();
}

const runs = { numRuns: 20_000, seed: 1 };

test('decimals of every width and scale', () => {
  const magnitude = fc
    .oneof(
      fc.bigInt({ min: 0n, max: 10n ** 38n - 1n }),
      fc.bigInt({ min: 0n, max: 2n ** 54n }),
      // Carries run through the digits around powers of ten, and through the words around powers of two.
      fc
        .tuple(fc.integer({ min: 0, max: 37 }), fc.integer({ min: -2, max: 2 }))
        .map(([e, d]) => 10n ** BigInt(e) + BigInt(d)),
      fc
        .tuple(fc.integer({ min: 2, max: 126 }), fc.integer({ min: -2, max: 2 }))
        .map(([e, d]) => 2n ** BigInt(e) + BigInt(d)),
    )
    .filter((value) => value >= 0n);
  fc.assert(
    fc.property(magnitude, fc.integer({ min: 0, max: 38 }), fc.boolean(), (value, scale, negative) => {
      const size = [4, 8, 12, 16].find((bytes) => value < 2n ** BigInt(bytes * 8))!;
      const bytes = Buffer.alloc(1 + size);
      bytes[0] = negative ? 0 : 1;
      for (let i = 0; i < size; i++) bytes[1 + i] = Number((value >> BigInt(8 * i)) & 0xffn);
      const text = written(bytes, (to) => writeDecimal(to, 0, 1 + size, scale));
      expect(text).toBe(formatDecimal(negative ? -value : value, scale));
    }),
    runs,
  );
});

test('integers of 64 bits, and money', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.integer({ min: 0, max: 63 }),
      (wide, shift) => {
        const value = wide >> BigInt(shift);
        const low = Number(value & 0xffff_ffffn);
        const high = Number((value >> 32n) & 0xffff_ffffn);
        for (const scale of [0, 4]) {
          expect(written(Buffer.alloc(0), (to) => writeInt64(to, low, high, scale))).toBe(formatDecimal(value, scale));
        }
      },
    ),
    runs,
  );
});

test('floats and reals, of any bits and of few digits', () => {
  const bits = fc.double({ noNaN: true, noDefaultInfinity: true });
  const short = fc.tuple(fc.integer({ min: -(10 ** 9), max: 10 ** 9 }), fc.integer({ min: 0, max: 6 }));
  const value = fc.oneof(
    bits,
    short.map(([digits, scale]) => digits / 10 ** scale),
  );
  fc.assert(
    fc.property(value, (double) => {
      const bytes = Buffer.alloc(8);
      bytes.writeDoubleLE(double);
      expect(written(bytes, (to) => writeDouble(to, 0))).toBe(formatFloat(double));
      const single = Math.fround(double);
      if (!Number.isFinite(single)) return;
      bytes.writeFloatLE(single);
      expect(written(bytes, (to) => writeSingle(to, 0))).toBe(formatReal(single));
    }),
    runs,
  );
});

test('every day from 0001-01-01 to 9999-12-31', () => {
  const bytes = Buffer.alloc(3);
  let wrong: string | undefined;
  for (let day = 0; day <= 3_652_058; day++) {
    bytes.writeUIntLE(day, 0, 3);
    const text = written(bytes, (to) => writeDate(to, 0));
    if (text !== `"${formatDate(day)}"`) wrong ??= text;
  }
  expect(wrong).toBeUndefined();
});

test('datetime and datetimeoffset', () => {
  const day = fc.integer({ min: 2, max: 3_652_056 });
  fc.assert(
    fc.property(day, fc.integer({ min: 0, max: 25_919_999 }), (days, ticks) => {
      const bytes = Buffer.alloc(8);
      bytes.writeInt32LE(days - DAYS_TO_1900);
      bytes.writeUInt32LE(ticks, 4);
      expect(written(bytes, (to) => writeDateTime(to, 0))).toBe(`"${formatDateTime(days - DAYS_TO_1900, ticks)}"`);
    }),
    runs,
  );
  const offset = fc.integer({ min: -840, max: 840 });
  fc.assert(
    fc.property(day, fc.integer({ min: 0, max: 863_999_999_999 }), offset, (days, units, minutes) => {
      const bytes = Buffer.alloc(10);
      bytes.writeUIntLE(units, 0, 5);
      bytes.writeUIntLE(days, 5, 3);
      bytes.writeInt16LE(minutes, 8);
      const text = written(bytes, (to) => writeDateTimeOffset(to, 0, 10, 7));
      expect(text).toBe(`"${formatDateTimeOffset(days, units, 7, minutes)}"`);
    }),
    runs,
  );
});
