import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

const process = { query: 'SELECT 1' };
const at = (ejecutarEn: string, sql: string) => ({ enabled: true, ejecutarEn, sql });
const upload = (nombre: string, phases: object) => ({ nombre, primaryKey: 'id', process, ...phases });

let server: TestServer;
let otherKey: string;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'));
  otherKey = await server.addTenant('otro-002');
  // What an administrator takes from the tenants' roles is given back: isolation does not rest on that.
  await server.sql.query(
    'GRANT EXECUTE ON FUNCTION set_config(text, text, boolean), pg_advisory_xact_lock(bigint) TO PUBLIC',
  );
});
afterAll(() => server?.close());
beforeEach(async () => {
  await server.sql.query('TRUNCATE parametros_maestros, sync_logs');
  await server.sql.query(`
    INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre) VALUES
      ('acme-001', 'cliente', '9', 'Propio'), ('otro-002', 'cliente', '9', 'Ajeno')`);
});

async function uploadTo(tabla: string, body = '{"id":1,"nombre":"Nuevo"}') {
  const response = await server.call(`/upload/acme-001?tabla=${tabla}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body,
  });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
}

async function names(): Promise<string[]> {
  const { rows } = await server.sql.query(
    `SELECT "tenantId" || ' ' || codigo || ' ' || nombre AS fila FROM parametros_maestros ORDER BY 1`,
  );
  return rows.map(({ fila }) => fila);
}

async function logs(): Promise<Record<string, unknown>[]> {
  const { rows } = await server.sql.query(`SELECT * FROM sync_logs ORDER BY "fechaInicio", "createdAt", fase DESC`);
  return rows;
}

test('phases at destino run around the merge, see only their tenant, and are logged with it', async () => {
  await server.setTables({
    tablasSubida: [
      upload('clientes', {
        pre_process: at('destino', `UPDATE parametros_maestros SET nombre = nombre || '!'`),
        post_process: at('destino', `UPDATE parametros_maestros SET nombre = nombre || '?'; SELECT 1`),
      }),
    ],
  });
  expect((await uploadTo('clientes')).status).toBe(200);
  expect(await names()).toEqual(['acme-001 1 Nuevo?', 'acme-001 9 Propio!?', 'otro-002 9 Ajeno']);
  const entries = await logs();
  expect(entries.map(({ fase }) => fase).sort()).toEqual(['post_process', 'pre_process', 'process']);
  for (const entry of entries)
    expect(entry).toMatchObject({ ejecutadoEn: 'destino', estado: 'exitoso', direccion: 'upload' });
});

test('what is answered is on the disk, also where the database says so later by default', async () => {
  const lazy = await startTestServer(`${inject('postgresUrl')}?options=-c%20synchronous_commit%3Doff`);
  try {
    const sql = `UPDATE parametros_maestros SET nombre = current_setting('synchronous_commit')`;
    await lazy.setTables({ tablasSubida: [upload('clientes', { post_process: at('destino', sql) })] });
    const headers = { 'content-type': 'application/x-ndjson' };
    await lazy.call(`/upload/acme-001?tabla=clientes`, { method: 'POST', headers, body: '{"id":1}' });
    expect((await lazy.sql.query(`SELECT current_setting('synchronous_commit') AS modo`)).rows).toEqual([
      { modo: 'off' },
    ]);
    expect((await lazy.sql.query('SELECT nombre FROM parametros_maestros')).rows).toEqual([{ nombre: 'on' }]);
  } finally {
    await lazy.close();
  }
});

test('phases at origen, disabled ones and those that say nothing are not run here', async () => {
  const bad = 'ESTO NO ES SQL';
  await server.setTables({
    tablasSubida: [
      upload('clientes', {
        pre_process: at('origen', bad),
        post_process: { enabled: false, ejecutarEn: 'destino', sql: bad },
      }),
      upload('productos', { pre_process: { enabled: true, sql: bad } }),
    ],
  });
  expect((await uploadTo('clientes')).status).toBe(200);
  expect((await uploadTo('productos')).status).toBe(200);
});

test.each([
  ['fails', 'UPDATE parametros_maestros SET inexistente = 1', /column "inexistente".*42703, en la posición \d+/],
  [
    'ends the transaction',
    `UPDATE parametros_maestros SET nombre = 'x'; COMMIT; SELECT 1`,
    /COMMIT.*solo admite SELECT, INSERT, UPDATE, DELETE y MERGE.*42601, en la posición 46/,
  ],
  ['leaves its role', 'RESET ROLE; SELECT * FROM sync_api_keys', /42601/],
  ['takes a role by name', `SELECT set_config('role', 'postgres', true)`, /42501/],
  ['takes the session', 'SET SESSION AUTHORIZATION postgres', /42601/],
  ['reads keys', 'SELECT * FROM sync_api_keys', /permission denied.*42501/],
  ['reads the signing secret', 'SELECT * FROM sync_secretos', /42501/],
  ['signs for another', `SELECT sync_fijar_tenant('otro-002')`, /42501/],
  [
    'writes for another',
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) VALUES ('otro-002', 'x', 'y')`,
    /42501/,
  ],
])('a phase that %s undoes the whole upload and is logged as an error', async (_what, sql, detail) => {
  await server.setTables({ tablasSubida: [upload('clientes', { post_process: at('destino', sql) })] });
  const { status, body } = await uploadTo('clientes');
  expect([status, body]).toMatchObject([422, { code: 'SQL_FALLO', tabla: 'clientes', fase: 'post_process' }]);
  expect(body.detail).toMatch(detail);
  expect(await names()).toEqual(['acme-001 9 Propio', 'otro-002 9 Ajeno']);
  const entries = await logs();
  expect(entries).toHaveLength(1);
  expect(entries[0]).toMatchObject({
    fase: 'post_process',
    estado: 'error',
    errorDetalle: body.detail,
    tabla: 'clientes',
  });
});

