import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AgentError } from '../errors/agent-error.ts';
import { type LocalConfig, readLocalConfig, writeLocalConfig } from './local.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-local-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const config: LocalConfig = {
  url: 'https://backend.miempresa.com',
  tenant: 'acme-corp-001',
  key: 'sk_live_abc123xyz789',
  sqlServer: { password: 'Clave_SQL_9', encrypt: true, trustServerCertificate: false },
};

async function failure(work: Promise<unknown>): Promise<AgentError> {
  const error = await work.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(AgentError);
  return error as AgentError;
}

test('what was written is read back with the same password, by its owner alone', async () => {
  await writeLocalConfig(folder, 'Mi_Password_2024!', config);
  expect(await readLocalConfig(folder, 'Mi_Password_2024!')).toEqual(config);
  if (process.platform !== 'win32') expect((await stat(join(folder, 'sync-config.enc'))).mode & 0o777).toBe(0o600);
});

test('nothing of it lies in the clear, and no temporary file stays', async () => {
  await writeLocalConfig(folder, 'Mi_Password_2024!', config);
  expect(await readdir(folder)).toEqual(['sync-config.enc']);
  const bytes = (await readFile(join(folder, 'sync-config.enc'))).toString('latin1');
  for (const secret of ['sk_live', 'acme', 'miempresa', 'Clave_SQL']) expect(bytes).not.toContain(secret);
});

test('no file, another password and a damaged file are three different sentences', async () => {
  const missing = await failure(readLocalConfig(folder, 'x'));
  expect(missing.message).toMatch(/^No existe .*sync-config\.enc: el agente no está inicializado/);

  await writeLocalConfig(folder, 'buena', config);
  const wrong = await failure(readLocalConfig(folder, 'mala'));
  expect(wrong.message).toMatch(/no se abre con esta SYNC_CONFIG_PASSWORD/);

  await writeFile(join(folder, 'sync-config.enc'), 'cualquier cosa');
  const damaged = await failure(readLocalConfig(folder, 'buena'));
  expect(damaged.message).toMatch(/^Está dañado .*sync-config\.enc/);
  expect([missing.code, wrong.code, damaged.code]).toEqual([
    'SIN_INICIALIZAR',
    'CONTRASENA_DISTINTA',
    'CONFIG_LOCAL_ILEGIBLE',
  ]);
  await writeLocalConfig(folder, 'buena', config);
  const planted = await readFile(join(folder, 'sync-config.enc'));
  planted.set([20, 16, 4], 4);
  await writeFile(join(folder, 'sync-config.enc'), planted);
  const costly = await failure(readLocalConfig(folder, 'buena'));
  expect(costly.code).toBe('CONFIG_LOCAL_ILEGIBLE');
  expect(costly.message).toMatch(/^Pide más memoria para abrirse .*sync-config\.enc/);
  await truncate(join(folder, 'sync-config.enc'), 3e9);
  expect((await failure(readLocalConfig(folder, 'buena'))).message).toMatch(
    /^Pasa de 64 MB, y no se abre .*sync-config\.enc/,
  );
  for (const { kind } of [missing, wrong, damaged]) expect(kind).toBe('configuracion');
});

test('a folder that cannot be written names it', async () => {
  const error = await failure(writeLocalConfig(join(folder, 'no-existe'), 'x', config));
  expect(error.code).toBe('CONFIG_LOCAL_NO_ESCRITA');
  expect(error.message).toContain('no-existe');
});
