import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import { createScratchDatabase, type ScratchDatabase } from '../../fixtures/postgres.ts';
import { migrate } from './migrate.ts';
import { copyNext, dropMirror, isMirrorEqual, isMirrorWhole, makeMirror } from './mirror.ts';

/** What is written while rows are copied, at the moments that matter: before and after the copy, and while either is under way. */

let scratch: ScratchDatabase;
let copier: pg.Client;
let writer: pg.Client;
beforeAll(async () => {
  scratch = await createScratchDatabase(inject('postgresUrl'));
  await migrate(scratch.url);
  copier = await connect();
  writer = await connect();
});
afterAll(async () => {
  await copier?.end();
  await writer?.end();
  await scratch?.drop();
});
afterEach(async () => {
  await Promise.all([copier, writer].map((client) => client.query('ROLLBACK')));
  await dropMirror(copier);
  await copier.query('TRUNCATE parametros_maestros');
});

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: scratch.url });
  await client.connect();
  return client;
}

async function make(rows: number): Promise<void> {
  await copier.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre)
     SELECT 'tenant-' || n, 'cosa', lpad(n::text, 3, '0'), 'vieja' FROM generate_series(1, $1) n`,
    [rows],
  );
  await copier.query('BEGIN');
  await makeMirror(copier);
  await copier.query('COMMIT');
}

async function copyBatch(max = 1000): Promise<number | undefined> {
  await copier.query(`BEGIN; SET LOCAL lock_timeout = 100`);
  try {
    const copied = await copyNext(copier, max);
    await copier.query('COMMIT');
    return copied;
  } catch (error) {
    await copier.query('ROLLBACK');
    throw error;
  }
}

async function copyAll(max = 1000): Promise<number[]> {
  const batches: number[] = [];
  for (let copied = await copyBatch(max); copied !== undefined; copied = await copyBatch(max)) batches.push(copied);
  return batches;
}

const writes: [what: string, sql: string][] = [
  ['removes rows', `DELETE FROM parametros_maestros WHERE codigo <= '010'`],
  [
    'changes rows',
    `UPDATE parametros_maestros SET nombre = 'nueva', parametros_json = '{"a": 1.50}' WHERE codigo <= '010'`,
  ],
  ['changes keys', `UPDATE parametros_maestros SET codigo = codigo || 'x' WHERE codigo <= '010'`],
  [
    'moves rows to other tenants',
    `UPDATE parametros_maestros SET "tenantId" = "tenantId" || 'x' WHERE codigo <= '010'`,
  ],
  [
    'changes some keys',
    `UPDATE parametros_maestros SET nombre = 'nueva', codigo = CASE WHEN codigo <= '005' THEN codigo || 'x' ELSE codigo END WHERE codigo <= '010'`,
  ],
  [
    'adds rows',
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) SELECT 'tenant-' || n, 'antes', (SELECT count(*) FROM parametros_maestros) FROM generate_series(1, 20) n`,
  ],
  [
    'replaces rows',
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) SELECT 'tenant-' || n, 'cosa', lpad(n::text, 3, '0') FROM generate_series(1, 90) n
     ON CONFLICT ("tenantId", tipo_campo, codigo) DO UPDATE SET nombre = 'repetida'`,
  ],
  [
    'merges',
    `MERGE INTO parametros_maestros p USING generate_series(1, 90) n ON p.codigo = lpad(n::text, 3, '0')
     WHEN MATCHED AND n % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET nombre = 'mezclada'
     WHEN NOT MATCHED THEN INSERT ("tenantId", tipo_campo, codigo) VALUES ('tenant-' || n, 'cosa', lpad(n::text, 3, '0'))`,
  ],
  ['empties the table', 'TRUNCATE parametros_maestros'],
];

test.each(writes)('before, behind and ahead of the copy, somebody %s', async (_what, sql) => {
  await make(60);
  await writer.query(sql);
  await copyBatch(5);
  await writer.query(sql);
  await copyAll(20);
  await writer.query(sql);
  expect(await isMirrorEqual(copier)).toBe(true);
});

test.each(writes)('while rows are copied somebody %s, and waits for the batch or not', async (_what, sql) => {
  await make(60);
  await copier.query('BEGIN');
  await copyNext(copier, 30);
  const written = writer.query(sql);
  await Promise.race([written, sleep(50)]);
  await copier.query('COMMIT');
  await written;
  await copyAll(20);
  expect(await isMirrorEqual(copier)).toBe(true);
});

test.each(writes)('who %s has not committed: the batch is tried again, or sees what will be', async (_what, sql) => {
  await make(60);
  await writer.query('BEGIN');
  await writer.query(sql);
  await copyBatch(30).catch((error: { code: string }) => expect(error.code).toBe('55P03'));
  await writer.query('COMMIT');
  await copyAll(20);
  expect(await isMirrorEqual(copier)).toBe(true);
});

test.each(writes)('who %s and takes it back leaves both tables as they were', async (_what, sql) => {
  await make(60);
  await copyBatch(30);
  await writer.query('BEGIN');
  await writer.query(sql);
  await writer.query('ROLLBACK');
  expect(await copyAll(20)).toEqual([20, 10]);
  expect(await isMirrorEqual(copier)).toBe(true);
});

test('the copy goes on where it was, and ends after rows are gone that were to be its last', async () => {
  await make(30);
  expect(await copyBatch(10)).toBe(10);
  await writer.query(`DELETE FROM parametros_maestros WHERE "tenantId" > 'tenant-2'`);
  expect((await copyAll(10)).every((copied) => copied <= 10)).toBe(true);
  expect(await copyBatch()).toBeUndefined();
  expect(await isMirrorEqual(copier)).toBe(true);
});

test('a session that calls itself a replica is mirrored too; one that sees an old state is refused', async () => {
  await make(10);
  await copyAll();
  const { rows } = await copier.query(`SELECT tgenabled FROM pg_trigger WHERE tgname ~ '^sync_reflejo_'`);
  expect(rows.map(({ tgenabled }) => tgenabled)).toEqual(['A', 'A', 'A', 'A']);
  await writer.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await expect(writer.query('DELETE FROM parametros_maestros')).rejects.toMatchObject({ code: '55000' });
});

test('rows that differ are found, whatever of them differs', async () => {
  await make(10);
  await copyAll();
  for (const [harm, mend] of [
    ['DELETE FROM sync_parametros_nueva WHERE codigo = $1 RETURNING 1', undefined],
    [`UPDATE sync_parametros_nueva SET parametros_json = '{"a": 1}' WHERE codigo = $1`, undefined],
    [
      `UPDATE sync_parametros_nueva SET parametros_json = '{"a": 1.0}', updated_at = created_at WHERE codigo = $1`,
      `{"a": 1.00}`,
    ],
  ] as const) {
    await copier.query('BEGIN');
    if (mend !== undefined) await copier.query('UPDATE parametros_maestros SET parametros_json = $1', [mend]);
    expect(await isMirrorEqual(copier)).toBe(true);
    await copier.query(harm, ['003']);
    expect(await isMirrorEqual(copier)).toBe(false);
    await copier.query('ROLLBACK');
  }
});

test.each([
  [
    'a trigger was off',
    `ALTER TABLE parametros_maestros DISABLE TRIGGER sync_reflejo_baja; ALTER TABLE parametros_maestros ENABLE ALWAYS TRIGGER sync_reflejo_baja`,
  ],
  ['a trigger is gone', 'DROP TRIGGER sync_reflejo_alta ON parametros_maestros'],
  ['there is a column more', 'ALTER TABLE parametros_maestros ADD COLUMN otra text'],
])('a mirror is not believed where %s', async (_what, sql) => {
  await make(3);
  expect(await isMirrorWhole(copier)).toBe(true);
  await copier.query(sql);
  expect(await isMirrorWhole(copier)).toBe(false);
  await copier.query('ALTER TABLE parametros_maestros DROP COLUMN IF EXISTS otra');
});
