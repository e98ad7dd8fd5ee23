import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { startFaultProxy } from '../../../fixtures/chaos/proxy.ts';
import { type CuttingProxy, startCuttingProxy } from '../../testing/cutting-proxy.ts';
import { startWorld, type World } from '../../testing/world.ts';

/** Uploads of changes (`rowversion`, `seguimiento`) that break off, and the run after. */

let world: World;
let proxy: CuttingProxy;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  await world.execute(`CREATE TABLE articulos (codigo int NOT NULL PRIMARY KEY, n int NOT NULL, texto nvarchar(400) NOT NULL, rv rowversion)
    ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON
    ALTER TABLE articulos ENABLE CHANGE_TRACKING`);
});
afterAll(() => world?.close());
beforeEach(async () => {
  await world.execute(`DELETE FROM articulos
    INSERT INTO articulos (codigo, n, texto) VALUES (0, 1, N'${'ñ'.repeat(200)}')
    DECLARE @n int = 1
    WHILE @n < 1024 BEGIN INSERT INTO articulos (codigo, n, texto) SELECT codigo + @n, 1, texto FROM articulos; SET @n = @n * 2 END`);
  await world.backend.sql.query('DELETE FROM parametros_maestros; DELETE FROM sync_logs; DELETE FROM sync_commits');
  await rm(join(world.folder, 'last-sync.json'), { force: true });
  proxy = await startCuttingProxy(world.backend.url);
  await world.init(proxy.url);
});
afterEach(() => proxy?.close());

const policy = { attempts: 1, firstDelayMs: 1, maxDelayMs: 2, maxTotalMs: 60_000, maxRetryAfterMs: 10_000 };
const kinds = {
  rowversion: { cambios: 'rowversion', columna: 'rv' },
  seguimiento: { cambios: 'seguimiento', seguimiento: [{ tabla: 'dbo.articulos' }] },
  huellas: { cambios: 'huellas' },
};
const configure = (kind: keyof typeof kinds) =>
  world.setTables({
    trozoKb: 64,
    tablasSubida: [
      {
        ...{ nombre: 'vista_articulos', ...kinds[kind], particion: { columna: 'codigo', filas: 200 } },
        process: { query: 'SELECT codigo, n, texto, rv FROM articulos' },
      },
    ],
  });

async function sync(): Promise<string> {
  const { reason, log } = await world.sync();
  expect(reason, log).toBe('exitoso');
  return log;
}

async function stored(): Promise<string[]> {
  const { rows } = await world.backend.sql.query<{ codigo: string; n: string }>(
    `SELECT codigo, parametros_json->>'n' AS n FROM parametros_maestros WHERE activo ORDER BY codigo::int`,
  );
  return rows.map(({ codigo, n }) => `${codigo}=${n}`);
}

async function source(): Promise<string[]> {
  const rows = await world.query('SELECT codigo, n FROM articulos ORDER BY codigo');
  return rows.map(({ codigo, n }) => `${codigo}=${n}`);
}

test.each(['rowversion', 'seguimiento'] as const)(
  'a reading of changes by ranges that broke off goes on with its own bounds, and what changed since comes after it (%s)',
  async (kind) => {
    const sqlProxy = await startFaultProxy(world.settings);
    try {
      await world.init(proxy.url, { host: '127.0.0.1', port: sqlProxy.port });
      await configure(kind);
      await sync();
      await world.execute('UPDATE articulos SET n = 2');
      sqlProxy.arm({ kind: 'cut', direction: 'bajada', after: 300_000 });
      const { reason, log } = await world.sync({ policy });
      expect(reason, log).toBe('error');
      expect(log).toMatch(/filas leídas quedan en spool\/: la próxima ejecución sigue leyendo detrás/);
      await world.execute(`UPDATE articulos SET n = 3 WHERE codigo IN (5, 1020)
        INSERT INTO articulos (codigo, n, texto) VALUES (2000, 3, N'a')`);
      await sync();
      expect(await stored()).toEqual(await source());
      expect(await sync()).toContain('Sin novedades');
    } finally {
      await sqlProxy.close();
    }
  },
);

test('bajas of a commit whose answer never came go with what waits in the spool', async () => {
  await configure('seguimiento');
  await sync();
  await world.execute('UPDATE articulos SET n = 2 WHERE codigo < 500; DELETE FROM articulos WHERE codigo IN (7, 1000)');
  proxy.cut = { afterBytes: 0, times: Number.POSITIVE_INFINITY, requests: /^POST \S+\/commit / };
  expect((await world.sync({ policy })).reason).not.toBe('exitoso');
  proxy.cut = undefined;
  expect(await sync()).toContain('Se termina una subida pendiente');
  expect(await stored()).toEqual(await source());
});

test('a folder restored to a reading that broke off: what it reads now is an upload of its own, not the one that went on from there', async () => {
  const sqlProxy = await startFaultProxy(world.settings);
  const copy = `${world.folder}.copia`;
  try {
    await world.init(proxy.url, { host: '127.0.0.1', port: sqlProxy.port });
    await configure('huellas');
    await sync();
    await world.execute('UPDATE articulos SET n = 2');
    sqlProxy.arm({ kind: 'cut', direction: 'bajada', after: 300_000 });
    const { log } = await world.sync({ policy });
    expect(log).toMatch(/filas leídas quedan en spool\/: la próxima ejecución sigue leyendo detrás/);
    await cp(world.folder, copy, { recursive: true });
    await sync();
    // As many rows in as many chunks, and others; one more is gone.
    await world.execute('UPDATE articulos SET n = 3 WHERE codigo > 900; DELETE FROM articulos WHERE codigo = 1000');
    await rm(world.folder, { recursive: true });
    await cp(copy, world.folder, { recursive: true });
    await sync();
    expect(await stored()).toEqual(await source());
    expect(await sync()).toContain('ninguna cambió');
  } finally {
    await rm(copy, { recursive: true, force: true });
    await sqlProxy.close();
  }
});
