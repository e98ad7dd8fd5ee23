import fc from 'fast-check';
import { expect, test } from 'vitest';
import { enoughRows, isRetained } from './guard.ts';

test('counting as many rows as are enough decides as counting all of them does', () => {
  const bajas = fc.integer({ min: 0, max: 5000 });
  const guarda = fc.record(
    { bajas: fc.nat(1000), porciento: fc.double({ min: 0, max: 100, noNaN: true }) },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(bajas, fc.nat(50_000), guarda, (bajas, total, guarda) => {
      const counted = Math.min(total, enoughRows(bajas, guarda) ?? Number.POSITIVE_INFINITY);
      const verdict = isRetained({ bajas, total: counted, recibidas: 1 }, guarda);
      expect(verdict).toBe(isRetained({ bajas, total, recibidas: 1 }, guarda));
      // What waits is told with the number of all.
      if (verdict) expect(counted).toBe(total);
    }),
    { seed: 20261201, numRuns: 2000 },
  );
});

test('of 1,000 bajas and a fifth 5,000 rows are enough; where any share is too much, all are counted', () => {
  expect(enoughRows(1000)).toBe(5000);
  expect(enoughRows(1)).toBe(100);
  expect(enoughRows(1000, { porciento: 0 })).toBeUndefined();
});
