import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PoolClient } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { maintenanceQueries } from '../fixtures/maintenance-queries.ts';
import { createScratchDatabase, runOnce } from '../fixtures/postgres.ts';
import { tenantLogsCommand } from './commands/tenant-logs.ts';
import { loadConfig } from './config.ts';
import type { Context } from './context.ts';
import { makeMeters } from './meters.ts';
import { tidy } from './plugins/janitor.ts';
import { countWeeksAhead, makeWeeks, retireWeeks } from './postgres/log-weeks.ts';
import { migrate } from './postgres/migrate.ts';
import { openDatabase, SHORT_REQUESTS } from './postgres/pool.ts';
import { addUpDays } from './tenants/log-upkeep.ts';
import { readMasterKeys } from './tenants/master-keys.ts';
import { OVERVIEW, readOverview } from './tenants/overview.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

let server: TestServer;
let owner: Context;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'));
  owner = contextOf(server.databaseUrl);
});
afterAll(async () => {
  await owner?.database.close();
  await server?.close();
});
afterEach(() => {
  expect(told.splice(0).filter(([level]) => level === 'error')).toEqual([]);
});
beforeEach(async () => {
  await server.sql.query(
    `TRUNCATE sync_logs, sync_logs_diario, sync_tareas; UPDATE sync_configurations SET "logsDias" = NULL`,
  );
});

/** A process of the server, as far as the janitor sees it. */
function contextOf(url: string): Context {
  const config = loadConfig({ DATABASE_URL: url });
  const database = openDatabase(config, () => {}, SHORT_REQUESTS);
  return { config, database, masterKeys: readMasterKeys(config), meters: makeMeters(), log: { warn: () => {} } };
}

/** What the janitor told, by level. */
const told: [level: string, ...unknown[]][] = [];
const note =
  (level: string) =>
  (...words: unknown[]) =>
    void told.push([level, ...words]);
const log = { info: note('info'), warn: note('warn'), error: note('error') } as never;

const asOwner = <T>(work: (connection: PoolClient) => Promise<T>) => owner.database.withConnection(work);

async function weeks(): Promise<{ tabla: string; desde: Date; hasta: Date }[]> {
  return (await server.sql.query('SELECT * FROM sync_semanas_logs()')).rows;
}

/** Entries of `tenant` that arrived so many days ago, in partitions made for them. */
async function logged(tenant: string, ...daysAgo: number[]): Promise<void> {
  await asOwner(async (connection) => {
    for (const days of daysAgo) {
      await connection.query('SELECT sync_semana_logs(now() - make_interval(days => $1))', [days]);
      await connection.query(
        `INSERT INTO sync_logs ("tenantId", direccion, tabla, estado, mensaje, "registrosAfectados", "duracionMs", "fechaInicio", "createdAt")
         SELECT $1, 'upload', 'clientes', 'exitoso', $2::integer, 5, 10, now(), now() - make_interval(days => $2::integer)`,
        [tenant, days],
      );
    }
  });
}

/** Of whom and how old the entries are that are there. */
async function left(): Promise<string[]> {
  const { rows } = await server.sql.query<{ que: string }>(
    `SELECT "tenantId" || ' ' || mensaje AS que FROM sync_logs ORDER BY "tenantId", "createdAt" DESC`,
  );
  return rows.map(({ que }) => que);
}

const entry = (fields: object) => ({
  direccion: 'upload',
  tabla: 'clientes',
  estado: 'exitoso',
  fechaInicio: '2026-01-15T10:30:00Z',
  ...fields,
});
const post = (logs: object[]) => server.call('/logs/acme-001', { method: 'POST', json: { logs } });

