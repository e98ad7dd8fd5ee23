import { expect, expectTypeOf, test } from 'vitest';
import { defined } from './defined.ts';

test('what is undefined is left out, and nothing else', () => {
  const made = defined({ a: 1, b: undefined, c: null, d: false, e: '' });
  expect(Object.keys(made)).toEqual(['a', 'c', 'd', 'e']);
  expect(made).toEqual({ a: 1, c: null, d: false, e: '' });
});

test('a member that may be undefined is optional in its type, and fits where an undefined one does not', () => {
  const from: { a: number; b: string | undefined } = { a: 1, b: undefined };
  const made: { a: number; b?: string } = defined(from);
  expect('b' in made).toBe(false);
  expectTypeOf(defined(from)).toExtend<{ a: number; b?: string }>();
});
