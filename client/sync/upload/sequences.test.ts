import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type CuttingProxy, startCuttingProxy } from '../../testing/cutting-proxy.ts';
import { startWorld, type World } from '../../testing/world.ts';

/**
 * Whatever happens between two runs, and to them, in each mode of `cambios`: the centre is then what a whole upload would make of it. With
 * SEQUENCES=10 ten times as many sequences.
 */

let world: World;
let proxy: CuttingProxy;
let other: string;
let yesterday: string;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  proxy = await startCuttingProxy(world.backend.url);
  await world.init(proxy.url);
  await world.execute(`CREATE TABLE cosas (codigo varchar(20) NOT NULL PRIMARY KEY, nombre nvarchar(100) NOT NULL,
    fecha datetime2 NOT NULL DEFAULT SYSDATETIME(), rv rowversion)`);
  await world.execute('CREATE TABLE copia (codigo varchar(20) NOT NULL PRIMARY KEY, nombre nvarchar(100) NOT NULL)');
  await world.execute('ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 7 DAYS, AUTO_CLEANUP = ON)');
  await world.execute('ALTER TABLE cosas ENABLE CHANGE_TRACKING');
  other = await mkdtemp(join(tmpdir(), 'ax-otro-'));
  yesterday = await mkdtemp(join(tmpdir(), 'ax-ayer-'));
});
afterAll(async () => {
  await proxy?.close();
  await world?.close();
  for (const folder of [other, yesterday]) if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

const policy = { attempts: 1, firstDelayMs: 1, maxDelayMs: 1, maxTotalMs: 60_000, maxRetryAfterMs: 1000 };
const key = fc.integer({ min: 0, max: 40 }).map((n) => `c${n}`);

type Step = readonly [what: string, codigo: string];
const STEPS = [
  ...['insert', 'insert', 'update', 'update', 'delete', 'rekey', 'reload', 'run', 'run', 'lost answer', 'cut upload'],
  ...['other agent', 'keep folder', 'folder of yesterday'],
];
/** What is changed at the centre by hand only ledgers notice. */
const EDITS = ['edit', 'edit away'];
const steps = (isLedger: boolean): fc.Arbitrary<Step[]> =>
  fc.array(fc.tuple(fc.constantFrom(...STEPS, ...(isLedger ? EDITS : [])), key), { minLength: 5, maxLength: 25 });

const update = (set: string, codigo: string) =>
  world.execute(`UPDATE cosas SET ${set}, fecha = SYSDATETIME() WHERE codigo = '${codigo}'`);

/** As a nightly load does it. TRUNCATE tells Change Tracking no keys. */
const RELOAD = `BEGIN TRANSACTION
  INSERT INTO copia SELECT codigo, nombre FROM cosas
  TRUNCATE TABLE cosas
  INSERT INTO cosas (codigo, nombre) SELECT codigo, nombre FROM copia
  DELETE FROM copia
  COMMIT TRANSACTION`;

let serial = 0;
async function take([what, codigo]: Step): Promise<void> {
  const name = `n${++serial}`;
  if (what === 'insert') {
    await world.execute(
      `IF NOT EXISTS (SELECT 1 FROM cosas WHERE codigo = '${codigo}') INSERT INTO cosas (codigo, nombre) VALUES ('${codigo}', N'${name}')`,
    );
  } else if (what === 'update') await update(`nombre = N'${name}'`, codigo);
  else if (what === 'delete') await world.execute(`DELETE FROM cosas WHERE codigo = '${codigo}'`);
  else if (what === 'rekey') await update(`codigo = '${name}'`, codigo);
  else if (what === 'reload') await world.execute(RELOAD);
  else if (what === 'run') await world.sync({ policy });
  else if (what === 'lost answer' || what === 'cut upload') {
    proxy.cut = {
      afterBytes: 0,
      times: 3,
      requests: what === 'lost answer' ? /POST \S+\/(commit|upload)/ : /PUT |POST \S+uploads/,
    };
    await world.sync({ policy });
    proxy.cut = undefined;
  } else if (what === 'edit') {
    await world.backend.sql.query(`UPDATE parametros_maestros SET nombre = 'a mano' WHERE codigo = $1`, [codigo]);
  } else if (what === 'edit away') {
    await world.backend.sql.query('DELETE FROM parametros_maestros WHERE codigo = $1', [codigo]);
  } else if (what === 'other agent') {
    await cp(join(world.folder, 'sync-config.enc'), join(other, 'sync-config.enc'));
    await world.sync({ policy, folder: other });
  } else if (what === 'keep folder') await copyState(world.folder, yesterday);
  else await copyState(yesterday, world.folder);
}

const STATE = ['last-sync.json', 'huellas', 'spool'];
async function copyState(from: string, to: string): Promise<void> {
  for (const name of STATE) {
    await rm(join(to, name), { recursive: true, force: true });
    await cp(join(from, name), join(to, name), { recursive: true }).catch(() => {});
  }
}

/** Of each mode: what its table has, whether it knows what is gone without `completoCada`, and how many sequences are tried. */
const MODES = {
  huellas: { more: { cambios: 'huellas' }, knowsGone: true, runs: 8 },
  particion: {
    more: { cambios: 'huellas', particion: { columna: 'codigo', filas: 5 } },
    ...{ knowsGone: true, runs: 4 },
  },
  seguimiento: { more: { cambios: 'seguimiento', seguimiento: [{ tabla: 'dbo.cosas' }] }, knowsGone: true, runs: 4 },
  rowversion: { more: { cambios: 'rowversion', columna: 'rv', completoCada: '30d' }, knowsGone: false, runs: 3 },
  marca: {
    more: { cambios: 'marca', campoFecha: 'fecha', solapeSegundos: 0, completoCada: '30d' },
    ...{ knowsGone: false, runs: 3 },
  },
};
const QUERIES: Record<string, string> = {
  rowversion: 'SELECT codigo, nombre, rv FROM cosas',
  marca: 'SELECT codigo, nombre, fecha FROM cosas WHERE fecha > @ultimaSync',
};

test.each(Object.keys(MODES) as (keyof typeof MODES)[])(
  'any sequence of changes, faults and other hands ends as the source is (%s)',
  async (mode) => {
    const { more, knowsGone, runs } = MODES[mode];
    const table = {
      ...{ nombre: 'cosas', primaryKey: 'codigo', tipoCampo: 'cosa' },
      process: { query: QUERIES[mode] ?? 'SELECT codigo, nombre FROM cosas' },
      // A small source that is empty for a while would wait for a person.
      bajas: 'borrar',
      ...more,
    };
    await world.setTables({ tablasSubida: [table] });
    const play = async (sequence: Step[]) => {
      await startAfresh();
      for (const one of sequence) await take(one);
      const log = await syncWell();
      const source = await namesAtSource();
      if (knowsGone) expect(await stored(), log).toEqual(source);
      else {
        expect(await stored(), log).toEqual(expect.arrayContaining(source));
        await makeDue();
        await syncWell();
        expect(await stored(), log).toEqual(source);
      }
      const again = await syncWell();
      expect(again, log).toMatch(/Sin novedades/);
    };
    const numRuns = runs * Number(process.env.SEQUENCES ?? 1);
    await fc.assert(fc.asyncProperty(steps(more.cambios === 'huellas'), play), {
      ...{ numRuns, seed: 20261130, endOnFailure: true },
    });
  },
  120_000 * Number(process.env.SEQUENCES ?? 1),
);

/** Every other key, so that most steps meet a row. */
const FIRST = Array.from({ length: 20 }, (_, n) => `('c${2 * n}', N'al principio')`);

async function startAfresh(): Promise<void> {
  await world.execute('DELETE FROM cosas');
  await world.backend.sql.query('DELETE FROM parametros_maestros; DELETE FROM sync_esquemas');
  await world.backend.sql.query('UPDATE sync_uploads SET "expiresAt" = now()');
  for (const folder of [world.folder, other, yesterday]) {
    for (const name of STATE) await rm(join(folder, name), { recursive: true, force: true });
  }
  await world.execute(`INSERT INTO cosas (codigo, nombre) VALUES ('fija', N'siempre'), ${FIRST.join(', ')}`);
  await syncWell();
}

async function syncWell(): Promise<string> {
  const { reason, log } = await world.sync();
  expect(reason, log).toBe('exitoso');
  return log;
}

const sorted = (all: Record<string, unknown>[]) => all.map((row) => `${row.codigo} ${row.nombre}`).toSorted();

async function namesAtSource(): Promise<string[]> {
  return sorted(await world.query('SELECT codigo, nombre FROM cosas'));
}

async function stored(): Promise<string[]> {
  const sql = `SELECT codigo, nombre FROM parametros_maestros WHERE tipo_campo = 'cosa'`;
  return sorted((await world.backend.sql.query<{ codigo: string; nombre: string }>(sql)).rows);
}

/** The last reading of everything was long ago. */
async function makeDue(): Promise<void> {
  const marks = JSON.parse(await world.readFile('last-sync.json')) as { tablas: Record<string, { entera?: string }> };
  marks.tablas.cosas!.entera = '2020-01-01T00:00:00.0000000';
  await writeFile(join(world.folder, 'last-sync.json'), JSON.stringify(marks));
}
