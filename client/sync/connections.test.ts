import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { defined } from '../../protocol/defined.ts';
import { runApprove } from '../commands/approve.ts';
import { setConnection } from '../commands/connection.ts';
import { runInit } from '../commands/init.ts';
import { readHistory } from '../state/history.ts';
import { startWorld, type World } from '../testing/world.ts';
import type { Progress } from '../ui/progress.ts';

/** Runs over several databases, and with several tables at once. */

const { signal } = new AbortController();
let world: World;
/** What this machine says of TLS. */
const tls = () => ({ encrypt: world.settings.encrypt, trustServerCertificate: world.settings.trustServerCertificate });

beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  for (const [name, where] of Object.entries({ EmpresaDB: world.settings, Almacen: world.almacen })) {
    await world.execute('CREATE TABLE cosas (codigo varchar(20) NOT NULL PRIMARY KEY)', where);
    await world.execute(`INSERT INTO cosas (codigo) VALUES ('${name}-1'), ('${name}-2')`, where);
  }
  await world.backend.sql.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre) VALUES ('acme-001', 'cuenta', '1.1', 'Caja')`,
  );
});
afterAll(() => world?.close());

/** The connection `almacen`, and what is given besides, at the backend; this machine takes TLS or none as for the tenant's own. */
async function setConnections(more: Record<string, object> = {}): Promise<void> {
  const { host, port, user, password, database } = world.almacen;
  const almacen = { host, port, user, password, database };
  const all: Record<string, object> = { almacen };
  for (const [name, fields] of Object.entries(more)) all[name] = { ...almacen, ...fields };
  await world.backend.sql.query('UPDATE sync_configurations SET "sqlServerConexiones" = $1', [JSON.stringify(all)]);
  for (const name of Object.keys(all)) await setConnection({ folder: world.folder, print: () => {} }, name, tls());
}
beforeEach(async () => {
  await world.backend.sql.query(`DELETE FROM parametros_maestros WHERE tipo_campo <> 'cuenta'`);
  await world.init();
  await setConnections();
});

const subida = (nombre: string, conexion?: string) => ({
  nombre,
  tipoCampo: nombre,
  ...defined({ conexion }),
  process: { query: `SELECT codigo FROM cosas WHERE '${nombre}' <> ''` },
});
const bajada = (nombre: string, conexion?: string) => ({
  nombre,
  ...defined({ conexion }),
  primaryKey: 'codigo',
  schema: { columns: [{ name: 'codigo', type: 'VARCHAR(20)', nullable: false }] },
  process: { query: 'parametros_maestros.tipo_campo=cuenta' },
});

async function uploaded(): Promise<string[]> {
  const { rows } = await world.backend.sql.query<{ tipo: string; codigo: string }>(
    `SELECT tipo_campo AS tipo, codigo FROM parametros_maestros WHERE tipo_campo <> 'cuenta' ORDER BY 1, 2`,
  );
  return rows.map(({ tipo, codigo }) => `${tipo} ${codigo}`);
}

/** Notes which tables begin and end, and how many are under way at most. */
function watch(): { progress: Progress; begun: string[]; ended: string[]; most: () => number } {
  const begun: string[] = [];
  const ended: string[] = [];
  let most = 0;
  const start: Progress['start'] = (_, tabla) => {
    begun.push(tabla);
    most = Math.max(most, begun.length - ended.length);
    const nothing = () => {};
    return {
      ...{ expect: nothing, rows: nothing, bytes: nothing, waiting: nothing, again: nothing },
      stop: () => {
        if (tabla.startsWith('bajada')) expect(ended.filter((name) => name.startsWith('subida'))).toHaveLength(5);
        ended.push(tabla);
      },
    };
  };
  return { progress: { start }, begun, ended, most: () => most };
}

const tables = {
  tablasSubida: [
    subida('subida1'),
    subida('subida2', 'almacen'),
    subida('subida3'),
    subida('subida4', 'almacen'),
    subida('subida5', 'almacen'),
  ],
  tablasBajada: [bajada('bajada1', 'almacen'), bajada('bajada2'), bajada('bajada3', 'almacen')],
};
const all = [...tables.tablasSubida, ...tables.tablasBajada].map(({ nombre }) => nombre);

test.each([
  [1, 1],
  [3, 3],
])(
  'tables of two databases, both ways, %i at once: begun in order, each at its own, uploads before downloads',
  async (tablasALaVez, atMost) => {
    await world.setTables({ ...tables, tablasALaVez });
    const seen = watch();
    const { reason, log } = await world.sync({ progress: seen.progress });
    expect(reason, log).toBe('exitoso');
    expect(seen.begun).toEqual(all);
    expect(seen.most()).toBe(atMost);
    expect(await uploaded()).toEqual(
      tables.tablasSubida.flatMap(({ nombre, conexion }: { nombre: string; conexion?: string }) => {
        const database = conexion === undefined ? 'EmpresaDB' : 'Almacen';
        return [`${nombre} ${database}-1`, `${nombre} ${database}-2`];
      }),
    );
    for (const [nombre, where] of [
      ['bajada1', world.almacen],
      ['bajada2', world.settings],
      ['bajada3', world.almacen],
    ] as const) {
      expect(await world.query(`SELECT codigo FROM ${nombre}`, where)).toEqual([{ codigo: '1.1' }]);
    }
    expect(await world.query("SELECT name FROM sys.tables WHERE name = 'bajada1'")).toEqual([]);
    const { tablas } = await readHistory(world.folder);
    expect(tablas.slice(-all.length).map(({ ultima }) => ultima.tabla)).toEqual(all);
  },
);

test('a database that does not let the agent in keeps back its own tables, and no others', async () => {
  await setConnections({ cerrada: { password: 'otra' } });
  const some = [subida('a', 'cerrada'), subida('b', 'cerrada'), subida('c', 'almacen'), subida('d')];
  await world.setTables({ tablasSubida: some });
  const { reason, log } = await world.sync();
  expect(reason).toBe('parcial');
  expect(log).toMatch(/ERROR a: SQL Server .*rechazó la entrada/);
  expect(log).toContain('Quedan 1 tablas sin empezar: no se puede usar la conexión «cerrada»');
  expect((await uploaded()).map((row) => row[0])).toEqual(['c', 'c', 'd', 'd']);
  // Nothing went well: the exit code says why.
  await world.setTables({ tablasSubida: some.slice(0, 2) });
  expect((await world.sync()).reason).toBe('credenciales');
});

test('a table whose connection does not exist is refused, with those there are; the others go', async () => {
  await world.setTables({ tablasSubida: [subida('a', 'sede'), subida('b')] });
  const { reason, log } = await world.sync();
  expect(reason).toBe('parcial');
  expect(log).toMatch(/ERROR a: La conexión «sede» no está en la configuración .* Las que hay: almacen\./);
  expect((await uploaded()).map((row) => row[0])).toEqual(['b', 'b']);
});

test('a failure that ends the run lets no table begin; those under way come to their end', async () => {
  await world.setTables({ ...tables, tablasALaVez: 2 });
  const stop = new AbortController();
  const seen = watch();
  const start = seen.progress.start;
  seen.progress.start = (direccion, tabla) => {
    if (tabla === 'subida4') stop.abort(new DOMException('interrupted', 'AbortError'));
    return start(direccion, tabla);
  };
  const { reason, log } = await world.sync({ progress: seen.progress, signal: stop.signal });
  expect(reason).toBe('interrumpido');
  expect(seen.begun).toEqual(['subida1', 'subida2', 'subida3', 'subida4']);
  expect(seen.ended.toSorted()).toEqual(seen.begun);
  expect(log).toMatch(/La ejecución termina aquí: quedan 4 tablas sin empezar/);
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await uploaded()).toHaveLength(10);
});

test('a table that moves to another connection is read from the beginning, for its mark was of another database', async () => {
  const query = 'SELECT codigo FROM cosas WHERE @ultimaSync IS NULL';
  const tabla = { ...subida('a'), incremental: true, process: { query } };
  await world.setTables({ tablasSubida: [tabla] });
  await world.sync();
  expect(await uploaded()).toEqual(['a EmpresaDB-1', 'a EmpresaDB-2']);
  expect((await world.sync()).log).toContain('Sin novedades');
  await world.setTables({ tablasSubida: [{ ...tabla, conexion: 'almacen' }] });
  expect((await world.sync()).log).toMatch(/se sube desde el principio/);
  expect(await uploaded()).toHaveLength(4);
});

test('with --aprobar-sql a connection that became another refuses its own tables alone', async () => {
  await world.setTables({ tablasSubida: [subida('a', 'almacen'), subida('b', 'almacen'), subida('c')] });
  const { url, tenant, key } = world.backend;
  const { host, port, user, password, database } = world.settings;
  const sqlServer = { host, port, user, password, database, ...tls() };
  const given = { folder: world.folder, url, tenant, key, sqlServer, print: () => {}, signal };
  await runInit({ ...given, requiresApproval: true });
  const lines: string[] = [];
  const approve = (huella?: string) =>
    runApprove({ folder: world.folder, huella, print: (line) => lines.push(line), signal });
  await approve();
  await approve(/--huella ([0-9a-f]{16})/.exec(lines.join('\n'))![1]);
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await uploaded()).toHaveLength(6);

  await world.backend.sql.query(
    `UPDATE sync_configurations
    SET "sqlServerConexiones" = jsonb_set("sqlServerConexiones", '{almacen,database}', to_jsonb($1::text))`,
    [world.settings.database],
  );
  const { reason, log } = await world.sync();
  expect(reason).toBe('parcial');
  expect(log).toMatch(/ERROR a: La conexión .*EmpresaDB\w* no está aprobado en este equipo .*conexión almacen/);
  expect(log).toContain('Quedan 1 tablas sin empezar: no se puede usar la conexión «almacen»');
});
