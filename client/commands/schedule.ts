import { rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { agentError } from '../agent-error.ts';
import { ownCommand } from '../config/environment.ts';
import { readLocalConfig } from '../config/local.ts';
import { readConfigPassword } from '../config/password.ts';
import { type ExitReason, exitCodes, exitMeanings } from '../exit-codes.ts';
import { programRunner } from '../schedule/run-program.ts';
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

/** Where the task reads the password of `sync-config.enc`. */
const PASSWORD_FILE = 'sync-password.key';
const onWindows = process.platform === 'win32';

/**
 * `schedule install`: a task that runs `sync` in this folder, and a file with the password that the task's account alone
 * may read. The password has to open `sync-config.enc`. Nothing is changed when a step fails. Throws AgentError.
 *
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
  const secret = join(folder, PASSWORD_FILE);
  const task: ScheduledTask = {
    ...{ name, folder, everyMinutes, limitMinutes },
    command: [...ownCommand(), 'sync', '--carpeta', folder, '--archivo-password', secret],
    offsetSeconds: Math.floor(Math.random() * Math.min(everyMinutes, 60) * 60),
  };
  const run = programRunner(signal);
  const fresh = `${secret}.${process.pid}.tmp`;
  try {
    if (onWindows) {
      await windows.writeSecretFile(fresh, password, account ?? 'SYSTEM', run);
      await windows.installTask(task, account ?? 'SYSTEM', run);
    } else {
      const uid = await findOwner(folder, account);
      await systemd.writeSecretFile(fresh, password, uid);
      await systemd.installTask(task, uid, run);
    }
    await rename(fresh, secret);
  } finally {
    await rm(fresh, { force: true });
  }
  print(`Tarea «${name}»: sync cada ${every}, en ${folder}; una ejecución que pase de ${limit} se termina.`);
  print(`La contraseña está en ${secret}, que solo la cuenta de la tarea puede leer.`);
  if (onWindows) print(windows.folderAdvice(folder, account ?? 'SYSTEM'));
  return 'exitoso';
}

/** `schedule status`. Throws AgentError, also when there is no such task. */
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

/** What the scheduler says of the task of that name; no lines where there is none, or no scheduler to ask. */
export async function findSchedule(signal: AbortSignal, name = DEFAULT_TASK): Promise<string[]> {
  try {
    return (await (onWindows ? windows : systemd).readTaskStatus(name, programRunner(signal)))?.lines ?? [];
  } catch {
    signal.throwIfAborted();
    return [];
  }
}

/** `schedule remove`: the task and the file with its password; a run at work goes on. Throws AgentError. */
export async function runScheduleRemove({ folder, name, print, signal }: ScheduleOptions): Promise<ExitReason> {
  assertTaskName(name);
  await (onWindows ? windows : systemd).removeTask(name, programRunner(signal));
  await rm(join(folder, PASSWORD_FILE), { force: true });
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
