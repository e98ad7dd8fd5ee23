import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { startWorld, type World } from '../testing/world.ts';
import { listConnections, removeConnection, setConnection } from './connection.ts';
import { runDoctor } from './doctor.ts';
import { runStatus } from './status.ts';
import { runTest } from './test.ts';

/** `connection`, and what `test`, `doctor` and `status` say of each connection. */

const { signal } = new AbortController();
const OWN = 'Clave_del_equipo_7';
let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  await world.execute('CREATE TABLE stock (codigo varchar(20) NOT NULL PRIMARY KEY)', world.almacen);
  const { host, port, user, database } = world.almacen;
  await world.backend.sql.query('UPDATE sync_configurations SET "sqlServerConexiones" = $1', [
    JSON.stringify({ almacen: { host: 'no.existe.invalid', port, user, database, password: OWN } }),
  ]);
  await world.setTables({
    tablasSubida: [
      {
        nombre: 'vista_stock',
        conexion: 'almacen',
        primaryKey: 'codigo',
        process: { query: 'SELECT codigo FROM stock' },
      },
    ],
  });
  // What this machine says wins: the right host, and without TLS.
  await setConnection({ folder: world.folder, print: () => {} }, 'almacen', {
    ...{ host, password: world.almacen.password, encrypt: world.almacen.encrypt, trustServerCertificate: true },
  });
  await world.init();
});
afterAll(() => world?.close());

async function lines(run: (print: (line: string) => void) => Promise<unknown>): Promise<string[]> {
  const printed: string[] = [];
  await run((line) => printed.push(line));
  return printed;
}

test('what this machine says of a connection wins over the backend, and outlasts another init', async () => {
  const { reason, log } = await world.sync();
  expect(reason, log).toBe('exitoso');
});

test('list shows each connection and what this machine says of it, and no password', async () => {
  const { port, host, user, database, encrypt } = world.almacen;
  const shown = await lines((print) => listConnections({ folder: world.folder, print }));
  const tls = encrypt ? 'TLS sin comprobar el certificado' : 'sin TLS';
  expect(shown[0]).toMatch(`SQL Server: ${user}@${host}:${port}/${world.settings.database}; en este equipo: `);
  expect(shown[0]).toMatch(new RegExp(`contraseña propia, ${tls}$`));
  expect(shown[1]).toBe(
    `SQL Server «almacen»: ${user}@${host}:${port}/${database}; en este equipo: servidor ${host}, contraseña propia, ${tls}`,
  );
  expect(shown.join('\n')).not.toContain(world.settings.password);
  expect(shown).toHaveLength(2);
});

test('test, doctor and status speak of each connection, and of the tables of each', async () => {
  const { host, port, user, database } = world.almacen;
  const tested = await lines((print) => runTest({ folder: world.folder, print, signal }));
  expect(tested).toContainEqual(expect.stringMatching(`^✔ SQL Server «almacen» ${host}:${port}: .*base ${database}`));
  expect(tested).toContainEqual('✔ Subida vista_stock: la consulta funciona y no da filas');
  const examined = await lines((print) => runDoctor({ folder: world.folder, json: false, print, signal }));
  for (const title of ['DNS de', 'Cifrado de', 'Versión de', 'Reloj de']) {
    expect(examined).toContainEqual(expect.stringMatching(`^[✔⚠] ${title} SQL Server «almacen»: `));
  }
  for (const secret of [OWN, world.settings.password]) {
    expect([...tested, ...examined, await world.readFile('diagnostico.txt')].join('\n')).not.toContain(secret);
  }
  const status = await lines((print) => runStatus({ folder: world.folder, json: false, print, signal }));
  expect(status).toContain(`SQL Server «almacen»: ${user}@${host}:${port}/${database}, 1 tablas`);
  expect(status.find((line) => line.startsWith('vista_stock'))).toMatch(/^vista_stock +almacen +subida/);
  const [json] = await lines((print) => runStatus({ folder: world.folder, json: true, print, signal }));
  expect(JSON.parse(json!)).toMatchObject({
    conexiones: [
      { nombre: null, tablas: 0 },
      { nombre: 'almacen', tablas: 1 },
    ],
    tablas: [{ tabla: 'vista_stock', conexion: 'almacen' }],
  });
});

test('remove leaves the connection to what the backend says; names that are none are refused', async () => {
  const options = { folder: world.folder, print: () => {} };
  const tls = { encrypt: true, trustServerCertificate: false };
  await expect(setConnection(options, 'dos palabras', tls)).rejects.toMatchObject({ code: 'CONEXION_MAL_NOMBRADA' });
  await expect(removeConnection(options, 'sede')).rejects.toMatchObject({ code: 'CONEXION_NO_DADA' });
  await expect(removeConnection(options, 'constructor')).rejects.toThrow(/no hay nada dicho/);
  const warned = await lines((print) => setConnection({ ...options, print }, 'sede', tls));
  expect(warned.at(-1)).toMatch(/^AVISO: .*no tiene esa conexión/);
  await removeConnection(options, 'almacen');
  const shown = await lines((print) => listConnections({ folder: world.folder, print }));
  expect(shown[1]).toMatch(/^SQL Server «almacen»: sync_user@no\.existe\.invalid:.*: TLS con certificado comprobado$/);
  expect(shown[2]).toMatch(/^SQL Server «sede»: no está en la configuración del backend/);
});
