import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { startFaultProxy } from '../../../fixtures/chaos/proxy.ts';
import { type CuttingProxy, startCuttingProxy } from '../../testing/cutting-proxy.ts';
import { startWorld, type World } from '../../testing/world.ts';

/** `cambios: "huellas"` where a run ends in the middle: wherever that is, the next one leaves the centre as its source is. */

let world: World;
let proxy: CuttingProxy;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  proxy = await startCuttingProxy(world.backend.url);
  await world.execute('CREATE TABLE piezas (codigo int NOT NULL PRIMARY KEY, nombre nvarchar(400) NOT NULL)');
});
afterAll(async () => {
  await proxy?.close();
  await world?.close();
});

const ROWS = 1000;
const NAME = 'ñ'.repeat(150);
let nombre = '';
let variant = 0;
beforeEach(async () => {
  nombre = `piezas_${++variant}`;
  proxy.cut = undefined;
  await world.init(proxy.url);
  await world.execute('DELETE FROM piezas');
  for (let n = 0; n < ROWS; n += 250) {
    const values = Array.from({ length: 250 }, (_, i) => `(${n + i}, N'${NAME}')`);
    await world.execute(`INSERT INTO piezas VALUES ${values.join(', ')}`);
  }
  await world.backend.sql.query('DELETE FROM parametros_maestros');
});

const setTable = (more: object = {}) =>
  world.setTables({
    trozoKb: 64,
    tablasSubida: [
      {
        ...{ nombre, primaryKey: 'codigo', tipoCampo: 'pieza', cambios: 'huellas' },
        process: { query: 'SELECT codigo, nombre FROM piezas' },
        ...more,
      },
    ],
  });
const policy = { attempts: 1, firstDelayMs: 1, maxDelayMs: 2, maxTotalMs: 60_000, maxRetryAfterMs: 10_000 };

async function sync(): Promise<string> {
  const { reason, log } = await world.sync();
  expect([reason, log]).toEqual(['exitoso', expect.any(String)]);
  return log;
}

/** The centre is what the source is: every row, and those that are gone inactive. */
async function expectEqual(): Promise<void> {
  const source = await world.query('SELECT codigo, nombre FROM piezas');
  const { rows } = await world.backend.sql.query<{ codigo: string; nombre: string }>(
    `SELECT codigo, nombre FROM parametros_maestros WHERE tipo_campo = 'pieza' AND activo`,
  );
  const sorted = (all: Record<string, unknown>[]) => all.map((row) => `${row.codigo} ${row.nombre}`).toSorted();
  expect(sorted(rows)).toEqual(sorted(source));
}

const CHANGE = `UPDATE piezas SET nombre = N'otra ${NAME}' WHERE codigo % 3 = 0; DELETE FROM piezas WHERE codigo % 100 = 1;
  INSERT INTO piezas VALUES (5000, N'nueva')`;

/** A run whose commit was applied, and whose end was lost. */
async function loseAnswer(): Promise<void> {
  proxy.cut = { afterBytes: 0, times: 100, requests: /commit/ };
  expect((await world.sync({ policy })).reason).not.toBe('exitoso');
  proxy.cut = undefined;
}

/** The files of the folder that a run changes, by name. */
async function readState(): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(world.folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && /last-sync\.json$|huellas|spool/.test(path)) files.set(path, await readFile(path));
  }
  return files;
}

/** The folder as a run left it that ended between two of its steps: some files from before, some from after. */
async function putBack(before: Map<string, Buffer>, after: Map<string, Buffer>, isDone: (path: string) => boolean) {
  for (const path of new Set([...before.keys(), ...after.keys()])) {
    const bytes = (isDone(path) ? after : before).get(path);
    await rm(path, { force: true });
    if (bytes === undefined) continue;
    await cp(join(world.folder, 'sync-config.enc'), path, { force: true });
    await writeFile(path, bytes);
  }
}

test.each([
  ['before the ledger is adopted', () => false],
  ['with the ledger adopted, before the mark names it', (path: string) => path.includes('huellas')],
  ['with a newer mark, before the spool is emptied', (path: string) => !path.includes('spool')],
])('a run that ended after its commit, %s', async (_where, isDone) => {
  await setTable();
  await sync();
  await world.execute(CHANGE);
  await loseAnswer();
  const before = await readState();
  expect([...before.keys()].filter((path) => path.endsWith('.nuevo'))).toHaveLength(1);
  await sync();
  const after = await readState();
  await putBack(before, after, isDone);

  // What waits is of before a mark that has moved on since: it goes, and with it nothing that is not there.
  expect(await sync()).toMatch(/Se termina una subida pendiente|la marca es otra/);
  await expectEqual();
  expect(await sync()).toMatch(/Sin novedades: 991 filas leídas/);
});

