import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { goldenColumns } from '../../fixtures/golden/values.ts';
import { TextHash } from '../../protocol/rows/hash.ts';
import { rowKeyOf } from '../../server/rows/staging.ts';
import { startTestServer, type TestServer } from '../../server/testing/start-test-server.ts';
import { RowKeys } from './row-key.ts';

/** The key that the agent finds in a line is the one that the centre makes of it. */

let server: TestServer;
let sql: pg.Client;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'));
  sql = new pg.Client({ connectionString: server.databaseUrl });
  await sql.connect();
});
afterAll(async () => {
  await sql?.end();
  await server?.close();
});

const SEED = 77n;

async function hashesAtCentre(primaryKey: string[], lines: readonly string[]): Promise<(string | null)[]> {
  const { key } = rowKeyOf({ nombre: 't', primaryKey, process: { query: 'SELECT 1' } });
  const { rows } = await sql.query<{ hash: string | null }>(
    `SELECT hashtextextended((${key}) COLLATE "C", $2)::text AS hash
     FROM unnest($1::jsonb[]) WITH ORDINALITY AS d (doc, n) ORDER BY n`,
    [lines, String(SEED)],
  );
  return rows.map(({ hash }) => hash);
}

function hashesHere(primaryKey: string[], lines: readonly string[]): (string | null)[] {
  const keys = new RowKeys(primaryKey);
  const hash = new TextHash(SEED);
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  let start = 0;
  return lines.map(() => {
    const end = bytes.indexOf('\n', start);
    const found = keys.hash(bytes, start, end, hash);
    start = end + 1;
    return found ? String(hash.value) : null;
  });
}

const values = [
  ...['"A1"', '"ñandú €"', String.raw`"a\"b\\c|d"`, String.raw`"línea\nnueva\u0001"`, '""', '" "', 'null'],
  ...['0', '-0', '-0.0', '12345678901234567890.1200', '1e+21', '5e-324', '1.5e-7', '-2.50E3', 'true', 'false'],
];

test.each([
  ['codigo first', [], (v: string) => `{"codigo":${v},"x":1}`],
  ['codigo behind other columns', ['codigo'], (v: string) => `{"a":"q\\"x","b":12.5,"c":null,"codigo":${v}}`],
  ['a column of another name', ['id'], (v: string) => `{"nombre":"x","id":${v},"z":"}"}`],
  ['codigo in the place of the configured column', ['id'], (v: string) => `{"id":${v},"codigo":${v},"z":1}`],
  ['two columns', ['empresa', 'id'], (v: string) => `{"id":${v},"n":0,"empresa":"e|\\\\1"}`],
  ['a column that is not there', ['id'], (v: string) => `{"nombre":${v}}`],
  ['a name with quotes and accents', ['añ"o'], (v: string) => `{"x":"","añ\\"o":${v}}`],
])('%s', async (_what, primaryKey, lineOf) => {
  const lines = values.map(lineOf);
  const found = hashesHere(primaryKey, lines);
  expect(found).toEqual(await hashesAtCentre(primaryKey, lines));
  if (_what !== 'a column that is not there') expect(found.filter((hash) => hash !== null).length).toBeGreaterThan(10);
});

test('every golden value as a key', async () => {
  const jsons = goldenColumns.flatMap(({ values: golden }) => golden.map(({ json }) => json));
  expect(jsons.length).toBeGreaterThan(100);
  const lines = jsons.map((json) => `{"id":${json},"x":1}`);
  expect(hashesHere(['id'], lines)).toEqual(await hashesAtCentre(['id'], lines));
});
