import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { programRunner, type RunProgram } from './run-program.ts';
import {
  installTask,
  readTaskStatus,
  removePassword,
  removeTask,
  renderUnits,
  withStoredPassword,
  writeSecretFile,
} from './systemd.ts';
import type { ScheduledTask } from './task.ts';

const hasVerify = spawnSync('systemd-analyze', ['--version']).error === undefined;
if (!hasVerify) console.warn('SKIPPED: the units are not verified: systemd-analyze is missing');

const hasCreds = spawnSync('systemd-creds', ['--version']).error === undefined;
if (!hasCreds) console.warn('SKIPPED: no password is sealed by systemd: systemd-creds is missing');

const plain = { path: '/opt/a "b" $c', sealed: false };
let units: string;
let task: ScheduledTask;
beforeEach(async () => {
  units = await mkdtemp(join(tmpdir(), 'ax-units-'));
  task = {
    name: 'AX Sync',
    folder: '/opt/ax sync 100%',
    command: ['/bin/true', 'sync', '--carpeta', '/opt/ax sync 100%'],
    everyMinutes: 5,
    limitMinutes: 720,
    offsetSeconds: 67,
  };
});
afterEach(() => rm(units, { recursive: true, force: true }));

function record(answers: Record<string, { code: number; output?: string }> = {}) {
  const lines: string[] = [];
  const run: RunProgram = async (program, args) => {
    const line = [program, ...args].join(' ');
    lines.push(line);
    const found = Object.entries(answers).find(([start]) => line.startsWith(start))?.[1];
    return { code: found?.code ?? 0, output: found?.output ?? '' };
  };
  return { run, lines };
}

test.skipIf(!hasVerify)('systemd takes the units as they are', async () => {
  const verify = (path: string) => spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' }).stderr;
  // WorkingDirectory has to be there, or systemd says so.
  const folder = join(units, 'carpeta con 100% ñ');
  await mkdir(folder);
  const own = { ...task, folder };
  await installTask(own, 0, { path: join(units, '100% ñ.cred'), sealed: true }, record().run, units);
  const lines = verify(join(units, 'ax-sync.timer')).split('\n');
  expect(lines.filter((line) => line.includes('ax-sync'))).toEqual([]);

  const broken = renderUnits(own, 0, plain).timer.replace('OnUnitActiveSec=5min', 'OnUnitActiveSec=pronto');
  await writeFile(join(units, 'ax-sync.timer'), broken);
  expect(verify(join(units, 'ax-sync.timer'))).toContain('pronto');
});

