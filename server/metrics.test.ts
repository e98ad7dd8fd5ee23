import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { makeSnapshot } from './plugins/snapshot.ts';
import { WORST } from './tenants/overview.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** What an administrator is told of the server, and nobody else. */
const token = 'testigo-de-prueba-de-32-letras--';
const authorization = `Bearer ${token}`;
const tables = { tablasSubida: [{ nombre: 'clientes', primaryKey: 'id', process: { query: 'SELECT 1' } }] };

let server: TestServer;
let closed: TestServer;
beforeAll(async () => {
  const postgres = inject('postgresUrl');
  [server, closed] = await Promise.all([
    startTestServer(postgres, { tables, settings: { METRICS_TOKEN: token } }),
    startTestServer(postgres),
  ]);
});
afterAll(() => Promise.all([server?.close(), closed?.close()]));

const get = (path: string, headers: Record<string, string> = { authorization }, at = server) =>
  fetch(`${at.url}${path}`, { headers });
const metrics = async () => (await get('/metrics')).text();
const readingOf = (text: string, series: string) =>
  Number(
    text
      .split('\n')
      .find((line) => line.startsWith(`${series} `))
      ?.slice(series.length + 1),
  );

const DEEP = '/api/sync/health?profundo=1';

test.each(['/metrics', '/metrics/peores', DEEP])('%s answers the token alone', async (path) => {
  expect((await get(path)).status).toBe(200);
  for (const headers of [
    {},
    { authorization: token },
    { authorization: 'Bearer ' },
    { authorization: `Bearer ${token.slice(1)}` },
    { authorization: `Bearer ${token}x` },
    { authorization: `Basic ${btoa(`x:${token}`)}` },
    { 'x-api-key': server.key, 'x-tenant-id': server.tenant },
  ]) {
    const refused = await get(path, headers as Record<string, string>);
    expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([401, 'NO_AUTORIZADO']);
  }
});

test('without METRICS_TOKEN there are no metrics and no deep health; the shallow one is open to all', async () => {
  const statuses = await Promise.all(
    ['/metrics', '/metrics/peores', DEEP, '/api/sync/health'].map(async (path) => (await get(path, {}, closed)).status),
  );
  expect(statuses).toEqual([404, 404, 401, 200]);
  expect((await get(DEEP, { authorization: 'Bearer undefined' }, closed)).status).toBe(401);
});

test('uploads, downloads, failures and requests are counted, a repeated answer once', async () => {
  const before = await metrics();
  const upload = (key: string, rows: string) =>
    server.call('/upload/acme-001?tabla=clientes', {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson', 'idempotency-key': key },
      body: rows,
    });
  const rows = '{"id":1,"nombre":"a"}\n{"id":2,"nombre":"b"}\n';
  const key = '00000000-0000-4000-8000-000000000001';
  for (const _ of [1, 2]) expect((await upload(key, rows)).status).toBe(200);
  expect((await upload('00000000-0000-4000-8000-000000000002', rows)).status).toBe(200);
  expect((await upload('00000000-0000-4000-8000-000000000003', '{"id":1}\n{"id":1}\n')).status).toBe(422);
  const after = await metrics();
  const moved = (series: string) => readingOf(after, series) - readingOf(before, series);
  expect(moved('ax_sync_rows_total{direction="upload",result="inserted"}')).toBe(2);
  expect(moved('ax_sync_rows_total{direction="upload",result="unchanged"}')).toBe(2);
  expect(moved('ax_sync_commit_seconds_count')).toBe(2);
  expect(moved('ax_sync_transfers_total{direction="upload",result="ok"}')).toBe(3);
  expect(readingOf(after, 'ax_sync_transfers_total{direction="upload",result="CLAVE_REPETIDA"}')).toBe(1);
  expect(
    readingOf(after, 'ax_sync_requests_total{method="POST",route="/api/sync/upload/:tenantId",status="422"}'),
  ).toBe(1);
});

test('no series names a tenant or a table, however many there are', async () => {
  const count = async () => {
    const text = await metrics();
    expect(text).not.toMatch(/acme-001|clientes/);
    return text.split('\n').filter((line) => line.startsWith('ax_sync_tenant')).length;
  };
  const before = await count();
  await server.addTenant('acme-de-mas');
  expect(await count()).toBe(before);
});

