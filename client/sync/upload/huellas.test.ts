import { cp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { createDataKey } from '../../commands/data-key.ts';
import { startCuttingProxy } from '../../testing/cutting-proxy.ts';
import { startWorld, type World } from '../../testing/world.ts';

/** `cambios: "huellas"` end to end: what travels, what is gone, and when nothing that was known is believed. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  await world.execute(`CREATE TABLE articulos (
    codigo varchar(20) NOT NULL PRIMARY KEY, descripcion nvarchar(200) NULL, precio decimal(19,4) NULL, n int NOT NULL)`);
});
afterAll(() => world?.close());

const ROWS = 300;
let variant = 0;
/** The same table under another name, so that each test begins without a ledger. */
let nombre = '';
beforeEach(async () => {
  nombre = `articulos_${++variant}`;
  await world.init();
  await world.execute('DELETE FROM articulos');
  await world.backend.sql.query('DELETE FROM parametros_maestros; DELETE FROM sync_logs');
  await world.backend.sql.query('DELETE FROM sync_bajas_retenidas');
  for (let n = 0; n < ROWS; n += 100) {
    const values = Array.from({ length: 100 }, (_, i) => `('a${n + i}', N'Artículo ${n + i}', ${n + i}.5, ${n + i})`);
    await world.execute(`INSERT INTO articulos VALUES ${values.join(', ')}`);
  }
});

const table = (more: object = {}) => ({
  nombre,
  primaryKey: 'codigo',
  tipoCampo: 'articulo',
  cambios: 'huellas',
  process: { query: 'SELECT codigo, descripcion, precio, n FROM articulos' },
  ...more,
});
const setTable = (more: object = {}) => world.setTables({ tablasSubida: [table(more)] });

async function sync(options: Parameters<World['sync']>[0] = {}): Promise<string> {
  const { reason, log } = await world.sync(options);
  expect([reason, log]).toEqual(['exitoso', expect.any(String)]);
  return log;
}

/** Rows at the centre, as text, and which of them are inactive. */
async function readCentre(): Promise<string[]> {
  const { rows } = await world.backend.sql.query<{ fila: string }>(
    `SELECT codigo || ' ' || (parametros_json->>'descripcion') || CASE WHEN activo THEN '' ELSE ' inactivo' END AS fila
     FROM parametros_maestros WHERE tipo_campo = 'articulo' ORDER BY (parametros_json->>'n')::integer`,
  );
  return rows.map(({ fila }) => fila);
}

const expected = (change: (n: number) => string | undefined = () => undefined) =>
  Array.from({ length: ROWS }, (_, n) => change(n) ?? `a${n} Artículo ${n}`);

async function readMark(): Promise<{ libro?: { id: string; pares: number }; generacion?: string }> {
  const { tablas } = JSON.parse(await world.readFile('last-sync.json'));
  return tablas[nombre];
}

test('one row changed, one came, one is gone: these travel, and a run without news sends nothing', async () => {
  await setTable();
  expect(await sync()).toMatch(/se sube la tabla entera/);
  expect(await readCentre()).toEqual(expected());
  const first = await readMark();
  expect(first.libro?.pares).toBe(ROWS);

  expect(await sync()).toMatch(/Sin novedades: 300 filas leídas, ninguna cambió/);
  expect(await readMark()).toMatchObject({ libro: first.libro, generacion: first.generacion });

  await world.execute(`UPDATE articulos SET descripcion = N'Otra' WHERE codigo = 'a7'; DELETE FROM articulos WHERE codigo = 'a299';
    INSERT INTO articulos VALUES ('nuevo', N'Nuevo', 1, 1000)`);
  expect(await sync()).toMatch(
    /300 filas leídas, 2 filas subidas: 1 nuevas, 1 actualizadas, 0 sin cambios, 1 desactivadas/,
  );
  expect(await readCentre()).toEqual([
    ...expected((n) => (n === 7 ? 'a7 Otra' : n === 299 ? 'a299 Artículo 299 inactivo' : undefined)),
    'nuevo Nuevo',
  ]);
  expect(await sync()).toMatch(/Sin novedades: 300 filas leídas/);
  // It is back.
  await world.execute(`INSERT INTO articulos VALUES ('a299', N'Artículo 299', 299.5, 299)`);
  expect(await sync()).toMatch(/301 filas leídas, 1 filas subidas: 0 nuevas, 1 actualizadas/);
  expect((await readCentre())[299]).toBe('a299 Artículo 299');
});

test('a column whose values are of any length: one row that changed travels alone', async () => {
  await setTable({
    process: { query: 'SELECT codigo, CAST(descripcion AS nvarchar(max)) AS descripcion, n FROM articulos' },
  });
  await sync();
  expect(await sync()).toMatch(/Sin novedades: 300 filas leídas, ninguna cambió/);
  await world.execute(`UPDATE articulos SET descripcion = N'Otra' WHERE codigo = 'a7'`);
  expect(await sync()).toMatch(/300 filas leídas, 1 filas subidas: 0 nuevas, 1 actualizadas/);
  expect(await readCentre()).toEqual(expected((n) => (n === 7 ? 'a7 Otra' : undefined)));
});

test('a column becomes of another scale, and its values the same bytes: every row is another one', async () => {
  const create = (scale: number, value: string) =>
    `DROP TABLE IF EXISTS precios; CREATE TABLE precios (codigo varchar(20) NOT NULL PRIMARY KEY, precio decimal(9,${scale}) NOT NULL);
     INSERT INTO precios VALUES ('a1', ${value}), ('a2', ${value})`;
  await world.execute(create(2, '12.34'));
  await setTable({ esquema: 'evolucionar', process: { query: 'SELECT codigo, precio FROM precios' } });
  await sync();
  await world.execute(create(3, '1.234'));
  expect(await sync()).toMatch(/2 filas leídas, 2 filas subidas: 0 nuevas, 2 actualizadas/);
  const { rows } = await world.backend.sql.query(
    `SELECT parametros_json->>'precio' AS precio FROM parametros_maestros WHERE tipo_campo = 'articulo'`,
  );
  expect(rows).toEqual([{ precio: '1.234' }, { precio: '1.234' }]);
  expect(await sync()).toMatch(/Sin novedades: 2 filas leídas/);
});

test('only a row that is gone: the commit is of no rows', async () => {
  await setTable({ bajas: 'borrar' });
  await sync();
  await world.execute(`DELETE FROM articulos WHERE codigo = 'a0'`);
  await sync();
  expect(await readCentre()).toEqual(expected().slice(1));
  expect(await sync()).toMatch(/Sin novedades/);
});

test('bajas that are ignored stay, and nothing is asked again', async () => {
  await setTable({ bajas: 'ignorar' });
  await sync();
  await world.execute(`DELETE FROM articulos WHERE codigo = 'a0'`);
  await sync();
  expect(await readCentre()).toEqual(expected());
  expect(await sync()).toMatch(/Sin novedades/);
});

test.each([
  [
    'an update',
    `UPDATE parametros_maestros SET parametros_json = '{"n":5,"descripcion":"a mano"}' WHERE codigo = 'a5'`,
  ],
  ['a deletion', `DELETE FROM parametros_maestros WHERE codigo = 'a5'`],
])('%s at the centre by SQL: the ledger is not believed, and the table is what its source is', async (_what, sql) => {
  await setTable();
  await sync();
  await world.backend.sql.query(sql);
  expect(await readCentre()).not.toEqual(expected());
  expect(await sync()).toMatch(/ya no es lo que dejó la última subida.*se sube entera/s);
  expect(await readCentre()).toEqual(expected());
  expect(await sync()).toMatch(/Sin novedades/);
});

test('another agent has uploaded: each finds the other, and the table is whole each time', async () => {
  await setTable();
  await sync();
  const other = `${world.folder}-otro`;
  await rm(other, { recursive: true, force: true });
  try {
    await world.execute(`UPDATE articulos SET descripcion = N'Otra' WHERE codigo = 'a7'`);
    await copyFolder(world.folder, other);
    await rm(join(other, 'huellas'), { recursive: true });
    expect(await sync({ folder: other })).toMatch(/falta o no se puede leer: la tabla se sube entera/);
    await world.execute(`UPDATE articulos SET descripcion = N'Y otra' WHERE codigo = 'a8'`);
    expect(await sync()).toMatch(/ya no es lo que dejó la última subida/);
    expect(await readCentre()).toEqual(expected((n) => (n === 7 ? 'a7 Otra' : n === 8 ? 'a8 Y otra' : undefined)));
  } finally {
    await rm(other, { recursive: true, force: true });
  }
});

test('the folder of yesterday is put back: its ledger is not believed', async () => {
  await setTable();
  await sync();
  const yesterday = `${world.folder}-ayer`;
  await copyFolder(world.folder, yesterday);
  await world.execute(`UPDATE articulos SET descripcion = N'Hoy' WHERE codigo = 'a7'`);
  await sync();
  await world.execute(`UPDATE articulos SET descripcion = N'Artículo 7' WHERE codigo = 'a7'`);
  await copyFolder(yesterday, world.folder);
  await rm(yesterday, { recursive: true });
  // By yesterday's ledger nothing has changed since.
  expect(await sync()).toMatch(/ya no es lo que dejó la última subida/);
  expect(await readCentre()).toEqual(expected());
});

test('the centre is restored to an earlier state: the table is sent whole', async () => {
  await setTable();
  await sync();
  const { generacion } = await readMark();
  await world.execute(`UPDATE articulos SET descripcion = N'Otra' WHERE codigo = 'a7'`);
  await sync();
  // What the centre was before the second upload.
  await world.backend.sql.query(
    `UPDATE parametros_maestros SET parametros_json = parametros_json || '{"descripcion":"Artículo 7"}' WHERE codigo = 'a7'`,
  );
  await world.backend.sql.query('DELETE FROM sync_ediciones');
  await world.backend.sql.query('DELETE FROM sync_commits WHERE tabla = $1 AND id <> $2', [nombre, generacion]);
  await sync();
  expect(await readCentre()).toEqual(expected((n) => (n === 7 ? 'a7 Otra' : undefined)));
});

test('more rows are gone than the guard lets pass: they wait, are asked again each run, and go once they are approved', async () => {
  await setTable({ guarda: { bajas: 10, porciento: 5 } });
  await sync();
  await world.execute(
    `DELETE FROM articulos WHERE n < 50; UPDATE articulos SET descripcion = N'Otra' WHERE codigo = 'a100'`,
  );
  for (let run = 0; run < 2; run++) {
    const { reason, log } = await world.sync();
    expect([reason, log]).toEqual(['bajasRetenidas', expect.stringContaining('50 bajas retenidas')]);
    expect(await readCentre()).toEqual(expected((n) => (n === 100 ? 'a100 Otra' : undefined)));
  }
  await world.backend.sql.query(`UPDATE sync_bajas_retenidas SET estado = 'aprobada', "resueltaPor" = 'ana'`);
  await sync();
  expect((await readCentre()).filter((row) => row.endsWith('inactivo'))).toHaveLength(50);
  expect(await sync()).toMatch(/Sin novedades/);
});

test('rows that waited are back: nothing waits any more', async () => {
  await setTable({ guarda: { bajas: 10, porciento: 5 } });
  await sync();
  await world.execute(`UPDATE articulos SET codigo = 'x' + codigo WHERE n < 50`);
  expect((await world.sync()).reason).toBe('bajasRetenidas');
  await world.execute(`UPDATE articulos SET codigo = 'a' + CONVERT(varchar(10), n) WHERE n < 50`);
  // The other keys are gone now, which is as many.
  expect((await world.sync()).reason).toBe('bajasRetenidas');
  await world.execute(`INSERT INTO articulos SELECT 'x' + codigo, descripcion, precio, n FROM articulos WHERE n < 50`);
  await sync();
  expect((await world.backend.sql.query('SELECT * FROM sync_bajas_retenidas')).rows).toEqual([]);
  expect(await sync()).toMatch(/Sin novedades: 350 filas/);
});

test('an empty source: nothing is gone until somebody says so', async () => {
  await setTable();
  await sync();
  await world.execute('DELETE FROM articulos');
  expect((await world.sync()).reason).toBe('bajasRetenidas');
  expect(await readCentre()).toEqual(expected());
});

test('a key that the source begins to repeat is an error of the table, as in a whole upload', async () => {
  await setTable({
    process: {
      query: `SELECT codigo, descripcion, precio, n FROM articulos UNION ALL SELECT codigo, N'otra', precio, n FROM articulos WHERE n = -1`,
    },
  });
  await sync();
  await world.execute(`UPDATE articulos SET n = -1 WHERE codigo = 'a7'`);
  const { reason, log } = await world.sync();
  expect([reason, log]).toEqual(['error', expect.stringContaining('a7')]);
  expect(log).toMatch(/El origen tiene filas con la misma clave: la tabla se sube entera/);
  await world.execute(`UPDATE articulos SET n = 7 WHERE codigo = 'a7'`);
  await sync();
  expect(await readCentre()).toEqual(expected());
});

test('without a spool there is no ledger, and every run sends the table whole', async () => {
  await setTable();
  await sync({ usesSpool: false });
  expect((await readMark()).libro).toBeUndefined();
  expect(await sync({ usesSpool: false })).toMatch(/300 filas subidas/);
  expect(await readdir(join(world.folder, 'huellas'))).toEqual([]);
});

test('--desde-cero forgets the ledger', async () => {
  await setTable();
  await sync();
  expect(await sync({ desdeCero: true })).toMatch(/300 filas subidas/);
  expect(await sync()).toMatch(/Sin novedades/);
});

test('completoCada sends the table whole when its time has come', async () => {
  await setTable({ completoCada: '1h' });
  await sync();
  expect(await sync()).toMatch(/Sin novedades/);
  const marks = JSON.parse(await world.readFile('last-sync.json'));
  marks.tablas[nombre].entera = '2026-01-01T00:00:00.0000000';
  await Bun.write(join(world.folder, 'last-sync.json'), JSON.stringify(marks));
  expect(await sync()).toMatch(/completoCada.*300 filas subidas/s);
});

test('the answer of the commit is lost: the next run asks for it, adopts the ledger, and sends nothing twice', async () => {
  const proxy = await startCuttingProxy(world.backend.url);
  try {
    await world.init(proxy.url);
    await setTable();
    await sync();
    await world.execute(
      `UPDATE articulos SET descripcion = N'Otra' WHERE codigo = 'a7'; DELETE FROM articulos WHERE codigo = 'a8'`,
    );
    proxy.cut = { afterBytes: 0, times: 100, requests: /commit/ };
    const { reason } = await world.sync({
      policy: { attempts: 1, firstDelayMs: 1, maxDelayMs: 1, maxTotalMs: 10, maxRetryAfterMs: 1 },
    });
    expect(reason).not.toBe('exitoso');
    proxy.cut = undefined;
    expect(await sync()).toMatch(/Se termina una subida pendiente/);
    expect(await readCentre()).toEqual(
      expected((n) => (n === 7 ? 'a7 Otra' : n === 8 ? 'a8 Artículo 8 inactivo' : undefined)),
    );
    expect(await sync()).toMatch(/Sin novedades: 299 filas leídas/);
  } finally {
    await proxy.close();
  }
});

// The last one: what was encrypted once is not sent in plain from this folder any more.
test('sensitive columns are compared as they are, and sent as they are stored', async () => {
  await createDataKey({ folder: world.folder, print: () => {} });
  await setTable({ camposSensibles: ['descripcion'] });
  await sync();
  const read = async () => {
    const { rows } = await world.backend.sql.query<{ valor: string }>(
      `SELECT parametros_json->>'descripcion' AS valor FROM parametros_maestros WHERE codigo = 'a7'`,
    );
    return rows[0]!.valor;
  };
  const stored = await read();
  expect(stored).toMatch(/^cs2:/);
  expect(await sync()).toMatch(/Sin novedades: 300 filas/);
  await world.execute(`UPDATE articulos SET descripcion = N'Otra' WHERE codigo = 'a7'`);
  expect(await sync()).toMatch(/300 filas leídas, 1 filas subidas/);
  expect(await read()).not.toBe(stored);
  await world.execute(`UPDATE articulos SET descripcion = N'Artículo 7' WHERE codigo = 'a7'`);
  await sync();
  expect(await read()).toBe(stored);
});

async function copyFolder(from: string, to: string): Promise<void> {
  await cp(from, to, { recursive: true, force: true });
}
