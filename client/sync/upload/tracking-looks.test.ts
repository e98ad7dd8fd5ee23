import { rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { startWorld, type World } from '../../testing/world.ts';

/** What tables with `cambios: "seguimiento"` cost that have no news. */

const TABLES = ['a', 'b', 'c', 'd', 'e', 'f'];

let world: World;
let line: Line;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  line = await startLine(world.settings);
  await world.init(undefined, { host: '127.0.0.1', port: line.port });
  await world.execute('ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON');
  for (const name of TABLES) {
    await world.execute(`CREATE TABLE ${name} (codigo int NOT NULL PRIMARY KEY, n int NULL)`);
    await world.execute(`ALTER TABLE ${name} ENABLE CHANGE_TRACKING; INSERT INTO ${name} VALUES (1, 1)`);
  }
});
afterAll(async () => {
  await line?.close();
  await world?.close();
});
beforeEach(async () => {
  await world.backend.sql.query('DELETE FROM parametros_maestros; DELETE FROM sync_commits');
  await rm(join(world.folder, 'last-sync.json'), { force: true });
});

const tableOf = (nombre: string, more: object = {}) => ({
  ...{ nombre, tipoCampo: nombre, cambios: 'seguimiento', seguimiento: [{ tabla: `dbo.${nombre}` }] },
  process: { query: `SELECT codigo, n FROM ${nombre}` },
  ...more,
});
const configure = (...tables: object[]) => world.setTables({ tablasSubida: tables });

/** Requests to SQL Server in one run. */
async function requestsOf(options: Parameters<World['sync']>[0] = {}): Promise<{ requests: number; log: string }> {
  const before = line.requests;
  const { reason, log } = await world.sync(options);
  expect(reason, log).toBe('exitoso');
  return { requests: line.requests - before, log };
}

const versions = async () => {
  const { tablas } = JSON.parse(await world.readFile('last-sync.json')) as {
    tablas: Record<string, { seguimiento: string }>;
  };
  return Object.values(tablas).map(({ seguimiento }) => seguimiento);
};

async function stored(): Promise<string> {
  const { rows } = await world.backend.sql.query<{ tipo_campo: string; n: string }>(
    `SELECT tipo_campo, parametros_json->>'n' AS n FROM parametros_maestros ORDER BY 1`,
  );
  return rows.map(({ tipo_campo, n }) => `${tipo_campo}=${n}`).join(' ');
}

test('tables without news cost one request to SQL Server, whatever their number, and their marks advance', async () => {
  await configure(tableOf('a'));
  await world.sync();
  const { requests: one } = await requestsOf();
  await configure(...TABLES.map((name) => tableOf(name)));
  await world.sync();
  const before = (await versions()).map(BigInt);
  await world.execute('CREATE TABLE otra (id int NOT NULL PRIMARY KEY); ALTER TABLE otra ENABLE CHANGE_TRACKING');
  await world.execute('INSERT INTO otra VALUES (1)');
  const { requests, log } = await requestsOf();
  expect(requests).toBe(one);
  expect(log.match(/Sin novedades/g)).toHaveLength(TABLES.length);
  const [{ v } = {}] = await world.query('SELECT CHANGE_TRACKING_CURRENT_VERSION() AS v');
  expect(await versions()).toEqual(TABLES.map(() => String(v)));
  expect(before.every((version) => version < BigInt(String(v)))).toBe(true);
});

test('the one that has news is read, and the others cost nothing more', async () => {
  await configure(...TABLES.map((name) => tableOf(name)));
  await world.sync();
  await world.execute('UPDATE d SET n = 7');
  const { log } = await requestsOf();
  expect(log.match(/Sin novedades/g)).toHaveLength(TABLES.length - 1);
  expect(await stored()).toBe('a=1 b=1 c=1 d=7 e=1 f=1');
  await world.execute('UPDATE d SET n = 1');
});

test('what SQL of the configuration writes at SQL Server in a run is seen by the tables after it', async () => {
  const filler = { ...tableOf('b'), pre_process: { enabled: true, sql: 'UPDATE c SET n = n + 1' } };
  await configure(tableOf('a'), filler, tableOf('c'));
  await world.sync();
  const { log } = await requestsOf();
  expect(log).toMatch(/c: process .*1 filas subidas/);
  await world.execute('UPDATE c SET n = 1');
});

test('one table that is not tracked fails by itself; the others go as ever', async () => {
  await configure(...TABLES.map((name) => tableOf(name)));
  await world.sync();
  await world.execute('ALTER TABLE b DISABLE CHANGE_TRACKING; UPDATE e SET n = 3');
  const { reason, log } = await world.sync();
  expect(reason).toBe('parcial');
  expect(log).toMatch(/SEGUIMIENTO_AUSENTE.*\[b\]/);
  expect(log.match(/Sin novedades/g)).toHaveLength(TABLES.length - 2);
  expect(await stored()).toBe('a=1 b=1 c=1 d=1 e=3 f=1');
  await world.execute('ALTER TABLE b ENABLE CHANGE_TRACKING; UPDATE e SET n = 1');
});

test('changes that were cleaned up are not taken for none', async (context) => {
  await world.needs(context, 'the controls of the stand-in');
  await configure(...TABLES.map((name) => tableOf(name)));
  await world.sync();
  await world.execute('UPDATE f SET n = 5');
  const [{ v, id } = {}] = await world.query("SELECT CHANGE_TRACKING_CURRENT_VERSION() AS v, OBJECT_ID('f') AS id");
  await world.execute(`EXEC standin_clean_changes @version = ${v}, @object_id = ${id}`);
  const { log } = await requestsOf();
  expect(log).toMatch(/AVISO f: Los cambios desde la última vez ya no se conservan/);
  expect(await stored()).toBe('a=1 b=1 c=1 d=1 e=1 f=5');
  await world.execute('UPDATE f SET n = 1');
});

interface Line {
  port: number;
  /** Messages that the agent has sent so far, logins among them. */
  requests: number;
  close(): Promise<void>;
}

/** A line to SQL Server that counts whole messages of TDS ([MS-TDS] 2.2.3.1): the header says length, and whether one ends. */
async function startLine({ host, port }: { host: string; port: number }): Promise<Line> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    const upstream = connect(port, host);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    let pending = Buffer.alloc(0);
    client.on('data', (bytes) => {
      upstream.write(bytes);
      pending = Buffer.concat([pending, bytes]);
      while (pending.length >= 8 && pending.length >= pending.readUInt16BE(2)) {
        if ((pending[1]! & 1) === 1) counted.requests++;
        pending = pending.subarray(pending.readUInt16BE(2));
      }
    });
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const counted: Line = {
    port: (server.address() as AddressInfo).port,
    requests: 0,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return counted;
}