test('the worst twenty: by failures, by the age of the last success, by bajas that wait, by volume', async () => {
  // A server of its own that has not looked yet: what it finds is good for a minute.
  const other = await startTestServer(inject('postgresUrl'), { settings: { METRICS_TOKEN: token } });
  try {
    await other.sql.query(`
      INSERT INTO sync_configurations ("tenantId", "sqlServerHost", "sqlServerDatabase", "sqlServerUser", "sqlServerPassword", "configuracionTablas")
        SELECT 't-' || lpad(n::text, 2, '0'), 'h', 'd', 'u', '', '{}' FROM generate_series(1, 30) AS n;
      UPDATE sync_configurations SET activo = false WHERE "tenantId" = 't-30';
      INSERT INTO sync_logs ("tenantId", direccion, tabla, fase, estado, "registrosAfectados", "fechaInicio", "createdAt")
        SELECT 't-' || lpad(n::text, 2, '0'), 'upload', 'clientes', 'process', CASE WHEN e <= n THEN 'error' ELSE 'exitoso' END, n,
          now(), now() - make_interval(hours => n) - make_interval(secs => e)
        FROM generate_series(1, 30) AS n, generate_series(1, 30) AS e WHERE n <> 7;
      INSERT INTO sync_bajas_retenidas ("tenantId", direccion, tabla, agente, tipo_campo, digest, bajas, total, muestra, altas, "muestraAltas", estado)
        VALUES ('t-03', 'upload', 'clientes', '', 'cliente', 'x', 700, 1000, '[]', 0, '[]', 'pendiente'),
               ('t-04', 'upload', 'clientes', '', 'cliente', 'x', 900, 1000, '[]', 0, '[]', 'descartada')`);
    const worst = async (by: string) => {
      const answer = await get(`/metrics/peores?por=${by}`, { authorization }, other);
      const { peores } = (await answer.json()) as { peores: Record<string, unknown>[] };
      return peores;
    };
    const names = async (by: string) => (await worst(by)).map(({ tenantId }) => tenantId);
    const byFailures = await worst('fallos');
    expect(byFailures).toHaveLength(WORST);
    expect(byFailures[0]).toMatchObject({ tenantId: 't-29', fallos: 29, registros: 30, bajasRetenidas: 0 });
    // Never: the tenant of the test server, and one without a log; then the one that succeeded longest ago.
    expect((await names('antiguedad')).slice(0, 4)).toEqual(['acme-001', 't-07', 't-29', 't-28']);
    expect(await names('bajas')).toEqual(['t-03']);
    expect((await names('volumen'))[0]).toBe('t-29');
    expect((await get('/metrics/peores?por=nada', { authorization }, other)).status).toBe(400);
    const text = await (await get('/metrics', { authorization }, other)).text();
    expect(readingOf(text, 'ax_sync_tenants{state="active"}')).toBe(30);
    expect(readingOf(text, 'ax_sync_tenants{state="failing"}')).toBe(28);
    // 24 hours and more: from 24 to 29, and the two that never had one.
    expect(readingOf(text, 'ax_sync_tenants{state="late"}')).toBe(8);
    expect(readingOf(text, 'ax_sync_bajas_retenidas')).toBe(700);
  } finally {
    await other.close();
  }
});

test('the deep health says how the database stands: its version, migrations, staging, connections', async () => {
  const answer = await get(DEEP);
  expect(await answer.json()).toMatchObject({
    status: 'ok',
    avisos: [],
    postgres: expect.stringMatching(/^\d+/),
    migraciones: { faltan: [], sobran: [] },
    recibido: { abiertas: 0, bytes: 0 },
    conexiones: { control: { max: 4 }, transfer: { busy: 0, waiting: 0, max: 10 } },
    limpieza: null,
  });
});

test('a database without the migrations of this version is degraded, and named', async () => {
  const other = await startTestServer(inject('postgresUrl'), { settings: { METRICS_TOKEN: token } });
  try {
    await other.sql.query(`UPDATE sync_migrations SET name = '999_futura' WHERE name = '002_esquemas'`);
    expect(await (await get(DEEP, { authorization }, other)).json()).toMatchObject({
      status: 'degradado',
      avisos: [expect.stringContaining('002_esquemas'), expect.stringContaining('999_futura')],
    });
  } finally {
    await other.close();
  }
});

test('however often the deep health is asked, PostgreSQL is asked once; where it does not answer, it is 503 in time', async () => {
  const other = await startTestServer(inject('postgresUrl'), { settings: { METRICS_TOKEN: token } });
  const connection = await other.sql.connect();
  try {
    await connection.query('BEGIN; LOCK TABLE sync_migrations IN ACCESS EXCLUSIVE MODE');
    const started = performance.now();
    const refused = await Promise.all(Array.from({ length: 20 }, () => get(DEEP, { authorization }, other)));
    expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([503]));
    expect(performance.now() - started).toBeLessThan(10_000);
    await connection.query('COMMIT');
    const asked = async () => {
      const { rows } = await connection.query(
        `SELECT xact_commit + xact_rollback AS n FROM pg_stat_database WHERE datname = current_database()`,
      );
      return Number(rows[0].n);
    };
    const before = await asked();
    const answers = await Promise.all(Array.from({ length: 200 }, () => get(DEEP, { authorization }, other)));
    expect(answers).toHaveLength(200);
    // Backends tell of their transactions up to a second later: those of the server's start may still come.
    expect((await asked()) - before).toBeLessThan(100);
  } finally {
    connection.release();
    await other.close();
  }
});

test('a snapshot is taken once for all that ask, and again when its time is over; a slow one is good for longer', async () => {
  let taken = 0;
  let clock = 0;
  let answer = Promise.resolve();
  const load = async () => {
    await answer;
    taken += 1;
    return taken;
  };
  const read = makeSnapshot({ load, goodForMs: 1000, waitMs: 20, now: () => clock });
  await Promise.all([read(), read(), read()]);
  clock = 999;
  expect(await read()).toMatchObject({ value: 1, error: undefined });
  clock = 1000;
  const { promise, resolve } = withResolvers();
  answer = promise;
  // The one before it, and word that it is: nobody waits longer than that, and it is looked for once.
  const late = await Promise.all([read(), read()]);
  expect(late).toEqual([expect.objectContaining({ value: 1, error: expect.any(Error) }), late[0]]);
  clock = 1100;
  resolve();
  await expect.poll(async () => (await read()).value).toBe(2);
  // 100 ms to find: good for fifty times as long.
  clock = 1100 + 4999;
  expect(await read()).toMatchObject({ value: 2 });
  clock = 1100 + 5000;
  expect(await read()).toMatchObject({ value: 3 });
});

function withResolvers(): { promise: Promise<void>; resolve(): void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
