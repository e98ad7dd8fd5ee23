import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import type { RegisterAgentResponse } from '../protocol/api.ts';
import { agentIdOf, makeAgentKeyPair, openAsAgent } from '../protocol/crypto/agent-key.ts';
import type { ConfigResponse } from '../protocol/tenant-config/config.ts';
import { buildApp } from './app.ts';
import { agentAuthorize, agentList, agentRevoke } from './commands/agents.ts';
import { configSet } from './commands/config-set.ts';
import { configShow } from './commands/config-show.ts';
import { tenantCreate } from './commands/tenant-create.ts';
import { loadConfig } from './config.ts';
import { connectionPlace } from './tenants/connections.ts';
import { MasterKeys, readMasterKeys } from './tenants/master-keys.ts';
import { passwordPlace } from './tenants/passwords.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** SQL Server's passwords: sealed in the database, and on their way to the agent. */

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

const register = async ({ publica }: { publica: string }): Promise<RegisterAgentResponse> => {
  const answer = await server!.call('/agents/acme-001', { method: 'POST', json: { clavePublica: publica } });
  return (await answer.json()) as RegisterAgentResponse;
};

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

/** Replaces the connections as an operator's own SQL would; what is stored. */
async function setConnections(connections: object): Promise<void> {
  await server!.sql.query('UPDATE sync_configurations SET "sqlServerConexiones" = $1', [JSON.stringify(connections)]);
}
async function storedConnections(): Promise<Record<string, { host?: string; password?: string }>> {
  const { rows } = await server!.sql.query('SELECT "sqlServerConexiones" AS stored FROM sync_configurations');
  return (rows[0] as { stored: Record<string, { host?: string; password?: string }> }).stored;
}
const almacen = { host: 'sql2', database: 'Almacen', user: 'u', password: 'de-almacen' };
const sede = { host: 'sql3', database: 'Sede', user: 'u' };

test('passwords of other connections are sealed like the first one, under any master key, each in its own place', async () => {
  server = await startTestServer(inject('postgresUrl'));
  await setConnections({ almacen, otra: { ...almacen, password: 'de-otra' }, sede });
  const [old, current] = [makeKey(), makeKey()];
  expect(await startOnce({ SYNC_MASTER_KEY: old })).toMatch(/se sellaron 3 contraseñas .* sin cifrar/);
  const first = await storedConnections();
  expect(first.sede).toEqual(sede);
  expect(first.almacen!.password).toMatch(/^axs1:/);
  await startOnce({ SYNC_MASTER_KEY: current, SYNC_MASTER_KEY_PREVIOUS: old });
  const second = await storedConnections();
  const keys = new MasterKeys([current]);
  expect(keys.open(connectionPlace('acme-001', 'almacen'), second.almacen!.password!)).toBe('de-almacen');
  expect(() => keys.open(connectionPlace('acme-001', 'otra'), second.almacen!.password!)).toThrow(/dañada/);
});

test('they travel sealed to the registered agent, each for its own place; a change of one is a new version', async () => {
  server = await startTestServer(inject('postgresUrl'), { settings: { SYNC_MASTER_KEY: makeKey() } });
  const ask = (sent: Record<string, string> = {}) => server!.call('/config/acme-001', { headers: sent });
  expect(Object.keys((await (await ask()).json()) as object)).not.toContain('sqlServerConexiones');
  await setConnections({ almacen, sede });
  expect(await (await ask({ 'user-agent': 'ax-sync-client/0.9' })).json()).toMatchObject({
    sqlServerConexiones: { almacen, sede },
  });
  const agent = makeAgentKeyPair();
  const { agente } = await register(agent);
  const answer = await ask({ 'x-sync-agent': agente });
  const { sqlServerConexiones } = (await answer.json()) as Pick<ConfigResponse, 'sqlServerConexiones'>;
  const { password, ...rest } = sqlServerConexiones!.almacen!;
  expect(rest).toEqual({ host: 'sql2', database: 'Almacen', user: 'u' });
  expect(openAsAgent(agent, 'acme-001/almacen', password!)).toBe('de-almacen');
  expect(openAsAgent(agent, 'acme-001', password!)).toBeUndefined();
  expect(await (await ask({ 'user-agent': 'curl/8' })).json()).toMatchObject({
    sqlServerConexiones: { almacen: { password: 'encrypted' }, sede },
  });
  await setConnections({ almacen: { ...almacen, host: 'sql9' } });
  const etag = answer.headers.get('etag')!;
  expect((await ask({ 'x-sync-agent': agente, 'if-none-match': etag })).status).toBe(200);
});

test('connections that make no sense are named by GET /config and at the start; nothing of them is shown', async () => {
  server = await startTestServer(inject('postgresUrl'));
  await setConnections({ almacen: 'de-almacen' });
  const answer = await server.call('/config/acme-001');
  expect(await answer.json()).toMatchObject({ code: 'CONFIG_INVALIDA', campo: 'sqlServerConexiones.almacen' });
  const log = await startOnce({ SYNC_MASTER_KEY: makeKey() });
  expect(log).toMatch(/de 1 tenants no se abre .*: acme-001/);
  expect(log).not.toContain('de-almacen');
  // The one without a name is sealed all the same.
  expect(await storedPassword('acme-001')).toMatch(/^axs1:/);
});

