import { chmod, chown, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CREDENTIAL } from '../config/environment.ts';
import { AgentError, agentError } from '../errors/agent-error.ts';
import { exitCodes } from '../errors/exit-codes.ts';
import { isMissingFile } from '../files/files.ts';
import { assertDone, type ProgramResult, type RunProgram } from './run-program.ts';
import type { ScheduledTask, TaskStatus } from './task.ts';

/** A systemd timer and its service, in place of the Task Scheduler. */

const UNITS = '/etc/systemd/system';
/** Of the passwords: not in the install folders, of which there are copies. */
const CREDENTIALS = '/etc/ax-sync';
const KINDS = ['service', 'timer'] as const;

/** Returns the names of a task's units: `AX Sync` is `ax-sync.timer` and `ax-sync.service`. */
export function unitName(taskName: string): string {
  return taskName.toLowerCase().replaceAll(' ', '-');
}

/**
 * Renders the two units (systemd.service(5), systemd.timer(5)). A timer never starts a service that is at work; the
 * first run comes when the timer starts, so one missed while the machine was off is caught up.
 * @param uid of the account that runs it
 * @param password where that of `sync-config.enc` is
 */
export function renderUnits(
  task: ScheduledTask,
  uid: number,
  password: StoredPassword,
): { service: string; timer: string } {
  const { line, args } = wayTo(password);
  const service = `[Unit]
Description=AX Sync: ${literal(task.folder)}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User=${uid}
WorkingDirectory=${literal(task.folder)}
ExecStart=${[...task.command, ...args].map(quote).join(' ')}
${line}TimeoutStartSec=${task.limitMinutes}min
# ${exitCodes.ocupado}: another run is at work, which is no fault.
SuccessExitStatus=${exitCodes.ocupado}
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ReadWritePaths=${quote(task.folder)}
`;
  const timer = `[Unit]
Description=AX Sync: ${literal(task.folder)}

[Timer]
OnActiveSec=${task.offsetSeconds}s
OnUnitActiveSec=${task.everyMinutes}min
AccuracySec=1s

[Install]
WantedBy=timers.target
`;
  return { service, timer };
}

/**
 * Writes the units to `folder` and starts the timer.
 * @throws {AgentError}; then the units are what they were
 */
export async function installTask(
  task: ScheduledTask,
  uid: number,
  password: StoredPassword,
  run: RunProgram,
  folder = UNITS,
): Promise<void> {
  const name = unitName(task.name);
  const paths = unitPaths(folder, name);
  await assertOwn(task, paths.service);
  const before = { service: await readOrUndefined(paths.service), timer: await readOrUndefined(paths.timer) };
  const units = renderUnits(task, uid, password);
  try {
    for (const kind of KINDS) await writeFile(paths[kind], units[kind], { mode: 0o644 });
    await systemctl(run, ['daemon-reload']);
    await systemctl(run, ['enable', `${name}.timer`]);
    // A timer that runs already would keep its old interval.
    await systemctl(run, ['restart', `${name}.timer`]);
  } catch (cause) {
    for (const kind of KINDS) await restore(paths[kind], before[kind]);
    if (cause instanceof AgentError) throw cause;
    throw agentError('UNIDADES_NO_ESCRITAS', { carpeta: folder, motivo: (cause as Error).message }, cause);
  }
}

/** A password outside the install folder: sealed by systemd for this machine, or as it is, for the account alone. */
export interface StoredPassword {
  path: string;
  sealed: boolean;
}

/** The service gets a sealed one from systemd, as a credential (systemd.exec(5)); another it reads itself. */
function wayTo({ path, sealed }: StoredPassword): { line: string; args: string[] } {
  if (!sealed) return { line: '', args: ['--archivo-password', path] };
  return { line: `LoadCredentialEncrypted=${CREDENTIAL}:${literal(path)}\n`, args: [] };
}

/**
 * Lends `use` the place of the password of a task while it is not yet there; it is put there when `use` ends well, and
 * what was there of an earlier install goes. Sealed by `systemd-creds` (systemd 250), which needs this machine's key
 * (and its TPM, if it has one) to open it; where that fails, a file that `uid` alone may read.
 * @throws {AgentError}
 */
