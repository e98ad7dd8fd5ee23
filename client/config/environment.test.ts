import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { usePasswordFile } from './environment.ts';
import { readConfigPassword } from './password.ts';

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

test('SYNC_CONFIG_PASSWORD wins over the file that the other variable names, --archivo-password over both', async () => {
  await writeFile(path, 'de archivo');
  process.env.SYNC_CONFIG_PASSWORD = 'de variable';
  process.env.SYNC_CONFIG_PASSWORD_FILE = join(folder, 'otro');
  usePasswordFile(undefined);
  expect(await readConfigPassword(folder)).toBe('de variable');
  usePasswordFile(path);
  expect(await readConfigPassword(folder)).toBe('de archivo');
});
