import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { startWorld, type World } from '../testing/world.ts';
import { runApprove } from './approve.ts';
import { runInit } from './init.ts';
import { runTest } from './test.ts';

/** `--aprobar-sql` and `approve`: what the backend sends is run once a person on this machine has approved it. */

let world: World;
const { signal } = new AbortController();
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  await world.execute('CREATE TABLE productos (codigo varchar(20) NOT NULL PRIMARY KEY)');
  await world.execute("INSERT INTO productos (codigo) VALUES ('a')");
});
afterAll(() => world?.close());

const approve = async (huella?: string): Promise<string> => {
  const lines: string[] = [];
  await runApprove({ folder: world.folder, huella, print: (line) => lines.push(line), signal });
  return lines.join('\n');
};
const tablesWith = (preProcess: string) => ({
  tablasSubida: [
    { nombre: 'vista_productos', process: { query: 'SELECT codigo FROM productos' } },
    {
      nombre: 'vista_precios',
      process: { query: 'SELECT codigo FROM productos' },
      pre_process: { enabled: true, sql: preProcess },
    },
  ],
});
const uploaded = async () => {
  const { rows } = await world.backend.sql.query('SELECT tipo_campo FROM parametros_maestros ORDER BY 1');
  return rows.map((row) => (row as { tipo_campo: string }).tipo_campo);
};

test('with --aprobar-sql nothing is run before it is approved; what changes later is refused alone', async () => {
  await world.setTables(tablesWith('UPDATE productos SET codigo = codigo'));
  const { host, port, ...login } = world.settings;
  const { url, tenant, key } = world.backend;
  const sqlServer = { host, port, ...login, encrypt: false, trustServerCertificate: false };
  await runInit({
    ...{ folder: world.folder, url, tenant, key, sqlServer, print: () => {}, signal },
    requiresApproval: true,
  });
  const refused = await world.sync();
  expect(refused).toMatchObject({
    reason: 'configuracion',
    log: expect.stringMatching(/no está aprobado .*\[SQL_SIN_APROBAR\].*approve/),
  });
  expect(await uploaded()).toEqual([]);

  const shown = await approve();
  expect(shown).toContain('subida vista_precios, pre_process (nuevo):\n  + UPDATE productos SET codigo = codigo');
  const huella = /--huella ([0-9a-f]{16})/.exec(shown)![1]!;
  expect((await world.sync()).reason).toBe('configuracion');
  expect(await approve(huella)).toContain('Aprobado');
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await uploaded()).toEqual(['precio', 'producto']);

  await world.setTables(tablesWith('DELETE FROM productos'));
  const after = await world.sync();
  expect(after.reason).toBe('parcial');
  expect(after.log).toMatch(/ERROR vista_precios: .*subida vista_precios, pre_process/);
  expect(await world.query('SELECT codigo FROM productos')).toEqual([{ codigo: 'a' }]);

  const lines: string[] = [];
  expect(await runTest({ folder: world.folder, print: (line) => lines.push(line), signal })).toBe('error');
  expect(lines.join('\n')).toMatch(
    /✖ SQL del backend: .*sin aprobar.*\n.*pre_process \(cambió\).*\[APROBACION_PENDIENTE\]/s,
  );
  await expect(approve(huella)).rejects.toMatchObject({
    code: 'HUELLA_DISTINTA',
    message: expect.stringContaining('el SQL cambió desde que se mostró'),
  });
});

test('without it, what changed is told in the log of the next run and in test', async () => {
  await world.init();
  await world.setTables(tablesWith('UPDATE productos SET codigo = codigo WHERE 1 = 1'));
  const lines: string[] = [];
  await runTest({ folder: world.folder, print: (line) => lines.push(line), signal });
  expect(lines.join('\n')).toMatch(/cambió desde la última vez:\n {4}subida vista_precios, pre_process/);
  const { log, reason } = await world.sync();
  expect(reason).toBe('exitoso');
  expect(log).toMatch(/AVISO Cambió el SQL .*huella [0-9a-f]{16}/);
  expect(log).toMatch(/AVISO {3}\+ UPDATE productos SET codigo = codigo WHERE 1 = 1/);
  expect((await world.sync()).log).not.toContain('Cambió el SQL');
});
