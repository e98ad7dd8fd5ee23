import { randomBytes } from 'node:crypto';
import { cp, readdir, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import type { TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { runApprove } from '../../commands/approve.ts';
import { createDataKey } from '../../commands/data-key.ts';
import { SqlServer } from '../../sqlserver/sql-server.ts';
import { Ledgers } from '../../state/ledger/ledgers.ts';
import { startWorld, type World } from '../../testing/world.ts';
import { fingerprintOf } from './held.ts';

/** Downloads with `cambios: "huellas"`: only what changed comes down, and in the end the target is what a whole download would make it. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
});
afterAll(() => world?.close());

const ROWS = 2000;
beforeEach(async () => {
  await world.execute('DROP TABLE IF EXISTS destino; DROP TABLE IF EXISTS bitacora');
  await rm(join(world.folder, 'bajadas.json'), { force: true });
  await world.backend.sql.query('DELETE FROM parametros_maestros; DELETE FROM sync_bajas_retenidas');
  await world.backend.sql.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, parametros_json)
     SELECT $1, 'cosa', 'c' || g, 'Ñandú ' || g, jsonb_build_object('precio', g * 0.25) FROM generate_series(1, $2::int) g`,
    [world.backend.tenant, ROWS],
  );
});

const schema = {
  columns: [
    { name: 'codigo', type: 'VARCHAR(20)', nullable: false },
    { name: 'nombre', type: 'NVARCHAR(50)' },
    { name: 'precio', type: 'DECIMAL(18,4)' },
  ],
};
const tabla = {
  ...{ nombre: 'destino', primaryKey: 'codigo', schema, cambios: 'huellas' },
  process: { query: 'parametros_maestros.tipo_campo=cosa' },
};
const setTable = (more: object = {}) => world.setTables({ tablasBajada: [{ ...tabla, ...more }] });
const centre = (sql: string) => world.backend.sql.query(sql);

async function sync(): Promise<string> {
  const { reason, log } = await world.sync();
  expect(reason, log).toBe('exitoso');
  return log;
}

const WHOLE = /se baja la tabla entera/;
/** Of the target, where its rows are as many as they were. */
const CHANGED = /El destino ya no tiene lo que se descargó: se baja la tabla entera/;

/** The target is what the centre has, row by row. */
async function expectEqual(): Promise<void> {
  const found = await readAll('SELECT codigo, nombre, CONVERT(VARCHAR(30), precio) AS precio FROM destino');
  const { rows } = await centre(
    `SELECT codigo, nombre, (parametros_json->>'precio')::numeric(18,4)::text AS precio FROM parametros_maestros WHERE tipo_campo = 'cosa'`,
  );
  const asText = (all: object[]) => all.map((row) => JSON.stringify(row)).sort();
  expect(asText(found)).toEqual(asText(rows));
}

const readAll = (sql: string) => world.query(sql);

test('nothing changed: nothing comes down, and post_process does not run', async () => {
  const sql =
    'DELETE FROM destino WHERE codigo IN (SELECT codigo FROM {temp_table} UNION SELECT codigo FROM {temp_bajas}); INSERT INTO destino SELECT codigo, nombre, precio FROM {temp_table}; INSERT INTO bitacora SELECT COUNT(*) FROM {temp_table}';
  await world.execute('CREATE TABLE bitacora (filas INT NOT NULL)');
  await setTable({ post_process: { enabled: true, sql } });
  expect(await sync()).toMatch(/No se sabe qué tiene el destino: se baja la tabla entera/);
  await expectEqual();
  for (let run = 0; run < 2; run++)
    expect(await sync()).toMatch(/Sin novedades: 2000 filas en el backend, ninguna cambió/);
  expect(await readAll('SELECT filas FROM bitacora')).toEqual([{ filas: ROWS }]);
  await centre(
    `UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo = 'c7'; DELETE FROM parametros_maestros WHERE codigo = 'c8'`,
  );
  expect(await sync()).toMatch(/1 de 1999 filas cambiaron, descargadas en .*; 1 ya no están/);
  await expectEqual();
  expect(await readAll('SELECT filas FROM bitacora ORDER BY filas')).toEqual([{ filas: 1 }, { filas: ROWS }]);
});

test('one row changed, one came, one is gone: these alone reach the target, by the built-in update', async () => {
  await setTable();
  await sync();
  await centre(`UPDATE parametros_maestros SET parametros_json = '{"precio": 99.5}' WHERE codigo = 'c1999';
    DELETE FROM parametros_maestros WHERE codigo = 'c3';
    UPDATE parametros_maestros SET codigo = 'nueva' WHERE codigo = 'c4'`);
  const log = await sync();
  expect(log).toMatch(/2 de 1999 filas cambiaron, descargadas en .*; 2 ya no están/);
  expect(log).not.toMatch(WHOLE);
  await expectEqual();
  expect(await sync()).toMatch(/Sin novedades: 1999 filas/);
});

/** Bytes of rows that the last download brought. */
async function bytesOfLast(): Promise<number> {
  const { rows } = await centre(
    `SELECT metadatos->>'bytes' AS bytes FROM sync_logs WHERE fase = 'process' ORDER BY "fechaInicio" DESC, id DESC LIMIT 1`,
  );
  return Number((rows[0] as { bytes: string }).bytes);
}

test('what comes down is in proportion to what changed: the rows of a bucket for each row', async () => {
  await setTable();
  await sync();
  const whole = await bytesOfLast();
  await centre(`UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo = 'c7'`);
  await sync();
  const one = await bytesOfLast();
  expect(one).toBeGreaterThan(0);
  expect(one).toBeLessThan(whole / 15);
  await sync();
  expect(await bytesOfLast()).toBe(0);
});

test('of a table of many rows few come beside those that changed, and of an unchanged one nothing', async () => {
  await centre(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, parametros_json)
     SELECT "tenantId", tipo_campo, 'g' || g, 'gran ' || g, '{}' FROM parametros_maestros, generate_series(1, 4) g0, LATERAL (SELECT g0 || codigo AS g) s`,
  );
  await setTable();
  await sync();
  const whole = await bytesOfLast();
  expect(await sync()).toMatch(/Sin novedades: 10000 filas/);
  expect(await bytesOfLast()).toBe(0);
  await centre(
    `UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo IN ('c7', 'g2c8', 'g4c1234'); DELETE FROM parametros_maestros WHERE codigo = 'g3c3'`,
  );
  expect(await sync()).toMatch(/3 de 9999 filas cambiaron, .*; 1 ya no están/);
  expect(await bytesOfLast()).toBeLessThan((4 * 25 * whole) / 10_000);
  await expectEqual();
  expect(await sync()).toMatch(/Sin novedades: 9999 filas/);
});

test('a key that SQL Server writes otherwise than the backend: what is gone is found by a whole download', async () => {
  const columns = [{ name: 'codigo', type: 'CHAR(20)', nullable: false }, ...schema.columns.slice(1)];
  await setTable({ schema: { columns } });
  await sync();
  await centre(`DELETE FROM parametros_maestros WHERE codigo = 'c3'`);
  expect(await sync()).toMatch(/1 claves que ya no están no se encuentran en el destino: se baja la tabla entera/);
  expect(await readAll("SELECT COUNT(*) AS n FROM destino WHERE codigo = 'c3'")).toEqual([{ n: 0 }]);
  expect(await sync()).toMatch(/Sin novedades: 1999 filas/);
});

test('a key that changes its case alone keeps its row; two that SQL Server takes for one are refused by name', async () => {
  await setTable();
  await sync();
  await centre(`UPDATE parametros_maestros SET codigo = 'C7', nombre = 'mayúscula' WHERE codigo = 'c7'`);
  await sync();
  expect(await readAll("SELECT nombre FROM destino WHERE codigo = 'c7'")).toEqual([{ nombre: 'mayúscula' }]);
  expect(await readAll('SELECT COUNT(*) AS n FROM destino')).toEqual([{ n: ROWS }]);
  await centre(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, parametros_json)
     SELECT "tenantId", tipo_campo, 'C9', 'otra', '{}' FROM parametros_maestros WHERE codigo = 'c9'`,
  );
  const { reason, log } = await world.sync();
  expect(reason).toBe('error');
  expect(log).toMatch(/CLAVES_IGUALES/);
  expect(await readAll("SELECT nombre FROM destino WHERE codigo = 'c9'")).toEqual([{ nombre: 'Ñandú 9' }]);
});

test.each([
  ['the built-in update', {}],
  [
    'a post_process',
    { post_process: { enabled: true, sql: 'DELETE FROM destino WHERE codigo IN (SELECT codigo FROM {temp_bajas})' } },
  ],
])('a row that comes twice, as it was: refused by name as in a whole download, with %s', async (_, more) => {
  const query = `SELECT codigo, nombre, parametros_json -> 'precio' AS precio FROM parametros_maestros WHERE tipo_campo IN ('cosa', 'doble')`;
  await setTable({ process: { query }, ...more });
  await sync();
  await centre(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, parametros_json)
     SELECT "tenantId", 'doble', codigo, nombre, parametros_json FROM parametros_maestros WHERE codigo = 'c7'`,
  );
  const { reason, log } = await world.sync();
  expect(reason, log).toBe('error');
  expect(log).toMatch(/CLAVES_IGUALES/);
});

test('{temp_bajas} has no key that came with another case', async () => {
  await world.execute('CREATE TABLE bitacora (codigo VARCHAR(20) NOT NULL)');
  await setTable({ post_process: { enabled: true, sql: 'INSERT INTO bitacora SELECT codigo FROM {temp_bajas}' } });
  await world.execute(
    'CREATE TABLE destino (codigo VARCHAR(20) NOT NULL PRIMARY KEY, nombre NVARCHAR(50), precio DECIMAL(18,4))',
  );
  await world.execute("INSERT INTO destino (codigo) VALUES ('c7'), ('c8')");
  await sync();
  await world.execute('DELETE FROM bitacora');
  await centre(
    `UPDATE parametros_maestros SET codigo = 'C7' WHERE codigo = 'c7'; DELETE FROM parametros_maestros WHERE codigo = 'c8'`,
  );
  await sync();
  expect(await readAll('SELECT codigo FROM bitacora')).toEqual([{ codigo: 'c8' }]);
});

test('a key of several columns, of a query', async () => {
  const query = `SELECT left(codigo, 2) AS "Parte", substr(codigo, 3) || ',' AS resto, nombre FROM parametros_maestros WHERE tipo_campo = 'cosa'`;
  const columns = [
    { name: 'nombre', type: 'NVARCHAR(50)' },
    { name: 'parte', type: 'VARCHAR(2)', nullable: false },
    { name: 'resto', type: 'VARCHAR(20)', nullable: false },
  ];
  await setTable({ primaryKey: ['resto', 'PARTE'], schema: { columns }, process: { query } });
  await sync();
  await centre(
    `UPDATE parametros_maestros SET nombre = 'a "b"' WHERE codigo = 'c17'; DELETE FROM parametros_maestros WHERE codigo = 'c1'`,
  );
  const log = await sync();
  expect(log).toMatch(/1 de 1999 filas cambiaron, .*; 1 ya no están/);
  expect(log).not.toMatch(WHOLE);
  const found = await readAll(
    "SELECT parte + resto AS k, nombre FROM destino WHERE parte IN ('c1') AND resto IN (',', '7,')",
  );
  expect(found).toEqual([{ k: 'c17,', nombre: 'a "b"' }]);
  expect(await readAll('SELECT COUNT(*) AS n FROM destino')).toEqual([{ n: 1999 }]);
});

test('bajas: ignorar leaves what is gone, and {temp_bajas} is empty', async () => {
  await setTable({ bajas: 'ignorar' });
  await sync();
  await world.execute("INSERT INTO destino (codigo, nombre) VALUES ('propia', N'de aquí')");
  await sync();
  await centre(`DELETE FROM parametros_maestros WHERE codigo = 'c3'`);
  expect(await sync()).not.toMatch(WHOLE);
  expect(await readAll('SELECT COUNT(*) AS n FROM destino')).toEqual([{ n: ROWS + 1 }]);
  expect(await sync()).toMatch(/Sin novedades: 1999 filas/);
});

test('without a schema a column that came is another query: the table comes down whole', async () => {
  const { schema: _, ...free } = tabla;
  await world.execute(
    'CREATE TABLE destino (codigo VARCHAR(20) PRIMARY KEY, nombre NVARCHAR(50), activo BIT, precio FLOAT, color NVARCHAR(20))',
  );
  await world.setTables({ tablasBajada: [free] });
  await sync();
  expect(await sync()).toMatch(/Sin novedades/);
  await centre(
    `UPDATE parametros_maestros SET parametros_json = parametros_json || '{"color": "azul"}' WHERE codigo = 'c7'`,
  );
  expect(await sync()).toMatch(/La consulta del backend o sus columnas son otras: se baja la tabla entera/);
  expect(await readAll("SELECT codigo FROM destino WHERE color = N'azul'")).toEqual([{ codigo: 'c7' }]);
});

test('a sensitive column is compared sealed, and decrypted where it is loaded', async () => {
  await createDataKey({ folder: world.folder, print: () => {} });
  await world.execute(`DROP TABLE IF EXISTS origen; DROP TABLE IF EXISTS secretos; CREATE TABLE origen (codigo VARCHAR(20) PRIMARY KEY, secreto NVARCHAR(50));
    INSERT INTO origen VALUES ('a', N'uno'), ('b', N'dos')`);
  const sellada = { primaryKey: 'codigo', camposSensibles: ['secreto'] };
  const query = 'SELECT codigo, secreto FROM origen';
  const columns = [schema.columns[0], { name: 'secreto', type: 'NVARCHAR(50)' }];
  await world.setTables({
    tablasSubida: [{ nombre: 'origen', tipoCampo: 'sellada', ...sellada, process: { query } }],
    tablasBajada: [
      {
        ...tabla,
        ...sellada,
        nombre: 'secretos',
        schema: { columns },
        process: { query: 'parametros_maestros.tipo_campo=sellada' },
      },
    ],
  });
  // What is decrypted, a person at this machine decides.
  const lines: string[] = [];
  const options = {
    folder: world.folder,
    forgetsOrigins: false,
    print: (line: string) => lines.push(line),
    signal: AbortSignal.timeout(60_000),
  };
  await runApprove({ ...options, huella: undefined });
  await runApprove({ ...options, huella: /--huella (\S+)/.exec(lines.join('\n'))?.[1] });
  await sync();
  expect(await sync()).toMatch(/Sin novedades: 2 filas/);
  // What is decrypted has another hash than the backend's.
  expect(await bytesOfLast()).toBe(0);
  await world.execute("UPDATE origen SET secreto = N'tres' WHERE codigo = 'b'");
  expect(await sync()).toMatch(/1 de 2 filas cambiaron/);
  const found = await readAll('SELECT codigo, secreto FROM secretos ORDER BY codigo');
  expect(found).toEqual([
    { codigo: 'a', secreto: 'uno' },
    { codigo: 'b', secreto: 'tres' },
  ]);
});

test.each([
  ['another query', () => setTable({ process: { query: `${tabla.process.query} ` } })],
  ['another post_process', () => setTable({ bajas: 'ignorar' })],
  ['a target with fewer rows', () => world.execute("DELETE FROM destino WHERE codigo = 'c5'")],
  ['a row of the target edited', () => world.execute("UPDATE destino SET nombre = N'ajeno' WHERE codigo = 'c5'")],
  ['a row of the target exchanged', () => world.execute("UPDATE destino SET codigo = 'ajena' WHERE codigo = 'c5'")],
  ['a target that is not there', () => world.execute('DROP TABLE destino')],
  ['a ledger that is cut', async () => truncate(await ledgerFile(), 5000)],
  ['a ledger that is gone', async () => rm(await ledgerFile())],
  ['a state that is gone', () => rm(join(world.folder, 'bajadas.json'))],
])('%s: the table comes down whole, and is right', async (_, act) => {
  await setTable();
  await sync();
  await act();
  await centre(`UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo = 'c7'`);
  expect(await sync()).toMatch(WHOLE);
  await expectEqual();
  expect(await sync()).toMatch(/Sin novedades/);
});

async function ledgerFile(): Promise<string> {
  const names = await readdir(join(world.folder, 'huellas'));
  return join(
    world.folder,
    'huellas',
    names.find((name) => name.startsWith('download_destino') && name.endsWith('.libro'))!,
  );
}

/** One run that ends before the next ledger is in its place. */
async function syncUntilAdopt(): Promise<void> {
  const real = Ledgers.prototype.adopt;
  Ledgers.prototype.adopt = () => Promise.reject(new Error('the process ends here'));
  try {
    expect((await world.sync()).reason).toBe('error');
  } finally {
    Ledgers.prototype.adopt = real;
  }
}

test('an agent that ends between the commit at SQL Server and its ledger: a row that is as before is not taken for the old one', async () => {
  await setTable();
  await sync();
  await centre(`UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo = 'c7'`);
  await syncUntilAdopt();
  expect(await readAll("SELECT nombre FROM destino WHERE codigo = 'c7'")).toEqual([{ nombre: 'otro' }]);
  await centre(`UPDATE parametros_maestros SET nombre = 'Ñandú 7' WHERE codigo = 'c7'`);
  expect(await sync()).toMatch(WHOLE);
  await expectEqual();
});

/** Runs `act` with the folder's state as it is, then has the folder be what it was before. */
async function beforeThat(act: () => Promise<unknown>): Promise<void> {
  const yesterday = join(world.folder, 'ayer');
  await cp(join(world.folder, 'huellas'), join(yesterday, 'huellas'), { recursive: true });
  await cp(join(world.folder, 'bajadas.json'), join(yesterday, 'bajadas.json'));
  await act();
  await cp(yesterday, world.folder, { recursive: true });
  await rm(yesterday, { recursive: true });
}

test.each([
  [
    'a row gone',
    `DELETE FROM parametros_maestros WHERE codigo = 'c3'`,
    /El destino tenía 2000 filas y ahora tiene 1999/,
  ],
  ['as many rows', '', CHANGED],
])(
  'a folder of yesterday beside a target of today, %s: what has come and gone since is set right',
  async (_, more, why) => {
    await setTable();
    await sync();
    await beforeThat(async () => {
      await centre(`UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo = 'c7'; ${more}`);
      await sync();
    });
    await centre(`UPDATE parametros_maestros SET nombre = 'Ñandú 7' WHERE codigo = 'c7'`);
    const log = await sync();
    expect(log).toMatch(why);
    expect(log).toMatch(WHOLE);
    await expectEqual();
  },
);

test('two rows of the target that others set to the same: the difference of one does not make up for that of the other', async () => {
  await centre(`UPDATE parametros_maestros SET nombre = 'igual' WHERE codigo IN ('c5', 'c6')`);
  await setTable();
  await sync();
  await world.execute("UPDATE destino SET nombre = N'ajeno' WHERE codigo IN ('c5', 'c6')");
  expect(await sync()).toMatch(CHANGED);
  await expectEqual();
});

test('two rows of the target whose flags others exchanged: the sum of the checksums is as before', async () => {
  await centre(`UPDATE parametros_maestros SET activo = false WHERE codigo = 'c6'`);
  await setTable({ schema: { columns: [...schema.columns, { name: 'activo', type: 'BIT' }] } });
  await sync();
  await world.execute("UPDATE destino SET activo = 1 - activo WHERE codigo IN ('c5', 'c6')");
  expect(await sync()).toMatch(CHANGED);
  expect(await readAll('SELECT codigo FROM destino WHERE activo = 0')).toEqual([{ codigo: 'c6' }]);
});

test('text that only BINARY_CHECKSUM of bytes tells apart', async () => {
  await centre(`UPDATE parametros_maestros SET nombre = repeat('x', 300) WHERE codigo = 'c5'`);
  await setTable({
    schema: { columns: [schema.columns[0], { name: 'nombre', type: 'NVARCHAR(MAX)' }, schema.columns[2]] },
  });
  await sync();
  expect(await sync()).toMatch(/Sin novedades/);
  await world.execute("UPDATE destino SET nombre = nombre + N'y' WHERE codigo = 'c5'");
  expect(await sync()).toMatch(CHANGED);
  await expectEqual();
});

test('what others do to the target during a run is not taken for the download: the next run sees it', async () => {
  await setTable();
  await sync();
  await centre(`UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo = 'c7'`);
  const real = Ledgers.prototype.begin;
  Ledgers.prototype.begin = async function (tabla) {
    await world.execute("UPDATE destino SET nombre = N'ajeno' WHERE codigo = 'c5'");
    return real.call(this, tabla);
  };
  try {
    expect(await sync()).toMatch(/1 de 2000 filas cambiaron/);
  } finally {
    Ledgers.prototype.begin = real;
  }
  expect(await sync()).toMatch(CHANGED);
  await expectEqual();
});

test('an SQL Server that has no BINARY_CHECKSUM: rows are counted', async () => {
  const real = SqlServer.prototype.query;
  SqlServer.prototype.query = function (sql, options) {
    return real.call(this, sql.replace('BINARY_CHECKSUM', 'NO_HAY'), options);
  };
  try {
    await setTable();
    await sync();
    await centre(`UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo = 'c7'`);
    expect(await sync()).toMatch(/1 de 2000 filas cambiaron/);
    expect(await sync()).toMatch(/Sin novedades/);
    await world.execute("DELETE FROM destino WHERE codigo = 'c5'");
    expect(await sync()).toMatch(/El destino tenía 2000 filas y ahora tiene 1999: se baja la tabla entera/);
  } finally {
    SqlServer.prototype.query = real;
  }
  await expectEqual();
  expect(await sync()).toMatch(/Sin novedades/);
});

test('a ledger is of one configuration, server, database and data key; the guard is no part of it', () => {
  const ours = tabla as unknown as TablaBajada;
  const sealed = { ...ours, camposSensibles: ['nombre'] };
  const known = { endpoints: ['uno'], servidor: ['uno'], dataKey: undefined };
  const [one, other] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
  const all = [
    fingerprintOf(known, ours),
    fingerprintOf({ ...known, servidor: ['otro'] }, ours),
    fingerprintOf({ ...known, endpoints: ['otro'] }, ours),
    fingerprintOf({ ...known, dataKey: one }, sealed),
    fingerprintOf({ ...known, dataKey: other }, sealed),
    fingerprintOf(known, { ...ours, bajas: 'ignorar' }),
  ];
  expect(new Set(all).size).toBe(all.length);
  expect(fingerprintOf(known, { ...ours, guarda: { bajas: 9 } })).toBe(all[0]);
});

test.each([
  ['the built-in update', {}],
  [
    'a post_process',
    { post_process: { enabled: true, sql: 'DELETE FROM destino WHERE codigo IN (SELECT codigo FROM {temp_bajas})' } },
  ],
])('%s that takes away too many waits, run after run, until its bajas are approved', async (_, more) => {
  await setTable();
  await sync();
  await setTable(more);
  await sync();
  await centre(`DELETE FROM parametros_maestros WHERE codigo IN (SELECT 'c' || g FROM generate_series(1, 600) g)`);
  for (let run = 0; run < 2; run++) {
    const { reason, log } = await world.sync();
    expect(reason, log).toBe('bajasRetenidas');
    expect(log).toMatch(/600 de 2000 filas del destino/);
    expect(log).toMatch(/600 ya no están/);
    expect(await readAll('SELECT COUNT(*) AS n FROM destino')).toEqual([{ n: ROWS }]);
  }
  await centre(`UPDATE sync_bajas_retenidas SET estado = 'aprobada'`);
  await sync();
  await expectEqual();
  expect(await sync()).toMatch(/Sin novedades: 1400 filas/);
});

test('a centre without rows empties no target, however small', async () => {
  await centre(`DELETE FROM parametros_maestros WHERE codigo NOT IN ('c1', 'c2')`);
  await setTable();
  await sync();
  await centre('DELETE FROM parametros_maestros');
  expect((await world.sync()).reason).toBe('bajasRetenidas');
  expect(await readAll('SELECT COUNT(*) AS n FROM destino')).toEqual([{ n: 2 }]);
});

test('an update that fails leaves target and ledger; the next run has everything', async () => {
  await setTable();
  await sync();
  await world.execute("ALTER TABLE destino ADD CONSTRAINT corto CHECK (nombre <> N'malo')");
  await centre(`UPDATE parametros_maestros SET nombre = 'malo' WHERE codigo = 'c7'`);
  expect((await world.sync()).reason).toBe('error');
  await centre(
    `UPDATE parametros_maestros SET nombre = 'bueno' WHERE codigo = 'c8'; UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo = 'c7'`,
  );
  await sync();
  await expectEqual();
});

test('a phase at the centre that fails after the update runs again, although nothing changed since', async () => {
  const sql = `UPDATE parametros_maestros SET activo = activo
    WHERE tipo_campo = 'mala' AND 1 / (SELECT 1 - count(*) FROM parametros_maestros WHERE tipo_campo = 'mala') = 1`;
  await setTable({ post_process: { enabled: true, ejecutarEn: 'origen', sql } });
  await sync();
  await centre(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, parametros_json)
     SELECT "tenantId", 'mala', codigo, nombre, '{}' FROM parametros_maestros WHERE codigo = 'c7';
     UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo = 'c7'`,
  );
  expect((await world.sync()).reason).toBe('error');
  await centre(`DELETE FROM parametros_maestros WHERE tipo_campo = 'mala'`);
  expect(await sync()).toMatch(WHOLE);
  expect(await sync()).toMatch(/Sin novedades/);
});

