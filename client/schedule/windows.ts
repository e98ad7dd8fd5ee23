import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { agentError } from '../errors/agent-error.ts';
import { assertDone, type RunProgram } from './run-program.ts';
import type { ScheduledTask, TaskStatus } from './task.ts';

/** The Task Scheduler of Windows, by `schtasks`, and the access list of the password's file, by `icacls`. */

/** Accounts that need no password, by the SID that holds in every language of Windows. */
const SERVICE_ACCOUNTS: Record<string, string> = {
  SYSTEM: 'S-1-5-18',
  'NT AUTHORITY\\SYSTEM': 'S-1-5-18',
  'NT AUTHORITY\\LOCALSERVICE': 'S-1-5-19',
  'NT AUTHORITY\\NETWORKSERVICE': 'S-1-5-20',
};
/** Of the Task Scheduler itself, not of the program that it ran: ready, at work, never run. */
const NOT_A_RESULT = [0x41300, 0x41301, 0x41303];

/**
 * Renders the task as XML, version 1.3 (Windows 7, Server 2008 R2). Schema: Microsoft, «Task Scheduler Schema» and
 * [MS-TSCH] 2.5; only the children of a trigger have an order.
 * @param account SYSTEM, a service account, or `DOMINIO\usuario`, which runs without a stored password (S4U)
 */
export function renderTaskXml(task: ScheduledTask, account: string): string {
  const sid = SERVICE_ACCOUNTS[account.toUpperCase()];
  const principal =
    sid === undefined ? `<UserId>${escapeXml(account)}</UserId><LogonType>S4U</LogonType>` : `<UserId>${sid}</UserId>`;
  const [program, ...args] = task.command;
  const start = new Date(Date.UTC(2024, 0, 1) + task.offsetSeconds * 1000).toISOString().slice(0, 19);
  return `<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Author>ax-sync-client</Author>
    <Description>AX Sync: sincroniza SQL Server con el backend. Carpeta: ${escapeXml(task.folder)}</Description>
  </RegistrationInfo>
  <Triggers>
    <TimeTrigger>
      <Enabled>true</Enabled>
      <StartBoundary>${start}</StartBoundary>
      <Repetition>
        <Interval>PT${task.everyMinutes}M</Interval>
        <StopAtDurationEnd>false</StopAtDurationEnd>
      </Repetition>
    </TimeTrigger>
  </Triggers>
  <Principals>
    <Principal id="Agente">${principal}<RunLevel>LeastPrivilege</RunLevel></Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>true</AllowHardTerminate>
    <StartWhenAvailable>true</StartWhenAvailable>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <Enabled>true</Enabled>
    <ExecutionTimeLimit>PT${task.limitMinutes}M</ExecutionTimeLimit>
  </Settings>
  <Actions Context="Agente">
    <Exec>
      <Command>${escapeXml(program)}</Command>
      <Arguments>${escapeXml(args.map(quote).join(' '))}</Arguments>
      <WorkingDirectory>${escapeXml(task.folder)}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
`;
}

/**
 * Registers the task, in place of one of the same name and folder.
 * @throws {AgentError}
 */
export async function installTask(task: ScheduledTask, account: string, run: RunProgram): Promise<void> {
  await assertOwn(task, run);
  const path = join(task.folder, 'schedule.xml');
  try {
    // schtasks reads UTF-16 with its mark.
    await writeFile(path, `\uFEFF${renderTaskXml(task, account)}`, 'utf16le');
    const created = await run('schtasks', ['/create', '/tn', task.name, '/xml', path, '/f']);
    assertDone(created, (said) => agentError('PROGRAMADOR_FALLO', { orden: 'schtasks /create', ...said }));
  } finally {
    await rm(path, { force: true });
  }
}

/**
 * Removes the task.
 * @throws {AgentError}, also when there is none
 */
