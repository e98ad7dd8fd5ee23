import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RowHash } from './row-hash.ts';

/** The hash that a ledger is believed on. */

const hash = new RowHash(0x0123456789abcdefn);
function hashOf(bytes: Uint8Array, start = 0, end = bytes.length): string {
  hash.update(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), start, end);
  return `${hash.high.toString(16)} ${hash.low.toString(16)}`;
}

const bytes = fc.uint8Array({ minLength: 1, maxLength: 60 });

test('any one or more bits that change, wherever they are, make another hash', () => {
  const changes = fc.uniqueArray(fc.tuple(fc.nat(59), fc.nat(7)), { minLength: 1, maxLength: 4, selector: String });
  fc.assert(
    fc.property(bytes, changes, (row, flips) => {
      const other = Uint8Array.from(row);
      for (const [at, bit] of flips) other[at % other.length]! ^= 1 << bit;
      fc.pre(Buffer.compare(row, other) !== 0);
      expect(hashOf(other)).not.toBe(hashOf(row));
    }),
    { numRuns: 2000, seed: 20261130 },
  );
});

test('changes that undo each other in a weaker mix make another hash', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 40 }), (row) => {
      const seen = new Set([hashOf(row)]);
      // The highest bit of a word, and those that it has become in the next two.
      for (let bit = 0; bit < 32; bit++) {
        const other = Uint8Array.from(row);
        other[3]! ^= 0x80;
        other[11]! ^= 0x80;
        other[12 + (bit >> 3)]! ^= 1 << (bit & 7);
        seen.add(hashOf(other));
      }
      expect(seen.size).toBe(33);
    }),
    { numRuns: 200, seed: 20261130 },
  );
});

test('what lies around the row makes no difference, its length and the seed do', () => {
  fc.assert(
    fc.property(bytes, bytes, bytes, (before, row, after) => {
      const all = Uint8Array.from([...before, ...row, ...after]);
      expect(hashOf(all, before.length, before.length + row.length)).toBe(hashOf(row));
    }),
    { numRuns: 200, seed: 20261130 },
  );
  expect(new Set([0, 1, 2, 3, 4, 5, 8].map((length) => hashOf(new Uint8Array(length)))).size).toBe(7);
  const others = [1n, 1n << 32n, -1n].map((seed) => {
    const other = new RowHash(seed);
    other.update(new DataView(new ArrayBuffer(9)), 0, 9);
    return `${other.high} ${other.low}`;
  });
  expect(new Set(others).size).toBe(3);
});
