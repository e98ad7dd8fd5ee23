import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { withLock } from '../state/run-lock.ts';
import { type CuttingProxy, startCuttingProxy } from '../testing/cutting-proxy.ts';
import { startWorld, type World } from '../testing/world.ts';
import { silentProgress } from '../ui/progress.ts';
import { runStatus } from './status.ts';
import { runVerify } from './verify.ts';

/** `status` against everything for real. */

const once = { attempts: 1, firstDelayMs: 1, maxDelayMs: 1, maxTotalMs: 1000, maxRetryAfterMs: 0 };
let world: World;
let proxy: CuttingProxy;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  proxy = await startCuttingProxy(world.backend.url);
  await world.init(proxy.url);
  await world.execute('CREATE TABLE productos (codigo int NOT NULL PRIMARY KEY, nombre nvarchar(200) NOT NULL)');
  const thousand = Array.from({ length: 1000 }, (_, n) => `(${n}, REPLICATE(N'ñandú ', 20))`).join(', ');
  await world.execute(`INSERT INTO productos VALUES ${thousand}`);
  for (const n of [1000, 2000])
    await world.execute(`INSERT INTO productos SELECT codigo + ${n}, nombre FROM productos WHERE codigo < 1000`);
  await world.setTables({
    trozoKb: 64,
    tablasSubida: [
      { nombre: 'vista_productos', primaryKey: 'codigo', process: { query: 'SELECT codigo, nombre FROM productos' } },
    ],
    tablasBajada: [
      {
        ...{ nombre: 'cuentas', primaryKey: 'codigo', process: { query: 'parametros_maestros.tipo_campo=cuenta' } },
        schema: { columns: [{ name: 'codigo', type: 'VARCHAR(20)', nullable: false }] },
      },
    ],
  });
});
afterAll(async () => {
  await proxy?.close();
  await world?.close();
});

async function status(): Promise<{ text: string; json: Record<string, unknown> }> {
  const lines: string[] = [];
  const signal = new AbortController().signal;
  const options = { folder: world.folder, print: (line: string) => lines.push(line), signal };
  expect(await runStatus({ ...options, json: false })).toBe('exitoso');
  const text = lines.splice(0).join('\n');
  await runStatus({ ...options, json: true });
  return { text, json: JSON.parse(lines.join('\n')) as Record<string, unknown> };
}

test('before the first run, after one that breaks, and after one that goes through', async () => {
  await world.sync({ upload: false, download: true });
  await rm(join(world.folder, 'logs'), { recursive: true });
  const before = await status();
  expect(before.text).toContain('Última ejecución: ninguna todavía');
  expect(before.text).toMatch(/vista_productos +subida +nunca/);
  expect(before.json).toMatchObject({ enMarcha: null, programacion: [], registrosPorEnviar: 0 });

  proxy.refuse = /commit/;
  await world.sync({ policy: once });
  const broken = await status();
  expect(broken.text).toMatch(/Última ejecución: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, parcial: 1 tablas bien, 1 con error/);
  expect(broken.text).toMatch(/vista_productos +subida +\S+ \S+ +error/);
  expect(broken.text).toMatch(/En spool\/: vista_productos, 3\.000 filas en \d+ trozos .*leída entera/);
  expect(broken.json).toMatchObject({
    spool: { subidas: [{ tabla: 'vista_productos', filas: 3000, completa: true }], ilegibles: 0 },
    backend: { subidasAbiertas: [{ tabla: 'vista_productos', filas: 3000 }] },
  });

  proxy.refuse = undefined;
  // What waited goes up, and then what the table has now.
  await world.sync();
  const good = await status();
  expect(good.text).toMatch(/vista_productos +subida +\S+ \S+ +exitoso +6\.000 +\S+ \S+ +\d{4}-\d\d-\d\d \d\d:/);
  expect(good.text).toContain('En spool/: nada pendiente');
  expect(good.text).toMatch(/Backend: configuración versión \d+ \(la misma que aquí\)/);
  // The backend's newest entry is of the second upload, which changed nothing.
  expect(good.text).toMatch(/ {2}vista_productos +subida +\S+ \S+ +exitoso +0/);
  expect(good.text).not.toContain(world.backend.key);
  expect(good.json.ejecuciones).toMatchObject([
    { resultado: 'exitoso', bien: 2 },
    { resultado: 'parcial', conError: 1 },
  ]);
});

test('beside a run it says so, and touches nothing; without the backend it shows what is here', async () => {
  await withLock(world.folder, async () => {
    const files = async () => (await readdir(world.folder, { recursive: true })).sort();
    const before = await files();
    expect((await status()).text).toMatch(
      new RegExp(`Ahora: sincronizando desde \\d{4}.* \\(proceso ${process.pid}\\)`),
    );
    expect(await files()).toEqual(before);
  });
  proxy.refuse = /./;
  const { text } = await status();
  expect(text).toContain('Ahora: parado');
  expect(text).toMatch(/Backend: .*\/status\/acme-001/);
  expect(text).toMatch(/vista_productos +subida/);
  proxy.refuse = undefined;
});

test('the last comparison of each table: when, how it ended, and the counts', async () => {
  await world.sync();
  const before = await status();
  expect(before.text).not.toContain('verify');
  expect(before.json.tablas).toMatchObject([{ verificacion: null }, { verificacion: null }]);
  await world.execute("UPDATE productos SET nombre = nombre + N'x' WHERE codigo = 7");
  const signal = new AbortController().signal;
  const options = {
    folder: world.folder,
    tablas: [],
    reparar: false,
    echo: () => {},
    progress: silentProgress,
    signal,
  };
  expect(await runVerify({ ...options, onEnd: () => {} })).toBe('diferencias');
  const { text, json } = await status();
  expect(text).toMatch(/vista_productos +subida +\d{4}-\S+ \S+ +diferencias +2\.999 +1 +0 +0\n/);
  expect(text).toMatch(/cuentas +bajada +\d{4}-\S+ \S+ +iguales +0 +0 +0 +0\n/);
  expect(json.tablas).toMatchObject([
    { verificacion: { estado: 'diferencias', filasOrigen: 3000, distintas: 1, mensaje: null } },
    { verificacion: { estado: 'iguales', iguales: 0 } },
  ]);
});
