import { rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { protectForMachine } from '../config/dpapi.ts';
import { ownCommand } from '../config/environment.ts';
import { readLocalConfig } from '../config/local.ts';
import { readConfigPassword } from '../config/password.ts';
import { agentError } from '../errors/agent-error.ts';
import { type ExitReason, exitCodes, exitMeanings } from '../errors/exit-codes.ts';
import { programRunner, type RunProgram } from '../schedule/run-program.ts';
import * as systemd from '../schedule/systemd.ts';
import { assertTaskName, parseMinutes, type ScheduledTask } from '../schedule/task.ts';
import * as windows from '../schedule/windows.ts';

export interface ScheduleOptions {
  folder: string;
  /** `--nombre`. */
  name: string;
  print: (line: string) => void;
  signal: AbortSignal;
}

/** Where a task of an earlier version reads the password of `sync-config.enc`, in plain: a copy of the folder opens. */
export const PLAIN_PASSWORD_FILE = 'sync-password.key';
/** Where a task of Windows reads it, sealed for this machine (config/dpapi.ts). */
const SEALED_PASSWORD_FILE = 'sync-task-password.dpapi';
const onWindows = process.platform === 'win32';

/**
 * Runs `schedule install`: makes a task that runs `sync` in this folder, and its password where the task's account
 * alone may read it: sealed by Windows or by systemd for this machine, and on Linux outside the folder, so that a copy
 * of the folder does not open. The password has to open `sync-config.enc`. Nothing is changed when a step fails.
 * @throws {AgentError}
 * @param every as `5m`, `1h`
 * @param limit as `12h`; a run that takes longer is ended
 * @param account Windows only; default SYSTEM. On Linux it is the owner of `sync-config.enc`
 */
export async function runScheduleInstall({
  every,
  limit,
  account,
  ...options
}: ScheduleOptions & { every: string; limit: string; account: string | undefined }): Promise<ExitReason> {
  const { folder, name, print, signal } = options;
  assertTaskName(name);
  const everyMinutes = parseMinutes('--cada', every);
  const limitMinutes = parseMinutes('--limite', limit);
  const password = await readConfigPassword(folder);
  await readLocalConfig(folder, password);
  const task: ScheduledTask = {
    ...{ name, folder, everyMinutes, limitMinutes },
    command: [...ownCommand(), 'sync', '--carpeta', folder],
    offsetSeconds: Math.floor(Math.random() * Math.min(everyMinutes, 60) * 60),
  };
  const run = programRunner(signal);
  const told = onWindows
    ? await installOnWindows(task, password, account ?? 'SYSTEM', run)
    : await installOnLinux(task, password, await findOwner(folder, account), run);
  await rm(join(folder, PLAIN_PASSWORD_FILE), { force: true });
  print(`Tarea «${name}»: sync cada ${every}, en ${folder}; una ejecución que pase de ${limit} se termina.`);
  print(told);
  if (onWindows) print(windows.folderAdvice(folder, account ?? 'SYSTEM'));
  return 'exitoso';
}

async function installOnWindows(
  task: ScheduledTask,
  password: string,
  account: string,
  run: RunProgram,
): Promise<string> {
  const secret = join(task.folder, SEALED_PASSWORD_FILE);
  const fresh = `${secret}.${process.pid}.tmp`;
  const command: ScheduledTask['command'] = [...task.command, '--archivo-password', secret];
  try {
    await windows.writeSecretFile(fresh, await protectForMachine(password), account, run);
    await windows.installTask({ ...task, command }, account, run);
    await rename(fresh, secret);
  } finally {
    await rm(fresh, { force: true });
  }
  return `La contraseña está en ${secret}: la abre solo este Windows, y solo la cuenta de la tarea puede leerla.`;
}

async function installOnLinux(task: ScheduledTask, password: string, uid: number, run: RunProgram): Promise<string> {
  const { path, sealed } = await systemd.withStoredPassword(task.name, password, { uid, run }, (stored) =>
    systemd.installTask(task, uid, stored, run),
  );
  if (sealed) return `La contraseña está en ${path}: la abre solo el systemd de este equipo, para la tarea.`;
  return `La contraseña está en ${path}, sin cifrar (systemd-creds no está o falló): solo la cuenta de la tarea puede leerla.`;
}

/**
 * Runs `schedule status`.
 * @throws {AgentError}, also when there is no such task
 */
export async function runScheduleStatus({ name, print, signal }: ScheduleOptions): Promise<ExitReason> {
  assertTaskName(name);
  const status = await (onWindows ? windows : systemd).readTaskStatus(name, programRunner(signal));
  if (status === undefined) {
    throw agentError('TAREA_AUSENTE', { nombre: name });
  }
  print(`Tarea «${name}»`);
  for (const line of status.lines) print(line);
  if (status.lastCode !== undefined) print(`Último resultado: ${status.lastCode}, ${describeCode(status.lastCode)}`);
  return 'exitoso';
}

export const DEFAULT_TASK = 'AX Sync';

/** Returns what the scheduler says of the task of that name; no lines where there is none, or no scheduler to ask. */
export async function findSchedule(signal: AbortSignal, name = DEFAULT_TASK): Promise<string[]> {
  try {
    return (await (onWindows ? windows : systemd).readTaskStatus(name, programRunner(signal)))?.lines ?? [];
  } catch {
    signal.throwIfAborted();
    return [];
  }
}

/**
 * Removes the task and its password; a run at work goes on.
 * @throws {AgentError}
 */
export async function runScheduleRemove({ folder, name, print, signal }: ScheduleOptions): Promise<ExitReason> {
  assertTaskName(name);
  await (onWindows ? windows : systemd).removeTask(name, programRunner(signal));
  for (const file of [PLAIN_PASSWORD_FILE, SEALED_PASSWORD_FILE]) await rm(join(folder, file), { force: true });
  if (!onWindows) await systemd.removePassword(name);
  print(`Quitada la tarea «${name}».`);
  return 'exitoso';
}

/** What an exit code of the agent means; what is none of ours is the system's. */
function describeCode(code: number): string {
  const found = Object.entries(exitCodes).find(([, known]) => known === code);
  return found === undefined
    ? 'no es un código del agente: la tarea no llegó a ejecutarlo, o lo terminaron'
    : exitMeanings[found[0] as keyof typeof exitCodes];
}

/** Who may read `sync-config.enc` runs the task. */
async function findOwner(folder: string, account: string | undefined): Promise<number> {
  if (account === undefined) return (await stat(join(folder, 'sync-config.enc'))).uid;
  throw agentError('CUENTA_SOLO_WINDOWS', { carpeta: folder });
}
