import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { startGateway } from '../../testing/gateway.ts';
import { startWorld, type World } from '../../testing/world.ts';

/** The guard at SQL Server: an update that would empty or thin out a target waits for an administrator. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
});
afterAll(() => world?.close());
beforeEach(async () => {
  await world.execute('DROP TABLE IF EXISTS destino');
  await world.backend.sql.query('DELETE FROM parametros_maestros; DELETE FROM sync_bajas_retenidas');
});

const schema = {
  columns: [
    { name: 'codigo', type: 'VARCHAR(20)', nullable: false },
    { name: 'nombre', type: 'NVARCHAR(50)' },
    { name: 'activo', type: 'BIT', nullable: false },
  ],
};
/** Without primaryKey: all rows out, all rows in. */
const copia = { nombre: 'destino', schema, process: { query: 'parametros_maestros.tipo_campo=cosa' } };
/** As the specification's: what the download has not got becomes inactive. */
const merge =
  'MERGE destino AS t USING {temp_table} AS s ON t.codigo = s.codigo WHEN MATCHED THEN UPDATE SET nombre = s.nombre, activo = s.activo WHEN NOT MATCHED BY TARGET THEN INSERT (codigo, nombre, activo) VALUES (s.codigo, s.nombre, s.activo) WHEN NOT MATCHED BY SOURCE THEN UPDATE SET activo = 0;';
const fundida = { ...copia, primaryKey: 'codigo', post_process: { enabled: true, sql: merge } };

