import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { startCuttingProxy } from '../../testing/cutting-proxy.ts';
import { startWorld, type World } from '../../testing/world.ts';

/** Uploads end to end: SQL Server, the agent, the backend, PostgreSQL. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  await world.execute(`CREATE TABLE productos (
    codigo varchar(20) NOT NULL PRIMARY KEY, descripcion nvarchar(2000) NULL, precio_lista decimal(19,4) NULL,
    activo bit NOT NULL DEFAULT 1, fecha_modificacion datetime2(7) NOT NULL)`);
});
afterAll(() => world?.close());
beforeEach(async () => {
  await world.execute('DELETE FROM productos');
  await world.backend.sql.query('DELETE FROM parametros_maestros; DELETE FROM sync_logs');
});

const incremental = {
  nombre: 'vista_productos_sync',
  primaryKey: 'codigo',
  incremental: true,
  campoFecha: 'fecha_modificacion',
  solapeSegundos: 0,
  process: {
    query:
      'SELECT codigo, descripcion, precio_lista, activo, fecha_modificacion FROM productos WHERE fecha_modificacion > @ultimaSync',
  },
};
/** The same under another query, so that each test starts without a mark. */
let variant = 0;
const fresh = (more: object = {}) => ({
  ...incremental,
  process: { query: `${incremental.process.query} AND ${++variant} > 0` },
  ...more,
});

const insert = (codigo: string, precio = '1.0000') =>
  world.execute(
    `INSERT INTO productos (codigo, descripcion, precio_lista, fecha_modificacion) VALUES ('${codigo}', N'Ñandú ${codigo}', ${precio}, SYSDATETIME())`,
  );

async function readStored(): Promise<string[]> {
  const { rows } = await world.backend.sql.query<{ codigo: string; precio: string; activo: boolean }>(
    `SELECT codigo, activo, parametros_json->>'precio_lista' AS precio FROM parametros_maestros
     WHERE tipo_campo = 'producto' ORDER BY codigo`,
  );
  return rows.map(({ codigo, precio, activo }) => `${codigo} ${precio}${activo ? '' : ' inactivo'}`);
}

interface LoggedPhase {
  fase: string | null;
  ejecutadoEn: string;
  estado: string;
  registrosAfectados: number | null;
  mensaje: string;
  metadatos: Record<string, unknown> | null;
}

async function readLogged(): Promise<LoggedPhase[]> {
  const { rows } = await world.backend.sql.query<LoggedPhase>(
    `SELECT * FROM sync_logs WHERE "ejecutadoEn" = 'origen' ORDER BY "fechaInicio"`,
  );
  return rows;
}

async function readMark(nombre = 'vista_productos_sync'): Promise<{ local: string; filas: number }> {
  return (
    JSON.parse(await world.readFile('last-sync.json')) as { tablas: Record<string, { local: string; filas: number }> }
  ).tablas[nombre]!;
}

test('first run everything, second run nothing, third run what changed; the mark moves each time', async () => {
  await world.setTables({ tablasSubida: [fresh()] });
  await insert('a', '12345678901234.5678');
  await insert('b');
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await readStored()).toEqual(['a 12345678901234.5678', 'b 1.0000']);
  const first = await readMark();
  expect(first.filas).toBe(2);

  const nothing = await world.sync();
  expect(nothing.reason).toBe('exitoso');
  expect(nothing.log).toContain('Sin novedades');
  const second = await readMark();
  expect(second.filas).toBe(0);
  expect(second.local > first.local).toBe(true);

  await world.execute(`UPDATE productos SET precio_lista = 2.5, fecha_modificacion = SYSDATETIME() WHERE codigo = 'b'`);
  await insert('c');
  await world.sync();
  expect(await readStored()).toEqual(['a 12345678901234.5678', 'b 2.5000', 'c 1.0000']);
  expect((await readMark()).filas).toBe(2);
  const logged = await readLogged();
  expect(logged.map(({ fase, estado, registrosAfectados }) => [fase, estado, registrosAfectados])).toEqual([
    ['process', 'exitoso', 2],
    ['process', 'exitoso', 0],
    ['process', 'exitoso', 2],
  ]);
  expect(logged[2]!.metadatos).toMatchObject({ modo: 'incremental', filas: 2, registrosActualizados: 1 });
});

test('a full upload deactivates what the source no longer has; that it has nothing at all is not believed', async () => {
  const query = 'SELECT codigo, descripcion, precio_lista, activo FROM productos';
  await world.setTables({
    tablasSubida: [{ nombre: 'vista_productos', primaryKey: 'codigo', desactivarAusentes: true, process: { query } }],
  });
  await insert('a');
  await insert('b');
  await world.sync();
  await world.execute(`DELETE FROM productos WHERE codigo = 'a'`);
  await world.sync();
  expect(await readStored()).toEqual(['a 1.0000 inactivo', 'b 1.0000']);
  await world.execute('DELETE FROM productos');
  expect((await world.sync()).reason).toBe('bajasRetenidas');
  expect(await readStored()).toEqual(['a 1.0000 inactivo', 'b 1.0000']);
});

