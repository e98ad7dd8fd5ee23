import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import type { StatusResponse } from '../../protocol/api.ts';
import { resolveBajas } from '../../server/rows/bajas.ts';
import { runStatus } from '../commands/status.ts';
import { startWorld, type World } from '../testing/world.ts';

/** What a run says of rows that vanished, and of keys that meet. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  await world.execute('CREATE TABLE productos (codigo varchar(20) NOT NULL, empresa int NOT NULL DEFAULT 1)');
});
afterAll(() => world?.close());
beforeEach(async () => {
  await world.execute('DELETE FROM productos');
  await world.backend.sql.query(
    'DELETE FROM parametros_maestros; DELETE FROM sync_logs; DELETE FROM sync_bajas_retenidas',
  );
});

const query = 'SELECT codigo, empresa FROM productos';
const whole = { nombre: 'vista_productos', primaryKey: 'codigo', desactivarAusentes: true, process: { query } };
const insert = (...keys: string[]) =>
  world.execute(`INSERT INTO productos (codigo) VALUES ${keys.map((key) => `('${key}')`).join(', ')}`);

async function countActive(): Promise<number> {
  const { rows } = await world.backend.sql.query('SELECT count(*)::integer AS n FROM parametros_maestros WHERE activo');
  return rows[0].n;
}

async function decide(estado: 'aprobada' | 'descartada'): Promise<void> {
  const status = (await (await world.backend.call('/status/acme-001')).json()) as StatusResponse;
  const connection = await world.backend.sql.connect();
  await resolveBajas(connection, { tenant: 'acme-001', id: status.bajasRetenidas![0]!.id, estado });
  connection.release();
}

async function readStatus(): Promise<string> {
  const lines: string[] = [];
  const { signal } = new AbortController();
  await runStatus({ folder: world.folder, json: false, print: (line) => lines.push(line), signal });
  return lines.join('\n');
}

test('rows that vanish end the run with a code of its own, are named once at length, and go when they are approved', async () => {
  await world.setTables({ tablasSubida: [whole] });
  await insert('a', 'b', 'c');
  expect((await world.sync()).reason).toBe('exitoso');
  await world.execute('DELETE FROM productos');

  const first = await world.sync();
  expect(first.reason).toBe('bajasRetenidas');
  expect(first.log).toMatch(/AVISO .*3 de 3 filas ya no están en el origen \(a, b, c\).*bajas list, approve o discard/);
  expect(first.log).toContain('Sincronización parcial: 1 tablas bien, 0 con error, 3 bajas retenidas');
  expect(await countActive()).toBe(3);
  const { rows } = await world.backend.sql.query(
    `SELECT estado, metadatos FROM sync_logs WHERE "ejecutadoEn" = 'origen' ORDER BY "createdAt" DESC LIMIT 1`,
  );
  expect(rows[0]).toMatchObject({ estado: 'parcial', metadatos: { bajasRetenidas: 3 } });
  expect(await readStatus()).toMatch(
    /Bajas retenidas: vista_productos \(subida\), 3 de 3 filas, pendiente, hasta .*\n +a, b, c/,
  );

  const second = await world.sync();
  expect(second.reason).toBe('bajasRetenidas');
  expect(second.log).toMatch(/3 bajas siguen retenidas/);
  expect(second.log).not.toMatch(/a, b, c/);

  await decide('aprobada');
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await countActive()).toBe(0);
  expect(await readStatus()).not.toContain('Bajas retenidas');
});

test('what was discarded is said, and is no reason for another code', async () => {
  await world.setTables({ tablasSubida: [whole] });
  await insert('a');
  await world.sync();
  await world.execute('DELETE FROM productos');
  await world.sync();
  await decide('descartada');
  const { reason, log } = await world.sync();
  expect(reason).toBe('exitoso');
  expect(log).toMatch(/INFO .*1 bajas que el administrador descartó siguen sin aplicarse/);
  expect(await countActive()).toBe(1);
});

test('a table that fails is worse than one that holds rows back', async () => {
  await world.setTables({
    tablasSubida: [whole, { nombre: 'rota', process: { query: 'SELECT codigo FROM no_existe' } }],
  });
  await insert('a');
  await world.sync();
  await world.execute('DELETE FROM productos');
  expect((await world.sync()).reason).toBe('parcial');
});

test('a repeated key ends its table with the key and both rows', async () => {
  await world.setTables({ tablasSubida: [whole] });
  await insert('a', 'b', 'a');
  const { reason, log } = await world.sync();
  expect(reason).toBe('error');
  expect(log).toMatch(/La clave «a» está en la fila 1 y en la 3\. \[CLAVE_REPETIDA\]/);
  expect(await countActive()).toBe(0);
});

test('keys that differ by case or by blanks at their end are named when they go up', async () => {
  await world.setTables({ tablasSubida: [whole] });
  await insert('ab', 'AB', 'c', 'c ');
  const { reason, log } = await world.sync();
  expect(reason).toBe('exitoso');
  expect(log).toMatch(/AVISO .*mayúsculas o blancos finales \(2\): «AB» y «ab», «c» y «c »/);
  expect(await countActive()).toBe(4);
  expect((await world.sync()).log).not.toContain('blancos finales');
});

test('a composite primaryKey with codigo in it keeps the rows of two companies apart', async () => {
  await world.setTables({
    tablasSubida: [{ ...whole, nombre: 'vista_articulos', primaryKey: ['empresa', 'codigo'] }],
  });
  await world.execute(`INSERT INTO productos (empresa, codigo) VALUES (1, 'A1'), (2, 'A1')`);
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await countActive()).toBe(2);
});
