import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import type { BajasRetenidas, StatusResponse, UploadResult } from '../protocol/api.ts';
import { bajasApprove, bajasDiscard, bajasList } from './commands/bajas.ts';
import { loadConfig } from './config.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** The guard before `desactivarAusentes`: rows that are suddenly gone stay as they are until an administrator decides. */

const process = { query: 'SELECT 1' };
const whole = { primaryKey: 'codigo', desactivarAusentes: true, process };
const tables = {
  tablasSubida: [
    { nombre: 'vista_productos', ...whole },
    { nombre: 'estrictas', guarda: { bajas: 10, porciento: 5 }, ...whole },
    { nombre: 'parciales', ...whole, desactivarAusentes: false },
  ],
};

let server: TestServer;
let otherKey: string;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'), { tables });
  otherKey = await server.addTenant('otro-001', tables);
});
afterAll(() => server?.close());
beforeEach(() => server.sql.query('TRUNCATE parametros_maestros, sync_logs, sync_bajas_retenidas'));

const rows = (from: number, to: number, prefix = 'k') =>
  Array.from({ length: Math.max(0, to - from) }, (_, index) => `{"codigo":"${prefix}${from + index}"}\n`).join('');

async function upload(body: string, { tabla = 'vista_productos', modo = 'completo', init = {} as object } = {}) {
  const tenant = (init as { tenant?: string }).tenant ?? 'acme-001';
  const response = await server.call(`/upload/${tenant}?tabla=${tabla}&modo=${modo}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' },
    body,
    ...init,
  });
  expect(response.status).toBe(200);
  return (await response.json()) as UploadResult;
}

async function countActive(tenant = 'acme-001'): Promise<number> {
  const { rows: found } = await server.sql.query(
    `SELECT count(*)::integer AS n FROM parametros_maestros WHERE "tenantId" = $1 AND activo`,
    [tenant],
  );
  return found[0].n;
}

async function waiting(): Promise<BajasRetenidas[]> {
  return ((await (await server.call('/status/acme-001')).json()) as StatusResponse).bajasRetenidas ?? [];
}

async function lastLog(): Promise<{ estado: string; mensaje: string; metadatos: UploadResult }> {
  return (await server.sql.query('SELECT * FROM sync_logs ORDER BY "createdAt" DESC LIMIT 1')).rows[0];
}

const decide = async (command: typeof bajasApprove) =>
  command(loadConfig({ DATABASE_URL: server.databaseUrl, LOG_LEVEL: 'silent' }), 'acme-001', (await waiting())[0]!.id);

test('an empty source deactivates nothing, however small the table: it is said, and waits', async () => {
  await upload(rows(0, 5));
  const result = await upload('');
  expect(result).toMatchObject({ registrosDesactivados: 0, bajasRetenidas: 5, retencion: { nueva: true, total: 5 } });
  expect(await countActive()).toBe(5);
  expect(await waiting()).toMatchObject([
    { direccion: 'upload', tabla: 'vista_productos', bajas: 5, total: 5, estado: 'pendiente' },
  ]);
  expect([...(await waiting())[0]!.muestra].sort()).toEqual(['k0', 'k1', 'k2', 'k3', 'k4']);
  const log = await lastLog();
  expect(log).toMatchObject({ estado: 'parcial', metadatos: { bajasRetenidas: 5 } });
  expect(log.mensaje).toMatch(/5 bajas retenidas de 5 filas.*ax-sync-server bajas approve/);
});

test.each([
  ['501 of 1000 are held back', 1000, 501, true],
  ['500 of 1000 are not', 1000, 500, false],
  ['501 of 2505, a fifth, are not', 2505, 501, false],
  ['502 of 2505, more than a fifth, are', 2505, 502, true],
])('more than 500 and more than a fifth: %s', async (_what, total, bajas, retained) => {
  await upload(rows(0, total));
  const result = await upload(rows(bajas, total));
  expect(result).toMatchObject({ bajasRetenidas: retained ? bajas : 0, registrosDesactivados: retained ? 0 : bajas });
  expect(await countActive()).toBe(retained ? total : total - bajas);
});

test('guarda of the table moves both bounds; below a hundred rows only an empty source is held back', async () => {
  await upload(rows(0, 100), { tabla: 'estrictas' });
  expect(await upload(rows(11, 100), { tabla: 'estrictas' })).toMatchObject({ bajasRetenidas: 11 });
  expect(await upload(rows(10, 100), { tabla: 'estrictas' })).toMatchObject({ registrosDesactivados: 10 });
  expect(await upload(rows(50, 100), { tabla: 'estrictas' })).toMatchObject({ registrosDesactivados: 40 });
});

test('the rest of the upload is applied; a change of key shows as bajas with as many altas beside them', async () => {
  await upload(rows(0, 600));
  const result = await upload(rows(0, 600, '1|k'));
  expect(result).toMatchObject({
    registrosInsertados: 600,
    bajasRetenidas: 600,
    retencion: { total: 600, altas: 600 },
  });
  expect(result.retencion!.muestra).toHaveLength(20);
  expect(result.retencion!.muestraAltas.every((key) => key.startsWith('1|k'))).toBe(true);
  expect(await countActive()).toBe(1200);
});

test('the same set waits once and is told once; another takes its place; when the rows are back nothing waits', async () => {
  await upload(rows(0, 10));
  expect((await upload('')).retencion).toMatchObject({ nueva: true });
  const [first] = await waiting();
  expect((await upload('')).retencion).toMatchObject({ nueva: false, id: first!.id });
  await upload(rows(10, 11), { modo: 'incremental' });
  expect((await upload('')).retencion).toMatchObject({ nueva: true, bajas: 11 });
  expect(await waiting()).toHaveLength(1);
  expect(await upload(rows(0, 11))).toMatchObject({ bajasRetenidas: 0 });
  expect(await waiting()).toEqual([]);
});

test('what is approved is applied by the next run, once, and the log says by whom', async () => {
  await upload(rows(0, 10));
  await upload('');
  await decide(bajasApprove);
  expect(await upload('')).toMatchObject({ registrosDesactivados: 10, bajasRetenidas: 0 });
  expect(await countActive()).toBe(0);
  expect((await lastLog()).mensaje).toMatch(/10 desactivadas; bajas aprobadas por \S+@/);
  await upload(rows(0, 10));
  expect(await upload('')).toMatchObject({ registrosDesactivados: 0, bajasRetenidas: 10 });
});

test('where a whole reading comes once a month, what is approved holds until then', async () => {
  const table = { ...tables.tablasSubida[0]!, incremental: true, completoCada: '30d' };
  await server.setTables({ tablasSubida: [{ ...table, process: { query: 'SELECT 1 WHERE @ultimaSync IS NULL' } }] });
  await upload(rows(0, 5));
  await upload('');
  const [{ desde, hasta }] = (await waiting()) as [BajasRetenidas];
  expect(Date.parse(hasta!) - Date.parse(desde)).toBe(37 * 86_400_000);
  await server.setTables(tables);
});

test('an approval is of one set: with another one it is void', async () => {
  await upload(rows(0, 10));
  await upload('');
  await decide(bajasApprove);
  await upload(rows(10, 11), { modo: 'incremental' });
  expect(await upload('')).toMatchObject({ registrosDesactivados: 0, bajasRetenidas: 11 });
  expect(await countActive()).toBe(11);
});

test('what is discarded is neither applied nor asked for again, and that is said', async () => {
  await upload(rows(0, 10));
  await upload('');
  await decide(bajasDiscard);
  expect(await upload('')).toMatchObject({ bajasRetenidas: 0, retencion: { estado: 'descartada' } });
  expect(await countActive()).toBe(10);
  expect(await lastLog()).toMatchObject({ estado: 'exitoso', mensaje: expect.stringMatching(/10 bajas descartadas/) });
});

test('bajas list shows what waits with keys of both kinds, and what approve and discard did not find', async () => {
  const config = loadConfig({ DATABASE_URL: server.databaseUrl, LOG_LEVEL: 'silent' });
  expect(await bajasList(config, 'acme-001')).toBe('El tenant «acme-001» no tiene bajas retenidas.');
  await upload('{"codigo":"a\\u001b[2J"}\n');
  await upload(rows(0, 600));
  await upload(rows(0, 600, 'n'));
  const [{ id }] = (await waiting()) as [BajasRetenidas];
  const shown = await bajasList(config, undefined);
  expect(shown).toMatch(new RegExp(`^${id}  pendiente  vista_productos \\(subida\\)  acme-001  desde .* hasta `));
  expect(shown).toContain('600 bajas de 600 filas; 600 altas en la misma ejecución');
  expect(shown).toMatch(/bajas: k0, k1, k10.*, …\n {2}altas: n0, n1, n10.*, …$/);
  await expect(bajasApprove(config, 'otro-001', id)).rejects.toThrow(/bajas list --tenant otro-001/);
  await expect(bajasDiscard(config, 'acme-001', 'c0')).rejects.toThrow(/no tiene bajas retenidas c0/);
  await upload('');
  expect(await bajasList(config, 'acme-001')).not.toContain('\u001b');
});

test("a tenant's own SQL can neither see nor decide what waits", async () => {
  await upload(rows(0, 5));
  await upload('');
  for (const sql of ["UPDATE sync_bajas_retenidas SET estado = 'aprobada'", 'DELETE FROM sync_bajas_retenidas']) {
    const phase = { enabled: true, ejecutarEn: 'destino', sql };
    await server.setTables({ tablasSubida: [{ ...tables.tablasSubida[0], pre_process: phase }] });
    const response = await server.call('/upload/acme-001?tabla=vista_productos&modo=completo', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: '',
    });
    expect(await response.json()).toMatchObject({ code: 'SQL_FALLO', fase: 'pre_process' });
  }
  await server.setTables(tables);
  expect(await waiting()).toMatchObject([{ estado: 'pendiente' }]);
});

test('an upload that fails leaves no word of bajas; one that holds none of a tenant touches no other', async () => {
  await upload(rows(0, 10));
  const other = { tenant: 'otro-001', key: otherKey };
  await upload(rows(0, 10), { init: other });
  await upload('', { init: other });
  expect(await waiting()).toEqual([]);
  const failing = {
    ...tables.tablasSubida[0],
    post_process: { enabled: true, ejecutarEn: 'destino', sql: 'SELECT 1/0' },
  };
  await server.setTables({ tablasSubida: [failing] });
  try {
    const response = await server.call('/upload/acme-001?tabla=vista_productos&modo=completo', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: '',
    });
    expect(response.status).toBe(422);
    expect(await waiting()).toEqual([]);
  } finally {
    await server.setTables(tables);
  }
  expect(await countActive()).toBe(10);
  expect(await countActive('otro-001')).toBe(10);
});
