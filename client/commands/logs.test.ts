import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type LogsOptions, runLogs } from './logs.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-logs-'));
  await mkdir(join(folder, 'logs'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function logs(options: Partial<LogsOptions> = {}): Promise<string[]> {
  const lines: string[] = [];
  const print = (line: string) => lines.push(line);
  const signal = new AbortController().signal;
  await runLogs({ folder, tablas: [], nivel: 'info', lineas: 50, json: false, print, signal, ...options });
  return lines;
}

const write = (name: string, lines: string[]) =>
  writeFile(join(folder, 'logs', name), lines.map((line) => `${line}\n`).join(''));

const at = (second: number) => `2024-01-15 10:30:${String(second).padStart(2, '0')}.123`;

test('the newest lines, oldest first; by table, by level, and with the lines that belong to them', async () => {
  await write('sync-combined.log', [
    `${at(1)} INFO  vista_productos: 12 filas subidas`,
    `${at(2)} AVISO vista_prod: otra tabla`,
    `${at(3)} ERROR La configuración no es válida:`,
    '  tablasSubida[0].process: es obligatorio',
    `${at(4)} INFO  plan_cuentas: vista_productos: no es de esa tabla`,
  ]);
  await write('sync-error.log', [
    `${at(3)} ERROR La configuración no es válida:`,
    '  tablasSubida[0].process: es obligatorio',
  ]);
  expect(await logs({ lineas: 2 })).toEqual([
    `${at(3)} ERROR La configuración no es válida:\n  tablasSubida[0].process: es obligatorio`,
    `${at(4)} INFO  plan_cuentas: vista_productos: no es de esa tabla`,
  ]);
  expect(await logs({ tablas: ['vista_productos'] })).toEqual([`${at(1)} INFO  vista_productos: 12 filas subidas`]);
  expect((await logs({ nivel: 'aviso' })).map((line) => line.slice(24, 29))).toEqual(['AVISO', 'ERROR']);
  expect(await logs({ nivel: 'error' })).toHaveLength(1);
  expect(await logs({ tablas: ['nada'] })).toEqual([`No hay registros así en ${join(folder, 'logs')}.`]);
  expect((await logs({ tablas: ['vista_prod'], json: true })).map((line) => JSON.parse(line) as unknown)).toEqual([
    { hora: at(2), nivel: 'AVISO', tabla: 'vista_prod', texto: 'otra tabla' },
  ]);
});

test('goes back through closed files in their order, whatever the blocks that they are read in', async () => {
  // Lines of every length, two-byte characters on every boundary.
  const lines = Array.from({ length: 3000 }, (_, n) => `${at(n % 60)} INFO  ${n} ${'ñ'.repeat(n % 97)}`);
  await write('sync-combined-2024-01-15-9.log', lines.slice(0, 1000));
  await write('sync-combined-2024-01-15-10.log', lines.slice(1000, 2000));
  await write('sync-combined.log', lines.slice(2000));
  expect(await logs({ lineas: 100_000 })).toEqual(lines);
  expect(await logs({ lineas: 1500 })).toEqual(lines.slice(1500));
});

test('a line that is still being written is not shown; without files it says so', async () => {
  expect(await logs()).toEqual([`No hay registros así en ${join(folder, 'logs')}.`]);
  await writeFile(join(folder, 'logs', 'sync-combined.log'), `${at(1)} INFO  una\n${at(2)} INFO  a med`);
  expect(await logs()).toEqual([`${at(1)} INFO  una`]);
});
