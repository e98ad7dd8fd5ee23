import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import { buildApp } from './app.ts';
import { configShow } from './commands/config-show.ts';
import { tenantCreate } from './commands/tenant-create.ts';
import { loadConfig } from './config.ts';
import { MasterKeys, readMasterKeys } from './data/master-keys.ts';
import { passwordPlace } from './data/passwords.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** SQL Server's passwords in the database: what is sealed when, and under which key. */

const makeKey = () => randomBytes(32).toString('base64');
const place = passwordPlace('acme-001');
let folder: string;
let server: TestServer | undefined;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-claves-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(async () => {
  await server?.close();
  server = undefined;
});

const storedPassword = async (tenant: string): Promise<string> => {
  const { rows } = await server!.sql.query(
    'SELECT "sqlServerPassword" AS stored FROM sync_configurations WHERE "tenantId" = $1',
    [tenant],
  );
  return (rows[0] as { stored: string }).stored;
};

const configOf = (env: Record<string, string>) => loadConfig({ DATABASE_URL: server!.databaseUrl, ...env });

/** Another start of the server on the test's database: its log. `use` gets it while it runs. */
async function startOnce(env: Record<string, string>, use?: (app: FastifyInstance) => Promise<void>): Promise<string> {
  let log = '';
  const app = await buildApp(configOf(env), { write: (line) => (log += line) });
  try {
    await use?.(app);
  } finally {
    await app.close();
  }
  return log;
}

test('a sealed password opens under its key and in its own row alone', () => {
  const keys = new MasterKeys([makeKey()]);
  const sealed = keys.seal(place, 'Clave ñ 1');
  expect(sealed).not.toContain('Clave');
  expect(keys.open(place, sealed)).toBe('Clave ñ 1');
  expect(() => keys.open(passwordPlace('otro'), sealed)).toThrow(expect.objectContaining({ code: 'SECRETO_ILEGIBLE' }));
  expect(() => new MasterKeys([makeKey()]).open(place, sealed)).toThrow(/que este servidor no tiene/);
  const cut = Buffer.from(sealed.slice(14), 'base64');
  cut[cut.length - 1]! ^= 1;
  expect(() => keys.open(place, sealed.slice(0, 14) + cut.toString('base64'))).toThrow(/está dañada/);
});

test('a password in plain text is sealed at the next start, with a line in the log; the agent gets it as before', async () => {
  server = await startTestServer(inject('postgresUrl'));
  expect(await storedPassword('acme-001')).toBe('secreto');
  const SYNC_MASTER_KEY = makeKey();

  expect(await startOnce({ SYNC_MASTER_KEY })).toMatch(
    /se sellaron 1 contraseñas de SQL Server que estaban sin cifrar/,
  );
  const stored = await storedPassword('acme-001');
  expect(stored).toMatch(/^axs1:[0-9a-f]{8}:/);
  expect(new MasterKeys([SYNC_MASTER_KEY]).open(place, stored)).toBe('secreto');

  const headers = { 'x-tenant-id': 'acme-001', 'x-api-key': server.key };
  await startOnce({ SYNC_MASTER_KEY }, async (app) => {
    const answer = await app.inject({ url: '/api/sync/config/acme-001', headers });
    expect(answer.json()).toMatchObject({ sqlServerPassword: 'secreto' });
  });
});

test('tenant create stores it sealed, config show hides it', async () => {
  server = await startTestServer(inject('postgresUrl'));
  const env = { SYNC_MASTER_KEY: makeKey() };
  const login = { host: 'sql', port: 1433, database: 'b', user: 'u', password: 'p4ss-secreta' };
  await tenantCreate(configOf(env), { tenantId: 'nuevo', ...login });
  const stored = await storedPassword('nuevo');
  expect(new MasterKeys([env.SYNC_MASTER_KEY]).open(passwordPlace('nuevo'), stored)).toBe('p4ss-secreta');
  expect(await configShow(configOf(env), 'nuevo')).toMatch(/"sqlServerPassword": "\*+"/);
});

test('a new master key seals anew what SYNC_MASTER_KEY_PREVIOUS opens', async () => {
  server = await startTestServer(inject('postgresUrl'));
  const [old, current] = [makeKey(), makeKey()];
  await startOnce({ SYNC_MASTER_KEY: old });
  const log = await startOnce({ SYNC_MASTER_KEY: current, SYNC_MASTER_KEY_PREVIOUS: old });
  expect(log).toMatch(/se sellaron 1 contraseñas de SQL Server con la clave maestra actual/);
  expect(new MasterKeys([current]).open(place, await storedPassword('acme-001'))).toBe('secreto');
});

test('without the right master key it starts, names the tenants, and answers SECRETO_ILEGIBLE; nothing is changed', async () => {
  server = await startTestServer(inject('postgresUrl'));
  await startOnce({ SYNC_MASTER_KEY: makeKey() });
  const before = await storedPassword('acme-001');
  expect(await startOnce({})).toMatch(/SYNC_MASTER_KEY no está definida/);
  expect(await startOnce({ SYNC_MASTER_KEY: makeKey() })).toMatch(/de 1 tenants no se abre .*: acme-001/);
  expect(await storedPassword('acme-001')).toBe(before);
  const answer = await server.call('/config/acme-001');
  expect(answer.status).toBe(500);
  expect(await answer.json()).toMatchObject({
    code: 'SECRETO_ILEGIBLE',
    mensaje: expect.stringMatching(/SYNC_MASTER_KEY/),
  });
});

test('the master key comes from a file, or from the environment, not from both; a fault never shows it', async () => {
  const key = makeKey();
  const file = join(folder, 'maestra');
  await writeFile(file, `${key}\n`);
  const base = { DATABASE_URL: 'postgres://u@h/b' };
  const sealed = new MasterKeys([key]).seal(place, 'x');
  expect(readMasterKeys(loadConfig({ ...base, SYNC_MASTER_KEY_FILE: file })).open(place, sealed)).toBe('x');
  expect(() => readMasterKeys(loadConfig({ ...base, SYNC_MASTER_KEY_FILE: file, SYNC_MASTER_KEY: key }))).toThrow(
    /solo una de las dos/,
  );
  expect(() => readMasterKeys(loadConfig({ ...base, SYNC_MASTER_KEY_FILE: join(folder, 'no') }))).toThrow(
    /no se puede leer/,
  );
  await writeFile(file, key.slice(1));
  expect(() => readMasterKeys(loadConfig({ ...base, SYNC_MASTER_KEY_FILE: file }))).toThrow(/no contiene 32 bytes/);
  expect(() => loadConfig({ ...base, SYNC_MASTER_KEY: key.slice(1) })).toThrow(
    /^SYNC_MASTER_KEY: \(oculto\) no vale: deben ser 32 bytes en base64/,
  );
  expect(() => readMasterKeys(loadConfig({ ...base, SYNC_MASTER_KEY_PREVIOUS: key }))).toThrow(/falta SYNC_MASTER_KEY/);
});