/** Rows `<prefix>1` to `<prefix>n` at the centre, in the place of what was there. */
async function setCentre(n: number, { prefix = 'a', nombre = 'antes' } = {}): Promise<void> {
  await world.backend.sql.query('DELETE FROM parametros_maestros');
  await world.backend.sql.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, parametros_json)
     SELECT $1, 'cosa', $2 || g, $3, '{}' FROM generate_series(1, $4::int) g`,
    [world.backend.tenant, prefix, nombre, n],
  );
}

const sync = () => world.sync();
async function syncWell(): Promise<void> {
  const { reason, log } = await sync();
  expect(reason, log).toBe('exitoso');
}
async function syncRetained(): Promise<string> {
  const { reason, log } = await sync();
  expect(reason, log).toBe('bajasRetenidas');
  return log;
}
async function target(): Promise<Record<string, unknown>> {
  const [row] = await world.query(
    "SELECT COUNT(*) AS filas, COUNT(CASE WHEN activo = 1 THEN 1 END) AS activas, COUNT(CASE WHEN nombre = N'antes' THEN 1 END) AS antes FROM destino",
  );
  return row!;
}
const approve = () => world.backend.sql.query(`UPDATE sync_bajas_retenidas SET estado = 'aprobada'`);
async function retained(): Promise<Record<string, unknown>[]> {
  const { rows } = await world.backend.sql.query(
    'SELECT direccion, tabla, agente <> $1 AS "conAgente", bajas, total, altas, estado FROM sync_bajas_retenidas',
    [''],
  );
  return rows;
}

test('an empty download empties no target, however small, until its bajas are approved', async () => {
  await world.setTables({ tablasBajada: [copia] });
  await setCentre(3);
  await syncWell();
  await setCentre(0);
  for (let run = 0; run < 2; run++) {
    const log = await syncRetained();
    expect(log).toMatch(
      /AVISO destino: 3 de 3 filas del destino desaparecerían .*La tabla queda como estaba.*bajas list y approve/,
    );
    expect(await target()).toEqual({ filas: 3, activas: 3, antes: 3 });
  }
  expect(await retained()).toEqual([
    { direccion: 'download', tabla: 'destino', conAgente: true, bajas: 3, total: 3, altas: 0, estado: 'pendiente' },
  ]);
  const { rows } = await world.backend.sql.query(
    `SELECT estado FROM sync_logs WHERE fase = 'post_process' ORDER BY "fechaInicio" DESC LIMIT 1`,
  );
  expect(rows).toEqual([{ estado: 'parcial' }]);
  await approve();
  await syncWell();
  expect(await target()).toEqual({ filas: 0, activas: 0, antes: 0 });
  expect(await retained()).toEqual([]);
});

test.each([
  ['the copy', copia],
  ['a post_process', fundida],
])('%s that takes away more than 500 rows and a fifth is held back whole; 500 are not', async (_, tabla) => {
  await world.setTables({ tablasBajada: [tabla] });
  await setCentre(1000);
  await syncWell();
  await setCentre(499, { nombre: 'después' });
  const log = await syncRetained();
  expect(log).toContain('501 de 1000 filas');
  expect(await target()).toEqual({ filas: 1000, activas: 1000, antes: 1000 });
  await setCentre(500, { nombre: 'después' });
  await syncWell();
  expect((await target()).activas).toBe(500);
});

test('what was discarded of a download leaves the table as it is, run after run, until it brings the rows again', async () => {
  await world.setTables({ tablasBajada: [copia] });
  await setCentre(3);
  await syncWell();
  await setCentre(0);
  await syncRetained();
  await world.backend.sql.query(`UPDATE sync_bajas_retenidas SET estado = 'descartada', "expiresAt" = NULL`);
  for (let run = 0; run < 2; run++) {
    const log = await syncRetained();
    expect(log).toContain('El administrador las descartó: mientras la descarga las traiga, la tabla queda como está');
    expect(await target()).toEqual({ filas: 3, activas: 3, antes: 3 });
  }
  await setCentre(4, { nombre: 'después' });
  await syncWell();
  expect(await target()).toEqual({ filas: 4, activas: 4, antes: 0 });
  expect(await retained()).toEqual([]);
});

test('guarda sets the limits, and an empty download is held back by any', async () => {
  await world.setTables({ tablasBajada: [{ ...copia, guarda: { bajas: 10, porciento: 5 } }] });
  await setCentre(200);
  await syncWell();
  await setCentre(189);
  expect(await syncRetained()).toContain('11 de 200 filas');
  await world.setTables({ tablasBajada: [{ ...copia, guarda: { bajas: 1000, porciento: 100 } }] });
  await syncWell();
  expect((await target()).filas).toBe(189);
  await setCentre(0);
  expect(await syncRetained()).toContain('189 de 189 filas');
});

test.each([
  ['leaves them inactive', merge],
  [
    'deletes them',
    'DELETE FROM {tabla}; INSERT INTO {tabla} (codigo, nombre, activo) SELECT codigo, nombre, activo FROM {temp_table}',
  ],
])(
  'a change of key takes every row away and brings as many: held back, with both samples, by a post_process that %s',
  async (_, sql) => {
    await world.setTables({ tablasBajada: [{ ...fundida, post_process: { enabled: true, sql } }] });
    await setCentre(600);
    await syncWell();
    await setCentre(600, { prefix: 'b' });
    expect(await syncRetained()).toMatch(/600 de 600 filas.* Bajas: a\d+, .* La misma bajada trae 600 nuevas: b\d+/);
    expect(await target()).toEqual({ filas: 600, activas: 600, antes: 600 });
    expect(await retained()).toMatchObject([{ bajas: 600, altas: 600 }]);
  },
);

test('the built-in update with a key: rows that the download says are inactive count, however many come with them', async () => {
  const { post_process: _, ...tabla } = fundida;
  await world.setTables({ tablasBajada: [tabla] });
  await setCentre(600);
  await syncWell();
  await world.backend.sql.query('UPDATE parametros_maestros SET activo = false');
  expect(await syncRetained()).toContain('600 de 600 filas');
  expect(await target()).toEqual({ filas: 600, activas: 600, antes: 600 });
  await approve();
  await world.backend.sql.query("UPDATE parametros_maestros SET nombre = 'después'");
  await syncWell();
  expect(await target()).toEqual({ filas: 600, activas: 0, antes: 0 });
});

test('once the rows are back, nothing is held back any more, at the backend neither', async () => {
  await world.setTables({ tablasBajada: [copia] });
  await setCentre(3);
  await syncWell();
  await setCentre(0);
  await syncRetained();
  expect(await retained()).toHaveLength(1);
  await setCentre(3);
  await syncWell();
  expect(await retained()).toEqual([]);
});

test('a backend that knows no bajas retenidas: held back all the same, with what else there is to do', async () => {
  const gateway = await startGateway(world.backend.url);
  try {
    await world.init(gateway.url);
    const unknown = { code: 'RUTA_DESCONOCIDA', status: 404, success: false, detail: 'No hay tal dirección.' };
    const headers = { 'content-type': 'application/problem+json' };
    gateway.answer = (line) =>
      line.includes('/bajas/') ? { status: 404, headers, body: JSON.stringify(unknown) } : undefined;
    await world.setTables({ tablasBajada: [copia] });
    await setCentre(3);
    await syncWell();
    await setCentre(0);
    expect(await syncRetained()).toContain('El backend es de una versión que no las puede aprobar: actualícelo');
    expect((await target()).filas).toBe(3);
  } finally {
    await gateway.close();
    await world.init();
  }
});

test('an approval is of these rows alone: another one that is gone asks again, a changed name does not', async () => {
  await world.setTables({ tablasBajada: [fundida] });
  await setCentre(1000);
  await syncWell();
  await setCentre(400);
  await syncRetained();
  await approve();
  await setCentre(399);
  expect(await syncRetained()).toContain('601 de 1000 filas');
  expect(await target()).toEqual({ filas: 1000, activas: 1000, antes: 1000 });
  await approve();
  await setCentre(399, { nombre: 'después' });
  await syncWell();
  expect(await target()).toEqual({ filas: 1000, activas: 399, antes: 601 });
});

test('a post_process that commits by itself cannot be held back, and that is an error', async () => {
  const sql = 'DELETE FROM destino; COMMIT TRANSACTION; BEGIN TRANSACTION';
  await world.setTables({ tablasBajada: [fundida] });
  await setCentre(600);
  await syncWell();
  await world.setTables({ tablasBajada: [{ ...fundida, post_process: { enabled: true, sql } }] });
  const { reason, log } = await sync();
  expect(reason, log).toBe('error');
  expect(log).toContain('[GUARDA_SIN_EFECTO]');
});
