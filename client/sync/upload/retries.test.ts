import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { type FaultProxy, startFaultProxy } from '../../../fixtures/chaos/proxy.ts';
import { SqlServerError, withSqlServer } from '../../sqlserver/sql-server.ts';
import { startWorld, type World } from '../../testing/world.ts';

/** What is tried again within a run: deadlocks, connections to SQL Server, PostgreSQL that gives up. */

let world: World;
let sqlProxy: FaultProxy;
const never = new AbortController().signal;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  sqlProxy = await startFaultProxy(world.settings);
  await world.execute(`
    CREATE TABLE uno (n int NOT NULL); INSERT INTO uno (n) VALUES (0);
    CREATE TABLE dos (n int NOT NULL); INSERT INTO dos (n) VALUES (0);
    CREATE TABLE preparadas (veces int NOT NULL); INSERT INTO preparadas (veces) VALUES (0);
    CREATE TABLE articulos (codigo int NOT NULL PRIMARY KEY, nombre nvarchar(400) NOT NULL)`);
  for (let from = 0; from < 2000; from += 500) {
    const rows = Array.from({ length: 500 }, (_, index) => `(${from + index}, N'${'ñ'.repeat(150)}')`);
    await world.execute(`INSERT INTO articulos (codigo, nombre) VALUES ${rows.join(', ')}`);
  }
});
afterAll(async () => {
  await sqlProxy?.close();
  await world?.close();
});
const reset = () => world.execute('UPDATE uno SET n = 0; UPDATE dos SET n = 0; UPDATE preparadas SET veces = 0');
beforeEach(async () => {
  await world.init();
  await reset();
  await world.backend.sql.query('DELETE FROM parametros_maestros; DELETE FROM sync_logs');
});
afterEach(() => sqlProxy.arm(undefined));

const policy = { attempts: 4, firstDelayMs: 20, maxDelayMs: 50, maxTotalMs: 60_000, maxRetryAfterMs: 10_000 };
const sync = () => world.sync({ policy });
const subida = {
  nombre: 'vista_articulos',
  process: { query: 'SELECT codigo, nombre FROM articulos' },
};
const bajada = {
  nombre: 'copia',
  primaryKey: 'codigo',
  schema: {
    columns: [
      { name: 'codigo', type: 'INT', nullable: false },
      { name: 'nombre', type: 'NVARCHAR(400)' },
    ],
  },
  process: { query: 'parametros_maestros.tipo_campo=articulo' },
};

async function countStored(): Promise<number> {
  const { rows } = await world.backend.sql.query<{ n: number }>('SELECT count(*)::int AS n FROM parametros_maestros');
  return rows[0]!.n;
}

/** Which sessions are meant: the whole of PostgreSQL has those of other test files, too. */
const OF_SERVER = 'datname = current_database()';
const OF_UNO = String.raw`query ~ '\muno\M'`;

