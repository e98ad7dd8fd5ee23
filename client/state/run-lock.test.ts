import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findRunning, withLock } from './run-lock.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-lock-'));
  path = join(folder, 'sync.lock');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const holderOf = (pid: number) => JSON.stringify({ pid, ficha: 'x', inicio: '2024-01-15T10:00:00Z' });

test('the second run is told who holds the lock, and the first goes on', async () => {
  const order: string[] = [];
  await withLock(folder, async () => {
    await expect(withLock(folder, async () => order.push('second'))).rejects.toMatchObject({
      code: 'CARPETA_OCUPADA',
      kind: 'ocupado',
      message: expect.stringContaining(`el proceso ${process.pid}`),
    });
    order.push('first');
  });
  expect(order).toEqual(['first']);
  expect(await readdir(folder)).toEqual([]);
});

test('a folder that is not there is told, and not made', async () => {
  await expect(withLock(join(folder, 'no-hay'), async () => 'ran')).rejects.toMatchObject({
    code: 'CERROJO_NO_CREADO',
  });
  expect(await readdir(folder)).toEqual([]);
});

test('a run that fails gives the lock back', async () => {
  await expect(withLock(folder, () => Promise.reject(new Error('roto')))).rejects.toThrow('roto');
  expect(await readdir(folder)).toEqual([]);
});

test('the lock of a process that is gone is taken over', async () => {
  const { pid } = spawnSync(process.execPath, ['--version']);
  await writeFile(path, holderOf(pid));
  expect(await withLock(folder, async () => 'ran')).toBe('ran');
});

test('a fresh lock of another host holds, whatever runs here under its process id; one that nobody touches does not', async () => {
  const { pid } = spawnSync(process.execPath, ['--version']);
  for (const other of [pid, process.pid]) {
    const holder = {
      pid: other,
      ficha: 'x',
      inicio: '2024-01-15T10:00:00Z',
      equipo: 'otro-host',
      lugar: 'otro-host/x/y',
    };
    await writeFile(path, JSON.stringify(holder));
    await expect(withLock(folder, async () => 'ran')).rejects.toMatchObject({
      code: 'CARPETA_OCUPADA',
      message: expect.stringContaining(`el proceso ${other} de otro-host`),
    });
    expect(await findRunning(folder)).toMatchObject({ pid: other });
    const hourAgo = new Date(Date.now() - 3_600_000);
    await utimes(path, hourAgo, hourAgo);
    expect(await withLock(folder, async () => 'ran')).toBe('ran');
  }
});

test('the lock says where its holder runs: one that was killed here is taken over at once', async () => {
  const script = `import { withLock } from ${JSON.stringify(join(import.meta.dirname, 'run-lock.ts'))};
    await withLock(${JSON.stringify(folder)}, () => process.kill(process.pid, 'SIGKILL'));`;
  spawnSync(process.execPath, ['-e', script]);
  expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ equipo: hostname(), lugar: expect.any(String) });
  expect(await withLock(folder, async () => 'ran')).toBe('ran');
});

test('what a killed run had begun to write goes; what another process is writing stays', async () => {
  const { pid } = spawnSync(process.execPath, ['--version']);
  const old = new Date(Date.now() - 11 * 60_000);
  const lock = `sync.lock.${crypto.randomUUID()}.tmp`;
  const oldLock = `sync.lock.${crypto.randomUUID()}.tmp`;
  for (const name of [`last-sync.json.${pid}.tmp`, `sync-config.enc.${process.ppid}.tmp`, lock, oldLock, 'mio.tmp']) {
    await writeFile(join(folder, name), 'x');
  }
  await utimes(join(folder, oldLock), old, old);
  await withLock(folder, async () => {});
  expect((await readdir(folder)).sort()).toEqual(['mio.tmp', lock, `sync-config.enc.${process.ppid}.tmp`].sort());
});

test('of two that find the same stale lock, one runs', async () => {
  const { pid } = spawnSync(process.execPath, ['--version']);
  await writeFile(path, holderOf(pid));
  let running = 0;
  let most = 0;
  const run = () =>
    withLock(folder, async () => {
      running++;
      most = Math.max(most, running);
      await new Promise((resolve) => setTimeout(resolve, 300));
      running--;
    });
  const results = await Promise.allSettled([run(), run()]);
  expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  expect(most).toBe(1);
});

test('a process id in use by another program does not hold a lock that nobody has touched for long', async () => {
  await writeFile(path, holderOf(1));
  await expect(withLock(folder, async () => 'ran')).rejects.toMatchObject({ kind: 'ocupado' });
  const hourAgo = new Date(Date.now() - 3_600_000);
  await utimes(path, hourAgo, hourAgo);
  expect(await withLock(folder, async () => 'ran')).toBe('ran');
});

test('a lock left by an earlier process with the id of this one is stale', async () => {
  await writeFile(path, holderOf(process.pid));
  expect(await withLock(folder, async () => 'ran')).toBe('ran');
});
