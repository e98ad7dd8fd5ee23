import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RunProgram } from './run-program.ts';
import type { ScheduledTask } from './task.ts';
import { installTask, readTaskStatus, removeTask, renderTaskXml, writeSecretFile } from './windows.ts';

/** Up to the command lines that Windows would run; what it does with them is for Windows to show. */

let folder: string;
let task: ScheduledTask;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-tarea-'));
  task = {
    name: 'AX Sync',
    folder,
    command: ['C:\\Archivos & más\\ax-sync-client.exe', 'sync', '--carpeta', 'C:\\Archivos & más', '--sin-spool'],
    everyMinutes: 5,
    limitMinutes: 720,
    offsetSeconds: 67,
  };
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Answers each program line by line, and remembers what it was asked. */
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

const nothingThere = { 'schtasks /query': { code: 1, output: 'ERROR: El sistema no puede encontrar el archivo.' } };

interface Element {
  name: string;
  attributes: string;
  text: string;
  children: Element[];
}

/** Reads the XML of a task: elements, attributes and text, nothing else. Fails on what is not well-formed. */
function parse(xml: string): Element {
  const document: Element = { name: '', attributes: '', text: '', children: [] };
  const open = [document];
  const body = xml.replace(/^<\?xml version="1\.0" encoding="UTF-16"\?>\s*/, '');
  expect(body).not.toBe(xml);
  for (const [, closing, name, attributes, text] of body.matchAll(/<(\/?)(\w+)([^<>]*)>([^<]*)/g)) {
    if (closing === '/') {
      expect(open.pop()!.name).toBe(name);
    } else {
      const element = { name: name!, attributes: attributes!.trim(), text: text!, children: [] };
      open.at(-1)!.children.push(element);
      open.push(element);
    }
  }
  expect(open).toEqual([document]);
  expect(document.children.length).toBe(1);
  return document.children[0]!;
}

const BOOLEAN = /^(true|false)$/;
const DURATION = /^PT\d+M$/;
/** «Task Scheduler Schema»: what may stand in what. A list has an order (xs:sequence), a set has none (xs:all). */
const schema: Record<string, string[] | Set<string> | RegExp> = {
  Task: new Set(['RegistrationInfo', 'Triggers', 'Settings', 'Data', 'Principals', 'Actions']),
  RegistrationInfo: new Set(['URI', 'Source', 'Date', 'Author', 'Version', 'Description', 'Documentation']),
  Triggers: ['TimeTrigger'],
  TimeTrigger: ['Enabled', 'StartBoundary', 'EndBoundary', 'Repetition', 'ExecutionTimeLimit', 'RandomDelay'],
  Repetition: new Set(['Interval', 'Duration', 'StopAtDurationEnd']),
  Principals: ['Principal'],
  Principal: new Set(['UserId', 'LogonType', 'GroupId', 'DisplayName', 'RunLevel']),
  Settings: new Set([
    ...['AllowStartOnDemand', 'RestartOnFailure', 'MultipleInstancesPolicy', 'DisallowStartIfOnBatteries'],
    ...['StopIfGoingOnBatteries', 'AllowHardTerminate', 'StartWhenAvailable', 'RunOnlyIfNetworkAvailable'],
    ...['WakeToRun', 'Enabled', 'Hidden', 'ExecutionTimeLimit', 'Priority', 'RunOnlyIfIdle'],
  ]),
  Actions: ['Exec'],
  Exec: new Set(['Command', 'Arguments', 'WorkingDirectory']),
  Enabled: BOOLEAN,
  AllowStartOnDemand: BOOLEAN,
  DisallowStartIfOnBatteries: BOOLEAN,
  StopIfGoingOnBatteries: BOOLEAN,
  AllowHardTerminate: BOOLEAN,
  StartWhenAvailable: BOOLEAN,
  StopAtDurationEnd: BOOLEAN,
  Interval: DURATION,
  ExecutionTimeLimit: DURATION,
  StartBoundary: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/,
  MultipleInstancesPolicy: /^(Parallel|Queue|IgnoreNew|StopExisting)$/,
  LogonType: /^(S4U|Password|InteractiveToken|InteractiveTokenOrPassword)$/,
  RunLevel: /^(LeastPrivilege|HighestAvailable)$/,
  UserId: /^.+$/,
  Author: /^/,
  Description: /^/,
  Command: /^.{1,260}$/,
  Arguments: /^/,
  WorkingDirectory: /^.{1,260}$/,
};

