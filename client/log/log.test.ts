import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LogEntry } from '../../protocol/api.ts';
import { Backend } from '../http/backend.ts';
import { Journal } from './journal.ts';
import { withLog } from './log.ts';
import { Secrets } from './secrets.ts';

let folder: string;
let server: Server | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-log-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
  server?.closeAllConnections();
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  server = undefined;
});

const signal = new AbortController().signal;
const readLog = (name: string) => readFile(join(folder, 'logs', name), 'utf8');

test('lines a person can read: everything in one file, errors in the other, secrets in none', async () => {
  const secrets = new Secrets();
  secrets.add('sk_live_abc');
  const echoed: string[] = [];
  await withLog(
    folder,
    secrets,
    (line) => echoed.push(line),
    async (log) => {
      log.info('12 filas subidas', 'vista_proveedores');
      log.warn('clave sk_live_abc rechazada');
      log.error('sin red', 'plan_cuentas');
    },
  );
  const combined = await readLog('sync-combined.log');
  expect(combined.split('\n').map((line) => line.replace(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} /, '@ '))).toEqual([
    '@ INFO  vista_proveedores: 12 filas subidas',
    '@ AVISO clave *** rechazada',
    '@ ERROR plan_cuentas: sin red',
    '',
  ]);
  expect(await readLog('sync-error.log')).toMatch(/^[^\n]* ERROR plan_cuentas: sin red\n$/);
  expect(`${echoed.join('\n')}\n`).toBe(combined);
});

test('the files are appended to by the next run and closed when they are large', async () => {
  const write = (text: string) =>
    withLog(
      folder,
      new Secrets(),
      () => {},
      async (log) => log.info(text),
    );
  await write('una');
  await write('dos');
  expect((await readLog('sync-combined.log')).trim().split('\n')).toHaveLength(2);
  const path = join(folder, 'logs', 'sync-combined.log');
  await writeFile(path, 'x'.repeat(11 * 1024 * 1024));
  await write('tres');
  expect((await stat(path)).size).toBeLessThan(1000);
  expect((await readdir(join(folder, 'logs'))).some((name) => /^sync-combined-\d{4}-.*\.log$/.test(name))).toBe(true);
});

test('a folder for logs that cannot be made does not stop the run', async () => {
  await writeFile(join(folder, 'logs'), 'a file in the place of the folder');
  const lines: string[] = [];
  const result = await withLog(
    folder,
    new Secrets(),
    (line) => lines.push(line),
    async (log) => {
      log.info('sigue');
      return 7;
    },
  );
  expect(result).toBe(7);
  expect(lines[0]).toContain('No se puede escribir');
  expect(lines[1]).toContain('sigue');
});

const entryOf = (tabla: string): LogEntry => ({
  direccion: 'upload',
  tabla,
  fase: 'process',
  ejecutadoEn: 'origen',
  estado: 'exitoso',
  fechaInicio: '2024-01-15T10:30:00Z',
});

/** A real HTTP server that takes logs, or refuses while `answer` says another status. */
async function startLogServer(answer: { status: number }): Promise<{ backend: Backend; batches: LogEntry[][] }> {
  const batches: LogEntry[][] = [];
  server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { logs } = JSON.parse(Buffer.concat(parts).toString()) as { logs: LogEntry[] };
    if (answer.status === 200) batches.push(logs);
    response.writeHead(answer.status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ success: true, logsInsertados: logs.length }));
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { backend: new Backend({ url, tenant: 't', key: 'k' }), batches };
}

test('what the backend did not take waits in a file and goes first with the next run', async () => {
  const answer = { status: 500 };
  const { backend, batches } = await startLogServer(answer);
  const first = new Journal(folder, new Secrets());
  first.add(entryOf('uno'));
  await expect(first.ship(backend, signal)).rejects.toThrow('500');
  expect(JSON.parse(await readLog('pendientes.ndjson'))).toMatchObject({ tabla: 'uno' });

  answer.status = 200;
  const second = new Journal(folder, new Secrets());
  second.add(entryOf('dos'));
  await second.ship(backend, signal);
  expect(batches.map((batch) => batch.map(({ tabla }) => tabla))).toEqual([['uno', 'dos']]);
  expect(await readdir(join(folder, 'logs'))).toEqual([]);
});

test('batches keep to the count that the API takes, and a broken line in the file is passed over', async () => {
  const { backend, batches } = await startLogServer({ status: 200 });
  const journal = new Journal(folder, new Secrets());
  await withLog(
    folder,
    new Secrets(),
    () => {},
    async () => {},
  );
  await writeFile(
    join(folder, 'logs', 'pendientes.ndjson'),
    `${JSON.stringify(entryOf('vieja'))}\n{"tabla":\n{"otra":1}\n`,
  );
  for (let index = 0; index < 1500; index++) journal.add(entryOf(`t${index}`));
  await journal.ship(backend, signal);
  expect(batches.map((batch) => batch.length)).toEqual([1000, 501]);
  expect(batches[0]![0]!.tabla).toBe('vieja');
});

test('texts are cut to what the API takes and hold no secret', async () => {
  const { backend, batches } = await startLogServer({ status: 200 });
  const secrets = new Secrets();
  secrets.add('Clave_SQL_9');
  const journal = new Journal(folder, secrets);
  journal.add({ ...entryOf('t'), mensaje: `Clave_SQL_9 ${'x'.repeat(20_000)}`, errorDetalle: 'con Clave_SQL_9' });
  await journal.ship(backend, signal);
  const [entry] = batches[0]!;
  expect(entry!.mensaje!.length).toBe(10_000);
  expect(entry!.mensaje!.startsWith('*** x')).toBe(true);
  expect(entry!.errorDetalle).toBe('con ***');
});
