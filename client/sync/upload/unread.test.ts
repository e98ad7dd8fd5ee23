import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { type SqlServer, withSqlServer } from '../../sqlserver/sql-server.ts';
import { startWorld, type World } from '../../testing/world.ts';

/** Rows that a mark could pass over: clocks that go back, transactions that take long, rows without a date. */

let world: World;
const { signal } = new AbortController();
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  await world.execute('CREATE TABLE cosas (codigo varchar(20) NOT NULL PRIMARY KEY, fecha datetime2(7) NULL)');
  await world.execute(`CREATE PROCEDURE escribe @codigo varchar(20), @reloj varchar(5) AS
    INSERT INTO cosas (codigo, fecha) VALUES (@codigo, CASE @reloj WHEN 'utc' THEN SYSUTCDATETIME() ELSE SYSDATETIME() END)`);
});
afterAll(() => world?.close());
beforeEach(async (context) => {
  await world.needs(context, 'the controls of the stand-in');
  await world.execute('DELETE FROM cosas');
  await world.backend.sql.query('DELETE FROM parametros_maestros; DELETE FROM sync_logs; DELETE FROM sync_commits');
  await rm(join(world.folder, 'last-sync.json'), { force: true });
});
afterEach(async () => {
  await world.execute('EXEC standin_set_clock');
  await world.execute('EXEC standin_deny_server_state');
});

const query = 'SELECT codigo, fecha FROM cosas WHERE fecha > @ultimaSync';
const configure = (more: object = {}) =>
  world.setTables({
    tablasSubida: [
      {
        ...{ nombre: 'cosas', tipoCampo: 'cosa', incremental: true, campoFecha: 'fecha', solapeSegundos: 0 },
        ...{ process: { query }, ...more },
      },
    ],
  });
const setClock = (ahead: number, zone = 0) =>
  world.execute(`EXEC standin_set_clock @seconds_ahead = ${ahead}, @zone_minutes = ${zone}`);
const insert = (codigo: string, reloj = 'local') => world.execute(`EXEC escribe '${codigo}', '${reloj}'`);

async function sync(options: Parameters<World['sync']>[0] = {}): Promise<string> {
  const { reason, log } = await world.sync(options);
  expect(reason, log).toBe('exitoso');
  return log;
}

async function stored(): Promise<string> {
  const { rows } = await world.backend.sql.query<{ codigo: string; activo: boolean }>(
    `SELECT codigo, activo FROM parametros_maestros WHERE tipo_campo = 'cosa' ORDER BY codigo`,
  );
  return rows.map(({ codigo, activo }) => `${codigo}${activo ? '' : ' (baja)'}`).join(' ');
}

const lastMetadata = async () =>
  (
    await world.backend.sql.query<{ metadatos: Record<string, unknown> }>(
      `SELECT metadatos FROM sync_logs WHERE "ejecutadoEn" = 'origen' ORDER BY "fechaInicio" DESC LIMIT 1`,
    )
  ).rows[0]!.metadatos;

const markOf = async () =>
  (JSON.parse(await world.readFile('last-sync.json')) as { tablas: Record<string, Record<string, unknown>> }).tablas
    .cosas;

/** Another session with SQL Server, as long as `work` takes. */
const beside = <T>(work: (db: SqlServer) => Promise<T>) => withSqlServer(world.settings, { signal }, work);

test.each(['local', 'utc'])(
  'a clock that is set back (reloj: %s): it is said, and nothing that was written meanwhile is passed over, however many runs there are',
  async (reloj) => {
    await configure({ reloj });
    await setClock(0, -180);
    await insert('a', reloj);
    await sync();
    await insert('b', reloj);
    await setClock(-7200, -180);
    await insert('c', reloj);
    const log = await sync();
    expect(log).toMatch(/AVISO cosas: El reloj de SQL Server se atrasó, unos 72\d\d s respecto al de este equipo/);
    expect(await lastMetadata()).toMatchObject({ relojAtrasado: true });
    expect(await stored()).toBe('a b c');
    for (const next of ['d', 'e']) {
      await insert(next, reloj);
      expect(await sync()).not.toContain('se atrasó');
      expect(await stored()).toContain(next);
    }
    await setClock(0, -180);
    await insert('f', reloj);
    await sync();
    expect(await stored()).toBe('a b c d e f');
  },
);