test('config set takes connections from a file and seals them; the mask of config show keeps what is stored', async () => {
  server = await startTestServer(inject('postgresUrl'));
  const env = { SYNC_MASTER_KEY: makeKey() };
  const keys = new MasterKeys([env.SYNC_MASTER_KEY]);
  const write = async (name: string, value: object) => {
    await writeFile(join(folder, name), JSON.stringify(value));
    return join(folder, name);
  };
  const set = async (files: Parameters<typeof configSet>[2]) => configSet(configOf(env), 'acme-001', files);
  await set({ connections: await write('c.json', { almacen, sede }) });
  const shown = JSON.parse(await configShow(configOf(env), 'acme-001')) as { sqlServerConexiones: object };
  expect(shown.sqlServerConexiones).toEqual({ almacen: { ...almacen, password: '********' }, sede });

  const moved = { almacen: { ...almacen, host: 'sql7', password: '********' } };
  await set({ connections: await write('c.json', moved) });
  const stored = await storedConnections();
  expect(stored.almacen!.host).toBe('sql7');
  expect(stored.sede).toBeUndefined();
  expect(keys.open(connectionPlace('acme-001', 'almacen'), stored.almacen!.password!)).toBe('de-almacen');
  const nothingStored = { nueva: { ...sede, password: '********' } };
  await expect(set({ connections: await write('c.json', nothingStored) })).rejects.toThrow(
    /«nueva» no tiene contraseña/,
  );

  const tables = (conexion: string) => ({ tablasSubida: [{ nombre: 't', conexion, process: { query: 'SELECT 1' } }] });
  await set({ tables: await write('t.json', tables('almacen')) });
  await expect(set({ tables: await write('t.json', tables('sede')) })).rejects.toThrow(
    /tablasSubida\[0\]\.conexion: «sede» no es una conexión del tenant \(las que hay: almacen\)/,
  );
  // What the stored tables need cannot be taken away.
  await expect(set({ connections: await write('c.json', { sede }) })).rejects.toThrow(/«almacen» no es una conexión/);
  await set({ tables: await write('t.json', tables('sede')), connections: await write('c.json', { sede }) });
  await expect(set({})).rejects.toThrow(/falta --file/);
  expect(await storedConnections()).toEqual({ sede });
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

test('the password travels sealed to the registered agent; without its id it is not told any more', async () => {
  server = await startTestServer(inject('postgresUrl'), { settings: { SYNC_MASTER_KEY: makeKey() } });
  const config = (sent: Record<string, string> = {}) => server!.call('/config/acme-001', { headers: sent });
  const before = await config({ 'user-agent': 'ax-sync-client/0.9' });
  expect(await before.json()).toMatchObject({ sqlServerPassword: 'secreto' });

  const agent = makeAgentKeyPair();
  const registered = await register(agent);
  expect(registered).toEqual({ success: true, agente: agentIdOf(agent.publica), autorizado: true });
  const answer = await config({ 'x-sync-agent': registered.agente });
  const { sqlServerPassword } = (await answer.json()) as { sqlServerPassword: string };
  expect(openAsAgent(agent, 'acme-001', sqlServerPassword)).toBe('secreto');
  const etag = answer.headers.get('etag')!;
  expect((await config({ 'x-sync-agent': registered.agente, 'if-none-match': etag })).status).toBe(304);

  const oldAgent = await config({ 'user-agent': 'ax-sync-client/0.9', 'if-none-match': before.headers.get('etag')! });
  expect(oldAgent.status).toBe(403);
  expect(await oldAgent.json()).toMatchObject({
    code: 'AGENTE_NO_AUTORIZADO',
    mensaje: expect.stringMatching(/Actualice el agente/),
  });
  const operator = await config({ 'user-agent': 'curl/8', 'if-none-match': etag });
  expect(await operator.json()).toMatchObject({ sqlServerPassword: 'encrypted' });
});

test('a second agent is told the password once an administrator authorises it, and no longer when that is taken back', async () => {
  server = await startTestServer(inject('postgresUrl'));
  const first = await register(makeAgentKeyPair());
  const thief = makeAgentKeyPair();
  const second = await register(thief);
  expect([first.autorizado, second.autorizado]).toEqual([true, false]);
  const status = async () => {
    const answer = await server!.call('/config/acme-001', { headers: { 'x-sync-agent': second.agente } });
    return answer.status;
  };
  expect(await status()).toBe(403);
  expect(await agentList(configOf({}), 'acme-001')).toMatch(new RegExp(`${second.agente} {2}sin autorizar`));
  await agentAuthorize(configOf({}), 'acme-001', second.agente);
  expect(await status()).toBe(200);
  await agentRevoke(configOf({}), 'acme-001', second.agente);
  expect(await status()).toBe(403);
  expect(await register(thief)).toMatchObject({ autorizado: false });
  await expect(agentAuthorize(configOf({}), 'otro', second.agente)).rejects.toThrow(/no tiene un agente/);
});

test('of two agents that register at once one is the first; what is no public key is refused; their number is bounded', async () => {
  server = await startTestServer(inject('postgresUrl'));
  const both = await Promise.all([register(makeAgentKeyPair()), register(makeAgentKeyPair())]);
  expect(both.map(({ autorizado }) => autorizado).sort()).toEqual([false, true]);
  const bad = (clavePublica: string) =>
    server!.call('/agents/acme-001', { method: 'POST', json: { clavePublica } }).then((answer) => answer.json());
  expect(await bad('corta')).toMatchObject({ code: 'CUERPO_INVALIDO' });
  expect(await bad('A'.repeat(43))).toMatchObject({ code: 'CUERPO_INVALIDO', campo: 'clavePublica' });
  for (let n = both.length; n < 50; n++) await register(makeAgentKeyPair());
  expect(await register(makeAgentKeyPair())).toMatchObject({ code: 'AGENTE_NO_AUTORIZADO' });
});
