import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type CuttingProxy, startCuttingProxy } from '../testing/cutting-proxy.ts';
import { startWorld, type World } from '../testing/world.ts';

/** `limiteKbps` and `horasSilencio` in a run against everything for real. */

const once = { attempts: 1, firstDelayMs: 1, maxDelayMs: 1, maxTotalMs: 1000, maxRetryAfterMs: 0 };
let world: World;
let proxy: CuttingProxy;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  proxy = await startCuttingProxy(world.backend.url);
  await world.init(proxy.url);
  await world.execute('CREATE TABLE productos (codigo int NOT NULL PRIMARY KEY, nombre varchar(4000) NOT NULL)');
  // Text that gzip makes about a quarter shorter: 120 KB go over the line.
  const rows = Array.from({ length: 40 }, (_, n) => `(${n}, '${randomBytes(1950).toString('base64url')}')`);
  await world.execute(`INSERT INTO productos VALUES ${rows.join(', ')}`);
  await world.execute(`INSERT INTO productos SELECT codigo + 100, nombre + 'x' FROM productos`);
});
afterAll(async () => {
  await proxy?.close();
  await world?.close();
});

const tables = {
  trozoKb: 64,
  tablasSubida: [
    { nombre: 'productos', primaryKey: 'codigo', process: { query: 'SELECT codigo, nombre FROM productos' } },
  ],
  tablasBajada: [
    {
      ...{ nombre: 'copia', primaryKey: 'codigo', process: { query: 'parametros_maestros.tipo_campo=producto' } },
      schema: {
        columns: [
          { name: 'codigo', type: 'INT', nullable: false },
          { name: 'nombre', type: 'VARCHAR(4000)' },
        ],
      },
    },
  ],
};

/** The last hour and the next, on this machine's clock. */
function hoursAround(now: Date): { desde: string; hasta: string } {
  const format = (time: number) => new Date(time).toTimeString().slice(0, 5);
  return { desde: format(now.getTime() - 3_600_000), hasta: format(now.getTime() + 3_600_000) };
}

const countRows = async () =>
  (await world.backend.sql.query('SELECT count(*)::int AS n FROM parametros_maestros')).rows[0] as { n: number };

test('in quiet hours a run ends at once with code 0 and a line in the log; --ahora runs all the same', async () => {
  await world.setTables({ ...tables, horasSilencio: [hoursAround(new Date())] });
  const quiet = await world.sync();
  expect(quiet.reason).toBe('exitoso');
  expect(quiet.log).toMatch(/Horas de silencio, de \d\d:\d\d a \d\d:\d\d de este equipo: no se sincroniza/);
  expect(await countRows()).toEqual({ n: 0 });

  const asked = await world.sync({ ahora: true, limiteKbps: 0 });
  expect(asked.reason).toBe('exitoso');
  expect(await countRows()).toEqual({ n: 80 });

  // Its copy has the hours by now: a backend that is away is no failure.
  proxy.refuse = /./;
  const away = await world.sync({ policy: once });
  expect(away.reason).toBe('exitoso');
  proxy.refuse = undefined;
  await world.setTables(tables);
  expect((await world.sync({ limiteKbps: 0 })).log).not.toContain('Horas de silencio');
});

test('a limit slows down a whole run, both ways; the option wins over the configuration', async () => {
  await world.setTables({ ...tables, limiteKbps: 640 });
  const seconds = async (options: Parameters<World['sync']>[0]) => {
    const startedAt = performance.now();
    const { reason, log } = await world.sync(options);
    expect(reason, log).toBe('exitoso');
    return (performance.now() - startedAt) / 1000;
  };
  // Some 120 KB each way at 80 KB/s.
  expect(await seconds({ download: false })).toBeGreaterThan(1.3);
  expect(await seconds({ upload: false })).toBeGreaterThan(1.3);
  expect(await seconds({ limiteKbps: 320, download: false })).toBeGreaterThan(2.7);
});