test('the service runs sync as the owner, once at a time, ended after the limit; another at work is no fault', () => {
  const { service, timer } = renderUnits(task, 1001, plain);
  const value = (text: string, name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(text)?.[1];
  expect(value(service, 'Type')).toBe('oneshot');
  expect(value(service, 'User')).toBe('1001');
  expect(value(service, 'WorkingDirectory')).toBe('/opt/ax sync 100%%');
  expect(value(service, 'TimeoutStartSec')).toBe('720min');
  expect(value(service, 'SuccessExitStatus')).toBe('7');
  expect(value(service, 'ExecStart')).toBe(
    '"/bin/true" "sync" "--carpeta" "/opt/ax sync 100%%" "--archivo-password" "/opt/a \\"b\\" $$c"',
  );
  expect(value(timer, 'OnActiveSec')).toBe('67s');
  expect(value(timer, 'OnUnitActiveSec')).toBe('5min');
});

test('install writes both units and starts the timer; again, it changes them; remove leaves nothing', async () => {
  const { run, lines } = record();
  await installTask(task, 0, plain, run, units);
  expect((await readdir(units)).sort()).toEqual(['ax-sync.service', 'ax-sync.timer']);
  await installTask({ ...task, everyMinutes: 60 }, 0, plain, run, units);
  expect(await readFile(join(units, 'ax-sync.timer'), 'utf8')).toContain('OnUnitActiveSec=60min');
  await removeTask('AX Sync', run, units);
  expect(await readdir(units)).toEqual([]);
  const start = ['systemctl daemon-reload', 'systemctl enable ax-sync.timer', 'systemctl restart ax-sync.timer'];
  const end = ['systemctl disable --now ax-sync.timer', 'systemctl daemon-reload'];
  expect(lines).toEqual([...start, ...start, ...end]);
  await expect(removeTask('AX Sync', run, units)).rejects.toMatchObject({ code: 'TAREA_AUSENTE' });
});

test('a unit of that name that works in another folder is not replaced', async () => {
  const { run } = record();
  await installTask(task, 0, plain, run, units);
  await expect(installTask({ ...task, folder: '/opt/otro' }, 0, plain, run, units)).rejects.toMatchObject({
    code: 'TAREA_AJENA',
    message: expect.stringContaining('trabaja en otra carpeta'),
  });
});

test('a folder of units that is not there, and a program that is not, are told', async () => {
  const missing = join(units, 'no-hay');
  await expect(installTask(task, 0, plain, record().run, missing)).rejects.toMatchObject({
    code: 'UNIDADES_NO_ESCRITAS',
  });
  const run = programRunner(new AbortController().signal);
  await expect(run('ax-no-existe', [])).rejects.toMatchObject({ code: 'PROGRAMA_AUSENTE' });
});

test('where systemd refuses, the units are what they were', async () => {
  const refusing = record({ 'systemctl enable': { code: 1, output: 'System has not been booted with systemd' } });
  await expect(installTask(task, 0, plain, refusing.run, units)).rejects.toMatchObject({
    code: 'SYSTEMD_FALLO',
    kind: 'configuracion',
    message: expect.stringContaining('System has not been booted with systemd'),
  });
  expect(await readdir(units)).toEqual([]);
  await installTask(task, 0, plain, record().run, units);
  const before = await readFile(join(units, 'ax-sync.timer'), 'utf8');
  await expect(installTask({ ...task, everyMinutes: 60 }, 0, plain, refusing.run, units)).rejects.toThrow();
  expect(await readFile(join(units, 'ax-sync.timer'), 'utf8')).toBe(before);
});

test('the status says the last exit code, or that there was no run yet, or no such unit', async () => {
  const status = (output: string) => readTaskStatus('AX Sync', record({ 'systemctl show': { code: 0, output } }).run);
  const ran =
    'LoadState=loaded\nActiveState=failed\nExecMainExitTimestamp=Tue 2026-11-24 10:00:09 UTC\nExecMainStatus=5\nResult=exit-code';
  expect(await status(ran)).toMatchObject({ lastCode: 5, lines: expect.arrayContaining(['Estado: failed']) });
  const fresh = 'LoadState=loaded\nActiveState=inactive\nExecMainExitTimestamp=\nExecMainStatus=0\nResult=success';
  expect((await status(fresh))?.lastCode).toBeUndefined();
  expect(await status('LoadState=not-found\nActiveState=inactive')).toBeUndefined();
});

test('the file with the password is for its owner alone', async () => {
  const path = join(units, 'clave');
  await writeFile(path, 'vieja', { mode: 0o644 });
  await writeSecretFile(path, 'Secreta 1', process.getuid!());
  expect(await readFile(path, 'utf8')).toBe('Secreta 1');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

const uid = process.getuid!();

test.skipIf(!hasCreds)(
  'the password of a task is sealed by systemd for this machine, outside the install folder',
  async () => {
    const run = programRunner(new AbortController().signal);
    const folder = join(units, 'etc');
    await mkdir(folder);
    await writeFile(join(folder, 'ax-sync.key'), 'de una instalación anterior');
    let there: string[] = [];
    const stored = await withStoredPassword('AX Sync', 'Contraseña ñ 1', { uid, run, folder }, async () => {
      there = await readdir(folder);
    });
    // Only what is registered replaces what was there.
    expect(there).not.toContain('ax-sync.cred');
    expect(stored).toEqual({ path: join(folder, 'ax-sync.cred'), sealed: true });
    expect(await readdir(folder)).toEqual(['ax-sync.cred']);
    expect((await stat(stored.path)).mode & 0o777).toBe(0o600);
    expect(await readFile(stored.path, 'latin1')).not.toContain('Contrase');
    const opened = spawnSync('systemd-creds', ['decrypt', '--name=ax-sync-password', stored.path, '-'], {
      encoding: 'utf8',
    });
    expect(opened.stdout).toBe('Contraseña ñ 1');
    const { service } = renderUnits(task, 1001, stored);
    expect(service).toContain(`\nLoadCredentialEncrypted=ax-sync-password:${stored.path}\n`);
    expect(service).not.toContain('--archivo-password');
    await removePassword('AX Sync', folder);
    expect(await readdir(folder)).toEqual([]);
  },
);

test('without systemd-creds it lies outside the install folder, for the account alone; a failed install leaves what was there', async () => {
  const folder = join(units, 'etc');
  const { run } = record({ 'systemd-creds': { code: 1, output: 'Failed to determine local credential key' } });
  const stored = await withStoredPassword('AX Sync', 'Contraseña ñ 1', { uid, run, folder }, async () => {});
  expect(stored).toEqual({ path: join(folder, 'ax-sync.key'), sealed: false });
  expect(await readFile(stored.path, 'utf8')).toBe('Contraseña ñ 1');
  expect((await stat(stored.path)).mode & 0o777).toBe(0o600);
  expect((await stat(folder)).mode & 0o777).toBe(0o711);
  expect(renderUnits(task, 1001, stored).service).toContain(`"--archivo-password" "${stored.path}"\n`);

  const failing = withStoredPassword('AX Sync', 'otra', { uid, run, folder }, async () => {
    throw new Error('systemd no quiso');
  });
  await expect(failing).rejects.toThrow('systemd no quiso');
  expect(await readdir(folder)).toEqual(['ax-sync.key']);
  expect(await readFile(stored.path, 'utf8')).toBe('Contraseña ñ 1');
});