/** Waits until such a session waits for a lock; its process id. */
async function whoWaits(which: string): Promise<number> {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline) {
    const { rows } = await world.backend.sql.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid <> pg_backend_pid() AND ${which}`,
    );
    if (rows[0] !== undefined) return rows[0].pid;
    await new Promise((next) => setTimeout(next, 10));
  }
  throw new Error('nobody waited');
}

/**
 * Runs a sync whose SQL updates `dos` and then `uno`, in a deadlock with a session that goes the other way. Whoever has
 * waited for a second looks for deadlocks; a machine that was too slow for the agent to be that one begins again.
 */
async function syncInDeadlock(): Promise<{ reason: string; log: string }> {
  for (let attempts = 5; ; attempts--) {
    const ended = await withSqlServer(world.settings, { signal: never }, async (db) => {
      await db.execute('BEGIN TRANSACTION; UPDATE uno SET n = n + 100');
      const running = sync();
      await whoWaits(OF_UNO);
      try {
        await db.execute('UPDATE dos SET n = n + 100; COMMIT TRANSACTION');
      } catch (error) {
        if (!(error instanceof SqlServerError) || error.number !== 1205 || attempts === 1) throw error;
        await running;
        return undefined;
      }
      return running;
    });
    if (ended !== undefined) return ended;
    await reset();
  }
}

const CROSSING = 'BEGIN TRANSACTION; UPDATE dos SET n = n + 1; UPDATE uno SET n = n + 1; COMMIT TRANSACTION';

describe('the victim of a deadlock at SQL Server', () => {
  beforeEach((context) => world.needs(context, 'the controls of the stand-in'));

  test.each(['pre_process', 'post_process'])(
    'the victim of a deadlock (1205) in the %s of an upload is not run again, for what came before it is done; the next run does it all',
    async (fase) => {
      const sql = `UPDATE preparadas SET veces = veces + 1; ${CROSSING}`;
      await world.setTables({ tablasSubida: [{ ...subida, [fase]: { enabled: true, sql } }] });
      const { reason, log } = await syncInDeadlock();
      expect(reason, log).toBe('error');
      expect(log).toMatch(new RegExp(`ERROR vista_articulos: ${fase} .*error 1205.*\\[BLOQUEO_SIN_REPETIR\\]`));
      expect(await world.query('SELECT veces FROM preparadas')).toEqual([{ veces: 1 }]);
      expect((await sync()).reason).toBe('exitoso');
      expect(await world.query('SELECT uno.n AS uno, dos.n AS dos FROM uno CROSS JOIN dos')).toEqual([
        { uno: 101, dos: 101 },
      ]);
      expect(await countStored()).toBe(2000);
    },
  );

  test("a deadlock (1205) in a download's pre_process, which is no transaction of ours, is not run again", async () => {
    const sql = `UPDATE preparadas SET veces = veces + 1; ${CROSSING}`;
    await world.setTables({ tablasBajada: [{ ...bajada, pre_process: { enabled: true, sql } }] });
    const { reason, log } = await syncInDeadlock();
    expect(reason, log).toBe('error');
    expect(log).toContain('[BLOQUEO_SIN_REPETIR]');
    expect(await world.query('SELECT veces FROM preparadas')).toEqual([{ veces: 1 }]);
  });

  test.each([
    ['commits', 'UPDATE preparadas SET veces = veces + 1; COMMIT TRANSACTION; BEGIN TRANSACTION'],
    [
      'commits and goes on without one',
      'COMMIT TRANSACTION; UPDATE preparadas SET veces = veces + 1; BEGIN TRANSACTION',
    ],
    ['rolls back', 'ROLLBACK TRANSACTION; UPDATE preparadas SET veces = veces + 1; BEGIN TRANSACTION'],
  ])("a download's post_process that %s our transaction itself is not run again after a deadlock", async (_, sql) => {
    const post_process = { enabled: true, sql: `${sql}; UPDATE dos SET n = n + 1; UPDATE uno SET n = n + 1` };
    await world.setTables({ tablasBajada: [{ ...bajada, post_process }] });
    const { reason, log } = await syncInDeadlock();
    expect(reason, log).toBe('error');
    expect(log).toContain('[BLOQUEO_SIN_REPETIR]');
    expect(await world.query('SELECT veces FROM preparadas')).toEqual([{ veces: 1 }]);
  });

  test("the victim of a deadlock in a download's post_process is run again with the rows that are loaded", async () => {
    const sql = 'UPDATE dos SET n = n + 1; UPDATE uno SET n = (SELECT COUNT(*) FROM {temp_table})';
    await world.setTables({ tablasSubida: [subida] });
    await sync();
    await world.setTables({ tablasBajada: [{ ...bajada, post_process: { enabled: true, sql } }] });
    const { reason, log } = await syncInDeadlock();
    expect(reason, log).toBe('exitoso');
    expect(log).toMatch(/AVISO copia: .*error 1205.* Se repite\./);
    expect(await world.query('SELECT uno.n AS uno, dos.n AS dos FROM uno CROSS JOIN dos')).toEqual([
      { uno: 2000, dos: 101 },
    ]);
  });
});

test.each([20, 50, 80])(
  'a connection to SQL Server that breaks while rows are read (%i in a hundred of them) is made again, with pre_process',
  async (percent) => {
    const pre_process = { enabled: true, sql: 'UPDATE preparadas SET veces = veces + 1' };
    await world.setTables({ trozoKb: 64, tablasSubida: [{ ...subida, pre_process }] });
    await world.init(undefined, { host: '127.0.0.1', port: sqlProxy.port });
    sqlProxy.arm({ kind: 'cut', direction: 'bajada', after: percent * 6000 });
    const { reason, log } = await sync();
    expect(reason, log).toBe('exitoso');
    expect(sqlProxy.fired).toBe(1);
    expect(log).toMatch(/AVISO vista_articulos: No hay conexión con SQL Server .* Se intenta de nuevo\./);
    expect(await countStored()).toBe(2000);
    expect(await world.query('SELECT veces FROM preparadas')).toEqual([{ veces: 2 }]);
    // Neither the log nor the backend is told of a failure that was none.
    const { rows } = await world.backend.sql.query(`SELECT 1 FROM sync_logs WHERE estado <> 'exitoso'`);
    expect(rows).toEqual([]);
  },
);

test('a connection to SQL Server that breaks under a download: a fresh #temp on a new one', async () => {
  await world.setTables({ tablasSubida: [subida] });
  await sync();
  await world.setTables({ tablasBajada: [bajada] });
  await world.init(undefined, { host: '127.0.0.1', port: sqlProxy.port });
  sqlProxy.arm({ kind: 'cut', direction: 'subida', after: 200_000 });
  const { reason, log } = await sync();
  expect(reason, log).toBe('exitoso');
  expect(sqlProxy.fired).toBe(1);
  expect(await world.query('SELECT COUNT(*) AS n FROM copia')).toEqual([{ n: 2000 }]);
});

test('a SQL Server that is not there is asked a bounded number of times', async () => {
  await world.setTables({ tablasSubida: [subida] });
  const gone = await startFaultProxy({ host: '127.0.0.1', port: 1 });
  await gone.close();
  await world.init(undefined, { host: '127.0.0.1', port: gone.port });
  const { reason, log } = await sync();
  expect(reason).toBe('sqlserver');
  expect(log.match(/Se intenta de nuevo/g)).toHaveLength(policy.attempts - 1);
});

test('a session of PostgreSQL that is ended (57P01) under a commit: the commit is asked for again', async () => {
  await world.setTables({ trozoKb: 64, tablasSubida: [subida] });
  const blocker = await world.backend.sql.connect();
  await blocker.query('BEGIN; LOCK TABLE parametros_maestros IN SHARE MODE');
  const running = sync();
  const pid = await whoWaits(OF_SERVER);
  await blocker.query('SELECT pg_terminate_backend($1)', [pid]);
  await blocker.query('COMMIT');
  blocker.release();
  const { reason, log } = await running;
  expect(reason, log).toBe('exitoso');
  expect(log).toContain('BASE_NO_DISPONIBLE');
  expect(await countStored()).toBe(2000);
});

test('a commit that PostgreSQL rolls back to break a deadlock (40P01) is asked for again', async () => {
  await world.setTables({ trozoKb: 64, tablasSubida: [subida] });
  const blocker = await world.backend.sql.connect();
  await blocker.query('BEGIN; LOCK TABLE parametros_maestros IN SHARE MODE');
  const running = sync();
  await whoWaits(OF_SERVER);
  // The commit holds the row of its upload, and wants what we hold.
  await blocker.query('UPDATE sync_uploads SET tabla = tabla WHERE resultado IS NULL; ROLLBACK');
  blocker.release();
  const { reason, log } = await running;
  expect(reason, log).toBe('exitoso');
  expect(log).toContain('OCUPADO');
  expect(await countStored()).toBe(2000);
});