test('a new database has the partitions of this week, the one before and four more, and no DEFAULT', async () => {
  const { rows } = await server.sql.query(
    `SELECT pg_get_expr(relpartbound, oid) AS limites FROM pg_class WHERE relispartition AND relname ~ '^sync_logs' AND relkind = 'r'`,
  );
  expect(rows.length).toBeGreaterThanOrEqual(6);
  for (const { limites } of rows)
    expect(limites).toMatch(/^FOR VALUES FROM \('.* 00:00:00\+00'\) TO \('.* 00:00:00\+00'\)$/);
  expect(await asOwner(countWeeksAhead)).toBe(4);
  expect(await asOwner(makeWeeks)).toBe(0);
  await runOnce(server.databaseUrl, `DROP TABLE ${(await weeks()).at(-1)!.tabla}`);
  expect(await asOwner(makeWeeks)).toBe(1);
});

test('whatever an agent says of the time, its entries are stored, once, by when they arrived', async () => {
  const id = (n: number) => `c${String(n).padStart(24, '0')}`;
  const logs = ['1970-01-01T00:00:00Z', '2026-01-15T10:30:00Z', '2999-12-31T23:59:59Z'].map((fechaInicio, n) =>
    entry({ id: id(n), fechaInicio }),
  );
  expect(await (await post([...logs, ...logs])).json()).toEqual({ success: true, logsInsertados: 3 });
  // As they would lie if they had come before: in another partition.
  await logged('acme-001', 20);
  await server.sql.query(`UPDATE sync_logs SET "createdAt" = "createdAt" - interval '20 days' WHERE id = '${id(1)}'`);
  expect(await (await post(logs)).json()).toEqual({ success: true, logsInsertados: 0 });
  expect((await server.sql.query(`SELECT FROM sync_logs WHERE id LIKE 'c00000000%'`)).rowCount).toBe(3);
});

test('many times the same entries at once: each is stored once', async () => {
  const logs = Array.from({ length: 20 }, (_, n) => entry({ id: `c${String(n).padStart(24, '9')}` }));
  const answers = await Promise.all([1, 2, 3, 4, 5, 6].map(async () => (await post(logs)).json()));
  expect(answers.map((answer) => (answer as { logsInsertados: number }).logsInsertados).reduce((a, b) => a + b)).toBe(
    20,
  );
});

test('without any partition an entry makes its own', async () => {
  for (const { tabla } of await weeks()) await runOnce(server.databaseUrl, `DROP TABLE ${tabla}`);
  expect(await (await post([entry({})])).json()).toEqual({ success: true, logsInsertados: 1 });
  expect(await weeks()).toHaveLength(1);
  expect(await asOwner(makeWeeks)).toBe(5);
});

test('weeks that are over for LOGS_DIAS go while somebody reads; who keeps them for longer, or not as long, has its own', async () => {
  await server.addTenant('largo-001');
  await server.addTenant('corto-001');
  await server.sql.query(`UPDATE sync_configurations SET "logsDias" = 400 WHERE "tenantId" = 'largo-001';
    UPDATE sync_configurations SET "logsDias" = 10 WHERE "tenantId" = 'corto-001'`);
  for (const tenant of ['acme-001', 'largo-001', 'corto-001']) await logged(tenant, 0, 9, 30, 150, 500);
  expect(await tidy(owner, log)).toContain('registros');
  expect(await left()).toEqual([
    ...['acme-001 0', 'acme-001 9', 'acme-001 30', 'corto-001 0', 'corto-001 9'],
    ...['largo-001 0', 'largo-001 9', 'largo-001 30', 'largo-001 150'],
  ]);
  // Nothing is left to do, and what is kept is not written again.
  const before = await weeks();
  expect(await asOwner((connection) => retireWeeks(connection, 90))).toEqual([]);
  expect(await weeks()).toEqual(before);
  await server.sql.query('UPDATE sync_configurations SET "logsDias" = NULL');
  expect(await asOwner((connection) => retireWeeks(connection, 90))).toHaveLength(1);
  expect(await left()).not.toContain('largo-001 150');
});

