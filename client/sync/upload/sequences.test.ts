import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type CuttingProxy, startCuttingProxy } from '../../testing/cutting-proxy.ts';
import { startWorld, type World } from '../../testing/world.ts';

/** Whatever happens between two runs of `cambios: "huellas"`, and to them: the centre is then what a whole upload would make of it. */

let world: World;
let proxy: CuttingProxy;
let other: string;
let yesterday: string;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  proxy = await startCuttingProxy(world.backend.url);
  await world.init(proxy.url);
  await world.execute('CREATE TABLE cosas (codigo varchar(20) NOT NULL PRIMARY KEY, nombre nvarchar(100) NOT NULL)');
  other = await mkdtemp(join(tmpdir(), 'ax-otro-'));
  yesterday = await mkdtemp(join(tmpdir(), 'ax-ayer-'));
});
afterAll(async () => {
  await proxy?.close();
  await world?.close();
  for (const folder of [other, yesterday]) if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

const policy = { attempts: 1, firstDelayMs: 1, maxDelayMs: 1, maxTotalMs: 60_000, maxRetryAfterMs: 1000 };
const key = fc.integer({ min: 0, max: 40 }).map((n) => `c${n}`);

type Step = readonly [what: string, codigo: string];
const step: fc.Arbitrary<Step> = fc.tuple(
  fc.constantFrom(
    ...['insert', 'insert', 'update', 'update', 'delete', 'rekey', 'run', 'run', 'lost answer', 'cut upload'],
    ...['edit', 'edit away', 'other agent', 'keep folder', 'folder of yesterday'],
  ),
  key,
);

let serial = 0;
async function take([what, codigo]: Step): Promise<void> {
  const name = `n${++serial}`;
  if (what === 'insert') {
    await world.execute(
      `IF NOT EXISTS (SELECT 1 FROM cosas WHERE codigo = '${codigo}') INSERT INTO cosas VALUES ('${codigo}', N'${name}')`,
    );
  } else if (what === 'update') await world.execute(`UPDATE cosas SET nombre = N'${name}' WHERE codigo = '${codigo}'`);
  else if (what === 'delete') await world.execute(`DELETE FROM cosas WHERE codigo = '${codigo}'`);
  else if (what === 'rekey') await world.execute(`UPDATE cosas SET codigo = '${name}' WHERE codigo = '${codigo}'`);
  else if (what === 'run') await world.sync({ policy });
  else if (what === 'lost answer' || what === 'cut upload') {
    proxy.cut = {
      afterBytes: 0,
      times: 3,
      requests: what === 'lost answer' ? /POST \S+\/(commit|upload)/ : /PUT |POST \S+uploads/,
    };
    await world.sync({ policy });
    proxy.cut = undefined;
  } else if (what === 'edit') {
    await world.backend.sql.query(`UPDATE parametros_maestros SET nombre = 'a mano' WHERE codigo = $1`, [codigo]);
  } else if (what === 'edit away') {
    await world.backend.sql.query('DELETE FROM parametros_maestros WHERE codigo = $1', [codigo]);
  } else if (what === 'other agent') {
    await cp(join(world.folder, 'sync-config.enc'), join(other, 'sync-config.enc'));
    await world.sync({ policy, folder: other });
  } else if (what === 'keep folder') await copyState(world.folder, yesterday);
  else await copyState(yesterday, world.folder);
}

const STATE = ['last-sync.json', 'huellas', 'spool'];
async function copyState(from: string, to: string): Promise<void> {
  for (const name of STATE) {
    await rm(join(to, name), { recursive: true, force: true });
    await cp(join(from, name), join(to, name), { recursive: true }).catch(() => {});
  }
}

test.each(['cosas', 'particion'])(
  'any sequence of changes, faults and other hands ends as the source is (%s)',
  async (kind) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        await world.execute('DELETE FROM cosas');
        await world.backend.sql.query('DELETE FROM parametros_maestros');
        await world.backend.sql.query('UPDATE sync_uploads SET "expiresAt" = now()');
        for (const folder of [world.folder, other, yesterday]) {
          for (const name of STATE) await rm(join(folder, name), { recursive: true, force: true });
        }
        const table = {
          ...{ nombre: 'cosas', primaryKey: 'codigo', tipoCampo: 'cosa', cambios: 'huellas' },
          process: { query: `SELECT codigo, nombre FROM cosas` },
          // A small source that is empty for a while would wait for a person.
          bajas: 'borrar',
          ...(kind === 'particion' ? { particion: { columna: 'codigo', filas: 5 } } : {}),
        };
        await world.setTables({ tablasSubida: [table] });
        await world.execute(`INSERT INTO cosas VALUES ('fija', N'siempre')`);
        for (const one of steps) await take(one);
        const { reason, log } = await world.sync();
        expect([reason, log]).toEqual(['exitoso', expect.any(String)]);
        const source = await world.query('SELECT codigo, nombre FROM cosas');
        const { rows } = await world.backend.sql.query<{ codigo: string; nombre: string }>(
          `SELECT codigo, nombre FROM parametros_maestros WHERE tipo_campo = 'cosa'`,
        );
        const sorted = (all: Record<string, unknown>[]) => all.map((row) => `${row.codigo} ${row.nombre}`).toSorted();
        expect(sorted(rows), log).toEqual(sorted(source));
        const { log: again } = await world.sync();
        expect(again, log).toMatch(/Sin novedades/);
      }),
      { numRuns: 12, seed: 20261130, endOnFailure: true },
    );
  },
  120_000,
);
