import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import manifest from '../../package.json' with { type: 'json' };
import { assertOwnSession } from './backends.ts';
import { isDatabaseError } from './errors.ts';
import { readFunctions, selectFunctions } from './functions.ts';
import { makeWeeks } from './log-weeks.ts';
import { REVOKE } from './revoked.ts';
import { assertNotTooOld, listMigrations, noteVersion, readBreaking } from './versions.ts';

const FOLDER = join(import.meta.dirname, '..', 'migrations');

/** How long a migration may keep others waiting for its locks, and how often it tries. Servers go on working meanwhile. */
const LOCK_MS = 1000;
const ATTEMPTS = 30;
const PAUSE_MS = 2000;

/**
 * Brings the database to this version, in one transaction under an advisory lock: of processes that start together one does it,
 * the others wait. Returns the names of the migrations that ran and of the functions that were new or changed.
 *
 * Run by a superuser, it makes every function again, hands everything to the owner of the database, as whom the server
 * connects, and takes from the tenants' roles what only a superuser can take (revoked.ts).
 *
 * Servers may be at work: whoever waits for a lock holds up those who come after, so none is waited for longer than LOCK_MS.
 * @throws {PoolerError} where the address is a pooler's
 * @throws {VersionError} where `version` is too old for the database, or changes it in a way that a running server does not bear
 */
export async function migrate(databaseUrl: string, folder = FOLDER, version = manifest.version): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'ax-sync-server migrate' });
  await client.connect();
  try {
    await assertOwnSession(client);
    const { PG_MIGRATE_LOCK_ID } = await import('node-pg-migrate');
    // Held until the connection ends. Before the transaction, so that this sees what the process before it did.
    await client.query(`SELECT pg_advisory_lock(${PG_MIGRATE_LOCK_ID})`);
    for (let attempt = 1; ; attempt++) {
      await client.query(`BEGIN; SET LOCAL lock_timeout = ${LOCK_MS}`);
      try {
        const done = await runAll(client, folder, version);
        await client.query('COMMIT');
        return done;
      } catch (error) {
        if (attempt === ATTEMPTS || !isDatabaseError(error) || error.code !== '55P03') throw error;
        await client.query('ROLLBACK');
        await sleep(PAUSE_MS);
      }
    }
  } finally {
    await client.end();
  }
}

/** Migrations that this version has and the database lacks, and the other way round. */
export async function compareMigrations(connection: pg.ClientBase): Promise<{ faltan: string[]; sobran: string[] }> {
  const { rows } = await connection.query<{ name: string }>('SELECT name FROM sync_migrations ORDER BY id');
  const files = await listMigrations(FOLDER);
  const applied = new Set(rows.map(({ name }) => name));
  return {
    faltan: files.filter((name) => !applied.has(name)),
    sobran: [...applied].filter((name) => !files.includes(name)),
  };
}

async function runAll(client: pg.Client, folder: string, version: string): Promise<string[]> {
  await assertNotTooOld(client, version);
  const breaking = await readBreaking(client, folder);
  const runFile = async (name: string) => client.query(await readFile(join(folder, name), 'utf8'));
  const { rows } = await client.query<{ superuser: boolean }>(
    `SELECT rolsuper AS superuser,
       -- What a definer's function calls must not depend on its caller's path: they are created with this one.
       set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true)
     FROM pg_roles WHERE rolname = current_user`,
  );
  const superuser = rows[0]?.superuser === true;
  await runFile('roles.sql');
  const functions = await selectFunctions(client, await readFunctions(join(folder, 'functions')), {
    all: superuser,
    version,
  });
  // Tables need functions, for defaults and triggers, before there are the tables that bodies of functions name.
  await functions.create({ checkBodies: false });
  // Only here: the commands that migrate nothing need not load it.
  const { runner } = await import('node-pg-migrate');
  const migrations = await runner({
    dbClient: withinTransaction(client),
    dir: folder,
    ignorePattern: '(?!\\d+_.*\\.sql$).*',
    migrationsTable: 'sync_migrations',
    direction: 'up',
    noLock: true,
    singleTransaction: true,
    log: () => {},
  });
  await functions.create({ checkBodies: true });
  await makeWeeks(client);
  await noteVersion(client, version, breaking);
  if (superuser) {
    await runFile('hand-over.sql');
    await client.query(REVOKE);
  }
  return [...migrations.map(({ name }) => name), ...functions.changed];
}

const SAVEPOINT: Record<string, string> = {
  BEGIN: 'SAVEPOINT migrations',
  COMMIT: 'RELEASE SAVEPOINT migrations',
  ROLLBACK: 'ROLLBACK TO SAVEPOINT migrations',
};

/** A client for `runner`, whose own transaction is a part of the one around it. */
function withinTransaction(client: pg.Client): pg.Client {
  const query = (sql: string, values?: unknown[]) => client.query(SAVEPOINT[sql] ?? sql, values);
  return Object.assign(Object.create(client) as pg.Client, { query });
}