test('a reader that does not end holds a week back, nobody else, and the next time it goes', async () => {
  await logged('acme-001', 0, 200);
  const reader = await server.sql.connect();
  try {
    await reader.query('BEGIN; SELECT count(*) FROM sync_logs');
    const retired = asOwner((connection) => retireWeeks(connection, 90));
    expect(await (await post([entry({})])).json()).toMatchObject({ logsInsertados: 1 });
    expect(await retired).toEqual([]);
  } finally {
    await reader.query('ROLLBACK');
    reader.release();
  }
  expect(await asOwner((connection) => retireWeeks(connection, 90))).toHaveLength(1);
  expect(await left()).not.toContain('acme-001 200');
});

test('the days that are over are added up once, as the statistics of the specification do', async () => {
  await logged('acme-001', 3, 3, 2);
  await server.sql.query(
    `INSERT INTO sync_logs ("tenantId", direccion, tabla, estado, "duracionMs", "fechaInicio", "createdAt")
     VALUES ('acme-001', 'upload', 'clientes', 'error', 40, now(), now() - interval '3 days')`,
  );
  await tidy(owner, log);
  const all = 'SELECT * FROM sync_logs_diario ORDER BY dia';
  const { rows } = await server.sql.query(all);
  expect(rows).toHaveLength(2);
  expect(rows[0]).toMatchObject({
    ...{ tenantId: 'acme-001', direccion: 'upload', tabla: 'clientes', ejecuciones: 3, exitosas: 2, parciales: 0 },
    ...{ errores: 1, registros: '10', msP50: 10, msMax: 40, msTotal: '60' },
  });
  await server.sql.query(`DELETE FROM sync_logs; TRUNCATE sync_tareas`);
  await tidy(owner, log);
  expect((await server.sql.query(all)).rows).toEqual(rows);
  await server.sql.query(`UPDATE sync_logs_diario SET dia = dia - 800; TRUNCATE sync_tareas`);
  await tidy(owner, log);
  expect((await server.sql.query(all)).rows).toEqual([]);
});

test('of several processes one does each task, and again when its time has come', async () => {
  const others = [1, 2, 3].map(() => contextOf(server.databaseUrl));
  try {
    const round = async () => (await Promise.all([owner, ...others].map((one) => tidy(one, log)))).flat().sort();
    const everything = ['contrasenas', 'registros', 'subidas'];
    expect(await round()).toEqual(everything);
    expect(await round()).toEqual([]);
    await server.sql.query(`UPDATE sync_tareas SET proxima = now() - interval '1 second' WHERE nombre <> 'registros'`);
    expect(await round()).toEqual(['contrasenas', 'subidas']);
  } finally {
    await Promise.all(others.map(({ database }) => database.close()));
  }
});

test("the specification's queries of sync_logs run as they are written, each over the partitions that it needs", async () => {
  await logged('acme-001', 0, 40);
  const found: number[] = [];
  for (const query of maintenanceQueries('acme-001')) found.push((await server.sql.query(query)).rowCount!);
  expect(found).toEqual([2, 0, 1]);
});

