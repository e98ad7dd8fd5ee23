import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import type { OpenUploadResponse, UploadResult } from '../protocol/api.ts';
import { digestOf, digestOfDigests, formatContentDigest } from '../protocol/digest.ts';
import type { Problem } from '../protocol/errors.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** Which columns are the key of a row, and what becomes of rows whose keys meet. */

const process = { query: 'SELECT 1' };
const tables = {
  tablasSubida: [
    { nombre: 'vista_clientes', primaryKey: ['empresa', 'codigo'], process },
    { nombre: 'vista_proveedores', primaryKey: 'id', process },
    { nombre: 'vista_productos', primaryKey: 'codigo', process },
    { nombre: 'vista_lineas', primaryKey: ['serie', 'numero'], clavesRepetidas: 'ultima', process },
    { nombre: 'norte', tipoCampo: 'socio', primaryKey: ['zona', 'id'], process },
    { nombre: 'sur', tipoCampo: 'socio', primaryKey: ['zona', 'id'], process },
  ],
};

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'), { tables });
});
afterAll(() => server?.close());
beforeEach(async () => {
  await server.sql.query('TRUNCATE parametros_maestros, sync_logs, sync_cerrojos');
  await server.setTables(tables);
});

async function readRows(tipoCampo: string): Promise<Record<string, string>> {
  const { rows } = await server.sql.query(
    `SELECT codigo, parametros_json::text AS json FROM parametros_maestros WHERE tipo_campo = $1 ORDER BY codigo`,
    [tipoCampo],
  );
  return Object.fromEntries(rows.map(({ codigo, json }) => [codigo, json]));
}

const toLines = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('');

async function uploadOnce(tabla: string, rows: readonly object[] | string) {
  const response = await server.call(`/upload/acme-001?tabla=${tabla}&modo=completo`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: typeof rows === 'string' ? rows : toLines(rows),
  });
  const answer = await response.json();
  return { status: response.status, result: answer as UploadResult, problem: answer as Problem };
}

