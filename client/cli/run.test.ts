import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Compile } from 'typebox/compile';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { DoctorOutput, StatusOutput, SyncOutput } from '../../protocol/cli-output.ts';
import { exitCodes } from '../errors/exit-codes.ts';
import { startCuttingProxy } from '../testing/cutting-proxy.ts';
import { startWorld, type World } from '../testing/world.ts';
import { runCommandLine } from './run.ts';

/** What `--json` prints, of real runs, is what protocol/cli-output.ts says, and nothing more. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  await world.execute('CREATE TABLE clientes (codigo int NOT NULL PRIMARY KEY)');
  await world.execute(`INSERT INTO clientes VALUES ${Array.from({ length: 900 }, (_, n) => `(${n})`).join(', ')}`);
});
afterAll(() => world?.close());

const clientes = { nombre: 'clientes', primaryKey: 'codigo', process: { query: 'SELECT codigo FROM clientes' } };
const rota = { nombre: 'rota', process: { query: 'SELECT codigo FROM no_existe' } };
const checkers = { sync: Compile(SyncOutput), status: Compile(StatusOutput), doctor: Compile(DoctorOutput) };

/** Runs `<command> --json`, and holds each line of what it prints to its schema. */
async function run(command: keyof typeof checkers, folder = world.folder) {
  const written = { stdout: '', stderr: '' };
  const collect = (name: keyof typeof written) =>
    ({ write: (text: string) => (written[name] += text) }) as unknown as NodeJS.WriteStream;
  const streams = { stdout: collect('stdout'), stderr: collect('stderr') };
  const args = [command, '--json', '--carpeta', folder];
  const code = await runCommandLine(args, streams, new AbortController().signal);
  expect(written.stderr).toBe('');
  const lines = written.stdout.trimEnd().split('\n');
  const objects = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  for (const object of objects) {
    const checker = object.evento === 'fin' ? checkers.sync : checkers[command];
    const errors = checker.Errors(object).map(({ instancePath, message }) => `${instancePath} ${message}`);
    expect(errors, JSON.stringify(object)).toEqual([]);
  }
  return { code, objects, last: objects.at(-1)! };
}

test('sync --json and status --json: done, in part, not at all, and with bajas that wait', async (context) => {
  await world.needs(context, 'WAITFOR');
  const slow = { enabled: true, sql: "WAITFOR DELAY '00:00:02'" };
  await world.setTables({ tablasSubida: [{ ...clientes, pre_process: slow }] });
  const done = await run('sync');
  expect(done.code).toBe(exitCodes.exitoso);
  expect(new Set(done.objects.map(({ evento }) => evento))).toEqual(new Set(['registro', 'avance', 'fin']));
  expect(done.last).toMatchObject({ resultado: 'exitoso', tablas: [{ tabla: 'clientes', filas: 900 }] });

  await world.setTables({ tablasSubida: [clientes, rota] });
  const part = await run('sync');
  expect(part.code).toBe(exitCodes.parcial);
  expect(part.last).toMatchObject({ resultado: 'parcial', tablas: [{}, { codigo: expect.any(String) }] });
  const known = await run('status');
  expect(known.last).toMatchObject({ formato: 1, tablas: [{ exitosa: { filas: 900 } }, { exitosa: null }] });

  await world.setTables({ tablasSubida: [rota] });
  const failed = await run('sync');
  expect(failed.code).toBe(exitCodes.error);
  expect(failed.last).toMatchObject({ evento: 'fin', bien: 0, conError: 1 });

  await world.setTables({ tablasSubida: [{ ...clientes, desactivarAusentes: true }] });
  await run('sync');
  await world.execute('DELETE FROM clientes');
  const retained = await run('sync');
  expect(retained.code).toBe(exitCodes.bajasRetenidas);
  expect(retained.last).toMatchObject({ resultado: 'bajasRetenidas', tablas: [{ bajasRetenidas: 900 }] });
  const held = await run('status');
  expect(held.last).toMatchObject({ backend: { bajasRetenidas: [{ bajas: 900 }] } });
});

test('doctor --json: every check, those that fail too', async () => {
  await world.setTables({ tablasSubida: [rota] });
  const { code, last } = await run('doctor');
  expect(code).toBe(exitCodes.error);
  expect(last).toMatchObject({ formato: 1, informe: expect.any(String) });
});

test('a command that cannot begin prints its one event; a backend that does not answer is told in status', async () => {
  const empty = await mkdtemp(join(tmpdir(), 'ax-vacia-'));
  try {
    for (const command of ['sync', 'status'] as const) {
      const { code, objects } = await run(command, empty);
      expect(code).toBe(exitCodes.configuracion);
      expect(objects).toMatchObject([{ evento: 'fin', codigo: 'SIN_INICIALIZAR', formato: 1 }]);
    }
  } finally {
    await rm(empty, { recursive: true });
  }
  const proxy = await startCuttingProxy(world.backend.url);
  await world.init(proxy.url);
  await proxy.close();
  const alone = await run('status');
  expect(alone.last).toMatchObject({ backend: { error: expect.any(String) } });
});
