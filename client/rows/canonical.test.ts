import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { goldenColumns } from '../../fixtures/golden/values.ts';
import { keyHashSql, rowHashSql } from '../../protocol/rows/row-hash.ts';
import { primaryKeyOf, type TablaSubida } from '../../protocol/tenant-config/config.ts';
import { type RowKey, rowKeyOf } from '../../server/rows/staging.ts';
import { CanonicalRows } from './canonical.ts';

const SEED = 20261130n;

interface Stored {
  codigo: string;
  nombre: string | null;
  activo: boolean;
  documento: string;
  clave: string;
  fila: string;
}

describe('a row as PostgreSQL has it', () => {
  let sql: pg.Client;
  beforeAll(async () => {
    sql = new pg.Client({ connectionString: inject('postgresUrl') });
    await sql.connect();
    // As the migration has them.
    await sql.query(`CREATE OR REPLACE FUNCTION pg_temp.sync_escalar(v jsonb) RETURNS text LANGUAGE sql AS $$
        SELECT CASE WHEN jsonb_typeof(v) IN ('string', 'number', 'boolean') THEN nullif(v #>> '{}', '') END $$;
      CREATE OR REPLACE FUNCTION pg_temp.sync_activo(v jsonb) RETURNS boolean LANGUAGE sql AS $$
        SELECT CASE WHEN v IS NULL OR v IN ('true', 'null', '1', '"true"', '"1"') THEN true
                    WHEN v IN ('false', '0', '"false"', '"0"') THEN false END $$`);
  });
  afterAll(() => sql.end());

  /** What staging and merge make of lines. */
  async function store(lines: readonly string[], key: RowKey): Promise<(Stored | undefined)[]> {
    const own = (text: string) => text.replaceAll(/sync_(escalar|activo)/g, 'pg_temp.sync_$1');
    const ambiguous = key.ambiguous === undefined ? 'false' : own(key.ambiguous.when);
    const { rows } = await sql.query<Stored & { mala: boolean }>(
      `SELECT codigo, nombre, activo, parametros_json::text AS documento, ${keyHashSql(String(SEED))}::text AS clave,
         ${rowHashSql(String(SEED))}::text AS fila, codigo IS NULL OR activo IS NULL OR ambigua AS mala
       FROM (SELECT (${own(key.key)}) COLLATE "C" AS codigo, coalesce(doc ->> 'nombre', doc ->> 'descripcion', doc ->> 'razon_social') AS nombre,
               pg_temp.sync_activo(doc -> 'activo') AS activo, doc - '{${key.dropped.join(',')}}'::text[] AS parametros_json,
               coalesce(${ambiguous}, false) AS ambigua, n
             FROM (SELECT linea::jsonb AS doc, n FROM unnest($1::text[]) WITH ORDINALITY t (linea, n)) docs) p ORDER BY n`,
      [lines],
    );
    return rows.map(({ mala, ...row }) => (mala ? undefined : row));
  }

  function read(lines: readonly string[], tabla: TablaSubida): (Stored | undefined)[] {
    const rows = new CanonicalRows(primaryKeyOf(tabla), SEED);
    const found: (Stored | undefined)[] = [];
    rows.begin(Buffer.from(lines.map((line) => `${line}\n`).join('')));
    while (rows.next()) {
      if (rows.invalid) {
        found.push(undefined);
        continue;
      }
      const { codigo, nombre, keyHigh, keyLow, rowHigh, rowLow } = rows;
      const bigint = (high: number, low: number) => String(BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low)));
      const activo = (rowLow & 1) === 1;
      const [clave, fila] = [bigint(keyHigh, keyLow), bigint(rowHigh, rowLow)];
      found.push({ codigo, nombre, activo, documento: rows.documentText, clave, fila });
    }
    return found;
  }

  async function expectAlike(lines: readonly string[], primaryKey?: string | string[]): Promise<void> {
    const tabla = { nombre: 't', primaryKey, process: { query: '' } } as unknown as TablaSubida;
    expect(read(lines, tabla)).toEqual(await store(lines, rowKeyOf(tabla)));
  }

  test.each(goldenColumns.filter(({ type }) => type !== 'NULL'))(
    'of the golden values of $type',
    async ({ values }) => {
      const lines = values.map(({ json }, i) => `{"codigo":"${i}","valor":${json},"nombre":${json}}`);
      await expectAlike(lines);
      await expectAlike(values.map(({ json }) => `{"codigo":${json},"x":1}`));
    },
  );

  test.each([
    ['-0', '0'],
    ['-0.00', '0.00'],
    ['1e+21', '1000000000000000000000'],
    ['1.50e1', '15.0'],
    ['1.5E-7', '0.00000015'],
    ['-12.345e-2', '-0.12345'],
    ['5e-324', undefined],
    ['1.7976931348623157e+308', undefined],
    ['0e5', '0'],
    ['0.000e-2', undefined],
    ['120.0e3', undefined],
  ])('of the number %s', async (number, text) => {
    const lines = [`{"id":${number},"n":${number},"nombre":${number}}`];
    await expectAlike(lines, 'id');
    if (text !== undefined) expect(read(lines, { primaryKey: 'id' } as TablaSubida)[0]?.codigo).toBe(text);
  });

  test('of every escape', async () => {
    const characters = Array.from({ length: 0x2100 }, (_, code) => String.fromCharCode(code + 1));
    const texts = [...characters, '𝄞', '\u2028\u2029', '\\u0041', '"', '\\'];
    await expectAlike(texts.map((text) => JSON.stringify({ codigo: text, otro: text, descripcion: text })));
  });

  test('of names of every kind, by their bytes and their length', async () => {
    const line = JSON.stringify({ codigo: 1, b: 1, a: 2, ñ: 3, zz: 4, 'con "comillas"': 5, '\n': 6, B: 7, é: 8 });
    await expectAlike([line, line.replace('1', '2')]);
  });

  test('of every way to say activo, and of none', async () => {
    const ways = [
      'true',
      'false',
      'null',
      '1',
      '0',
      '1.0',
      '0.00',
      '-0',
      '1e0',
      '"1"',
      '"0"',
      '"true"',
      '"false"',
      '2',
      '"si"',
    ];
    for (const way of ways) await expectAlike([`{"codigo":"a","activo":${way},"x":1}`]);
  });

  test.each([
    ['of several columns', ['a', 'b']],
    ['of one', 'a'],
    ['of a column that is not there', 'no_esta'],
    ['of none', undefined],
  ])('with a key %s', async (_, primaryKey) => {
    const values = ['"uno"', '"con|barra"', String.raw`"con\\"`, '7', '7.50', 'true', 'null', '""', '-0'];
    const pairs = values.flatMap((a) => values.map((b) => [a, b] as const));
    await expectAlike(
      pairs.map(([a, b]) => `{"a":${a},"b":${b},"nombre":null,"razon_social":"r"}`),
      primaryKey,
    );
    await expectAlike(
      pairs.map(([a, b]) => `{"a":${a},"codigo":${b},"b":1,"activo":0}`),
      primaryKey,
    );
  });

  test('of 2,000 rows drawn at random', async () => {
    let state = 1;
    const draw = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    const alphabet = ['a', 'Ñ', '"', '\\', '\n', '\u0001', '€', '𝄞', ' ', '0', '\u007f', '\u2028'];
    const text = (max: number) => Array.from({ length: draw(max) }, () => alphabet[draw(alphabet.length)]).join('');
    const number = () => {
      const digits = () =>
        Array.from({ length: 1 + draw(12) }, () => draw(10))
          .join('')
          .replace(/^0+(?=\d)/, '');
      const exponent = draw(3) === 0 ? `e${draw(2) === 0 ? '-' : '+'}${draw(30)}` : '';
      return `${draw(2) === 0 ? '-' : ''}${digits()}${draw(2) === 0 ? '' : `.${draw(10)}${digits()}`}${exponent}`;
    };
    const value = () => [() => JSON.stringify(text(80)), number, () => 'null', () => 'true'][draw(4)]!();
    const lines = Array.from({ length: 2000 }, (_, i) => {
      const members = ['zeta', 'a', 'nombre', 'año', 'largo nombre', 'm'].map(
        (name) => `${JSON.stringify(name)}:${value()}`,
      );
      return `{"codigo":${JSON.stringify(`${i}${text(5)}`)},${members.join(',')}}`;
    });
    await expectAlike(lines);
  });

  test('a line with other columns than the first is told', () => {
    const rows = new CanonicalRows(['a'], SEED);
    rows.begin(Buffer.from('{"a":1,"b":2}\n{"a":1}\n'));
    rows.next();
    expect(() => rows.next()).toThrow('other columns');
  });
});