/** Resumable, a chunk for each list; each is sent twice, as after a lost answer. */
async function uploadChunks(tabla: string, ...chunks: readonly (readonly object[])[]) {
  const opened = await server.call('/uploads/acme-001', { method: 'POST', json: { tabla, modo: 'completo' } });
  const { id } = (await opened.json()) as OpenUploadResponse;
  const digests: string[] = [];
  for (const [n, rows] of chunks.entries()) {
    const body = new Uint8Array(gzipSync(toLines(rows)));
    digests.push(digestOf(body));
    for (let time = 0; time < 2; time++) {
      const response = await server.call(`/uploads/acme-001/${id}/chunks/${n}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/gzip', 'content-digest': formatContentDigest(digests[n]!) },
        body,
      });
      if (!response.ok) return { status: response.status, problem: (await response.json()) as Problem };
    }
  }
  const filas = chunks.flat().length;
  const json = { trozos: chunks.length, filas, digest: digestOfDigests(digests) };
  const response = await server.call(`/uploads/acme-001/${id}/commit`, { method: 'POST', json });
  const answer = await response.json();
  return { status: response.status, result: answer as UploadResult, problem: answer as Problem };
}

describe.each([
  ['one-shot', uploadOnce],
  ['resumable', uploadChunks],
] as const)('%s', (_kind, upload) => {
  test('a composite key that is configured is the key, also where codigo is one of its columns', async () => {
    const rows = [
      { empresa: 1, codigo: 'A1', cuit: 'x' },
      { empresa: 2, codigo: 'A1', cuit: 'y' },
    ];
    expect(await upload('vista_clientes', rows)).toMatchObject({ status: 200, result: { registrosInsertados: 2 } });
    expect(await readRows('cliente')).toEqual({
      '1|A1': '{"cuit": "x", "codigo": "A1", "empresa": 1}',
      '2|A1': '{"cuit": "y", "codigo": "A1", "empresa": 2}',
    });
    expect(await upload('vista_clientes', rows)).toMatchObject({ result: { registrosSinCambios: 2 } });
  });

  test('codigo that stands in for primaryKey is the key; both, and different, are refused by their row', async () => {
    expect(await upload('vista_proveedores', [{ codigo: 'X' }, { id: 8 }, { id: 9, codigo: '9' }])).toMatchObject({
      status: 200,
    });
    expect(Object.keys(await readRows('proveedor'))).toEqual(['8', '9', 'X']);
    const { problem } = await upload('vista_proveedores', [{ id: 1 }, { id: 7, codigo: 'A7' }]);
    expect(problem).toMatchObject({ status: 422, code: 'CLAVE_AMBIGUA', linea: 2, campo: 'id' });
    expect(problem.mensaje).toContain('«codigo»');
    expect(Object.keys(await readRows('proveedor'))).toEqual(['8', '9', 'X']);
  });
});

test('rows of one upload with one key end the table, with the key and both rows, and change nothing', async () => {
  await uploadOnce('vista_productos', [{ codigo: 'Z' }]);
  const rows = [{ codigo: 'A' }, { codigo: 'B' }, { codigo: 'C' }, { codigo: 'B', x: 1 }, { codigo: 'A' }];
  const { problem } = await uploadOnce('vista_productos', rows);
  expect(problem).toMatchObject({ status: 422, code: 'CLAVE_REPETIDA', tabla: 'vista_productos', linea: 4 });
  expect(problem.detail).toMatch(/«B».*\b2\b.*\b4\b.*2 claves/);
  expect(Object.keys(await readRows('producto'))).toEqual(['Z']);
});

test('across chunks too, by the row of the whole upload; a chunk that is sent twice is no repetition', async () => {
  const { problem } = await uploadChunks('vista_productos', [{ codigo: 'A' }, { codigo: 'B' }], [{ codigo: 'A' }]);
  expect(problem).toMatchObject({ status: 422, code: 'CLAVE_REPETIDA', linea: 3 });
  expect(problem.detail).toMatch(/«A».*\b1\b.*\b3\b/);
  expect(await readRows('producto')).toEqual({});
  const good = await uploadChunks('vista_productos', [{ codigo: 'A' }, { codigo: 'B' }], [{ codigo: 'C' }]);
  expect(good).toMatchObject({ status: 200, result: { registrosInsertados: 3, clavesRepetidas: 0 } });
});

test.each([
  [
    'one-shot',
    () =>
      uploadOnce('vista_lineas', [
        { serie: 1, numero: 1, v: 1 },
        { serie: 1, numero: 1, v: 2 },
      ]),
  ],
  ['resumable', () => uploadChunks('vista_lineas', [{ serie: 1, numero: 1, v: 1 }], [{ serie: 1, numero: 1, v: 2 }])],
])('with clavesRepetidas «ultima» the last one wins, and the others are counted: %s', async (_kind, upload) => {
  expect(await upload()).toMatchObject({ result: { registrosInsertados: 1, clavesRepetidas: 1 } });
  expect(await readRows('linea')).toEqual({ '1|1': '{"v": 2, "serie": 1, "numero": 1}' });
});

test('two tables of one tipoCampo whose keys meet: the second is refused with the key and the first, and changes nothing', async () => {
  expect(await uploadOnce('norte', [{ zona: 'N', id: 1 }])).toMatchObject({ status: 200 });
  expect(await uploadOnce('sur', [{ zona: 'S', id: 1 }])).toMatchObject({ status: 200 });
  const { problem } = await uploadOnce('sur', [
    { zona: 'S', id: 2 },
    { zona: 'N', id: 1, robada: true },
  ]);
  expect(problem).toMatchObject({ status: 422, code: 'CLAVE_DE_OTRA_TABLA', tabla: 'sur' });
  expect(problem.detail).toContain('«N|1»');
  expect(problem.detail).toContain('«norte»');
  expect(Object.keys(await readRows('socio'))).toEqual(['N|1', 'S|1']);
  expect(await uploadOnce('norte', [{ zona: 'N', id: 1, nueva: true }])).toMatchObject({ status: 200 });
});

test('rows of a table that had its tipoCampo for itself stay its own when another one comes to share it', async () => {
  const alone = { ...tables, tablasSubida: tables.tablasSubida.filter(({ nombre }) => nombre !== 'sur') };
  await server.setTables(alone);
  await uploadOnce('norte', [{ zona: 'N', id: 1 }]);
  await server.setTables(tables);
  expect((await uploadOnce('sur', [{ zona: 'N', id: 1 }])).problem).toMatchObject({ code: 'CLAVE_DE_OTRA_TABLA' });
  // A table that is gone holds nothing.
  await server.setTables({
    tablasSubida: tables.tablasSubida.map((tabla) => (tabla.nombre === 'norte' ? { ...tabla, nombre: 'este' } : tabla)),
  });
  expect(await uploadOnce('sur', [{ zona: 'N', id: 1 }])).toMatchObject({ status: 200 });
});

test('tables that derive one tipo_campo are named, stored as they are, and nothing of them is applied', async () => {
  const alike = [
    { nombre: 'vista_clientes', process },
    { nombre: 'dbo.vista_clientes', tipoCampo: 'cliente', process },
  ];
  await server.setTables({ tablasSubida: alike });
  const { problem } = await uploadOnce('vista_clientes', [{ codigo: 'A' }]);
  expect(problem).toMatchObject({
    status: 422,
    code: 'CONFIG_INVALIDA',
    campo: 'configuracionTablas.tablasSubida[0].tipoCampo',
  });
  expect(problem.detail).toContain('dbo.vista_clientes');
  expect(await readRows('cliente')).toEqual({});
});

test('a number that differs in its scale alone is a change, and the new text stays', async () => {
  await uploadOnce(
    'vista_productos',
    '{"codigo":"A","precio":10.5,"n":1}\n{"codigo":"B","precio":10.50,"n":{"a":[1.0]}}\n',
  );
  const { result } = await uploadOnce(
    'vista_productos',
    '{"codigo":"A","precio":10.5000,"n":1}\n{"n":{"a":[1.0]},"codigo":"B","precio":10.50}\n',
  );
  expect(result).toMatchObject({ registrosActualizados: 1, registrosSinCambios: 1 });
  expect(await readRows('producto')).toEqual({
    A: '{"n": 1, "precio": 10.5000}',
    B: '{"n": {"a": [1.0]}, "precio": 10.50}',
  });
});

test('keys that SQL Server takes for one go up, and both are named in the answer and in the log', async () => {
  const { result } = await uploadOnce('vista_productos', [{ codigo: 'ab' }, { codigo: 'ñu' }, { codigo: '1' }]);
  expect(result.clavesParecidas).toBeUndefined();
  const next = await uploadOnce('vista_productos', [
    { codigo: 'AB' },
    { codigo: 'ÑU ' },
    { codigo: '1 ' },
    { codigo: '2' },
  ]);
  expect(next).toMatchObject({ status: 200, result: { registrosInsertados: 4 } });
  expect(next.result.clavesParecidas).toMatchObject({ pares: 3 });
  expect(next.result.clavesParecidas!.muestra.map((pair) => [...pair].sort()).sort()).toEqual([
    ['1', '1 '],
    ['AB', 'ab'],
    ['ÑU ', 'ñu'],
  ]);
  const { rows } = await server.sql.query(
    `SELECT mensaje FROM sync_logs WHERE tabla = 'vista_productos' ORDER BY "createdAt" DESC LIMIT 1`,
  );
  expect(rows[0].mensaje).toMatch(/3 pares de claves/);
  // Told once.
  const again = await uploadOnce('vista_productos', [{ codigo: 'AB', x: 1 }, { codigo: '3' }]);
  expect(again.result.clavesParecidas).toBeUndefined();
});

test('among thousands of new keys, too', async () => {
  const many = Array.from({ length: 2500 }, (_, index) => ({ codigo: `k${index}` }));
  const { result } = await uploadOnce('vista_productos', [...many, { codigo: 'K7' }, { codigo: 'k8 ' }]);
  expect(result.clavesParecidas).toEqual({
    pares: 2,
    muestra: [
      ['K7', 'k7'],
      ['k8', 'k8 '],
    ],
  });
  const rename = (change: (key: string) => string) => many.map(({ codigo }) => ({ codigo: change(codigo) }));
  const others = await uploadOnce(
    'vista_productos',
    rename((key) => `x${key}`),
  );
  expect(others.result.clavesParecidas).toBeUndefined();
  // All written alike, each another's.
  const capitals = await uploadOnce(
    'vista_productos',
    rename((key) => `X${key.toUpperCase()}`),
  );
  expect(capitals.result.clavesParecidas).toMatchObject({ pares: 2500 });
});
