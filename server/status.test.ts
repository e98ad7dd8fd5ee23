import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import type { StatusResponse } from '../protocol/api.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** GET /status: what the agent's `status` shows of the backend. */

let server: TestServer;
let otherKey: string;
beforeAll(async () => {
  const tables = { tablasSubida: [{ nombre: 'vista_productos', process: { query: 'SELECT 1' } }] };
  server = await startTestServer(inject('postgresUrl'), { tables });
  otherKey = await server.addTenant('otro-001', tables);
});
afterAll(() => server?.close());

const entry = (hora: string, rest: object = {}) => ({
  ...{ direccion: 'upload', tabla: 'vista_productos', fase: 'process', ejecutadoEn: 'origen', estado: 'exitoso' },
  ...{ registrosAfectados: 5, mensaje: 'bien', fechaInicio: `2024-01-15T${hora}:00Z` },
  ...rest,
});
const status = async (init = {}) => (await (await server.call('/status/acme-001', init)).json()) as StatusResponse;

test('the newest word on each table and direction: its rows, or the failure since; of this tenant alone', async () => {
  expect(await status()).toMatchObject({ success: true, version: expect.any(Number), tablas: [], subidasAbiertas: [] });
  const logs = [
    entry('10:00'),
    entry('10:05', { registrosAfectados: 7 }),
    // A later phase that went well says nothing about rows.
    entry('10:06', { fase: 'post_process', registrosAfectados: 1 }),
    entry('10:05', { direccion: 'download', tabla: 'plan_cuentas' }),
    entry('10:07', {
      direccion: 'download',
      tabla: 'plan_cuentas',
      fase: 'post_process',
      estado: 'error',
      mensaje: 'mal',
    }),
  ];
  await server.call('/logs/acme-001', { method: 'POST', json: { logs } });
  const other = { logs: [entry('11:00', { tabla: 'ajena' })] };
  await server.call('/logs/otro-001', { method: 'POST', json: other, tenant: 'otro-001', key: otherKey });
  const { tablas, hora } = await status();
  expect(tablas).toMatchObject([
    { direccion: 'download', tabla: 'plan_cuentas', fase: 'post_process', estado: 'error', mensaje: 'mal' },
    { direccion: 'upload', tabla: 'vista_productos', fase: 'process', registrosAfectados: 7 },
  ]);
  expect(tablas[1]!.fechaInicio).toBe('2024-01-15T10:05:00.000Z');
  expect(Math.abs(Date.parse(hora) - Date.now())).toBeLessThan(60_000);
});

test('uploads that wait for their commit, and only while they do', async () => {
  const id = 'a'.repeat(32);
  const upload = { id, tabla: 'vista_productos', modo: 'completo' };
  await server.call('/uploads/acme-001', { method: 'POST', json: upload });
  expect((await status()).subidasAbiertas).toMatchObject([{ id, tabla: 'vista_productos', trozos: 0, filas: 0 }]);
  await server.call(`/uploads/acme-001/${id}`, { method: 'DELETE' });
  expect((await status()).subidasAbiertas).toEqual([]);
});

test("another tenant's key does not see it", async () => {
  expect((await server.call('/status/acme-001', { tenant: 'otro-001', key: otherKey })).status).toBe(401);
});

test('an entry that comes again, after a lost answer, is stored once', async () => {
  const id = `c${'0a'.repeat(12)}`;
  const logs = [entry('12:00', { id, tabla: 'repetida' }), entry('12:01', { tabla: 'repetida' })];
  const send = async () =>
    (await (await server.call('/logs/acme-001', { method: 'POST', json: { logs } })).json()) as object;
  expect(await send()).toEqual({ success: true, logsInsertados: 2 });
  expect(await send()).toEqual({ success: true, logsInsertados: 1 });
  const { rows } = await server.sql.query("SELECT id FROM sync_logs WHERE tabla = 'repetida' AND id = $1", [id]);
  expect(rows).toHaveLength(1);
});

test('an id that another tenant has used hides no entry', async () => {
  const id = `c${'0b'.repeat(12)}`;
  const logs = [entry('12:00', { id, tabla: 'del otro' })];
  const key = await server.addTenant('beta-002');
  const other = await server.call('/logs/beta-002', { method: 'POST', json: { logs }, tenant: 'beta-002', key });
  expect(await other.json()).toEqual({ success: true, logsInsertados: 1 });
  const mine = await server.call('/logs/acme-001', { method: 'POST', json: { logs } });
  expect(await mine.json()).toEqual({ success: true, logsInsertados: 1 });
});

test('what nobody foresaw is a 500 with the code of the table, and no word of the database', async () => {
  await server.sql.query('ALTER TABLE sync_logs RENAME TO sync_logs_aparte');
  try {
    const response = await server.call('/status/acme-001');
    const problem = (await response.json()) as { code: string; mensaje: string };
    expect([response.status, problem.code]).toEqual([500, 'INTERNO']);
    expect(problem.mensaje).not.toContain('sync_logs');
  } finally {
    await server.sql.query('ALTER TABLE sync_logs_aparte RENAME TO sync_logs');
  }
});
