import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { LogEntry } from '../../protocol/api.ts';
import { retryPolicy } from '../errors/retry.ts';
import { Backend } from '../http/backend.ts';
import { Outbox } from '../state/outbox.ts';
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
const pendingLines = async () => (await readLog('pendientes.ndjson')).trim().split('\n');

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

test('what a database or the backend says keeps to its entry, and is shown by its code', async () => {
  const echoed: string[] = [];
  await withLog(
    folder,
    new Secrets(),
    (line) => echoed.push(line),
    async (log) =>
      log.info('SQL Server: uno\r\n2026-01-01 00:00:00.000 INFO  falso\u001b[2J\u009b1m\u202e', 'vista\u0085_x\n'),
  );
  const combined = await readLog('sync-combined.log');
  expect(combined.replace(/^\S+ \S+/, '@')).toBe(
    '@ INFO  vista\\u{85}_x\\u{a}: SQL Server: uno\n  2026-01-01 00:00:00.000 INFO  falso\\u{1b}[2J\\u{9b}1m\\u{202e}\n',
  );
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

test('closed files are kept for thirty days, and 100 MB of them', async () => {
  const logs = join(folder, 'logs');
  await mkdir(logs);
  const fill = async (name: string, megabytes: number, daysAgo: number) => {
    const path = join(logs, name);
    await writeFile(path, '');
    await truncate(path, megabytes * 1024 * 1024);
    const time = new Date(Date.now() - daysAgo * 86_400_000);
    await utimes(path, time, time);
  };
  for (let index = 1; index <= 12; index++) await fill(`sync-combined-2024-01-15-${index}.log`, 10, 2);
  await fill('sync-combined-2024-01-14-1.log', 1, 3);
  await fill('sync-error-2024-01-14-1.log', 1, 31);
  await fill('sync-error-2024-01-15-1.log', 1, 29);
  await fill('ajeno-2024-01-15-1.log', 1, 400);
  await withLog(
    folder,
    new Secrets(),
    () => {},
    async (log) => log.info('una'),
  );
  const kept = (await readdir(logs)).sort();
  expect(kept.filter((name) => name.startsWith('sync-error-'))).toEqual(['sync-error-2024-01-15-1.log']);
  // The newest ten, by number and not by their spelling.
  const numbers = kept.flatMap((name) => /^sync-combined-2024-01-15-(\d+)\.log$/.exec(name)?.[1] ?? []).map(Number);
  expect(numbers.sort((a, b) => a - b)).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  expect(kept).toContain('ajeno-2024-01-15-1.log');
  expect(kept).not.toContain('sync-combined-2024-01-14-1.log');
});

test('a file is closed in the middle of a run too, and by its age; a long text is cut', async () => {
  const logs = join(folder, 'logs');
  await mkdir(logs);
  const path = join(logs, 'sync-combined.log');
  await writeFile(path, '2024-01-15 10:30:00.123 INFO  de ayer\n');
  const yesterday = new Date(Date.now() - 86_400_000);
  await utimes(path, yesterday, yesterday);
  await withLog(
    folder,
    new Secrets(),
    () => {},
    async (log) => {
      for (let index = 0; index < 400; index++) log.info('x'.repeat(40_000));
    },
  );
  const files = (await readdir(logs)).filter((name) => name.startsWith('sync-combined'));
  const sizes = await Promise.all(files.map(async (name) => (await stat(join(logs, name))).size));
  // 400 × 32 KB make two files; the third is yesterday's.
  expect(sizes).toHaveLength(3);
  expect(Math.max(...sizes)).toBeLessThan(11 * 1024 * 1024);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThan(400 * 32_000);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(400 * 33_000);
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

/** A real HTTP server that takes logs, but none with `veneno`; or refuses all while `answer` says another status. */
async function startLogServer(answer: { status: number }): Promise<{ backend: Backend; batches: LogEntry[][] }> {
  const batches: LogEntry[][] = [];
  server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const { logs } = JSON.parse(Buffer.concat(parts).toString()) as { logs: LogEntry[] };
    const poisoned = logs.some(({ mensaje }) => mensaje === 'veneno');
    const status = answer.status === 200 && poisoned ? 400 : answer.status;
    if (status === 200) batches.push(logs);
    response.writeHead(status, { 'content-type': 'application/json' });
    const refusal = { success: false, code: 'CUERPO_INVALIDO', detail: 'No.' };
    response.end(JSON.stringify(status === 400 ? refusal : { success: true, logsInsertados: logs.length }));
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    backend: new Backend({ url, tenant: 't', key: 'k', retryPolicy: { ...retryPolicy, attempts: 1 } }),
    batches,
  };
}

test('what the backend did not take waits in a file and goes first with the next run', async () => {
  const answer = { status: 500 };
  const { backend, batches } = await startLogServer(answer);
  const first = await Outbox.open(folder, new Secrets());
  first.add(entryOf('uno'));
  await expect(first.ship(backend, signal)).rejects.toThrow('500');
  expect((await pendingLines()).map((line) => JSON.parse(line))).toMatchObject([{ formato: 1 }, { tabla: 'uno' }]);

  answer.status = 200;
  const second = await Outbox.open(folder, new Secrets());
  second.add(entryOf('dos'));
  await second.ship(backend, signal);
  expect(batches.map((batch) => batch.map(({ tabla }) => tabla))).toEqual([['uno', 'dos']]);
  expect(await readdir(join(folder, 'logs'))).toEqual([]);
});

test('batches keep to the count that the API takes, and a broken line in the file is passed over', async () => {
  const { backend, batches } = await startLogServer({ status: 200 });
  const outbox = await Outbox.open(folder, new Secrets());
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
  for (let index = 0; index < 1500; index++) outbox.add(entryOf(`t${index}`));
  await outbox.ship(backend, signal);
  expect(batches.map((batch) => batch.length)).toEqual([1000, 501]);
  expect(batches[0]![0]!.tabla).toBe('vieja');
});

test('an entry is on the disk at once, so that a run that is killed leaves it for the next', async () => {
  const killed = await Outbox.open(folder, new Secrets());
  killed.add(entryOf('uno'));
  killed.add(entryOf('dos'));
  await vi.waitFor(async () => expect(await pendingLines()).toHaveLength(3));
  const { backend, batches } = await startLogServer({ status: 200 });
  const next = await Outbox.open(folder, new Secrets());
  next.add(entryOf('tres'));
  await next.ship(backend, signal);
  expect(batches.map((batch) => batch.map(({ tabla }) => tabla))).toEqual([['uno', 'dos', 'tres']]);
  expect(new Set(batches.flat().map(({ id }) => id)).size).toBe(3);
  // Each of the run that it belongs to, whichever sends it.
  for (const { traza } of batches.flat()) expect(traza).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
});

test('a line cut off by a kill swallows no entry: the next begins on a line of its own, and the half line is counted', async () => {
  const path = join(folder, 'logs', 'pendientes.ndjson');
  const killed = await Outbox.open(folder, new Secrets());
  killed.add(entryOf('uno'));
  killed.add(entryOf('dos'));
  await vi.waitFor(async () => expect(await pendingLines()).toHaveLength(3));
  await truncate(path, (await stat(path)).size - 20);
  const { backend, batches } = await startLogServer({ status: 200 });
  const next = await Outbox.open(folder, new Secrets());
  expect(next.torn).toBe(1);
  next.add(entryOf('tres'));
  await next.ship(backend, signal);
  expect(batches.map((batch) => batch.map(({ tabla }) => tabla))).toEqual([['uno', 'tres']]);
  expect((await Outbox.open(folder, new Secrets())).torn).toBe(0);
});

test('a line of the queue that is null, or no object, ends nothing: what stands behind it is sent', async () => {
  const path = join(folder, 'logs', 'pendientes.ndjson');
  const earlier = await Outbox.open(folder, new Secrets());
  for (const tabla of ['uno', 'dos']) earlier.add(entryOf(tabla));
  await vi.waitFor(async () => expect(await pendingLines()).toHaveLength(3));
  const [head, uno, dos] = await pendingLines();
  // Longer than what is read at once.
  const long = JSON.stringify({
    ...JSON.parse(dos!),
    mensaje: 'x'.repeat(9000),
    metadatos: { y: 'y'.repeat(100_000) },
  });
  await writeFile(path, `${[head, uno, 'null', ' null\r', '5', '[]', long].join('\n')}\n`);
  const { backend, batches } = await startLogServer({ status: 200 });
  const next = await Outbox.open(folder, new Secrets());
  expect(next.torn).toBe(2);
  await next.ship(backend, signal);
  expect(batches.flat().map(({ tabla }) => tabla)).toEqual(['uno', 'dos']);
});

test('a log cut off by a kill: the next entry begins on a line of its own, and the log says so', async () => {
  const write = (text: string) =>
    withLog(
      folder,
      new Secrets(),
      () => {},
      async (log) => log.error(text),
    );
  await write('una');
  for (const name of ['sync-combined.log', 'sync-error.log']) {
    await writeFile(join(folder, 'logs', name), '2024-01-15 10:30:00.123 ERROR corta', { flag: 'a' });
  }
  await write('dos');
  const lines = (await readLog('sync-error.log')).trim().split('\n');
  expect(lines).toHaveLength(3);
  expect(lines[1]).toMatch(/ERROR corta$/);
  expect(lines[2]).toMatch(/ ERROR dos$/);
  expect(await readLog('sync-combined.log')).toMatch(
    /corta\n.* AVISO .*sync-combined\.log.*a medias.*\n.* ERROR dos\n$/,
  );
});

test.skipIf(process.platform === 'win32')(
  'logs and what waits are for their owner alone, files of an earlier version too',
  async () => {
    const logs = join(folder, 'logs');
    await mkdir(logs, { mode: 0o755 });
    for (const name of [
      'sync-combined.log',
      'sync-error.log',
      'ejecuciones.json',
      'pendientes.ndjson',
      'sync-error-2026-11-01-1.log',
    ]) {
      await writeFile(join(logs, name), '', { mode: 0o644 });
    }
    const outbox = await Outbox.open(folder, new Secrets());
    outbox.add(entryOf('uno'));
    await withLog(
      folder,
      new Secrets(),
      () => {},
      async (log) => log.error('una'),
    );
    await vi.waitFor(async () => expect(await pendingLines()).toHaveLength(1));
    const modes = await Promise.all(
      (await readdir(logs)).map(async (name) => [name, (await stat(join(logs, name))).mode & 0o777]),
    );
    expect(modes.filter(([, mode]) => mode !== 0o600)).toEqual([]);
    expect(modes.length).toBeGreaterThanOrEqual(5);
    expect((await stat(logs)).mode & 0o777).toBe(0o700);
  },
);

test('an entry that the backend refuses for good does not hold up the others', async () => {
  const { backend, batches } = await startLogServer({ status: 200 });
  const outbox = await Outbox.open(folder, new Secrets());
  for (let index = 0; index < 9; index++) {
    outbox.add({ ...entryOf(`t${index}`), ...(index === 5 ? { mensaje: 'veneno' } : {}) });
  }
  expect(await outbox.ship(backend, signal)).toEqual({ refused: 1 });
  expect(batches.flat().map(({ tabla }) => tabla)).toEqual(['t0', 't1', 't2', 't3', 't4', 't6', 't7', 't8']);
  expect(await readdir(join(folder, 'logs'))).toEqual([]);
});

test('what waits is bounded in bytes: the newest entries are kept', async () => {
  const { backend } = await startLogServer({ status: 401 });
  const outbox = await Outbox.open(folder, new Secrets());
  for (let index = 0; index < 600; index++) outbox.add({ ...entryOf(`t${index}`), errorDetalle: 'x'.repeat(20_000) });
  await expect(outbox.ship(backend, signal)).rejects.toThrow();
  const path = join(folder, 'logs', 'pendientes.ndjson');
  expect((await stat(path)).size).toBeLessThanOrEqual(8 * 1024 * 1024);
  expect((await stat(path)).size).toBeGreaterThan(7 * 1024 * 1024);
  expect((await pendingLines()).at(-1)).toContain('"t599"');
});

test('texts are cut to what the API takes and hold no secret', async () => {
  const { backend, batches } = await startLogServer({ status: 200 });
  const secrets = new Secrets();
  secrets.add('Clave_SQL_9');
  const outbox = await Outbox.open(folder, secrets);
  outbox.add({ ...entryOf('t'), mensaje: `Clave_SQL_9 ${'x'.repeat(20_000)}`, errorDetalle: 'con Clave_SQL_9' });
  await outbox.ship(backend, signal);
  const [entry] = batches[0]!;
  expect(entry!.mensaje!.length).toBe(10_000);
  expect(entry!.mensaje!.startsWith('*** x')).toBe(true);
  expect(entry!.errorDetalle).toBe('con ***');
});
