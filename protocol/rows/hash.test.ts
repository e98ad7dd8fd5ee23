import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { hashText, TextHash } from './hash.ts';

/** What PostgreSQL 18 answered to `SELECT hashtextextended(text COLLATE "C", seed)`. */
const golden: [text: string, seed: bigint, hash: bigint][] = [
  ['', 0n, -6939563903564495251n],
  ['A1', 0n, 2343726276826818930n],
  ['A1', 20261130n, -5491100669155693866n],
  [String.raw`Ñandú|1\|2`, -1n, -3369256172349861742n],
  ['una clave de más de doce bytes', 2n ** 63n - 1n, 9188250193731627339n],
];

describe('a text hash', () => {
  let sql: pg.Client;
  beforeAll(async () => {
    sql = new pg.Client({ connectionString: inject('postgresUrl') });
    await sql.connect();
  });
  afterAll(() => sql.end());

  test.each(golden)('of %j under seed %d is what PostgreSQL finds', (text, seed, hash) => {
    expect(hashText(text, seed)).toBe(hash);
  });

  test('of texts of every length and of every seed is what this PostgreSQL finds', async () => {
    const alphabet = ['a', 'Z', '0', 'ñ', '€', '𝄞', ' ', '"', '\\', '\u0001'];
    let state = 20261130;
    const draw = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const texts: string[] = [''];
    for (let length = 1; length <= 80; length++) {
      texts.push(Array.from({ length }, () => alphabet[draw(alphabet.length)]).join(''));
      texts.push('x'.repeat(length));
    }
    const seeds = [0n, 1n, -1n, 2n ** 32n, 2n ** 63n - 1n, -(2n ** 63n), 0x1234567890abcdefn];
    for (const seed of seeds) {
      const { rows } = await sql.query<{ hash: string }>(
        'SELECT hashtextextended(t COLLATE "C", $2::bigint)::text AS hash FROM unnest($1::text[]) WITH ORDINALITY u (t, n) ORDER BY n',
        [texts, String(seed)],
      );
      expect(texts.map((text) => String(hashText(text, seed)))).toEqual(rows.map(({ hash }) => hash));
    }
  });

  test('takes a part of a buffer, wherever it begins', () => {
    const bytes = Buffer.from('xxhola, mundo: ñxx');
    const hash = new TextHash(7n);
    hash.update(bytes, 2, bytes.length - 2);
    expect(hash.value).toBe(hashText('hola, mundo: ñ', 7n));
  });
});