test('a clock that runs ahead for a while, with a run in between, and comes back', async () => {
  await configure();
  await insert('a');
  await setClock(86_400);
  await insert('b');
  await sync();
  await setClock(0);
  await insert('c');
  await sync();
  await insert('d');
  await sync();
  expect(await stored()).toBe('a b c d');
});

test('a clock that is ahead of its mark again, though it was set back: the time since then shows it', async () => {
  await configure({ solapeSegundos: 1 });
  await insert('a');
  await sync();
  // As if that had been two hours ago, and SQL Server's clock had been set back by an hour meanwhile.
  const path = join(world.folder, 'last-sync.json');
  const file = JSON.parse(await readFile(path, 'utf8')) as {
    tablas: { cosas: { leido: { agente: { hora: string } } } };
  };
  const { agente } = file.tablas.cosas.leido;
  agente.hora = new Date(Date.parse(agente.hora) - 7_200_000).toISOString();
  await writeFile(path, JSON.stringify(file));
  await setClock(-1800);
  await insert('b');
  await setClock(3600);
  const log = await sync();
  expect(log).toMatch(/El reloj de SQL Server se atrasó, unos 36\d\d s respecto al de este equipo/);
  expect(await stored()).toBe('a b');
});

test('rows of a transaction that is open while the table is read go once it has ended, after any number of runs', async () => {
  await configure();
  await insert('a');
  await beside(async (db) => {
    await db.execute("BEGIN TRAN; EXEC escribe 'b', 'local'");
    for (const next of ['c', 'd']) {
      await insert(next);
      await sync();
    }
    expect(await stored()).toBe('a c d');
    await db.execute('COMMIT');
  });
  await sync();
  expect(await stored()).toBe('a b c d');
});

test('a transaction that is open across a clock that is set back', async () => {
  await configure();
  await insert('a');
  await sync();
  await beside(async (db) => {
    await db.execute("BEGIN TRAN; EXEC escribe 'b', 'local'");
    await setClock(-3600);
    await db.execute("EXEC escribe 'c', 'local'");
    await sync();
    await insert('d');
    await sync();
    await db.execute('COMMIT');
  });
  await sync();
  expect(await stored()).toBe('a b c d');
});

test('a login that may not see open transactions: said once a run, and the run is good', async () => {
  await world.execute('EXEC standin_deny_server_state @deny = 1');
  const tabla = { incremental: true, campoFecha: 'fecha', process: { query } };
  await world.setTables({
    tablasSubida: ['cosas', 'otras'].map((nombre) => ({ nombre, tipoCampo: nombre, ...tabla })),
  });
  await insert('a');
  const said = (await sync()).match(/No se ven las transacciones abiertas en SQL Server \(error 300\)/g);
  expect(said).toHaveLength(1);
});

test('completoCada: what was stamped with an old date, or has gone, is found by the next reading of everything', async () => {
  await configure({ completoCada: '7d', desactivarAusentes: true });
  for (const codigo of ['a', 'b', 'z']) await insert(codigo);
  await sync();
  await world.execute(
    "INSERT INTO cosas VALUES ('vieja', '2001-02-03'), ('sinfecha', NULL); DELETE FROM cosas WHERE codigo = 'a'",
  );
  await setClock(6.5 * 86_400);
  await sync();
  expect(await stored()).toBe('a b z');
  await setClock(7 * 86_400);
  const log = await sync();
  expect(log).toContain('Comparación completa (completoCada): se lee desde el principio');
  expect(await stored()).toBe('a (baja) b sinfecha vieja z');
  await world.execute("INSERT INTO cosas VALUES ('otra', '2001-02-03')");
  expect(await sync()).not.toContain('Comparación completa');
  expect(await stored()).not.toContain('otra');
});

