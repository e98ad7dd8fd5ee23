import { expect, test } from 'vitest';
import { hashApiKey, makeApiKey } from './api-key.ts';

test('a key has its prefix and 256 random bits', () => {
  const keys = Array.from({ length: 200 }, makeApiKey);
  for (const key of keys) expect(key).toMatch(/^sk_live_[A-Za-z0-9_-]{43}$/);
  expect(new Set(keys).size).toBe(keys.length);
  const bytes = keys.map((key) => Buffer.from(key.slice('sk_live_'.length), 'base64url'));
  expect(bytes.every(({ length }) => length === 32)).toBe(true);
  // Every byte takes many values: none of them is a constant or a counter.
  for (let at = 0; at < 32; at++) expect(new Set(bytes.map((key) => key[at])).size).toBeGreaterThan(50);
});

test('what is kept of a key is its SHA-256 (FIPS 180-4, "abc")', () => {
  expect(hashApiKey('abc').toString('hex')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});
