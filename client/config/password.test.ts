import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { protectForMachine, unprotectForMachine } from './dpapi.ts';
import { makeMachinePassword, readConfigPassword } from './password.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-clave-'));
  delete process.env.SYNC_CONFIG_PASSWORD;
  delete process.env.SYNC_CONFIG_PASSWORD_FILE;
});
afterEach(async () => {
  delete process.env.SYNC_CONFIG_PASSWORD_FILE;
  await rm(folder, { recursive: true, force: true });
});

async function useFile(content: string | Buffer): Promise<void> {
  const file = join(folder, 'clave.txt');
  await writeFile(file, content);
  process.env.SYNC_CONFIG_PASSWORD_FILE = file;
}

test('the variable wins over the file, the file over nothing', async () => {
  await useFile('del archivo ñ\r\n');
  expect(await readConfigPassword(folder)).toBe('del archivo ñ');
  process.env.SYNC_CONFIG_PASSWORD = 'de la variable';
  expect(await readConfigPassword(folder)).toBe('de la variable');
  delete process.env.SYNC_CONFIG_PASSWORD;
  delete process.env.SYNC_CONFIG_PASSWORD_FILE;
  await expect(readConfigPassword(folder)).rejects.toMatchObject({
    code: 'CONTRASENA_AUSENTE',
    kind: 'configuracion',
    action: expect.stringMatching(/SYNC_CONFIG_PASSWORD_FILE .*--dpapi/),
  });
});

test('in a service of systemd it is the credential that schedule install made, if there is one', async () => {
  process.env.CREDENTIALS_DIRECTORY = folder;
  try {
    await expect(readConfigPassword(folder)).rejects.toMatchObject({ code: 'CONTRASENA_AUSENTE' });
    await writeFile(join(folder, 'ax-sync-password'), 'de systemd ñ');
    expect(await readConfigPassword(folder)).toBe('de systemd ñ');
    await useFile('del archivo');
    expect(await readConfigPassword(folder)).toBe('del archivo');
  } finally {
    delete process.env.CREDENTIALS_DIRECTORY;
  }
});

test('a file that is missing, empty, of several lines or in UTF-16 is named, and nothing of it is shown', async () => {
  process.env.SYNC_CONFIG_PASSWORD_FILE = join(folder, 'no-hay.txt');
  await expect(readConfigPassword(folder)).rejects.toMatchObject({
    code: 'ARCHIVO_DE_CONTRASENA',
    message: expect.stringContaining('no-hay.txt'),
  });
  for (const content of ['', '\n', 'una\ndos', Buffer.from('secreta', 'utf16le')]) {
    await useFile(content);
    const error = (await readConfigPassword(folder).catch((cause: unknown) => cause)) as Error;
    expect(error.message).toMatch(/clave\.txt: (está vacío|debe tener una sola línea)/);
    expect(error.message).not.toMatch(/dos|s.?e.?c.?r.?e.?t.?a/);
  }
});

/** In PowerShell's place: writes its arguments to a file and answers its input. What DPAPI does is not shown here. */
async function fakePowerShell(exitCode = 0): Promise<string> {
  const path = join(folder, 'powershell');
  const answer = exitCode === 0 ? 'cat' : 'cat >/dev/null; echo "Key not valid for use in specified state." >&2';
  await writeFile(path, `#!/bin/sh\nprintf '%s\\n' "$@" >> "${folder}/argumentos"\n${answer}\nexit ${exitCode}\n`);
  await chmod(path, 0o700);
  return path;
}

test('DPAPI is asked through PowerShell: for the machine, the secret through standard input, never in an argument', async () => {
  const command = await fakePowerShell();
  expect(await protectForMachine('Clave ñ', command)).toBe(Buffer.from('Clave ñ').toString('base64'));
  expect(await unprotectForMachine(Buffer.from('Clave ñ').toString('base64'), command)).toBe('Clave ñ');
  const lines = (await readFile(join(folder, 'argumentos'), 'utf8')).trim().split('\n');
  expect(lines).toHaveLength(10);
  expect(lines.slice(0, 4)).toEqual(['-NoLogo', '-NoProfile', '-NonInteractive', '-Command']);
  expect(lines[4]).toMatch(
    /Add-Type -AssemblyName System\.Security; .*\[Security\.Cryptography\.ProtectedData\]::Protect\(\$bytes, \$null, 'LocalMachine'\)/,
  );
  expect(lines[9]).toContain('::Unprotect(');
  expect(lines.join('\n')).not.toContain(Buffer.from('Clave ñ').toString('base64'));
});

test('the file of a task of Windows is opened by DPAPI', async () => {
  const file = join(folder, 'sync-task-password.dpapi');
  await writeFile(file, `${Buffer.from('Clave ñ').toString('base64')}\n`);
  process.env.SYNC_CONFIG_PASSWORD_FILE = file;
  expect(await readConfigPassword(folder, await fakePowerShell())).toBe('Clave ñ');
  await expect(readConfigPassword(folder, await fakePowerShell(1))).rejects.toMatchObject({ code: 'DPAPI_FALLO' });
});

test('what another machine sealed, and no PowerShell at all, say what to do', async () => {
  await expect(unprotectForMachine('AAAA', await fakePowerShell(1))).rejects.toMatchObject({
    code: 'DPAPI_FALLO',
    message: expect.stringContaining('Key not valid for use in specified state.'),
    action: expect.stringContaining('init'),
  });
  await expect(unprotectForMachine('AAAA', join(folder, 'no-hay'))).rejects.toMatchObject({ code: 'DPAPI_FALLO' });
  if (process.platform !== 'win32') {
    await expect(protectForMachine('x')).rejects.toMatchObject({ code: 'DPAPI_SOLO_WINDOWS' });
  }
});

test('init --dpapi makes a password once and finds it again; nothing is written before it is stored', async () => {
  const command = await fakePowerShell();
  const { password, store } = await makeMachinePassword(folder, command);
  expect(password).toMatch(/^[\w-]{43}$/);
  expect(await readdir(folder)).not.toContain('sync-password.dpapi');
  await store();
  expect((await makeMachinePassword(folder, command)).password).toBe(password);
});
