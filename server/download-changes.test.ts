import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { ChangesRequest, CompareDownload, DownloadStart } from '../protocol/api.ts';
import { limits } from '../protocol/constants.ts';
import { hashText } from '../protocol/rows/hash.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** A download of which the agent says what it holds. */

const process = { query: 'parametros_maestros.tipo_campo=cuenta' };
const schema = {
  columns: [
    { name: 'nombre', type: 'NVARCHAR(50)' },
    { name: 'Codigo', type: 'VARCHAR(20)', nullable: false },
    { name: 'saldo', type: 'DECIMAL(19,4)' },
  ],
};
const huellas = { primaryKey: 'codigo', cambios: 'huellas' };
const tables = {
  tablasBajada: [
    { nombre: 'cuentas', schema, process, ...huellas },
    { nombre: 'sin_clave', process: { query: 'SELECT 1 AS x' }, ...huellas },
    {
      nombre: 'instantanea',
      process: {
        query: `SELECT 'a' AS codigo, current_setting('transaction_isolation') AS nivel, current_setting('transaction_read_only') AS lectura`,
      },
      ...huellas,
    },
    { nombre: 'falla', process: { query: "SELECT 'a' AS codigo, 1/0 AS x" }, ...huellas },
    {
      ...{ nombre: 'consulta', primaryKey: 'codigo', process: { query: "SELECT 'a' AS codigo, 1 AS x, 2 AS otra" } },
      schema: {
        columns: [
          { name: 'codigo', type: 'VARCHAR(9)' },
          { name: 'x', type: 'INT' },
        ],
      },
    },
    { nombre: 'sin_primaria', process },
    { nombre: 'escapa', process: { query: 'SELECT 1 AS codigo) q; SELECT * FROM (SELECT 1 AS codigo' }, ...huellas },
  ],
};

const ROWS = 500;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'), { tables });
  await server.addTenant('otro-002', tables);
  await server.sql.query(`
    INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, parametros_json)
    SELECT t, 'cuenta', 'c' || g, 'Ñandú "' || g || '"', jsonb_build_object('saldo', g + 0.50)
    FROM generate_series(1, ${ROWS}) g, unnest('{acme-001,otro-002}'::text[]) t`);
});
afterAll(() => server?.close());

async function ask(body: Partial<ChangesRequest>) {
  const response = await server.call('/download-cambios/acme-001', {
    method: 'POST',
    json: { tabla: 'cuentas', semilla: '5', ...body },
  });
  const text = await response.text();
  if (response.status !== 200)
    return { status: response.status, code: JSON.parse(text).code as string, rows: [] as string[], start: undefined };
  const lines = text.trimEnd().split('\n');
  const start = (JSON.parse(lines.shift()!) as DownloadStart).$inicio;
  const { $fin } = JSON.parse(lines.pop()!);
  expect($fin.filas).toBe(lines.length);
  return { status: 200, code: undefined, rows: lines, start };
}

/** What an agent that holds these rows says. */
function libroOf(rows: readonly string[], consulta: string, { bits = 4, seed = 5n } = {}) {
  const signatures = new BigUint64Array(2 ** bits);
  const counts = new BigUint64Array(2 ** bits);
  for (const row of rows) {
    const key = hashText(JSON.stringify((JSON.parse(row) as { Codigo: string }).Codigo), seed);
    const bucket = bucketOf(row, bits, seed);
    signatures[bucket]! ^= BigInt.asUintN(64, hashText(row, key));
    counts[bucket]! += 1n;
  }
  for (const bucket of counts.keys()) signatures[bucket]! ^= counts[bucket]!;
  const firmas = Buffer.alloc(8 * 2 ** bits);
  for (const [bucket, one] of signatures.entries()) firmas.writeBigUInt64BE(one, 8 * bucket);
  return { consulta, bits, firmas: firmas.toString('base64') };
}

function bucketOf(row: string, bits: number, seed = 5n): number {
  const key = hashText(JSON.stringify((JSON.parse(row) as { Codigo: string }).Codigo), seed);
  return Number(BigInt.asUintN(64, key) >> BigInt(64 - bits));
}

test('of an agent that holds nothing, or something of another query, every row is asked', async () => {
  const { rows, start } = await ask({});
  expect(rows).toHaveLength(ROWS);
  expect(start!.huellas).toEqual({ consulta: expect.stringMatching(/^[0-9a-f]{32}$/) });
  const other = await ask({ libro: libroOf(rows, '0'.repeat(32)) });
  expect(other.rows).toHaveLength(ROWS);
  expect(other.start!.huellas).toEqual(start!.huellas);
});