test('any sequence of changes and faults ends as a whole download would', async () => {
  await setTable();
  let seed = 12345;
  const draw = (below: number) => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  const row = () => `'c${1 + draw(ROWS)}'`;
  const acts: (() => Promise<unknown>)[] = [
    () => centre(`UPDATE parametros_maestros SET nombre = 'n${draw(3)}' WHERE codigo = ${row()}`),
    () => centre(`DELETE FROM parametros_maestros WHERE codigo = ${row()}`),
    () => centre(`UPDATE parametros_maestros SET codigo = 'k${draw(1e6)}' WHERE codigo = ${row()}`),
    () => centre(`UPDATE parametros_maestros SET parametros_json = '{"precio": ${draw(9)}}' WHERE codigo = ${row()}`),
    () => world.execute(`DELETE FROM destino WHERE codigo = ${row()}`),
    () => world.execute(`UPDATE destino SET nombre = N'n${draw(3)}' WHERE codigo = ${row()}`),
    async () => truncate(await ledgerFile(), 1000 + draw(20_000)).catch(() => {}),
    () => syncUntilAdopt().catch(() => {}),
  ];
  await sync();
  for (let round = 0; round < 12; round++) {
    for (let act = 0; act < 4; act++) await acts[draw(acts.length)]!();
    await sync();
    await expectEqual();
  }
}, 120_000);