test('phases run around the rows, with @ultimaSync, and what they do is logged', async () => {
  await world.execute('CREATE TABLE flags (nombre varchar(20) NOT NULL PRIMARY KEY, ultima datetime2(7) NULL)');
  await world.setTables({
    tablasSubida: [
      fresh({
        pre_process: { enabled: true, ejecutarEn: 'origen', sql: "INSERT INTO flags (nombre) VALUES ('pre')" },
        post_process: { enabled: true, sql: "UPDATE flags SET ultima = @ultimaSync WHERE nombre = 'pre'" },
      }),
    ],
  });
  await insert('a');
  expect((await world.sync()).reason).toBe('exitoso');
  const flags = await world.query('SELECT nombre, CONVERT(varchar(33), ultima, 126) AS ultima FROM flags');
  expect(flags).toEqual([{ nombre: 'pre', ultima: expect.stringMatching(/^1753-01-01T00:00:00/) }]);
  expect((await readLogged()).map(({ fase, registrosAfectados }) => [fase, registrosAfectados])).toEqual([
    ['pre_process', 1],
    ['process', 1],
    ['post_process', 1],
  ]);
});

test('a phase that fails stops its table and not the next one', async () => {
  const bad = fresh({ nombre: 'vista_mala', pre_process: { enabled: true, sql: 'EXEC no_existe' } });
  await world.setTables({ tablasSubida: [bad, fresh()] });
  await insert('a');
  const { reason, log } = await world.sync();
  expect(reason).toBe('parcial');
  expect(log).toMatch(/ERROR vista_mala: pre_process .*no_existe/);
  expect(await readStored()).toEqual(['a 1.0000']);
  const [failed] = (await readLogged()).filter(({ estado }) => estado === 'error');
  expect(failed).toMatchObject({ fase: 'pre_process', mensaje: expect.stringContaining('no_existe') });
  await world.setTables({ tablasSubida: [bad] });
  expect((await world.sync()).reason).toBe('error');
});

test('rows that fill several chunks are applied together', async () => {
  const digits = Array.from({ length: 10 }, (_, digit) => `(${digit})`).join(', ');
  await world.execute(`CREATE TABLE digitos (n int NOT NULL); INSERT INTO digitos (n) VALUES ${digits}`);
  await world.execute(`INSERT INTO productos (codigo, descripcion, fecha_modificacion)
    SELECT CONCAT('p', a.n * 1000 + b.n * 100 + c.n * 10 + d.n), N'${'ñ'.repeat(1000)}', SYSDATETIME()
    FROM digitos AS a CROSS JOIN digitos AS b CROSS JOIN digitos AS c CROSS JOIN digitos AS d`);
  await world.setTables({ tablasSubida: [fresh()] });
  const { reason, log } = await world.sync();
  expect(reason, log).toBe('exitoso');
  const [logged] = await readLogged();
  expect(logged!.registrosAfectados).toBe(10_000);
  expect(logged!.metadatos!.trozos).toBeGreaterThan(1);
  expect(await readStored()).toHaveLength(10_000);
});

test('an answer that is lost is asked for again, and the rows are applied once', async () => {
  const proxy = await startCuttingProxy(world.backend.url);
  try {
    await world.init(proxy.url);
    await world.setTables({ tablasSubida: [fresh()] });
    await insert('a');
    proxy.cut = { afterBytes: 0, times: 1, requests: /^POST \/api\/sync\/upload\// };
    expect((await world.sync()).reason).toBe('exitoso');
    expect(proxy.cuts).toBe(1);
    expect(await readStored()).toEqual(['a 1.0000']);
    const { rows } = await world.backend.sql.query(`SELECT 1 FROM sync_logs WHERE "ejecutadoEn" = 'destino'`);
    expect(rows).toHaveLength(1);
  } finally {
    await proxy.close();
    await world.init();
  }
});

test('another query, and another backend, start from the beginning', async () => {
  const tabla = fresh();
  await world.setTables({ tablasSubida: [tabla] });
  await insert('a');
  await world.sync();
  await world.backend.sql.query('DELETE FROM parametros_maestros');
  await world.sync();
  expect(await readStored()).toEqual([]);
  await world.setTables({ tablasSubida: [{ ...tabla, process: { query: `${tabla.process.query} AND 1 = 1` } }] });
  const { log } = await world.sync();
  expect(log).toContain('Configuración nueva del backend');
  expect(log).toContain('se sube desde el principio');
  expect(await readStored()).toEqual(['a 1.0000']);
});

test('interrupted before it starts, nothing moves', async () => {
  await world.setTables({ tablasSubida: [fresh()] });
  await insert('a');
  const controller = new AbortController();
  controller.abort(new DOMException('interrupted', 'AbortError'));
  expect((await world.sync({ signal: controller.signal })).reason).toBe('interrumpido');
  expect(await readStored()).toEqual([]);
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await readStored()).toEqual(['a 1.0000']);
});

test('a query that spells the columns in another case means the same ones', async () => {
  await insert('A');
  await world.execute('UPDATE productos SET activo = 0');
  const query =
    'SELECT codigo AS CODIGO, descripcion AS Nombre, activo AS Activo, precio_lista AS Precio FROM productos';
  await world.setTables({ tablasSubida: [{ nombre: 'vista_productos_sync', process: { query } }] });
  await world.sync();
  const { rows } = await world.backend.sql.query(
    "SELECT codigo, nombre, activo, parametros_json FROM parametros_maestros WHERE tipo_campo = 'producto'",
  );
  expect(rows).toEqual([{ codigo: 'A', nombre: 'Ñandú A', activo: false, parametros_json: { Precio: 1 } }]);
});
