import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { loadConfig } from '../config.ts';
import { startTestServer, type TestServer } from '../testing/start-test-server.ts';
import { configSet } from './config-set.ts';

let server: TestServer;
let folder: string;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'));
  folder = await mkdtemp(join(tmpdir(), 'ax-config-'));
});
afterAll(async () => {
  await server?.close();
  await rm(folder, { recursive: true, force: true });
});

test('config set says which columns are the key where it is not plainly codigo', async () => {
  const tabla = (nombre: string, primaryKey?: string | string[]) => ({
    ...{ nombre, tipoCampo: nombre, process: { query: 'SELECT 1' } },
    ...(primaryKey === undefined ? {} : { primaryKey }),
  });
  const tables = join(folder, 'claves.json');
  const tablasSubida = [
    tabla('sin'),
    tabla('una', 'id'),
    tabla('varias', ['empresa', 'codigo']),
    tabla('igual', 'codigo'),
  ];
  await writeFile(tables, JSON.stringify({ tablasSubida }));
  const told = await configSet(loadConfig({ DATABASE_URL: server.databaseUrl }), server.tenant, { tables });
  expect(told.split('\n').slice(1)).toEqual([
    '  «una»: la clave es id, o codigo si la consulta lo da en su lugar.',
    '  «varias»: la clave son empresa, codigo.',
  ]);
});

test('config set says what becomes of rows whose campoFecha is NULL, table by table', async () => {
  const tabla = (nombre: string, filter: string, more: object = {}) => ({
    ...{ nombre, incremental: true, campoFecha: 'f', ...more },
    process: { query: `SELECT codigo, f FROM v WHERE ${filter}` },
  });
  const tables = join(folder, 'tablas.json');
  const tablasSubida = [
    tabla('rara', 'NOT f <= @ultimaSync'),
    tabla('sola', 'f > @ultimaSync'),
    tabla('semanal', 'f > @ultimaSync', { completoCada: '7d' }),
    tabla('escrita', 'NOT f <= @ultimaSync OR v.[f] IS NULL'),
    { nombre: 'entera', process: { query: 'SELECT codigo FROM v' } },
  ];
  await writeFile(tables, JSON.stringify({ tablasSubida }));
  const told = await configSet(loadConfig({ DATABASE_URL: server.databaseUrl }), server.tenant, { tables });
  expect(told.split('\n').slice(1)).toEqual([
    '  «rara»: si «f» admite NULL, esas filas no suben nunca: escriba el filtro como f > @ultimaSync, o añada OR f IS NULL.',
    '  «sola»: si «f» admite NULL, esas filas suben con la primera lectura y después con cada lectura completa (con sync --desde-cero).',
    '  «semanal»: si «f» admite NULL, esas filas suben con la primera lectura y después con cada lectura completa (7d).',
  ]);
});
