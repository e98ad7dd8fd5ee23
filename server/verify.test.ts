import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import type { DetailsResponse } from '../protocol/api.ts';
import { hashText } from '../protocol/rows/hash.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** What the centre tells of a table as hashes, and of whose rows. */

const process = { query: 'SELECT 1' };
const tables = {
  tablasSubida: [
    { nombre: 'articulos', primaryKey: 'codigo', process },
    { nombre: 'uno', tipoCampo: 'juntos', primaryKey: 'codigo', process },
    { nombre: 'dos', tipoCampo: 'juntos', primaryKey: 'codigo', process },
  ],
};
const SEED = 77n;
const semilla = String(SEED);

let server: TestServer;
let otherKey: string;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'), { tables });
  otherKey = await server.addTenant('otro-001', tables);
});
afterAll(() => server?.close());
beforeEach(() => server.sql.query('TRUNCATE parametros_maestros, sync_verificaciones, sync_claves_compartidas'));

const insert = (tenant: string, tipo: string, prefix: string, count: number) =>
  server.sql.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, activo, parametros_json)
     SELECT $1, $2, $3 || n, CASE WHEN n % 3 > 0 THEN 'nombre ' || n END, n % 10 > 0, jsonb_build_object('n', n) FROM generate_series(1, $4::integer) n`,
    [tenant, tipo, prefix, count],
  );

async function ask(path: string, json: object, init: object = {}, tenant = 'acme-001') {
  const response = await server.call(`/verificaciones/${tenant}${path}`, { method: 'POST', json, ...init });
  const text = await response.text();
  if (path === '' || path === '/claves' || response.status !== 200) {
    return { status: response.status, lines: [], body: JSON.parse(text) as DetailsResponse & { code?: string } };
  }
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
  expect(lines.shift()).toHaveProperty('$inicio');
  expect(lines.pop()).toEqual({ $fin: { filas: lines.length } });
  return { status: 200, lines: lines as string[], body: undefined };
}

const hex = (value: bigint) => BigInt.asUintN(64, value).toString(16).padStart(16, '0');

/** What of the tenant's rows the document's text says, by hand. */
async function hashesOf(tenant: string, tipo: string) {
  const { rows } = await server.sql.query<{ codigo: string; nombre: string | null; activo: boolean; texto: string }>(
    `SELECT codigo, nombre, activo, parametros_json::text AS texto FROM parametros_maestros WHERE "tenantId" = $1 AND tipo_campo = $2`,
    [tenant, tipo],
  );
  return rows.map(({ codigo, nombre, activo, texto }) => {
    const clave = hashText(codigo, SEED);
    const fila = (hashText(texto, nombre === null ? ~clave : hashText(nombre, clave)) & ~1n) | BigInt(activo);
    return { codigo, activo, clave: BigInt.asUintN(64, clave), fila: BigInt.asUintN(64, fila) };
  });
}

test('summaries count and hash the rows of each bucket, active ones and others apart', async () => {
  await insert('acme-001', 'articulo', 'A', 500);
  await insert('acme-001', 'otra_cosa', 'A', 50);
  await insert('otro-001', 'articulo', 'B', 60);
  const expected = new Map<number, [bigint, bigint, bigint, bigint]>();
  for (const { clave, fila, activo } of await hashesOf('acme-001', 'articulo')) {
    const sums = expected.get(Number(clave >> 60n)) ?? [0n, 0n, 0n, 0n];
    sums[activo ? 0 : 2] += 1n;
    sums[activo ? 1 : 3] ^= fila;
    expected.set(Number(clave >> 60n), sums);
  }
  const { lines } = await ask('/resumen', { tabla: 'articulos', semilla, bits: 4 });
  const found = lines.map((line) => line.split(',').map((part) => BigInt(`0x${part}`)));
  expect(new Map(found.map(([bucket, ...sums]) => [Number(bucket), sums]))).toEqual(expected);
  expect((await ask('/resumen', { tabla: 'articulos', semilla, bits: 0 })).lines).toHaveLength(1);
});

test('lists have the rows of the buckets that are asked for, and no others, in the order of the buckets', async () => {
  await insert('acme-001', 'articulo', 'A', 300);
  const all = await hashesOf('acme-001', 'articulo');
  const wanted = all.filter(({ clave }) => [3, 12].includes(Number(clave >> 60n)));
  const cubos = Buffer.from([1 << 3, 1 << 4]).toString('base64');
  const { lines } = await ask('/filas', { tabla: 'articulos', semilla, bits: 4, cubos });
  expect(wanted.length).toBeGreaterThan(10);
  expect(lines.toSorted()).toEqual(
    wanted.map(({ clave, fila, codigo }) => `${hex(clave)},${hex(fila)},${codigo}`).toSorted(),
  );
  const buckets = lines.map((line) => Number.parseInt(line[0]!, 16));
  expect(buckets).toEqual(buckets.toSorted((a, b) => a - b));
  await insert('acme-001', 'articulo', 'ñ "\\ \n,', 1);
  const whole = await ask('/filas', { tabla: 'articulos', semilla, bits: 0, cubos: 'AQ==' });
  expect(whole.lines.map((line) => line.slice(34))).toContain('ñ "\\ \n,1');
});

test('of keys by their hashes it tells the rows, and where asked, the key and a hash of each column', async () => {
  await insert('acme-001', 'articulo', 'A', 30);
  await insert('otro-001', 'articulo', 'B', 30);
  const own = await hashesOf('acme-001', 'articulo');
  const [one, two] = [own[0]!, own[1]!];
  const [foreign] = await hashesOf('otro-001', 'articulo');
  const list = (...hashes: bigint[]) => Buffer.from(hashes.map(hex).join(''), 'hex').toString('base64');
  const asked = { tabla: 'articulos', semilla, huellas: list(one.clave, two.clave, foreign!.clave) };
  const { body } = await ask('/claves', { ...asked, claves: list(one.clave), columnas: list(one.clave) });
  expect(Buffer.from(body!.filas, 'base64').length).toBe(32);
  expect(Buffer.from(body!.filas, 'base64').toString('hex')).toContain(hex(one.clave) + hex(one.fila));
  expect(body!.claves).toEqual([{ huella: hex(one.clave), codigo: one.codigo }]);
  const n = hashText(one.codigo.slice(1), SEED);
  expect(body!.columnas).toMatchObject([{ huella: hex(one.clave), valores: { n: String(n) } }]);
  expect(Object.keys(body!.columnas[0]!.valores).toSorted()).toEqual(['activo', 'n', 'nombre']);
});

test('of a tipo_campo that tables share it tells each the rows that it has brought', async () => {
  await insert('acme-001', 'juntos', 'A', 5);
  await server.sql.query(
    `INSERT INTO sync_claves_compartidas SELECT "tenantId", tipo_campo, codigo, CASE WHEN codigo < 'A3' THEN 'uno' ELSE 'dos' END
     FROM parametros_maestros WHERE codigo <> 'A5'`,
  );
  const rowsOf = async (tabla: string) =>
    (await ask('/filas', { tabla, semilla, bits: 0, cubos: 'AQ==' })).lines.length;
  expect([await rowsOf('uno'), await rowsOf('dos')]).toEqual([2, 2]);
});

describe('what is refused', () => {
  test.each([
    ['a table that is not there', '/resumen', { tabla: 'otra', semilla, bits: 4 }, 404],
    ['too many bits', '/resumen', { tabla: 'articulos', semilla, bits: 21 }, 400],
    ['a seed that is SQL', '/resumen', { tabla: 'articulos', semilla: "1'; DROP TABLE x", bits: 4 }, 400],
    ['buckets that are no base64', '/filas', { tabla: 'articulos', semilla, bits: 4, cubos: '*' }, 400],
    [
      'too many keys',
      '/claves',
      { tabla: 'articulos', semilla, huellas: 'A'.repeat(300_000), claves: '', columnas: '' },
      400,
    ],
  ])('%s', async (_, path, body, status) => {
    expect((await ask(path, body)).status).toBe(status);
  });

  test("another tenant's rows", async () => {
    const foreign = await ask('/resumen', { tabla: 'articulos', semilla, bits: 4 }, { key: otherKey });
    expect(foreign.status).toBe(401);
  });
});

test('of a table the newest 50 comparisons are kept', async () => {
  const figures = { filasOrigen: 1, filasDestino: 1, iguales: 1, distintas: 0, faltan: 0, sobran: 0, enVuelo: 0 };
  const result = (n: number, tabla: string) => ({
    ...{ tabla, direccion: 'upload', estado: 'iguales', ...figures, reparadas: n, muestras: [], mensaje: null },
    ...{ inicio: '2026-11-30T17:00:00.000Z', fin: '2026-11-30T17:00:01.000Z' },
  });
  for (let n = 0; n < 53; n++) expect((await ask('', result(n, 'articulos'))).status).toBe(200);
  await ask('', result(0, 'uno'));
  await ask('', result(0, 'articulos'), { tenant: 'otro-001', key: otherKey }, 'otro-001');
  const { rows } = await server.sql.query<{ cuantas: string; primera: string }>(
    `SELECT count(*) AS cuantas, min(reparadas) AS primera FROM sync_verificaciones GROUP BY "tenantId", tabla ORDER BY 1 DESC`,
  );
  expect(rows).toEqual([
    { cuantas: '50', primera: '3' },
    { cuantas: '1', primera: '0' },
    { cuantas: '1', primera: '0' },
  ]);
  expect((await ask('', { ...result(1, 'articulos'), estado: 'otro' })).status).toBe(400);
});