test('only rows of the buckets that differ are sent, which the first line names: changed, new, gone', async () => {
  const { rows, start } = await ask({});
  const { consulta } = start!.huellas!;
  const held = async (held: readonly string[], options = {}) => {
    const libro = libroOf(held, consulta, options);
    const answer = await ask({ libro, semilla: String((options as { seed?: bigint }).seed ?? 5n) });
    const { cubos } = answer.start!.huellas!;
    expect(cubos!.filas).toBe(ROWS);
    const bits = Buffer.from(cubos!.distintos, 'base64');
    const named = Array.from({ length: 2 ** libro.bits }, (_, n) => n).filter((n) => bits[n >> 3]! & (1 << (n & 7)));
    return { named, rows: answer.rows.toSorted() };
  };
  expect(await held(rows)).toEqual({ named: [], rows: [] });
  expect(await held(rows, { bits: 0 })).toEqual({ named: [], rows: [] });
  expect(await held(rows, { bits: 13, seed: -(2n ** 63n) })).toEqual({ named: [], rows: [] });
  const bucket = bucketOf(rows[7]!, 4);
  const inBucket = rows.filter((row) => bucketOf(row, 4) === bucket).toSorted();
  const expected = { named: [bucket], rows: inBucket };
  expect(await held(rows.with(7, rows[7]!.replace('Ñ', 'ñ')))).toEqual(expected);
  expect(await held(rows.toSpliced(7, 1))).toEqual(expected);
  expect(await held([...rows, rows[7]!])).toEqual(expected);
  const gone = JSON.stringify({ nombre: 'x', Codigo: 'gone', saldo: 1 });
  const ofGone = bucketOf(gone, 4);
  expect(await held([...rows, gone])).toEqual({
    named: [ofGone],
    rows: rows.filter((row) => bucketOf(row, 4) === ofGone).toSorted(),
  });
  // Two rows with one key and one content each time leave no XOR behind, but their number.
  expect((await held([...rows, gone, gone])).named).toEqual([ofGone]);
  expect((await held([])).rows).toEqual(rows.toSorted());
});

