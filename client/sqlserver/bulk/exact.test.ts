import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readDecimal } from './exact.ts';

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