function findBreaches({ name, text, children }: Element): string[] {
  const rule = schema[name];
  if (rule === undefined) return [`${name} is not known`];
  if (rule instanceof RegExp) return rule.test(text) && children.length === 0 ? [] : [`${name}: ${text}`];
  const names = children.map((child) => child.name);
  const strange = names.filter((child) => !(Array.isArray(rule) ? rule.includes(child) : rule.has(child)));
  const repeated = new Set(names).size === names.length ? [] : [`${name} repeats a child`];
  const sorted = Array.isArray(rule) ? [...names].sort((a, b) => rule.indexOf(a) - rule.indexOf(b)) : names;
  const order = sorted.join() === names.join() ? [] : [`${name}: ${names.join()}`];
  return [...strange.map((child) => `${name} > ${child}`), ...repeated, ...order, ...children.flatMap(findBreaches)];
}

function find(element: Element, name: string): Element {
  const all = (at: Element): Element[] => [at, ...at.children.flatMap(all)];
  const [found, ...others] = all(element).filter((each) => each.name === name);
  expect(others).toEqual([]);
  return found!;
}

test.each(['SYSTEM', 'ACME\\sync & cía'])(
  'the task of %s is as the schema of the Task Scheduler wants it',
  (account) => {
    const root = parse(renderTaskXml(task, account));
    expect(root.attributes).toBe('version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task"');
    expect(findBreaches(root)).toEqual([]);
    // The context of the actions is the id of the principal.
    expect(find(root, 'Actions').attributes).toBe('Context="Agente"');
    expect(find(root, 'Principal').attributes).toBe('id="Agente"');
  },
);

test('a breach of the schema would be seen', () => {
  const xml = renderTaskXml(task, 'SYSTEM');
  const swapped = xml.replace(/(<Enabled>true<\/Enabled>\s*)(<StartBoundary>.*?<\/StartBoundary>)/, '$2$1');
  expect(findBreaches(parse(swapped))).toEqual(['TimeTrigger: StartBoundary,Enabled,Repetition']);
  expect(findBreaches(parse(xml.replace('IgnoreNew', 'ignore')))).toEqual(['MultipleInstancesPolicy: ignore']);
  expect(findBreaches(parse(xml.replaceAll('WorkingDirectory', 'StartIn')))).toEqual([
    'Exec > StartIn',
    'StartIn is not known',
  ]);
});

test('no two at once, missed runs caught up, ended after the limit, in the folder', () => {
  const root = parse(renderTaskXml(task, 'system'));
  const text = (name: string) => find(root, name).text;
  expect(text('MultipleInstancesPolicy')).toBe('IgnoreNew');
  expect(text('StartWhenAvailable')).toBe('true');
  expect(text('ExecutionTimeLimit')).toBe('PT720M');
  expect(text('Interval')).toBe('PT5M');
  expect(text('StartBoundary')).toBe('2024-01-01T00:01:07');
  expect(text('WorkingDirectory')).toBe(folder);
  expect(text('Command')).toBe('C:\\Archivos &#38; más\\ax-sync-client.exe');
  expect(text('Arguments')).toBe('sync --carpeta &#34;C:\\Archivos &#38; más&#34; --sin-spool');
  expect(text('UserId')).toBe('S-1-5-18');
});

test('an account of a person runs it without a stored password', () => {
  const root = parse(renderTaskXml(task, 'ACME\\sync'));
  expect(find(root, 'UserId').text).toBe('ACME\\sync');
  expect(find(root, 'LogonType').text).toBe('S4U');
});

test('install hands schtasks the XML as UTF-16 with its mark, and leaves no file', async () => {
  const { run, lines } = record(nothingThere);
  let xml = '';
  await installTask(task, 'SYSTEM', async (program, args) => {
    if (args[0] === '/create') xml = await readFile(join(folder, 'schedule.xml'), 'utf16le');
    return run(program, args);
  });
  expect(lines).toEqual([
    'schtasks /query /tn AX Sync /xml',
    `schtasks /create /tn AX Sync /xml ${join(folder, 'schedule.xml')} /f`,
  ]);
  expect(xml).toBe(`\uFEFF${renderTaskXml(task, 'SYSTEM')}`);
  expect(await readdir(folder)).toEqual([]);
});