test('a table that is there already becomes the first partition, with what it holds', async () => {
  const scratch = await createScratchDatabase(inject('postgresUrl'));
  try {
    const folder = join(import.meta.dirname, 'migrations');
    const read = (name: string) => readFile(join(folder, name), 'utf8');
    await migrate(scratch.url);
    // As it was before the migration.
    await runOnce(
      scratch.adminUrl,
      'DROP TABLE sync_logs, sync_logs_diario, sync_tareas, sync_vigilancias, sync_version; ALTER TABLE sync_configurations DROP COLUMN "logsDias"',
      /CREATE TABLE sync_logs \([\s\S]+?idx_sync_logs_estado[^;]+;/.exec(await read('001_tablas.sql'))![0],
      `INSERT INTO sync_logs ("tenantId", direccion, tabla, estado, "fechaInicio", "createdAt")
       VALUES ('a', 'upload', 't', 'exitoso', now(), now() - interval '1 year'), ('a', 'upload', 't', 'exitoso', now(), now())`,
      `DELETE FROM sync_migrations WHERE name >= '005'`,
    );
    expect(await migrate(scratch.adminUrl)).toContain('005_registros');
    const context = contextOf(scratch.url);
    try {
      const rows = await context.database.withConnection(async (connection) => {
        await connection.query(
          `SELECT sync_guardar_logs('a', NULL, '[{"direccion": "upload", "tabla": "t", "estado": "error", "fechaInicio": "2026-01-01"}]')`,
        );
        return (await connection.query('SELECT tableoid::regclass::text AS tabla FROM sync_logs')).rows;
      });
      expect(rows).toEqual(Array(3).fill({ tabla: 'sync_logs_anterior' }));
      expect(await context.database.withConnection(countWeeksAhead)).toBe(4);
    } finally {
      await context.database.close();
    }
  } finally {
    await scratch.drop();
  }
});

test('tenant logs says how long the entries of one tenant are kept, and takes it back', async () => {
  const said: string[] = [];
  const run = (args: { tenant: string; dias?: number }) =>
    tenantLogsCommand.run(args as never, { loadConfig: () => owner.config, print: (line) => void said.push(line) });
  const kept = async () =>
    (await server.sql.query(`SELECT "logsDias" AS dias FROM sync_configurations WHERE "tenantId" = 'acme-001'`)).rows[0]
      .dias;
  await run({ tenant: 'acme-001', dias: 365 });
  expect(await kept()).toBe(365);
  for (const dias of [6, 3651, 7.5, Number.NaN])
    await expect(run({ tenant: 'acme-001', dias })).rejects.toThrow('de 7 a 3650');
  await expect(run({ tenant: 'nadie', dias: 30 })).rejects.toThrow('no existe');
  expect(await kept()).toBe(365);
  await run({ tenant: 'acme-001' });
  expect(await kept()).toBeNull();
  expect(said).toEqual([
    'Los registros de «acme-001» se guardan 365 días.',
    'Los registros de «acme-001» se guardan 90 días.',
  ]);
});

test('who was last heard of before the entries that are kept is known by the sums of that day', async () => {
  await logged('acme-001', 400);
  await asOwner(addUpDays);
  await server.sql.query('TRUNCATE sync_logs');
  const { peores } = await asOwner((connection) => readOverview(connection));
  const state = peores.antiguedad.find(({ tenantId }) => tenantId === 'acme-001');
  const day = (await server.sql.query(`SELECT dia::text FROM sync_logs_diario`)).rows[0].dia;
  expect(state).toMatchObject({ registros: 0, ultimoExito: `${day}T00:00:00.000Z` });
});

test('the overview of many tenants looks at no entry but by its index', async () => {
  await server.sql.query(`
    INSERT INTO sync_configurations ("tenantId", "sqlServerHost", "sqlServerDatabase", "sqlServerUser", "sqlServerPassword", "configuracionTablas")
      SELECT 'muchos-' || n, 'h', 'd', 'u', 'p', '{}' FROM generate_series(1, 500) n;
    SELECT sync_semana_logs(now() - make_interval(days => n)) FROM generate_series(0, 30, 7) n;
    INSERT INTO sync_logs ("tenantId", direccion, tabla, fase, estado, "fechaInicio", "createdAt")
      SELECT 'muchos-' || n % 500, 'upload', 't', 'process', 'exitoso', now(), now() - make_interval(mins => n) FROM generate_series(1, 40000) n;
    ANALYZE sync_logs, sync_configurations`);
  const { rows } = await server.sql.query(`EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, FORMAT JSON) ${OVERVIEW}`);
  const plan = JSON.stringify(rows[0]['QUERY PLAN']);
  expect(plan).toContain('tenantId_createdAt');
  expect(plan).not.toMatch(/"Node Type":"Seq Scan"[^{}]*"Relation Name":"sync_logs/);
  await server.sql.query(`DELETE FROM sync_configurations WHERE "tenantId" LIKE 'muchos-%'`);
});