test('what cannot be hashed or compared is refused, or compared as far as it goes', async () => {
  const consulta = '0'.repeat(32);
  expect(await ask({ tabla: 'nadie' })).toMatchObject({ status: 404, code: 'TABLA_DESCONOCIDA' });
  expect(await ask({ tabla: 'sin_clave' })).toMatchObject({ code: 'SQL_FALLO' });
  expect(await ask({ tabla: 'falla' })).toMatchObject({ code: 'SQL_FALLO' });
  expect(await ask({ tabla: 'escapa' })).toMatchObject({ code: 'SQL_FALLO' });
  expect(await ask({ semilla: '1); DROP TABLE x' })).toMatchObject({ status: 400 });
  expect(await ask({ libro: { consulta, bits: limits.changesMaxBits + 1, firmas: '' } })).toMatchObject({
    status: 400,
  });
  const { rows, start } = await ask({});
  const cut = libroOf(rows, start!.huellas!.consulta);
  const half = { ...cut, firmas: Buffer.from(cut.firmas, 'base64').subarray(0, 64).toString('base64') };
  const found = await ask({ libro: half });
  expect(found.rows.toSorted()).toEqual(rows.filter((row) => bucketOf(row, 4) >= 8).toSorted());
  const { rowCount } = await server.sql.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`,
  );
  expect(rowCount).toBe(0);
});

/** What an agent says of some buckets of 3 bits, by 5 bits. */
function dentroOf(rows: readonly string[], consulta: string, named: readonly number[]) {
  const coarse = libroOf(rows, consulta, { bits: 3 });
  const fine = Buffer.from(libroOf(rows, consulta, { bits: 5 }).firmas, 'base64');
  const cubos = Buffer.of(named.reduce((bits, bucket) => bits | (1 << bucket), 0)).toString('base64');
  const parts = named.toSorted().map((bucket) => fine.subarray(8 * 4 * bucket, 8 * 4 * (bucket + 1)));
  return { ...coarse, dentro: { cubos, bits: 5, firmas: Buffer.concat(parts).toString('base64') } };
}

test('what is said of some buckets by more bits counts by these; the others are compared all the same', async () => {
  const { rows, start } = await ask({});
  const { consulta } = start!.huellas!;
  const [first, second] = [rows[7]!, rows.find((row) => bucketOf(row, 3) !== bucketOf(rows[7]!, 3))!];
  const compare = async (changed: readonly string[], named: readonly string[]) => {
    const held = rows.map((row) => (changed.includes(row) ? row.replace('Ñ', 'ñ') : row));
    const buckets = [...new Set(named.map((row) => bucketOf(row, 3)))];
    const { start, rows: sent } = await ask({ libro: dentroOf(held, consulta, buckets) });
    expect(start!.huellas!.cubos!.filas).toBe(ROWS);
    const bits = Buffer.from(start!.huellas!.cubos!.distintos, 'base64');
    expect(sent.every((row) => (bits[bucketOf(row, 5) >> 3]! & (1 << (bucketOf(row, 5) & 7))) !== 0)).toBe(true);
    return sent.toSorted();
  };
  const inBucket = (row: string, bits: number) => rows.filter((one) => bucketOf(one, bits) === bucketOf(row, bits));
  expect(await compare([], [first])).toEqual([]);
  expect(await compare([first], [first])).toEqual(inBucket(first, 5).toSorted());
  expect(await compare([first, second], [first, second])).toEqual(
    [...inBucket(first, 5), ...inBucket(second, 5)].toSorted(),
  );
  // It has changed since the agent asked which differ.
  expect(await compare([first, second], [first])).toEqual([...inBucket(first, 5), ...inBucket(second, 3)].toSorted());
});

test('asked for no rows it names the buckets alone, or nothing where it cannot compare', async () => {
  const { rows, start } = await ask({});
  const { consulta } = start!.huellas!;
  const libro = libroOf(rows.with(7, rows[7]!.replace('Ñ', 'ñ')), consulta);
  const { rows: sent, start: named } = await ask({ libro, sinFilas: true });
  expect(sent).toEqual([]);
  const bucket = bucketOf(rows[7]!, 4);
  expect([...Buffer.from(named!.huellas!.cubos!.distintos, 'base64')]).toEqual(
    [0, 1].map((byte) => (bucket >> 3 === byte ? 1 << (bucket & 7) : 0)),
  );
  const other = await ask({ libro: { ...libro, consulta: '0'.repeat(32) }, sinFilas: true });
  expect(other).toMatchObject({ rows: [], start: { huellas: { consulta } } });
  expect(other.start!.huellas!.cubos).toBeUndefined();
});

test('both readings are of one snapshot, and nothing is written', async () => {
  const { rows } = await ask({ tabla: 'instantanea' });
  expect(rows.map((row) => JSON.parse(row))).toEqual([{ codigo: 'a', nivel: 'repeatable read', lectura: 'on' }]);
});

describe('a comparison', () => {
  const compare = async (body: Partial<CompareDownload>) => {
    const json = { tabla: 'cuentas', semilla: '5', bits: 4, columnas: ['CODIGO', 'saldo', 'suya'], ...body };
    const response = await server.call('/download-comparado/acme-001', { method: 'POST', json });
    const text = await response.text();
    if (response.status !== 200) return { code: (JSON.parse(text) as { code: string }).code };
    const lines = text.trimEnd().split('\n');
    const { schema } = (JSON.parse(lines.shift()!) as DownloadStart).$inicio;
    const { filas } = JSON.parse(lines.pop()!).$fin;
    expect(filas).toBe(lines.length);
    return { lines, columns: schema.columns.map(({ name }) => name) };
  };

  test('hashes what the target has columns for, by bucket, and sends the rows of the buckets that are asked for', async () => {
    const all = await compare({ cubos: '//8=' });
    expect(all.columns).toEqual(['Codigo', 'saldo']);
    expect(all.lines!.toSorted()[0]).toBe('{"Codigo":"c1","saldo":1.50}');
    const { lines } = await compare({});
    const of = (bucket: number) => all.lines!.filter((row) => bucketOf(row, 4) === bucket);
    const expected = Array.from({ length: 16 }, (_, bucket) => {
      const xor = of(bucket).reduce((sum, row) => {
        const key = hashText(JSON.stringify((JSON.parse(row) as { Codigo: string }).Codigo), 5n);
        return sum ^ BigInt.asUintN(64, hashText(row, key) | 1n);
      }, 0n);
      return `"${bucket.toString(16)},${of(bucket).length.toString(16)},${xor.toString(16)},0,0"`;
    });
    expect(lines!.toSorted()).toEqual(expected.toSorted());
    expect((await compare({ cubos: 'IAA=' })).lines!.toSorted()).toEqual(of(5).toSorted());
    expect((await compare({ cubos: '' })).lines).toEqual([]);
  });

  test('of a query it sends no column beside the schema; without a key nothing is compared', async () => {
    expect(
      (await compare({ tabla: 'consulta', columnas: ['codigo', 'x', 'otra'], bits: 0, cubos: 'AQ==' })).lines,
    ).toEqual(['{"codigo":"a","x":1}']);
    expect(await compare({ tabla: 'consulta', columnas: ['x'] })).toEqual({ code: 'SQL_FALLO' });
    expect(await compare({ tabla: 'sin_primaria' })).toEqual({ code: 'SQL_FALLO' });
    expect(await compare({ tabla: 'nadie' })).toEqual({ code: 'TABLA_DESCONOCIDA' });
  });
});
