import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type CuttingProxy, startCuttingProxy } from '../../testing/cutting-proxy.ts';
import { startWorld, type World } from '../../testing/world.ts';

/** Rows that move while everything is read, from where the reading has not come yet to where it has been. */

let world: World;
let proxy: CuttingProxy;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  proxy = await startCuttingProxy(world.backend.url);
  await world.init(proxy.url);
  await world.execute(`CREATE TABLE cosas (codigo int NOT NULL PRIMARY KEY, orden int NOT NULL UNIQUE, texto varchar(4000) NOT NULL)
    DECLARE @n int = 1
    WHILE @n <= 200 BEGIN INSERT INTO cosas VALUES (@n, @n * 10, REPLICATE('x', 4000)); SET @n = @n + 1 END`);
});
afterAll(async () => {
  await proxy?.close();
  await world?.close();
});

const policy = { attempts: 1000, firstDelayMs: 20, maxDelayMs: 40, maxTotalMs: 60_000, maxRetryAfterMs: 1000 };

/** Moves the last row to the front once the first chunk is on its way. Until then nothing arrives, and so the reading waits. */
async function syncWhileARowMoves(): Promise<string> {
  let moved: Promise<void> | undefined;
  proxy.refuse = /^PUT /;
  proxy.onRequest = (line) => {
    if (moved !== undefined || !line.startsWith('PUT ')) return;
    moved = world.execute('UPDATE cosas SET orden = 1 WHERE codigo = 200').then(() => {
      proxy.refuse = undefined;
    });
  };
  const { reason, log } = await world.sync({ policy, usesSpool: false });
  proxy.onRequest = undefined;
  await moved;
  expect(moved, log).toBeDefined();
  expect(reason, log).toBe('exitoso');
  await world.execute('UPDATE cosas SET orden = 2000 WHERE codigo = 200');
  return log;
}

const isActive = async () =>
  (await world.backend.sql.query(`SELECT activo FROM parametros_maestros WHERE codigo = '200'`)).rows[0].activo;

test('with SNAPSHOT allowed a row that moves while everything is read is there; without, it may be missed until the next run', async () => {
  const table = {
    ...{ nombre: 'cosas', tipoCampo: 'cosa', primaryKey: 'codigo', bajas: 'desactivar' },
    ...{ particion: { columna: 'orden', filas: 20 }, process: { query: 'SELECT * FROM cosas' } },
  };
  await world.setTables({ trozoKb: 64, tablasSubida: [table] });
  await world.sync();
  expect(await isActive()).toBe(true);
  await world.execute('ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON');
  await syncWhileARowMoves();
  expect(await isActive()).toBe(true);
  await world.execute('ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION OFF');
  await syncWhileARowMoves();
  expect(await isActive()).toBe(false);
  await world.sync();
  expect(await isActive()).toBe(true);
});
