import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { digestOf, formatContentDigest } from '../../protocol/digest.ts';
import { pathTo } from '../../protocol/endpoints.ts';
import { startTestServer, type TestServer } from '../testing/start-test-server.ts';
import { ParsedTables } from './parsed-tables.ts';

const stamp = 'a'.repeat(64);

test('what is held is bounded in tenants and in characters; who asked last stays', () => {
  const parsed = new ParsedTables({ entriesMax: 3, textMax: 100 });
  for (const tenant of ['a', 'b', 'c']) parsed.parse(tenant, stamp, '{}');
  expect(parsed.find('a')?.stamp).toBe(stamp);
  parsed.parse('d', stamp, '{}');
  expect(['a', 'b', 'c', 'd'].filter((tenant) => parsed.find(tenant) !== undefined)).toEqual(['a', 'c', 'd']);
  parsed.parse('e', stamp, JSON.stringify('x'.repeat(94)));
  expect(parsed.usage).toEqual({ entries: 3, length: 100 });
  parsed.parse('f', stamp, '[1]');
  expect(parsed.usage).toEqual({ entries: 2, length: 99 });
  parsed.parse('g', stamp, '[2]');
  expect(parsed.usage).toEqual({ entries: 2, length: 6 });
});

test('what passes the bound by itself is parsed and not held, nor is what was held of it before', () => {
  const parsed = new ParsedTables({ textMax: 10 });
  parsed.parse('a', stamp, '{}');
  expect(parsed.parse('a', 'b'.repeat(64), '[1,2,3,4,5]')).toEqual([1, 2, 3, 4, 5]);
  expect(parsed.find('a')).toBeUndefined();
  expect(parsed.usage).toEqual({ entries: 0, length: 0 });
});

test('a request cannot change what others get', () => {
  const tables = new ParsedTables().parse('a', stamp, '{"tablasSubida":[{"nombre":"x"}]}') as {
    tablasSubida: { nombre: string }[];
  };
  expect(() => tables.tablasSubida.push({ nombre: 'y' })).toThrow(TypeError);
  expect(() => {
    tables.tablasSubida[0]!.nombre = 'y';
  }).toThrow(TypeError);
});

describe('what changes between two requests', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer(inject('postgresUrl'));
  });
  afterAll(() => server?.close());

  const tablesOf = (...names: string[]) => ({
    tablasSubida: names.map((nombre) => ({ nombre, primaryKey: 'id', process: { query: 'SELECT 1' } })),
    tablasBajada: [],
  });

  /** A tenant that this process holds the tables of: `clientes` alone. */
  async function heldTenant(tenantId: string) {
    const key = await server.addTenant(tenantId, tablesOf('clientes'));
    const as = { tenant: tenantId, key };
    const open = async (tabla: string) => {
      const json = { tabla, modo: 'incremental' };
      const response = await server.call(pathTo('openUpload', { tenantId }), { ...as, method: 'POST', json });
      return { status: response.status, ...((await response.json()) as { id?: string; code?: string }) };
    };
    expect((await open('clientes')).status).toBe(201);
    return { ...as, open };
  }

  const putChunk = async (as: { tenant: string; key: string }, id: string, n: number) => {
    const body = new Uint8Array(gzipSync(`{"id":${n}}\n`));
    const headers = { 'content-type': 'application/gzip', 'content-digest': formatContentDigest(digestOf(body)) };
    const path = pathTo('putChunk', { tenantId: as.tenant, id, n: String(n) });
    const response = await server.call(path, { ...as, method: 'PUT', headers, body });
    return { status: response.status, ...((await response.json()) as { code?: string }) };
  };

  test('the tables: what config set, or plain SQL, makes of them counts from the next request on', async () => {
    const { tenant, open } = await heldTenant('tablas-001');
    expect((await open('pedidos')).code).toBe('TABLA_DESCONOCIDA');
    await server.setTables(tablesOf('pedidos'), tenant);
    expect((await open('pedidos')).status).toBe(201);
    expect((await open('clientes')).code).toBe('TABLA_DESCONOCIDA');
  });

  test('the tables, though version and time stay: triggers that are off, a row that was restored', async () => {
    const { tenant, open } = await heldTenant('tablas-002');
    const row = async () =>
      (
        await server.sql.query('SELECT version, "ultimaModificacion" FROM sync_configurations WHERE "tenantId" = $1', [
          tenant,
        ])
      ).rows;
    const before = await row();
    await server.sql.query('ALTER TABLE sync_configurations DISABLE TRIGGER USER');
    await server.setTables(tablesOf('pedidos'), tenant);
    await server.sql.query('ALTER TABLE sync_configurations ENABLE TRIGGER USER');
    expect(await row()).toEqual(before);
    expect((await open('pedidos')).status).toBe(201);
    expect((await open('clientes')).code).toBe('TABLA_DESCONOCIDA');
  });

  test('between two chunks: the tables, the tenant, its key; the second is answered by what is now', async () => {
    const as = await heldTenant('trozos-003');
    const { id } = (await as.open('clientes')) as { id: string };
    expect((await putChunk(as, id, 0)).status).toBe(200);
    await server.sql.query(`UPDATE sync_configurations SET activo = false WHERE "tenantId" = 'trozos-003'`);
    expect(await putChunk(as, id, 1)).toMatchObject({ status: 403, code: 'TENANT_INACTIVO' });
    await server.sql.query(`UPDATE sync_configurations SET activo = true WHERE "tenantId" = 'trozos-003'`);
    expect((await putChunk(as, id, 1)).status).toBe(200);
    await server.setTables(tablesOf('pedidos'), as.tenant);
    expect((await putChunk(as, id, 2)).status).toBe(200);
    const commit = await server.call(pathTo('commitUpload', { tenantId: as.tenant, id }), {
      ...as,
      method: 'POST',
      json: { trozos: 3, filas: 3, digest: '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' },
    });
    expect(((await commit.json()) as { code: string }).code).toBe('TABLA_DESCONOCIDA');
    await server.sql.query(`UPDATE sync_api_keys SET "revokedAt" = now() WHERE "tenantId" = 'trozos-003'`);
    expect(await putChunk(as, id, 3)).toMatchObject({ status: 401, code: 'NO_AUTORIZADO' });
  });

  test('a configuration that became invalid, and one that became valid', async () => {
    const { tenant, open } = await heldTenant('valida-004');
    await server.setTables({ tablasSubida: [{ nombre: 'x' }] }, tenant);
    expect((await open('x')).code).toBe('CONFIG_INVALIDA');
    expect((await open('x')).code).toBe('CONFIG_INVALIDA');
    await server.setTables(tablesOf('x'), tenant);
    expect((await open('x')).status).toBe(201);
  });
});
