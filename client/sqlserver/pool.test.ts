import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test, vi } from 'vitest';
import { type FaultProxy, startFaultProxy } from '../../fixtures/chaos/proxy.ts';
import { type OpenSqlServer, openSqlServer } from '../../fixtures/sql-server.ts';
import { SqlServerPool } from './pool.ts';
import { quoteName, type SqlServer, type SqlServerSettings, withSqlServer } from './sql-server.ts';

const { signal } = new AbortController();
let sqlServer: OpenSqlServer;
/** What counts the sessions: each has a connection of its own. */
let line: FaultProxy;
let settings: SqlServerSettings;
let pool: SqlServerPool;
/** Connections before this test, which opens the others. */
let before = 0;
const opened = () => line.connections - before;

beforeAll(async () => {
  sqlServer = await openSqlServer(inject('postgresUrl'), { databases: ['A', 'B'] });
  line = await startFaultProxy(sqlServer.target);
  settings = { ...sqlServer.target, host: '127.0.0.1', port: line.port, trustServerCertificate: true };
  await withSqlServer(settings, { signal }, (db) => db.execute('CREATE TABLE t (a int PRIMARY KEY)'));
});
afterAll(async () => {
  await line?.close();
  await sqlServer?.stop();
});
beforeEach(() => {
  pool = new SqlServerPool();
  before = line.connections;
});
afterEach(async () => {
  await pool.close();
  // Whatever became of them, none outlasts the pool.
  await vi.waitFor(() => expect(line.open).toBe(0), 2000);
});

const use = <T>(
  work: (db: SqlServer) => Promise<T>,
  { name = '', onMessage = (_: string) => {}, until = signal } = {},
): Promise<T> => pool.use({ name, settings }, { signal: until, onMessage }, work);

const depth = async (db: SqlServer) => (await db.query('SELECT @@TRANCOUNT AS n'))[0]!.n;

test('a session goes on to the next table, and nothing of the one before is in it: no #temp table, no SET option', async () => {
  await use(async (db) => {
    await db.execute('INSERT INTO t (a) VALUES (1)');
    await db.execute('CREATE TABLE #suya (a int)');
    await db.execute('SET NOCOUNT ON');
    expect(await db.execute('UPDATE t SET a = 2 WHERE a = 1')).toEqual({ rowsAffected: 0 });
  });
  await use(async (db) => {
    await expect(db.query('SELECT a FROM #suya')).rejects.toThrow(/#suya/);
    expect(await db.execute('DELETE FROM t WHERE a = 2')).toEqual({ rowsAffected: 1 });
  });
  expect(opened()).toBe(1);
});

test('a transaction that is left open ends with its table, and its locks hold nobody up', async () => {
  await use((db) => db.execute('INSERT INTO t (a) VALUES (1)'));
  await use(async (db) => {
    await db.execute('BEGIN TRANSACTION');
    await db.execute('UPDATE t SET a = 7 WHERE a = 1');
  });
  await withSqlServer({ ...settings, executeTimeoutMs: 5000 }, { signal }, async (db) => {
    expect(await db.execute('DELETE FROM t WHERE a = 1')).toEqual({ rowsAffected: 1 });
  });
  before = line.connections;
  expect(await use(depth)).toBe(0);
  expect(opened()).toBe(1);
});

test('several at once have a session each, of their own connection; what is printed goes to the table that runs', async () => {
  const heard: string[] = [];
  const say = (table: string, name: string) =>
    use((db) => db.execute(`PRINT '${table}'`), { name, onMessage: (text) => heard.push(`${table}: ${text}`) });
  await Promise.all([say('uno', 'x'), say('dos', 'x'), say('tres', 'y')]);
  expect(opened()).toBe(3);
  await Promise.all([say('cuatro', 'x'), say('cinco', 'x'), say('seis', 'y'), say('siete', 'y')]);
  expect(opened()).toBe(4);
  expect(heard.every((line) => /^(\w+): \1$/.test(line))).toBe(true);
  expect(heard).toHaveLength(7);
});

test.each<[string, (work: typeof use) => Promise<unknown>]>([
  ['an error', (lend) => lend((db) => db.execute("RAISERROR('no', 16, 1)"))],
  ['an error that was none of SQL Server', (lend) => lend(() => Promise.reject(new Error('otra cosa')))],
  [
    'being given up',
    (lend) => {
      const stop = new AbortController();
      return lend(
        async (db) => {
          stop.abort(new Error('Ctrl-C'));
          await db.execute('SELECT 1', { signal: stop.signal });
        },
        { until: stop.signal },
      );
    },
  ],
  ['another database', (lend) => lend((db) => db.execute(`USE ${quoteName(sqlServer.databases.get('B')!.database)}`))],
])('after %s the session is closed, and the next table has a new one', async (_, work) => {
  await use(depth);
  await work(use).catch(() => {});
  expect(await use(depth)).toBe(0);
  expect(opened()).toBe(2);
});

test('an idle session that SQL Server has ended meanwhile is no failure: there is another', async () => {
  await use(depth);
  const { port } = line;
  await line.close();
  // A new one, which begins to count at 0.
  line = await startFaultProxy(sqlServer.target, { port });
  before = 0;
  expect(await use(depth)).toBe(0);
  expect(opened()).toBe(1);
});

test('no more than sixteen wait, whatever their connection: the oldest goes', async () => {
  for (let n = 0; n < 17; n++) await use(depth, { name: `c${n}` });
  await vi.waitFor(() => expect(line.open).toBe(16));
  await use(depth, { name: 'c16' });
  expect(opened()).toBe(17);
  await use(depth, { name: 'c0' });
  expect(opened()).toBe(18);
});
