import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readConfigPassword, usePasswordFile } from './environment.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-environment-'));
  path = join(folder, 'clave');
  delete process.env.SYNC_CONFIG_PASSWORD;
  delete process.env.SYNC_CONFIG_PASSWORD_FILE;
});
afterEach(async () => {
  delete process.env.SYNC_CONFIG_PASSWORD;
  delete process.env.SYNC_CONFIG_PASSWORD_FILE;
  await rm(folder, { recursive: true, force: true });
});

test.each([
  ['as it is', 'Mi clave ñ 1'],
  ['with what editors of Windows add', '\uFEFFMi clave ñ 1\r\n'],
  ['with a second line', 'Mi clave ñ 1\nnota'],
])('the password of SYNC_CONFIG_PASSWORD_FILE: %s', async (_, content) => {
  await writeFile(path, content);
  process.env.SYNC_CONFIG_PASSWORD_FILE = path;
  expect(readConfigPassword()).toBe('Mi clave ñ 1');
});

test('SYNC_CONFIG_PASSWORD wins over the file that the other variable names, --archivo-password over both', async () => {
  await writeFile(path, 'de archivo');
  process.env.SYNC_CONFIG_PASSWORD = 'de variable';
  process.env.SYNC_CONFIG_PASSWORD_FILE = join(folder, 'otro');
  usePasswordFile(undefined);
  expect(readConfigPassword()).toBe('de variable');
  usePasswordFile(path);
  expect(readConfigPassword()).toBe('de archivo');
});

test('a file that cannot be read, and an empty one, are named', async () => {
  usePasswordFile(path);
  expect(readConfigPassword).toThrow(`No se puede leer la contraseña de ${path}`);
  await writeFile(path, '\r\n');
  expect(readConfigPassword).toThrow(`${path} está vacío`);
});