export async function withStoredPassword(
  taskName: string,
  content: string,
  { uid, run, folder = CREDENTIALS }: { uid: number; run: RunProgram; folder?: string },
  use: (stored: StoredPassword) => Promise<void>,
): Promise<StoredPassword> {
  const base = join(folder, unitName(taskName));
  const fresh = `${base}.${process.pid}.tmp`;
  try {
    await onDisk(folder, () => mkdir(folder, { recursive: true, mode: 0o711 }));
    const args = ['encrypt', `--name=${CREDENTIAL}`, '-', fresh];
    const sealed = await run('systemd-creds', args, content).then(
      ({ code }) => code === 0,
      () => false,
    );
    await onDisk(fresh, () => (sealed ? chmod(fresh, 0o600) : writeSecretFile(fresh, content, uid)));
    const stored = { path: `${base}.${sealed ? 'cred' : 'key'}`, sealed };
    await use(stored);
    await onDisk(stored.path, () => rename(fresh, stored.path));
    await rm(`${base}.${sealed ? 'key' : 'cred'}`, { force: true });
    return stored;
  } finally {
    await rm(fresh, { force: true });
  }
}

/** Removes what withStoredPassword left for that task. */
export async function removePassword(taskName: string, folder = CREDENTIALS): Promise<void> {
  for (const end of ['cred', 'key']) await rm(join(folder, `${unitName(taskName)}.${end}`), { force: true });
}

async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw agentError('UNIDADES_NO_ESCRITAS', { carpeta: path, motivo: (cause as Error).message }, cause);
  }
}

/**
 * Stops the timer and removes the units; a run at work goes on.
 * @throws {AgentError}, also when there is none
 */
export async function removeTask(taskName: string, run: RunProgram, folder = UNITS): Promise<void> {
  const name = unitName(taskName);
  const paths = unitPaths(folder, name);
  if ((await readOrUndefined(paths.timer)) === undefined) {
    throw agentError('TAREA_AUSENTE', { nombre: taskName });
  }
  await systemctl(run, ['disable', '--now', `${name}.timer`]);
  for (const kind of KINDS) await rm(paths[kind], { force: true });
  await systemctl(run, ['daemon-reload']);
}

/** Returns what systemd knows of the timer; undefined when there is none. */
export async function readTaskStatus(taskName: string, run: RunProgram): Promise<TaskStatus | undefined> {
  const name = unitName(taskName);
  const properties = ['LoadState', 'ActiveState', 'ExecMainExitTimestamp', 'ExecMainStatus', 'Result'];
  const shown = await systemctl(run, ['show', `${name}.service`, `--property=${properties.join(',')}`]);
  const values = Object.fromEntries(shown.output.split('\n').map((line) => line.split(/=(.*)/s).slice(0, 2)));
  if (values.LoadState !== 'loaded') return undefined;
  const timers = await run('systemctl', ['list-timers', '--all', '--no-pager', '--no-legend', `${name}.timer`]);
  const last = values.ExecMainExitTimestamp;
  return {
    lines: [
      `Estado: ${values.ActiveState}${values.Result === 'timeout' ? ', la última pasó del límite' : ''}`,
      `Temporizador: ${timers.output}`,
      `Última ejecución: ${last === '' || last === undefined ? 'ninguna' : last}`,
    ],
    lastCode: last === '' || last === undefined ? undefined : Number(values.ExecMainStatus),
  };
}

/** @throws {AgentError} */
async function systemctl(run: RunProgram, args: string[]): Promise<ProgramResult> {
  const result = await run('systemctl', args);
  assertDone(result, (said) => agentError('SYSTEMD_FALLO', { orden: `systemctl ${args[0]}`, ...said }));
  return result;
}

/** Writes `content` to a new file that `uid` alone may read. */
export async function writeSecretFile(path: string, content: string, uid: number): Promise<void> {
  await rm(path, { force: true });
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  if (uid !== process.getuid?.()) await chown(path, uid, -1);
}

function unitPaths(folder: string, name: string) {
  return { service: join(folder, `${name}.service`), timer: join(folder, `${name}.timer`) };
}

async function restore(path: string, content: string | undefined): Promise<void> {
  if (content === undefined) await rm(path, { force: true }).catch(() => {});
  else await writeFile(path, content).catch(() => {});
}

/** A unit of that name that works in another folder is another tenant's: it is not replaced. */
async function assertOwn({ name, folder }: ScheduledTask, path: string): Promise<void> {
  const text = await readOrUndefined(path);
  if (text === undefined || text.includes(`\nWorkingDirectory=${literal(folder)}\n`)) return;
  throw agentError('TAREA_AJENA', { nombre: name, carpeta: 'otra carpeta' });
}

async function readOrUndefined(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (isMissingFile(cause)) return undefined;
    throw cause;
  }
}

/** systemd reads `%` as the beginning of a specifier. */
function literal(text: string): string {
  return text.replaceAll('%', '%%');
}

/** One argument of a command line (systemd.syntax(7)). */
function quote(argument: string): string {
  return `"${literal(argument).replace(/[\\"]/g, '\\$&').replaceAll('$', '$$$$')}"`;
}
