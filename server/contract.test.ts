import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { ConfigResponse } from '../protocol/tenant-config/config.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** The specification's API Reference and its SQL, entry by entry: exact keys and values, over real HTTP. */

const tables = {
  tablasSubida: [
    { nombre: 'vista_proveedores', primaryKey: 'id', incremental: false, process: { query: 'SELECT 1' } },
    { nombre: 'vista_productos', primaryKey: 'codigo', process: { query: 'SELECT 1' } },
  ],
  tablasBajada: [
    {
      nombre: 'plan_cuentas',
      primaryKey: 'codigo',
      schema: {
        columns: [
          { name: 'codigo', type: 'VARCHAR(20)', nullable: false },
          { name: 'nombre', type: 'VARCHAR(200)', nullable: false },
          { name: 'tipo', type: 'VARCHAR(50)', nullable: true },
        ],
      },
      process: { query: 'parametros_maestros.tipo_campo=cuenta' },
    },
  ],
};
const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'), { tables });
});
afterAll(() => server?.close());

test('GET /health answers without credentials', async () => {
  const response = await fetch(`${server.url}/api/sync/health`);
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ success: true, status: 'ok' });
});

describe('GET /config', () => {
  test('answers the keys of the specification in its order', async () => {
    const response = await server.call('/config/acme-001');
    expect(response.status).toBe(200);
    const body = (await response.json()) as Record<string, unknown>;
    expect(Object.keys(body)).toEqual([
      'success',
      'id',
      'tenantId',
      'sqlServerHost',
      'sqlServerPort',
      'sqlServerDatabase',
      'sqlServerUser',
      'sqlServerPassword',
      'configuracionTablas',
      'version',
      'ultimaModificacion',
    ]);
    expect(body).toMatchObject({
      success: true,
      id: expect.stringMatching(/^c[0-9a-z]{24}$/),
      tenantId: 'acme-001',
      sqlServerHost: '192.168.1.100',
      sqlServerPort: 1433,
      configuracionTablas: tables,
      ultimaModificacion: expect.stringMatching(INSTANT),
    });
  });

  test('is not sent again until an UPDATE, which raises the version and moves ultimaModificacion', async () => {
    const first = await server.call('/config/acme-001');
    const etag = first.headers.get('etag')!;
    const before = (await first.json()) as { version: number; ultimaModificacion: string };
    const again = await server.call('/config/acme-001', { headers: { 'if-none-match': etag } });
    expect(again.status).toBe(304);
    expect(await again.text()).toBe('');

    await server.sql.query(
      `UPDATE sync_configurations SET "configuracionTablas" = '{"tablasSubida": []}'::jsonb WHERE "tenantId" = 'acme-001'`,
    );
    const changed = await server.call('/config/acme-001', { headers: { 'if-none-match': etag } });
    expect(changed.status).toBe(200);
    const after = (await changed.json()) as typeof before;
    expect(after.version).toBe(before.version + 1);
    expect(Date.parse(after.ultimaModificacion)).toBeGreaterThan(Date.parse(before.ultimaModificacion));

    await server.sql.query(`UPDATE sync_configurations SET activo = activo WHERE "tenantId" = 'acme-001'`);
    const untouched = await server.call('/config/acme-001', {
      headers: { 'if-none-match': changed.headers.get('etag')! },
    });
    expect(untouched.status).toBe(304);
    await server.setTables(tables);
  });

  test('is sent again after a restore and one change, though id and version are those of what was sent before', async () => {
    const restore = await server.backUp();
    const ask = async (etag?: string) => {
      const response = await server.call('/config/acme-001', {
        headers: etag === undefined ? {} : { 'if-none-match': etag },
      });
      const body = response.status === 200 ? ((await response.json()) as ConfigResponse) : undefined;
      return { status: response.status, etag: response.headers.get('etag')!, body };
    };
    await server.setTables({ tablasSubida: [] });
    const sent = await ask();
    await restore();
    await server.setTables({ tablasBajada: [] });
    const now = await ask(sent.etag);
    expect(now).toMatchObject({ status: 200, body: { configuracionTablas: { tablasBajada: [] } } });
    expect([now.body!.id, now.body!.version]).toEqual([sent.body!.id, sent.body!.version]);
    expect((await ask(now.etag)).status).toBe(304);

    // Of the database's password, which each answer seals anew, too.
    const change = (password: string) =>
      server.sql.query('UPDATE sync_configurations SET "sqlServerPassword" = $1', [password]);
    await restore();
    await change('una');
    const one = await ask();
    await restore();
    await change('otra');
    expect((await ask(one.etag)).body!.sqlServerPassword).toBe('otra');
    await restore();
  });
});

