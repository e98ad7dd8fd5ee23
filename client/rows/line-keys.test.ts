import { expect, test } from 'vitest';
import { hashText, TextHash } from '../../protocol/rows/hash.ts';
import { LineKeys } from './line-keys.ts';

const SEED = -77n;

function keyOf(columns: readonly string[], lines: readonly string[]): bigint[] {
  const keys = new LineKeys(columns);
  const hash = new TextHash(SEED);
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  let start = 0;
  return lines.map((line) => {
    const end = start + Buffer.byteLength(line);
    keys.hash(bytes, start, end, hash);
    start = end + 1;
    return hash.value;
  });
}

test('the key is the JSON of its values as it stands, whatever stands around them', () => {
  const around = '{"a":{"x":["}",{"y":1}]},"Ké\\"y":%,"b":[1,",",[]],"otra":-1.50,"c":null}';
  const values = ['"plain"', '"ñ\\"\\\\"', '1.50', '-1e-7', 'null', 'true', '[1,{"a":"]"}]', '{}', '""'];
  const lines = values.map((value) => around.replace('%', () => value));
  for (const line of lines) JSON.parse(line);
  expect(keyOf(['KÉ"y'], lines)).toEqual(values.map((value) => hashText(value, SEED)));
  // In the order of the primaryKey, not of the row; the last member too.
  expect(keyOf(['otra', 'ké"Y', 'c'], lines)).toEqual(values.map((value) => hashText(`-1.50,${value},null`, SEED)));
  const long = `"${'x'.repeat(3000)}"`;
  const wide = [`{"a":${long},"b":${long}}`, '{"a":1,"b":2}'];
  expect(keyOf(['b', 'a'], wide)).toEqual([hashText(`${long},${long}`, SEED), hashText('2,1', SEED)]);
});

test.each([
  ['has not got the column', '{"a":1}', 'k'],
  ['is no object', '[1]', 'a'],
  ['ends in a string', '{"a":"x', 'a'],
  ['ends in a value', '{"a":[1', 'a'],
  ['has a member without a value', '{"a"}', 'a'],
])('a line that %s is refused', (_, line, column) => {
  expect(() => keyOf([column], [line])).toThrow(SyntaxError);
});