test('a ledger that was being written is begun anew; a damaged one is not believed', async () => {
  await setTable();
  await sync();
  const [libro] = await readdir(join(world.folder, 'huellas'));
  await writeFile(join(world.folder, 'huellas', libro!.replace('.libro', '.nuevo')), 'a medias');
  await world.execute(CHANGE);
  expect(await sync()).toMatch(/991 filas leídas, 332 filas subidas/);
  await expectEqual();

  const path = join(world.folder, 'huellas', libro!);
  const bytes = await readFile(path);
  bytes[bytes.length - 9]! ^= 4;
  await writeFile(path, bytes);
  await world.execute(`UPDATE piezas SET nombre = N'tercera' WHERE codigo = 2`);
  expect(await sync()).toMatch(/El libro de huellas falta o no se puede leer: la tabla se sube entera/);
  await expectEqual();
  expect(await sync()).toMatch(/Sin novedades/);
});

test('a ledger of a newer agent is refused, and stays', async () => {
  await setTable();
  await sync();
  const [libro] = await readdir(join(world.folder, 'huellas'));
  const path = join(world.folder, 'huellas', libro!);
  const newer = (await readFile(path, 'latin1')).replace('"version":1', '"version":9');
  await writeFile(path, newer, 'latin1');
  const { reason, log } = await world.sync();
  expect([reason, log]).toEqual(['error', expect.stringContaining('ARCHIVO_MAS_NUEVO')]);
  expect(await readFile(path, 'latin1')).toBe(newer);
});

test('the next ledger is lost while its upload waits: the upload is finished, and the table then goes whole', async () => {
  await setTable();
  await sync();
  await world.execute(CHANGE);
  await loseAnswer();
  for (const name of await readdir(join(world.folder, 'huellas'))) {
    if (name.endsWith('.nuevo')) await rm(join(world.folder, 'huellas', name));
  }
  expect(await sync()).toMatch(/Se termina una subida pendiente.*No hay libro de huellas que valga/s);
  await expectEqual();
});

test('bajas wait, and the answer that says so is lost: they are asked for again all the same', async () => {
  await setTable({ guarda: { bajas: 1, porciento: 0 } });
  await sync();
  await world.execute(CHANGE);
  await loseAnswer();
  for (let run = 0; run < 2; run++) expect((await world.sync()).reason).toBe('bajasRetenidas');
  await world.backend.sql.query(`UPDATE sync_bajas_retenidas SET estado = 'aprobada', "resueltaPor" = 'ana'`);
  await sync();
  await expectEqual();
  expect(await sync()).toMatch(/Sin novedades/);
});

test('a reading by ranges that breaks goes on behind its last whole range, with the ledger as far as that', async () => {
  const sqlProxy = await startFaultProxy(world.settings);
  try {
    await world.init(proxy.url, { host: '127.0.0.1', port: sqlProxy.port });
    await setTable({ particion: { columna: 'codigo', filas: 100 } });
    await sync();
    await world.execute(CHANGE);
    sqlProxy.arm({ kind: 'cut', direction: 'bajada', after: 200_000 });
    const once = await world.sync({ policy });
    expect([once.reason, once.log]).toEqual(['error', expect.stringMatching(/sigue leyendo detrás de ellas/)]);
    // In the ranges that have been read: the reading behind finds it.
    await world.execute("DELETE FROM piezas WHERE codigo = 0; UPDATE piezas SET nombre = N'cuarta' WHERE codigo = 4");
    await sync();
    await expectEqual();
    expect(await sync()).toMatch(/Sin novedades: 990 filas leídas/);
    // The first reading of all, too.
    await world.sync({ desdeCero: true });
    await world.execute(`UPDATE piezas SET nombre = nombre + N'x'`);
    sqlProxy.arm({ kind: 'cut', direction: 'bajada', after: 200_000 });
    await world.sync({ policy, desdeCero: true });
    await sync();
    await expectEqual();
    expect(await sync()).toMatch(/Sin novedades: 990 filas leídas/);
  } finally {
    await sqlProxy.close();
  }
});

test('a table that goes on without a spool leaves nothing of the ledger that was begun', async () => {
  const sqlProxy = await startFaultProxy(world.settings);
  try {
    await world.init(proxy.url, { host: '127.0.0.1', port: sqlProxy.port });
    await setTable({ particion: { columna: 'codigo', filas: 100 } });
    sqlProxy.arm({ kind: 'cut', direction: 'bajada', after: 200_000 });
    expect((await world.sync({ policy })).reason).toBe('error');
    const left = async () => (await readdir(join(world.folder, 'huellas'))).filter((name) => name.startsWith(nombre));
    expect(await left()).toEqual([expect.stringMatching(/\.nuevo$/)]);
    await rm(join(world.folder, 'spool'), { recursive: true });
    const { reason, log } = await world.sync({ usesSpool: false });
    expect([reason, log]).toEqual(['exitoso', expect.any(String)]);
    await expectEqual();
    expect(await left()).toEqual([]);
  } finally {
    await sqlProxy.close();
  }
});