export async function removeTask(name: string, run: RunProgram): Promise<void> {
  const deleted = await run('schtasks', ['/delete', '/tn', name, '/f']);
  assertDone(deleted, (said) => agentError('PROGRAMADOR_FALLO', { orden: 'schtasks /delete', ...said }));
}

/** Returns what the Task Scheduler knows of the task; undefined when there is none of that name. */
export async function readTaskStatus(name: string, run: RunProgram): Promise<TaskStatus | undefined> {
  const { code, output } = await run('schtasks', ['/query', '/tn', name, '/v', '/fo', 'csv', '/nh']);
  // By position: the names of the columns, and the words in them, are in the language of Windows.
  const [, , next, state, , last, result] = output.split(/\r?\n/)[0]!.slice(1, -1).split('","');
  if (code !== 0 || result === undefined) return undefined;
  const lastCode = Number(result);
  const ran = Number.isInteger(lastCode) && !NOT_A_RESULT.includes(lastCode);
  return {
    lines: [`Estado: ${state}`, `Próxima ejecución: ${next}`, `Última ejecución: ${last}`],
    lastCode: ran ? lastCode : undefined,
  };
}

/**
 * Writes `content` to a new file that the account of the task alone may read: the list is set while it is empty.
 * @throws {AgentError}
 */
export async function writeSecretFile(path: string, content: string, account: string, run: RunProgram): Promise<void> {
  await rm(path, { force: true });
  const file = await open(path, 'wx');
  try {
    const sid = SERVICE_ACCOUNTS[account.toUpperCase()];
    const who = sid === undefined ? account : `*${sid}`;
    const restricted = await run('icacls', [path, '/inheritance:r', '/grant:r', `${who}:(R)`]);
    assertDone(restricted, (said) => agentError('CUENTA_NO_ADMITIDA', { cuenta: account, ...said }));
    await file.writeFile(content);
    await file.sync();
  } catch (cause) {
    await file.close();
    await rm(path, { force: true });
    throw cause;
  }
  await file.close();
}

/** Says what an administrator should do once: a folder right under C:\ may be written by every user of the machine. */
export function folderAdvice(folder: string, account: string): string {
  const list = ['*S-1-5-18:(OI)(CI)F', '*S-1-5-32-544:(OI)(CI)F'];
  const sid = SERVICE_ACCOUNTS[account.toUpperCase()];
  if (sid !== 'S-1-5-18') list.push(`"${sid === undefined ? account : `*${sid}`}:(OI)(CI)M"`);
  return [
    `AVISO: quien pueda escribir en ${folder} puede cambiar el programa que corre como ${account}. Deje la carpeta solo a`,
    `los administradores y a esa cuenta: icacls "${folder}" /inheritance:r /grant:r ${list.join(' ')}`,
  ].join(' ');
}

/** A task of that name that works in another folder is another tenant's: it is not replaced. */
async function assertOwn({ name, folder }: ScheduledTask, run: RunProgram): Promise<void> {
  const { code, output } = await run('schtasks', ['/query', '/tn', name, '/xml']);
  const xml = output.replaceAll('\0', '');
  if (code !== 0 || !xml.includes('<Task')) return;
  const found = /<WorkingDirectory>(.*?)<\/WorkingDirectory>/.exec(xml)?.[1];
  if (found !== undefined && isSamePath(found, folder)) return;
  throw agentError('TAREA_AJENA', { nombre: name, carpeta: found ?? 'otra carpeta' });
}

/** `found` is as schtasks printed it: escaped in its own way, accents in the code page of the console. */
function isSamePath(found: string, folder: string): boolean {
  const plain = (path: string) => path.toLowerCase().replace(/&#?\w+;|[^\x20-\x7e]+|[&<>"]/g, '?');
  return plain(found) === plain(folder);
}

/** An argument as the C runtime of Windows reads it; a path of ours never ends in a backslash and holds no quote. */
function quote(argument: string): string {
  return /[\s]/.test(argument) ? `"${argument}"` : argument;
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
