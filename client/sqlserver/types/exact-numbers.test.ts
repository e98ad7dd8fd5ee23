import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readDecimal, readExactFloat, readExactReal } from './exact-numbers.ts';

test('every digit of any decimal is kept, however it is written', () => {
  const decimals = fc.record({
    unscaled: fc.oneof(
      fc.bigInt({ min: -(10n ** 38n - 1n), max: 10n ** 38n - 1n }),
      fc.bigInt({ min: -9999n, max: 9999n }),
    ),
    scale: fc.nat(38),
    spare: fc.nat(3),
    shift: fc.integer({ min: -40, max: 40 }),
  });
  fc.assert(
    fc.property(decimals, ({ unscaled, scale, spare, shift }) => {
      const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
      const sign = unscaled < 0n ? '-' : '';
      const plain = `${sign}${digits.slice(0, digits.length - scale)}.${digits.slice(digits.length - scale)}${'0'.repeat(spare)}`;
      expect(BigInt(readDecimal(plain, 38, scale))).toBe(unscaled);
      // The same number with an exponent: the unscaled digits, moved.
      const moved = `${unscaled}${'0'.repeat(Math.max(shift, 0))}e${-scale - Math.max(shift, 0)}`;
      expect(BigInt(readDecimal(moved, 38, scale))).toBe(unscaled);
    }),
    { seed: 3, numRuns: 2000 },
  );
});

test('a digit below the scale is never dropped', () => {
  const units = fc.bigInt({ min: 1n, max: 10n ** 20n });
  fc.assert(
    fc.property(units, fc.integer({ min: 1, max: 9 }), (whole, digit) => {
      expect(() => readDecimal(`${whole}.00${digit}`, 38, 2)).toThrow(/no se redondea/);
    }),
    { seed: 4, numRuns: 500 },
  );
});

test('zeros that the scale adds cost no digit', () => {
  // 15 digits and two zeros no longer fit a double.
  expect(readDecimal('999999999999999', 18, 2)).toBe(99_999_999_999_999_900n);
});

test.each([
  ['0.1', true, true],
  ['-12.50', true, true],
  ['1e300', true, false],
  ['0.30000000000000004', true, false],
  ['0.3333333', true, true],
  ['0.33333334', true, true],
  ['0.123456789', true, false],
  ['16777217', true, false],
  ['16777216', true, true],
  ['0.10000000149011612', true, true],
  ['9007199254740993', false, false],
  ['1180591620717411303424', true, true],
  ['0.3333333333333333', true, false],
  ['0.33333333333333333333', false, false],
  ['12345678901234567.89', false, false],
  ['5e-324', true, false],
  ['1.23456789e-320', false, false],
  ['1e-400', false, false],
  ['0.000', true, true],
])('%s is kept by a double: %s, by a real: %s; else it is refused', (text, double, real) => {
  if (double) expect(readExactFloat(text)).toBe(Number(text));
  else expect(() => readExactFloat(text)).toThrow();
  if (real) expect(readExactReal(text)).toBe(Math.fround(Number(text)));
  else expect(() => readExactReal(text)).toThrow();
});
