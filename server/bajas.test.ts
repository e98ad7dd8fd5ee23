import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import type { BajasRetenidas, ReportBajasResponse, StatusResponse } from '../protocol/api.ts';
import { makeAgentKeyPair } from '../protocol/crypto/agent-key.ts';
import { resolveBajas } from './rows/bajas.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** Bajas retenidas: what waits for an administrator, what he decides, and that a decision is of one set of keys. */

const process = { query: 'SELECT 1' };
const tables = { tablasBajada: [{ nombre: 'plan_cuentas', primaryKey: 'codigo', process }] };

let server: TestServer;
let otherKey: string;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'), { tables });
  otherKey = await server.addTenant('otro-001', tables);
});
afterAll(() => server?.close());
beforeEach(() => server.sql.query('TRUNCATE sync_bajas_retenidas, parametros_maestros, sync_logs'));

const A = 'a'.repeat(32);
const B = 'b'.repeat(32);

async function report(digest: string, rest: object = {}, init: object = {}, tenant = 'acme-001') {
  const json = {
    direccion: 'download',
    tabla: 'plan_cuentas',
    digest,
    bajas: 3,
    total: 4,
    muestra: ['1', '2'],
    ...rest,
  };
  const response = await server.call(`/bajas/${tenant}`, { method: 'POST', json, ...init });
  const answer = (await response.json()) as ReportBajasResponse & { code?: string };
  return { status: response.status, ...answer };
}

async function waiting(): Promise<BajasRetenidas[]> {
  return ((await (await server.call('/status/acme-001')).json()) as StatusResponse).bajasRetenidas!;
}

async function decide(estado: 'aprobada' | 'descartada', id?: string, tenant = 'acme-001') {
  const connection = await server.sql.connect();
  try {
    return await resolveBajas(connection, { tenant, id: id ?? (await waiting())[0]!.id, estado });
  } finally {
    connection.release();
  }
}

test('what an agent holds back waits once, whatever it is told again; an approval is of that set, and is used up once', async () => {
  expect(await report(A)).toMatchObject({ status: 200, estado: 'pendiente', nueva: true });
  expect(await report(A)).toMatchObject({ estado: 'pendiente', nueva: false });
  expect(await waiting()).toMatchObject([
    { direccion: 'download', tabla: 'plan_cuentas', bajas: 3, total: 4, muestra: ['1', '2'], estado: 'pendiente' },
  ]);
  await decide('aprobada');
  expect(await report(A)).toMatchObject({ estado: 'aprobada' });
  expect(await report(A, { aplicada: true })).toMatchObject({ estado: 'aplicada' });
  expect(await waiting()).toEqual([]);
  expect(await report(A)).toMatchObject({ estado: 'pendiente', nueva: true });
});

test('another set takes the place of the one that waited, and its approval is void; a decision by the old id finds nothing', async () => {
  await report(A);
  const [first] = await waiting();
  await decide('aprobada');
  expect(await report(B, { bajas: 2 })).toMatchObject({ estado: 'pendiente', nueva: true });
  expect(await waiting()).toMatchObject([{ bajas: 2, estado: 'pendiente' }]);
  expect(await decide('aprobada', first!.id)).toBeUndefined();
  expect(await report(A)).toMatchObject({ estado: 'pendiente' });
});

test('what is discarded is not asked for again; what is not decided is forgotten after seven days', async () => {
  await report(A);
  const [{ desde, hasta }] = (await waiting()) as [BajasRetenidas];
  expect(Date.parse(hasta!) - Date.parse(desde)).toBe(7 * 86_400_000);
  await decide('descartada');
  expect(await report(A)).toMatchObject({ estado: 'descartada', nueva: false });
  expect(await waiting()).toMatchObject([{ estado: 'descartada', hasta: null }]);
  await report(B);
  await decide('aprobada');
  await server.sql.query(`UPDATE sync_bajas_retenidas SET "expiresAt" = now() - interval '1 second'`);
  expect(await waiting()).toEqual([]);
  expect(await report(B)).toMatchObject({ estado: 'pendiente', nueva: true });
});

test('an approval that an agent was told of holds for a day at most; nothing held back any more leaves nothing', async () => {
  await report(A);
  await decide('aprobada');
  await report(A);
  const [{ hasta }] = (await waiting()) as [BajasRetenidas];
  expect(Date.parse(hasta!) - Date.now()).toBeLessThan(86_401_000);
  expect(await report(A, { bajas: 0 })).toMatchObject({ estado: 'ninguna' });
  expect(await waiting()).toEqual([]);
});

test('two agents of a tenant have targets of their own; tenants do not see each other', async () => {
  const { publica } = makeAgentKeyPair();
  const registered = await server.call('/agents/acme-001', { method: 'POST', json: { clavePublica: publica } });
  const { agente } = (await registered.json()) as { agente: string };
  await report(A);
  await report(B, {}, { headers: { 'x-sync-agent': agente } });
  // Whoever names an agent that is none fills nothing.
  for (const name of ['c'.repeat(32), 'd'.repeat(32)]) await report(A, {}, { headers: { 'x-sync-agent': name } });
  expect((await waiting()).map(({ agente: whose }) => whose).sort()).toEqual(['', agente].sort());
  const other = { tenant: 'otro-001', key: otherKey };
  expect(await report(A, {}, other)).toMatchObject({ status: 401 });
  expect(await report(A, {}, other, 'otro-001')).toMatchObject({ status: 200, nueva: true });
  const [mine] = await waiting();
  expect(await decide('aprobada', mine!.id, 'otro-001')).toBeUndefined();
  expect((await waiting()).map(({ estado }) => estado)).toEqual(['pendiente', 'pendiente']);
});

test.each([
  ['a table that is none', { tabla: 'otra' }, 404, 'TABLA_DESCONOCIDA'],
  ['an upload', { direccion: 'upload' }, 400, 'CUERPO_INVALIDO'],
  ['a digest that is none', { digest: 'x' }, 400, 'CUERPO_INVALIDO'],
  ['a count past all tables', { bajas: 3_000_000_000 }, 400, 'CUERPO_INVALIDO'],
  ['a sample without end', { muestra: Array.from({ length: 21 }, String) }, 400, 'CUERPO_INVALIDO'],
])('%s is refused', async (_what, rest, status, code) => {
  expect(await report(A, rest)).toMatchObject({ status, code });
  expect(await waiting()).toEqual([]);
});

test('keys of any text are kept as they can be', async () => {
  expect(await report(A, { muestra: ['\0', '\ud800', '😀'] })).toMatchObject({ status: 200 });
  expect((await waiting())[0]!.muestra).toEqual(['\ufffd', '\ufffd', '😀']);
});

test('a decision is in the audit, by SQL too; what a run holds back is not', async () => {
  await report(A);
  const noted = `SELECT coalesce(max(id), 0)::integer AS id FROM sync_audit`;
  const { id } = (await server.sql.query(noted)).rows[0];
  await report(B);
  expect((await server.sql.query(noted)).rows[0].id).toBe(id);
  await decide('aprobada');
  await server.sql.query(`UPDATE sync_bajas_retenidas SET estado = 'descartada'`);
  const { rows } = await server.sql.query(
    `SELECT "tenantId", cambios FROM sync_audit WHERE tabla = 'sync_bajas_retenidas' AND id > $1 ORDER BY id`,
    [id],
  );
  const states = rows.map(({ cambios }) => cambios.find(({ campo }: { campo: string }) => campo === 'estado'));
  expect(states).toMatchObject([
    { antes: 'pendiente', despues: 'aprobada' },
    { antes: 'aprobada', despues: 'descartada' },
  ]);
});