test('POST /upload takes the example of the specification', async () => {
  const response = await server.call('/upload/acme-001', {
    method: 'POST',
    json: {
      tabla: 'proveedores',
      data: [
        { codigo: '001', nombre: 'Proveedor A', cuit: '20-12345678-9' },
        { codigo: '002', nombre: 'Proveedor B', cuit: '20-87654321-0' },
      ],
      timestamp: '2024-01-15T10:35:00Z',
    },
  });
  expect(response.status).toBe(200);
  const body = (await response.json()) as Record<string, unknown>;
  expect(Object.keys(body)).toEqual(['success', 'tabla', 'registrosInsertados', 'timestamp']);
  expect(body).toEqual({
    success: true,
    tabla: 'proveedores',
    registrosInsertados: 2,
    timestamp: expect.stringMatching(INSTANT),
  });
  const { rows } = await server.sql.query(
    `SELECT tipo_campo, codigo, nombre, activo, parametros_json FROM parametros_maestros
     WHERE "tenantId" = 'acme-001' ORDER BY codigo`,
  );
  const common = { tipo_campo: 'proveedor', activo: true };
  expect(rows).toEqual([
    { ...common, codigo: '001', nombre: 'Proveedor A', parametros_json: { cuit: '20-12345678-9' } },
    { ...common, codigo: '002', nombre: 'Proveedor B', parametros_json: { cuit: '20-87654321-0' } },
  ]);
});