test('completoCada without a filter that lets undated rows through: nothing is deactivated for it, and it is said', async () => {
  await configure({
    completoCada: '1h',
    desactivarAusentes: true,
    process: { query: query.replace('fecha >', 'DATEADD(day, 0, fecha) >') },
  });
  await insert('a');
  const log = await sync();
  expect(log).toContain('No se buscan bajas');
  expect(await lastMetadata()).toMatchObject({ modo: 'incremental' });
});

test('a first run takes the rows along that have no date; a later one does not', async () => {
  await configure();
  await insert('a');
  await world.execute("INSERT INTO cosas VALUES ('sinfecha', NULL)");
  await sync();
  expect(await stored()).toBe('a sinfecha');
  await world.execute("INSERT INTO cosas VALUES ('luego', NULL)");
  await sync();
  expect(await stored()).toBe('a sinfecha');
  await sync({ desdeCero: true });
  expect(await stored()).toBe('a luego sinfecha');
});

test('a wrong reloj that is put right: what was missed is fetched, for the mark was of the other one', async () => {
  await setClock(0, 120);
  await configure({ reloj: 'local' });
  await insert('a', 'utc');
  await sync();
  await insert('b', 'utc');
  await sync();
  expect(await stored()).toBe('a');
  await configure({ reloj: 'utc' });
  await sync();
  expect(await stored()).toBe('a b');
});

test('a mark of an earlier agent holds after the upgrade, and is then one of today', async () => {
  await configure();
  await insert('a');
  await sync();
  const { huella } = (await markOf())!;
  const { fingerprintsOf } = await import('../../state/watermarks.ts');
  const { host, database } = world.settings;
  const endpoints = [world.backend.url, world.backend.tenant, host, database.toLowerCase()];
  const tabla = { nombre: 'cosas', tipoCampo: 'cosa', campoFecha: 'fecha', process: { query } };
  const { anterior } = fingerprintsOf(tabla, { endpoints, servidor: [] });
  const path = join(world.folder, 'last-sync.json');
  await writeFile(path, (await readFile(path, 'utf8')).replace(String(huella), anterior));
  await world.backend.sql.query('DELETE FROM parametros_maestros');
  await insert('b');
  await sync();
  expect(await stored()).toBe('b');
  expect((await markOf())!.huella).toBe(huella);
});

test('a first run that finds no row sets no mark: a view that was broken that day gives its old rows later', async () => {
  await world.execute('CREATE TABLE arreglada (n int NOT NULL)');
  await world.execute('CREATE VIEW averiada AS SELECT codigo, fecha FROM cosas CROSS JOIN arreglada');
  await configure({ process: { query: query.replace('cosas', 'averiada') } });
  await world.execute("INSERT INTO cosas VALUES ('a', '2001-02-03')");
  expect(await sync()).toContain('Sin novedades');
  await world.execute('INSERT INTO arreglada VALUES (1)');
  await sync();
  expect(await stored()).toBe('a');
});

test('--desde-cero sends the named tables from the beginning, and no other', async () => {
  const tabla = { incremental: true, campoFecha: 'fecha', process: { query } };
  await world.setTables({ tablasSubida: ['cosa', 'otra'].map((nombre) => ({ nombre, tipoCampo: nombre, ...tabla })) });
  await world.execute("INSERT INTO cosas VALUES ('a', '2001-02-03')");
  await sync();
  await world.backend.sql.query('DELETE FROM parametros_maestros');
  const log = await sync({ desdeCero: true, tablas: ['cosa'] });
  expect(log).toContain('cosa: Se sube desde el principio (--desde-cero)');
  const { rows } = await world.backend.sql.query('SELECT tipo_campo, codigo FROM parametros_maestros');
  expect(rows).toEqual([{ tipo_campo: 'cosa', codigo: 'a' }]);
});

test('a clock of the year 10000 is refused before anything is read, and the mark stays as it was', async () => {
  await configure();
  await insert('a');
  await sync();
  const before = await world.readFile('last-sync.json');
  await setClock(8000 * 365.25 * 86_400);
  const { reason, log } = await world.sync();
  expect(reason).toBe('sqlserver');
  expect(log).toContain('[RELOJ_ILEGIBLE]');
  expect(await world.readFile('last-sync.json')).toBe(before);
});
