import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type RunningPgBouncer, startPgBouncer } from '../../fixtures/pgbouncer.ts';
import { createScratchDatabase, type OwnPostgres, startOwnPostgres } from '../../fixtures/postgres.ts';
import { missingPrograms } from '../../fixtures/programs.ts';
import { loadConfig } from '../config.ts';
import { PoolerError } from './backends.ts';
import { migrate } from './migrate.ts';
import { type Database, doNotReuse, inTransaction, openDatabase } from './pool.ts';

/** The pools through a PgBouncer that lends connections by transaction. */

const missing = missingPrograms('the pools through PgBouncer', 'pgbouncer');

describe.skipIf(missing.length > 0)('through PgBouncer', () => {
  let postgres: OwnPostgres;
  let pooler: RunningPgBouncer;
  let database: Database;
  let direct: pg.Client;
  let pooledUrl: string;
  beforeAll(async () => {
    postgres = await startOwnPostgres({ durable: false, scram: true });
    pooler = await startPgBouncer(postgres.url);
    const scratch = await createScratchDatabase(postgres.url);
    const url = new URL(scratch.url);
    url.port = String(pooler.port);
    pooledUrl = url.href;
    direct = new pg.Client({ connectionString: scratch.url });
    await direct.connect();
    await direct.query('CREATE TABLE cosas (n integer)');
    const config = loadConfig({ DATABASE_URL: pooledUrl, DATABASE_DIRECT_URL: scratch.url });
    database = openDatabase(config, () => {}, { statementMs: 700, lockMs: 200 });
  });
  afterAll(async () => {
    await database?.close();
    await direct?.end();
    await pooler?.stop();
    await postgres?.stop();
  });

  const settingOf = (connection: pg.ClientBase, name: string) =>
    connection
      .query<{ valor: string }>('SELECT current_setting($1) AS valor', [name])
      .then(({ rows }) => rows[0]!.valor);

  test("what bounds a short request holds for its transactions, and for nobody else's", async () => {
    await database.withConnection(async (connection) => {
      expect(await settingOf(connection, 'statement_timeout')).toBe('700ms');
      await inTransaction(connection, async () => {
        expect(await settingOf(connection, 'lock_timeout')).toBe('200ms');
      });
      expect(await settingOf(connection, 'lock_timeout')).toBe('200ms');
    });
    await expect(database.withConnection((connection) => connection.query('SELECT pg_sleep(5)'))).rejects.toMatchObject(
      {
        code: 'OCUPADO',
      },
    );
    await database.withTransfer('acme', (connection) =>
      inTransaction(connection, async () => {
        expect(await settingOf(connection, 'statement_timeout')).toBe('0');
        expect(await settingOf(connection, 'lock_timeout')).toBe('0');
      }),
    );
  });

  test('what a short request has done is done when it fails afterwards, as without a pooler', async () => {
    const fails = database.withConnection(async (connection) => {
      await connection.query('INSERT INTO cosas VALUES (1)');
      await inTransaction(connection, async () => {
        await connection.query('INSERT INTO cosas VALUES (2)');
        throw new Error('no');
      }).catch(() => {});
      await connection.query('INSERT INTO cosas VALUES (3)');
      throw new Error('a refusal');
    });
    await expect(fails).rejects.toThrow('a refusal');
    expect((await direct.query('SELECT n FROM cosas ORDER BY n')).rows).toEqual([{ n: 1 }, { n: 3 }]);
  });

  test('what a phase leaves in a session that failed is gone before another has it', async () => {
    const fails = database.withTransfer('acme', (connection) =>
      inTransaction(connection, async () => {
        await connection.query('PREPARE sync_sentencia AS SELECT 1');
        doNotReuse(connection);
        throw new Error('no');
      }),
    );
    await expect(fails).rejects.toThrow('no');
    await database.withTransfer('otra', (connection) =>
      inTransaction(connection, async () => {
        expect((await connection.query('SELECT FROM pg_prepared_statements')).rowCount).toBe(0);
      }),
    );
  });

  test('a transaction that is left in the middle ends its backend, and no other', async () => {
    const bystander = await database.borrowTransfer('otra');
    await bystander.connection.query('BEGIN');
    const { connection, release } = await database.borrowTransfer('acme');
    let pid = 0;
    const left = inTransaction(connection, async () => {
      pid = (await connection.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]!.pid;
      await connection.query('SELECT pg_sleep(60)');
    }).catch(() => {});
    await vi.waitFor(() => expect(pid).toBeGreaterThan(0));
    release(true);
    await left;
    const busy = () =>
      direct
        .query(`SELECT FROM pg_stat_activity WHERE pid = $1 AND query LIKE '%pg_sleep(60)%'`, [pid])
        .then((r) => r.rowCount);
    await vi.waitFor(async () => expect(await busy()).toBe(0), { timeout: 20_000, interval: 100 });
    await vi.waitFor(() => expect(database.usage().transfer.busy).toBe(1), { timeout: 20_000, interval: 100 });
    expect((await bystander.connection.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await bystander.connection.query('COMMIT');
    bystander.release();
  });

  test('a pooler that is not said to be one is refused before anything is done', async () => {
    await expect(migrate(pooledUrl)).rejects.toThrow(PoolerError);
    expect((await direct.query(`SELECT to_regclass('sync_migrations') AS tabla`)).rows).toEqual([{ tabla: null }]);
  });
});