test('a task of that name that works in another folder is not replaced', async () => {
  const other = renderTaskXml({ ...task, folder: 'D:\\otro' }, 'SYSTEM');
  const { run, lines } = record({ 'schtasks /query': { code: 0, output: other } });
  await expect(installTask(task, 'SYSTEM', run)).rejects.toThrow('Ya hay una tarea «AX Sync», y trabaja en D:\\otro.');
  expect(lines.length).toBe(1);
  const own = renderTaskXml(task, 'SYSTEM');
  // As schtasks may print it: with the bytes of UTF-16, in another case.
  for (const output of [own, [...own].join('\0'), own.replaceAll(folder, folder.toUpperCase())]) {
    const again = record({ 'schtasks /query': { code: 0, output } });
    await installTask(task, 'SYSTEM', again.run);
    expect(again.lines.length).toBe(2);
  }
});

test('what schtasks refuses is said in its words, with what to do', async () => {
  const denied = { ...nothingThere, 'schtasks /create': { code: 1, output: 'ERROR: Acceso denegado.' } };
  const failure = installTask(task, 'SYSTEM', record(denied).run);
  await expect(failure).rejects.toMatchObject({
    code: 'PROGRAMADOR_FALLO',
    kind: 'configuracion',
    message: 'schtasks /create falló (código 1): ERROR: Acceso denegado.',
    action: expect.stringContaining('administrador'),
  });
  expect(await readdir(folder)).toEqual([]);
  const { run } = record({ 'schtasks /delete': { code: 1, output: 'ERROR: no existe.' } });
  await expect(removeTask('AX Sync', run)).rejects.toThrow('schtasks /delete falló (código 1): ERROR: no existe.');
});

test('the file with the password is closed to all but the account before the password is in it', async () => {
  const path = join(folder, 'clave');
  const { run, lines } = record();
  let seen: string | undefined;
  await writeSecretFile(path, 'Secreta 1', 'SYSTEM', async (program, args) => {
    seen = await readFile(path, 'utf8');
    return run(program, args);
  });
  expect(seen).toBe('');
  expect(lines).toEqual([`icacls ${path} /inheritance:r /grant:r *S-1-5-18:(R)`]);
  expect(await readFile(path, 'utf8')).toBe('Secreta 1');

  const named = record();
  await writeSecretFile(path, 'Secreta 2', 'ACME\\sync', named.run);
  expect(named.lines).toEqual([`icacls ${path} /inheritance:r /grant:r ACME\\sync:(R)`]);
  expect(await readFile(path, 'utf8')).toBe('Secreta 2');
});

test('where the list cannot be set, no password is written', async () => {
  const path = join(folder, 'clave');
  const { run } = record({ icacls: { code: 1332, output: 'No se asignaron nombres a identificadores.' } });
  await expect(writeSecretFile(path, 'Secreta 1', 'ACME\\nadie', run)).rejects.toMatchObject({
    code: 'CUENTA_NO_ADMITIDA',
    message: expect.stringContaining('«ACME\\nadie» no se admite: icacls falló (código 1332)'),
    action: expect.stringContaining('--cuenta'),
  });
  expect(existsSync(path)).toBe(false);
});

const line = (state: string, result: number) =>
  `"SRV","\\AX Sync","24/11/2026 10:05:07","${state}","Interactivo/En segundo plano","24/11/2026 10:00:07","${result}","x"`;

test('the status is read by position, whatever the language; codes of the Task Scheduler itself are no results', async () => {
  const status = (output: string) => readTaskStatus('AX Sync', record({ 'schtasks /query': { code: 0, output } }).run);
  expect(await status(line('Listo', 7))).toEqual({
    lines: ['Estado: Listo', 'Próxima ejecución: 24/11/2026 10:05:07', 'Última ejecución: 24/11/2026 10:00:07'],
    lastCode: 7,
  });
  for (const code of [267_008, 267_009, 267_011]) {
    expect((await status(`${line('En ejecución', code)}\r\n`))?.lastCode).toBeUndefined();
  }
  expect(await readTaskStatus('AX Sync', record(nothingThere).run)).toBeUndefined();
});