test('a phase that names another tenant in the setting reaches none of its rows', async () => {
  const sql = `SELECT set_config('app.tenant_id', 'otro-002', false);
    UPDATE parametros_maestros SET nombre = nombre || '!'`;
  await server.setTables({ tablasSubida: [upload('clientes', { post_process: at('destino', sql) })] });
  expect((await uploadTo('clientes')).status).toBe(200);
  expect(await names()).toEqual(['acme-001 1 Nuevo!', 'acme-001 9 Propio!', 'otro-002 9 Ajeno']);
});

test('POST /phases runs a download phase at origen and answers the rows that it touched', async () => {
  await server.setTables({
    tablasBajada: [
      {
        nombre: 'clientes',
        process,
        pre_process: at('origen', `UPDATE parametros_maestros SET nombre = 'Listo'`),
        post_process: at('destino', 'MERGE'),
      },
    ],
  });
  const call = (fase: string) => server.call('/phases/acme-001', { method: 'POST', json: { tabla: 'clientes', fase } });
  expect(await (await call('pre_process')).json()).toEqual({
    success: true,
    tabla: 'clientes',
    fase: 'pre_process',
    registrosAfectados: 1,
  });
  expect(await names()).toEqual(['acme-001 9 Listo', 'otro-002 9 Ajeno']);
  expect(await logs()).toMatchObject([
    { direccion: 'download', fase: 'pre_process', ejecutadoEn: 'origen', registrosAfectados: 1 },
  ]);
  const other = await call('post_process');
  expect([other.status, await other.json()]).toMatchObject([404, { code: 'FASE_DESCONOCIDA', fase: 'post_process' }]);
  const foreign = await server.call('/phases/otro-002', {
    tenant: 'otro-002',
    key: otherKey,
    method: 'POST',
    json: { tabla: 'clientes', fase: 'pre_process' },
  });
  expect(foreign.status).toBe(404);
});

test('a phase that holds every advisory lock keeps no other tenant waiting', async () => {
  // The lock of a merge, had it been an advisory one.
  const sql = `SELECT pg_advisory_xact_lock(hashtextextended('ax-sync ["otro-002","cliente"]', 0)), pg_sleep(20)`;
  await server.setTables({ tablasSubida: [upload('clientes', { post_process: at('destino', sql) })] });
  await server.setTables({ tablasSubida: [upload('clientes', {})] }, 'otro-002');
  let over = false;
  const attack = uploadTo('clientes').then(() => {
    over = true;
  });
  const held = `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
  await expect.poll(async () => (await server.sql.query(held)).rowCount).toBe(1);
  const other = await server.call('/upload/otro-002?tabla=clientes', {
    ...{ tenant: 'otro-002', key: otherKey, method: 'POST', body: '{"id":1}' },
    headers: { 'content-type': 'application/x-ndjson' },
  });
  expect([other.status, over]).toEqual([200, false]);
  const { rows } = await server.sql.query(held);
  await server.sql.query('SELECT pg_cancel_backend($1)', [rows[0].pid]);
  await attack;
});