test('GET /download answers the keys of the specification in its order', async () => {
  await server.sql.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, activo, parametros_json) VALUES
       ('acme-001', 'cuenta', '1.1.02', 'Banco', true, '{"tipo": "Activo"}'),
       ('acme-001', 'cuenta', '1.1.01', 'Caja', false, '{"tipo": "Activo", "otro": 1}')`,
  );
  const response = await server.call('/download/acme-001?tabla=plan_cuentas');
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toMatch(/^application\/json/);
  const body = (await response.json()) as Record<string, unknown>;
  expect(Object.keys(body)).toEqual(['success', 'tabla', 'data', 'schema', 'timestamp']);
  expect(body).toEqual({
    success: true,
    tabla: 'plan_cuentas',
    data: [
      { codigo: '1.1.01', nombre: 'Caja', tipo: 'Activo' },
      { codigo: '1.1.02', nombre: 'Banco', tipo: 'Activo' },
    ],
    schema: tables.tablasBajada[0]!.schema,
    timestamp: expect.stringMatching(INSTANT),
  });
});

test('POST /logs takes the example of the specification', async () => {
  const log = {
    direccion: 'upload',
    tabla: 'productos',
    fase: 'process',
    ejecutadoEn: 'origen',
    estado: 'exitoso',
    registrosAfectados: 25,
    mensaje: 'Datos extraídos exitosamente',
    duracionMs: 1234,
    fechaInicio: '2024-01-15T10:30:00Z',
    fechaFin: '2024-01-15T10:30:01Z',
  };
  const response = await server.call('/logs/acme-001', { method: 'POST', json: { logs: [log] } });
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ success: true, logsInsertados: 1 });
  const { rows } = await server.sql.query(
    `SELECT l.*, c.id AS esperado FROM sync_logs l JOIN sync_configurations c ON c."tenantId" = l."tenantId"
     WHERE l.tabla = 'productos'`,
  );
  expect(rows).toHaveLength(1);
  expect(rows[0]).toMatchObject({
    ...log,
    fechaInicio: new Date(log.fechaInicio),
    fechaFin: new Date(log.fechaFin),
    tenantId: 'acme-001',
    errorDetalle: null,
    metadatos: null,
  });
  expect(rows[0].configId).toBe(rows[0].esperado);
});

test('a log that is none is refused with the field named, and nothing is stored', async () => {
  const entry = { direccion: 'upload', tabla: 'rechazada', estado: 'exitoso', fechaInicio: '2024-01-15T10:30:00Z' };
  const response = await server.call('/logs/acme-001', {
    method: 'POST',
    json: { logs: [entry, { ...entry, estado: 'regular' }] },
  });
  expect(response.status).toBe(400);
  const body = (await response.json()) as { campo: string };
  expect(body).toMatchObject({ code: 'CUERPO_INVALIDO', success: false });
  expect(body.campo).toMatch(/^logs\.1\.estado/);
  const { rowCount } = await server.sql.query(`SELECT FROM sync_logs WHERE tabla = 'rechazada'`);
  expect(rowCount).toBe(0);
});

test("the specification's INSERT of a tenant and its maintenance queries work as they are written", async () => {
  await server.sql.query(`
    INSERT INTO sync_configurations ("tenantId", "sqlServerHost", "sqlServerPort", "sqlServerDatabase", "sqlServerUser",
      "sqlServerPassword", "configuracionTablas", "activo")
    VALUES ('acme-corp-001', '192.168.1.100', 1433, 'EmpresaDB', 'sync_user', 'encrypted_password',
      '{"tablasSubida": [], "tablasBajada": []}'::jsonb, true)`);
  const { rows } = await server.sql.query(`SELECT * FROM sync_configurations WHERE "tenantId" = 'acme-corp-001'`);
  expect(rows[0]).toMatchObject({ version: 1, activo: true, ultimaModificacion: expect.any(Date) });
  await server.sql.query(`
    SELECT tabla, direccion, COUNT(*) as total_ejecuciones, SUM(CASE WHEN estado = 'exitoso' THEN 1 ELSE 0 END) as exitosas,
      AVG("duracionMs") as duracion_promedio_ms, SUM("registrosAfectados") as total_registros
    FROM sync_logs WHERE "tenantId" = 'acme-001' AND "createdAt" > NOW() - INTERVAL '30 days'
    GROUP BY tabla, direccion ORDER BY tabla, direccion`);
});

describe('credentials', () => {
  const refused = { status: 401, code: 'NO_AUTORIZADO', success: false };

  test.each([
    ['no key', { headers: {}, key: '' }],
    ['an unknown key', { key: 'sk_live_abc123xyz789' }],
    ['an unknown tenant', { tenant: 'nadie' }],
  ])('with %s, the same answer', async (_what, init) => {
    const response = await server.call('/config/acme-001', init);
    expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/);
    expect(await response.json()).toEqual({
      ...((await (await server.call('/config/acme-001', { key: 'otra' })).json()) as object),
      ...refused,
    });
  });

  test("one tenant's key does not open another's path or header", async () => {
    const key = await server.addTenant('otro-002');
    expect((await server.call('/config/otro-002', { tenant: 'otro-002', key })).status).toBe(200);
    expect((await server.call('/config/acme-001', { tenant: 'acme-001', key })).status).toBe(401);
    expect((await server.call('/config/acme-001', { tenant: 'otro-002', key })).status).toBe(401);
    expect((await server.call('/config/otro-002', { tenant: 'acme-001', key })).status).toBe(401);
  });

  test('a revoked or expired key is refused; lastUsedAt is noted', async () => {
    const key = await server.addTenant('con-claves-003');
    const open = () => server.call('/config/con-claves-003', { tenant: 'con-claves-003', key });
    const set = (what: string) =>
      server.sql.query(`UPDATE sync_api_keys SET ${what} WHERE "tenantId" = 'con-claves-003'`);
    expect((await open()).status).toBe(200);
    const { rows } = await server.sql.query(`SELECT * FROM sync_api_keys WHERE "tenantId" = 'con-claves-003'`);
    expect(rows[0].lastUsedAt).toBeInstanceOf(Date);
    expect(JSON.stringify(rows[0])).not.toContain(key);
    await set(`"expiresAt" = now() - interval '1 second'`);
    expect((await open()).status).toBe(401);
    await set(`"expiresAt" = NULL, "revokedAt" = now()`);
    expect((await open()).status).toBe(401);
  });

  test('an inactive tenant is told so', async () => {
    const key = await server.addTenant('inactivo-004');
    await server.sql.query(`UPDATE sync_configurations SET activo = false WHERE "tenantId" = 'inactivo-004'`);
    const response = await server.call('/config/inactivo-004', { tenant: 'inactivo-004', key });
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ code: 'TENANT_INACTIVO' });
  });
});

test('an unknown address, media type or Accept is a problem answer with its code', async () => {
  const nowhere = await fetch(`${server.url}/api/sync/nada`);
  expect([nowhere.status, await nowhere.json()]).toMatchObject([404, { code: 'RUTA_DESCONOCIDA' }]);
  const xml = await server.call('/upload/acme-001?tabla=vista_proveedores', {
    method: 'POST',
    headers: { 'content-type': 'text/xml' },
    body: '<a/>',
  });
  expect([xml.status, await xml.json()]).toMatchObject([415, { code: 'TIPO_NO_ADMITIDO' }]);
  const csv = await server.call('/download/acme-001?tabla=plan_cuentas', { headers: { accept: 'text/csv' } });
  expect([csv.status, await csv.json()]).toMatchObject([406, { code: 'NO_ACEPTABLE' }]);
  const table = await server.call('/download/acme-001?tabla=nada');
  expect([table.status, await table.json()]).toMatchObject([404, { code: 'TABLA_DESCONOCIDA', tabla: 'nada' }]);
});

test('an invalid configuration is named where it is used', async () => {
  const key = await server.addTenant('mal-005', { tablasSubida: [{ nombre: 'x' }] });
  const response = await server.call('/upload/mal-005?tabla=x', {
    tenant: 'mal-005',
    key,
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body: '{}',
  });
  expect(response.status).toBe(422);
  expect(await response.json()).toMatchObject({
    code: 'CONFIG_INVALIDA',
    campo: 'configuracionTablas.tablasSubida[0].process',
  });
});

test('the OpenAPI document is there', async () => {
  const docs = (await (await fetch(`${server.url}/api/sync/docs/json`)).json()) as { paths: object };
  expect(Object.keys(docs.paths)).toContain('/api/sync/uploads/{tenantId}/{id}/chunks/{n}');
});
