import { appendFile, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { createScratchDatabase, runOnce, type ScratchDatabase, startOwnPostgres } from '../../fixtures/postgres.ts';
import { dumpSchema } from '../testing/dump-schema.ts';
import { makeSchema, readSchema } from '../testing/schema.ts';
import { migrate } from './migrate.ts';

/** A copy of server/migrations that a test may change, on a database that has been migrated as its owner. */

let scratch: ScratchDatabase;
let sql: pg.Client;
let folder: string;
beforeAll(async () => {
  scratch = await createScratchDatabase(inject('postgresUrl'));
  sql = new pg.Client({ connectionString: scratch.url });
  await sql.connect();
});
afterAll(async () => {
  await sql?.end();
  await scratch?.drop();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-migrations-'));
  await cp(join(import.meta.dirname, '..', 'migrations'), folder, { recursive: true });
  await migrate(scratch.url, folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const functionFile = (name: string) => join(folder, 'functions', `${name}.sql`);

/** Makes sync_activo answer false, as a file that makes a function of that body. */
function changeActivo(body = 'SELECT false'): Promise<void> {
  const sql = `CREATE OR REPLACE FUNCTION sync_activo(v jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ ${body} $$;`;
  return writeFile(functionFile('sync_activo'), sql);
}

async function isActivo(): Promise<boolean> {
  return (await sql.query<{ activo: boolean }>(`SELECT sync_activo('true') AS activo`)).rows[0]!.activo;
}

const zeta = (create: string) => `${create} FUNCTION sync_zeta() RETURNS integer LANGUAGE sql AS $$`;

test('schema.sql is what the migrations make: else npm run schema', async () => {
  expect(await makeSchema(inject('postgresUrl'))).toBe(await readSchema());
});

test('a function is run again when its file has changed, once', async () => {
  expect(await migrate(scratch.url, folder)).toEqual([]);
  await changeActivo();
  expect(await migrate(scratch.url, folder)).toEqual(['sync_activo']);
  expect(await isActivo()).toBe(false);
  expect(await migrate(scratch.url, folder)).toEqual([]);
});

test('several processes at once: one runs what is new, the others find it done', async () => {
  await changeActivo();
  await writeFile(join(folder, '900_nueva.sql'), 'CREATE TABLE sync_nueva ();');
  const done = await Promise.all([1, 2, 3, 4].map(() => migrate(scratch.url, folder)));
  expect(done.filter((names) => names.length > 0)).toEqual([['900_nueva', 'sync_activo']]);
  await sql.query(`DROP TABLE sync_nueva; DELETE FROM sync_migrations WHERE name = '900_nueva'`);
});

test.each([
  ['a migration', '900_mala.sql', 'CREATE TABLE sync_nueva (); SELECT 1 / 0;', /division by zero/],
  ['a function', 'functions/sync_zeta.sql', `${zeta('CREATE OR REPLACE')} nada $$`, /syntax/],
  [
    'a function that does not replace itself',
    'functions/sync_zeta.sql',
    `${zeta('CREATE')} SELECT 1 $$`,
    /already exists/,
  ],
  [
    'a function of a table that is not there',
    'functions/sync_zeta.sql',
    `${zeta('CREATE OR REPLACE')} SELECT 1 FROM no_hay $$`,
    /"no_hay" does not exist/,
  ],
])('%s that fails leaves everything as it was', async (_what, file, text, error) => {
  await changeActivo();
  await writeFile(join(folder, '900_antes.sql'), 'CREATE TABLE sync_antes ();');
  await writeFile(join(folder, file), text);
  const state = async () => [
    await dumpSchema(sql),
    await isActivo(),
    (await sql.query('SELECT * FROM sync_migrations')).rows,
  ];
  const before = await state();
  await expect(migrate(scratch.url, folder)).rejects.toThrow(error);
  expect(await state()).toEqual(before);
});

test('a function may name a table of a new migration, and that table the function', async () => {
  const table = 'CREATE TABLE sync_nueva (n integer DEFAULT sync_cuenta());';
  const cuenta =
    'CREATE OR REPLACE FUNCTION sync_cuenta() RETURNS integer LANGUAGE sql AS $$ SELECT count(*)::integer FROM sync_nueva $$;';
  await writeFile(join(folder, '900_nueva.sql'), table);
  await writeFile(functionFile('sync_cuenta'), cuenta);
  expect(await migrate(scratch.url, folder)).toEqual(['900_nueva', 'sync_cuenta']);
  await sql.query('INSERT INTO sync_nueva DEFAULT VALUES; INSERT INTO sync_nueva DEFAULT VALUES');
  expect((await sql.query('SELECT n FROM sync_nueva ORDER BY n')).rows).toEqual([{ n: 0 }, { n: 1 }]);
  await sql.query(
    `DROP TABLE sync_nueva; DROP FUNCTION sync_cuenta; DELETE FROM sync_migrations WHERE name = '900_nueva'`,
  );
});

test.each(['url', 'adminUrl'] as const)(
  'functions that are made again belong to whom they did, and so do their rights (%s)',
  async (who) => {
    const before = await dumpSchema(sql);
    const { rows: names } = await sql.query<{ nombre: string }>('SELECT nombre FROM sync_functions ORDER BY nombre');
    for (const { nombre } of names) await appendFile(functionFile(nombre), '-- Otra vez.\n').catch(() => {});
    expect(await migrate(scratch[who], folder)).toContain('sync_ejecutar');
    // An administrator that runs them gets EXECUTE too.
    expect((await dumpSchema(sql)).replaceAll(/^GRANT EXECUTE .* TO postgres;\n/gm, '')).toBe(before);
  },
);

test('what a newer version made is not undone by a process of this one', async () => {
  await sql.query(`UPDATE sync_functions SET version = '99.0.0', digest = 'x' WHERE nombre = 'sync_activo'`);
  await changeActivo('SELECT NULL::boolean');
  for (const url of [scratch.url, scratch.adminUrl]) expect(await migrate(url, folder)).not.toContain('sync_activo');
  expect(await isActivo()).not.toBeNull();
  await sql.query(`DELETE FROM sync_functions WHERE nombre = 'sync_activo'`);
});

test('a user with CREATEROLE, who owns the database, makes the roles itself; one without is told what is missing', async () => {
  const own = await startOwnPostgres({ durable: false });
  try {
    await runOnce(
      own.url,
      `CREATE ROLE plano LOGIN PASSWORD 'x'`,
      `CREATE ROLE dueno LOGIN CREATEROLE PASSWORD 'x'`,
      'CREATE DATABASE llano OWNER plano',
      'CREATE DATABASE central OWNER dueno',
    );
    const urlOf = (user: string, database: string) =>
      Object.assign(new URL(own.url), { username: user, password: 'x', pathname: database }).href;
    await expect(migrate(urlOf('plano', 'llano'))).rejects.toThrow(
      /falta el rol ax_sync_tenant: créelo un administrador/,
    );
    expect(await migrate(urlOf('dueno', 'central'))).toContain('001_tablas');
    await appendFile(functionFile('sync_ejecutar'), '-- Otra vez.\n');
    expect(await migrate(urlOf('dueno', 'central'), folder)).toContain('sync_ejecutar');
    const central = new pg.Client({ connectionString: urlOf('dueno', 'central') });
    await central.connect();
    const dumped = await dumpSchema(central);
    await central.end();
    expect(await readFile(join(folder, 'schema.sql'), 'utf8')).toContain(dumped);
  } finally {
    await own.stop();
  }
});

test('a database that a breaking migration has changed takes no server from before it, and says which it takes', async () => {
  await writeFile(join(folder, '900_rompe.sql'), '-- breaking\nCREATE TABLE sync_nueva ();');
  await migrate(scratch.url, folder, '98.0.0');
  await rm(join(folder, '900_rompe.sql'));
  await expect(migrate(scratch.url, folder, '97.9.9')).rejects.toThrow(/desde la 98\.0\.0: este es 97\.9\.9/);
  expect(await migrate(scratch.url, folder, '98.0.1')).toEqual([]);
  await sql.query(
    `DROP TABLE sync_nueva; DELETE FROM sync_migrations WHERE name = '900_rompe'; DELETE FROM sync_version`,
  );
});

test('a breaking migration does not run while a server is connected, any other does, and an older server starts after that', async () => {
  const server = new pg.Client({ connectionString: scratch.url, application_name: 'ax-sync-server' });
  await server.connect();
  try {
    await writeFile(join(folder, '900_rompe.sql'), '-- breaking\nCREATE TABLE sync_nueva ();');
    await expect(migrate(scratch.url, folder, '98.0.0')).rejects.toThrow(/900_rompe.*hay 1 conexiones/);
    expect((await sql.query(`SELECT to_regclass('sync_nueva') AS tabla`)).rows).toEqual([{ tabla: null }]);
    await writeFile(join(folder, '900_rompe.sql'), 'CREATE TABLE sync_nueva ();');
    expect(await migrate(scratch.url, folder, '98.0.0')).toEqual(['900_rompe']);
    expect(await migrate(scratch.url, folder, '97.0.0')).toEqual([]);
    expect((await sql.query('SELECT version, minima FROM sync_version')).rows).toEqual([
      { version: '98.0.0', minima: '0.0.0' },
    ]);
  } finally {
    await server.end();
  }
  await sql.query(
    `DROP TABLE sync_nueva; DELETE FROM sync_migrations WHERE name = '900_rompe'; DELETE FROM sync_version`,
  );
});

test('a migration that cannot have its lock lets others pass, and comes again', async () => {
  const holder = new pg.Client({ connectionString: scratch.url });
  await holder.connect();
  await holder.query('BEGIN; LOCK TABLE sync_logs IN SHARE MODE');
  await writeFile(join(folder, '900_cierra.sql'), 'ALTER TABLE sync_logs ADD COLUMN nueva integer;');
  const done = migrate(scratch.url, folder);
  await new Promise((next) => setTimeout(next, 1500));
  // It has given up its place for now: else this would wait behind it.
  await sql.query(`SET lock_timeout = '500ms'`);
  expect((await sql.query('SELECT count(*)::integer AS n FROM sync_logs')).rows).toEqual([{ n: 0 }]);
  await holder.query('ROLLBACK');
  await holder.end();
  expect(await done).toEqual(['900_cierra']);
  await sql.query(`ALTER TABLE sync_logs DROP COLUMN nueva; DELETE FROM sync_migrations WHERE name = '900_cierra'`);
});
