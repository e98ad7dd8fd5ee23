import { cp, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import manifest from '../package.json' with { type: 'json' };
import { agentIdOf } from '../protocol/crypto/agent-key.ts';
import { openEnvelope, sealEnvelope } from '../protocol/crypto/password-envelope.ts';
import { buildApp } from '../server/app.ts';
import { loadConfig } from '../server/config.ts';
import { importDataKey } from './commands/data-key.ts';
import { runInit } from './commands/init.ts';
import { runStatus } from './commands/status.ts';
import { readLocalConfig, writeLocalConfig } from './config/local.ts';
import { Backend } from './http/backend.ts';
import { oldInstall, oldRows, oldTables, startNamedBackend } from './testing/old-files/old-install.ts';
import { startWorld, type World } from './testing/world.ts';

/** Files of an agent that is older, or newer: client/testing/old-files/. */

const { password, tenant, url } = oldInstall;
const never = new AbortController().signal;
const policy = { attempts: 1, firstDelayMs: 1, maxDelayMs: 1, maxTotalMs: 1, maxRetryAfterMs: 1 };

let backend: Awaited<ReturnType<typeof startNamedBackend>>;
let world: World;
let folder: string;
beforeAll(async () => {
  backend = await startNamedBackend();
  world = await startWorld(inject('postgresUrl'));
  backend.target = world.backend.url;
  process.env.SYNC_CONFIG_PASSWORD = password;
  process.env.SYNC_DATA_KEY_PASSWORD = oldInstall.transferPassword;
  await world.execute(oldTables);
  await world.setTables(oldInstall.tables);
});
afterAll(async () => {
  await world?.close();
  await backend?.close();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-viejo-'));
  await cp(join(import.meta.dirname, 'testing', 'old-files', '1'), folder, { recursive: true });
  const local = await readLocalConfig(folder, password);
  // What alone a test cannot know beforehand: the key that its backend takes, and the port of its SQL Server.
  const sqlServer = { ...local.sqlServer, ...world.settings };
  await writeLocalConfig(folder, password, { ...local, key: world.backend.key, sqlServer });
  const { publica } = local.agentKey!;
  await world.backend.sql.query('INSERT INTO sync_agents VALUES ($1, $2, $3, true) ON CONFLICT DO NOTHING', [
    tenant,
    agentIdOf(publica),
    publica,
  ]);
  return () => rm(folder, { recursive: true, force: true });
});

const sync = (options: Parameters<World['sync']>[0] = {}) => world.sync({ folder, policy, ...options });
const json = async (...path: string[]) => JSON.parse(await readFile(join(folder, ...path), 'utf8')) as object;
const entryOf = async (tabla: string) =>
  join(folder, 'spool', (await readdir(join(folder, 'spool'))).find((name) => name.startsWith(`${tabla}-`))!);

/** Every file but the log, byte for byte. */
async function readFolder(): Promise<Record<string, string>> {
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  const kept = files.filter((file) => file.isFile() && !/\.log$|^ejecuciones\.json$/.test(file.name));
  const paths = kept.map((file) => join(file.parentPath, file.name)).sort();
  return Object.fromEntries(await Promise.all(paths.map(async (path) => [path, await readFile(path, 'base64')])));
}

test('an install folder of the first format: what was read is sent, what was begun goes on, the mark and all keys hold', async () => {
  // Neither the articles nor the first 400 movements are there to be read again.
  await world.execute(oldRows('movimientos'));
  await world.execute('DELETE FROM movimientos WHERE codigo < 400');
  // What the mark says was uploaded.
  await world.backend.sql.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) VALUES ($1, 'proveedor', 'P1')`,
    [tenant],
  );
  const before = await readLocalConfig(folder, password);
  const { reason, log } = await sync();
  expect(reason, log).toBe('exitoso');
  expect(log).toContain('vista_proveedores: process (upload, origen): Sin novedades');
  expect(log).toMatch(/vista_articulos: Se termina una subida pendiente, leída a las 2026-11-24 18:55/);
  expect(log).toMatch(/vista_articulos: .*: 1000 filas subidas: 1000 nuevas/);
  expect(log).toMatch(/vista_movimientos: .*: 1000 filas subidas: 1000 nuevas/);
  const { rows } = await world.backend.sql.query<{ tipo: string; n: number; texto: string }>(
    `SELECT tipo_campo AS tipo, count(DISTINCT codigo)::int AS n, min(nombre) AS texto
     FROM parametros_maestros GROUP BY 1 ORDER BY 1`,
  );
  const texto = 'ñ'.repeat(200);
  expect(rows).toEqual([
    { tipo: 'articulo', n: 1000, texto },
    { tipo: 'movimiento', n: 1000, texto },
    { tipo: 'proveedor', n: 1, texto: null },
  ]);
  expect(await readdir(join(folder, 'spool'))).toEqual([]);
  const { rows: logged } = await world.backend.sql.query('SELECT id FROM sync_logs WHERE id = ANY ($1)', [
    ['cksp2anlze8su2h22po1cyf3w', 'c3wq1afyazultvbgvx87phlwk', 'cdg10hy0qjbm6bronj19s3olq'],
  ]);
  expect(logged).toHaveLength(3);

  const after = await readLocalConfig(folder, password);
  for (const key of ['url', 'tenant', 'agentKey', 'spoolKey', 'dataKey', 'allowsHttp', 'sqlServer'] as const) {
    expect(before[key], key).toBeDefined();
    expect(after[key], key).toEqual(before[key]);
  }
  const { ejecuciones } = (await json('logs', 'ejecuciones.json')) as { ejecuciones: { resultado: string }[] };
  expect(ejecuciones.map(({ resultado }) => resultado)).toEqual(['exitoso', 'interrumpido', 'parcial']);
});

test('a data key that the first format exported is imported', async () => {
  const { dataKey, ...local } = await readLocalConfig(folder, password);
  await writeLocalConfig(folder, password, local);
  await importDataKey({ folder, file: join(folder, 'clave.axk'), print: () => {} });
  expect((await readLocalConfig(folder, password)).dataKey).toBe(dataKey);
});

test('every file says its format and the version of the agent that wrote it', async () => {
  const agente = manifest.version;
  backend.refuse = /^(PUT \S+\/chunks\/|POST \S+\/(commit|logs\/))/;
  try {
    await rm(join(folder, 'logs'), { recursive: true });
    await rm(join(folder, 'spool'), { recursive: true });
    await rm(join(folder, 'last-sync.json'));
    await world.execute(oldRows('articulos'));
    expect((await sync({ tablas: ['vista_proveedores', 'vista_articulos'] })).reason).toBe('parcial');
  } finally {
    backend.refuse = undefined;
    await world.execute('DELETE FROM articulos');
  }
  expect(await json('last-sync.json')).toMatchObject({
    formato: 2,
    agente,
    tablas: { vista_proveedores: { filas: 2 } },
  });
  expect(await json('logs', 'ejecuciones.json')).toMatchObject({ formato: 1, agente });
  const firstLine = async (path: string) => JSON.parse((await readFile(path, 'utf8')).split('\n', 1)[0]!) as object;
  expect(await firstLine(join(folder, 'logs', 'pendientes.ndjson'))).toEqual({ formato: 1, agente });
  expect(await firstLine(join(await entryOf('vista_articulos'), 'manifiesto'))).toMatchObject({ version: 2, agente });
  const config = openEnvelope(await readFile(join(folder, 'sync-config.enc')), password).toString();
  expect(JSON.parse(config)).toMatchObject({ formato: 1, agente });
});

const NEWER = /es de un agente más nuevo, la versión 9\.1\.0.*este es la versión .*No se ha cambiado ni borrado nada/;

test.each([
  ['last-sync.json', '{"formato":3,"agente":"9.1.0","relojes":[]}'],
  ['logs/ejecuciones.json', '{"formato":2,"agente":"9.1.0"}'],
  ['logs/pendientes.ndjson', '{"formato":2,"agente":"9.1.0"}\n{"otra":1}\n'],
])('%s of a newer agent: the run is refused, says which version is wanted, and changes nothing', async (name, text) => {
  await writeFile(join(folder, name), text);
  const before = await readFolder();
  const { reason, log } = await sync();
  expect(reason, log).toBe('antiguo');
  expect(log).toMatch(NEWER);
  expect(log).toContain('[ARCHIVO_MAS_NUEVO] Instale otra vez la versión 9.1.0 del agente, o una posterior.');
  expect(await readFolder()).toEqual(before);
  expect(await readFile(join(folder, name), 'utf8')).toBe(text);
});

const newerConfig = () => sealEnvelope(Buffer.from('{"formato":2,"agente":"9.1.0"}'), password);

test.each([
  ['content', newerConfig, NEWER],
  [
    'envelope',
    () => Buffer.concat([Buffer.from('AXS2'), newerConfig().subarray(4)]),
    /es de un agente más nuevo, de versión desconocida;/,
  ],
])(
  'sync-config.enc with a newer %s: neither sync nor init goes on, and it stays as it is',
  async (_, make, message) => {
    await writeFile(join(folder, 'sync-config.enc'), make());
    const before = await readFolder();
    await expect(sync()).rejects.toThrow(message);
    const { encrypt, host } = world.settings as Required<World['settings']>;
    const sqlServer = { host, encrypt, trustServerCertificate: false };
    const { key } = world.backend;
    const init = runInit({ folder, url, tenant, key, sqlServer, allowsHttp: true, print: () => {}, signal: never });
    await expect(init).rejects.toThrow(message);
    expect(await readFolder()).toEqual(before);
  },
);

test.each([
  ['under another password', 'otra contraseña', tenant],
  ['for another tenant', password, 'otro-001'],
])('init %s leaves the configuration that was there beside the new one', async (_, given, whose) => {
  const before = await readFile(join(folder, 'sync-config.enc'));
  const { encrypt, host } = world.settings as Required<World['settings']>;
  const sqlServer = { host, encrypt, trustServerCertificate: false };
  const key = whose === tenant ? world.backend.key : await world.backend.addTenant(whose);
  const lines: string[] = [];
  const print = (line: string) => lines.push(line);
  process.env.SYNC_CONFIG_PASSWORD = given;
  try {
    const init = runInit({ folder, url: world.backend.url, tenant: whose, key, sqlServer, print, signal: never });
    await init.catch((error: unknown) => expect(error).toMatchObject({ code: 'AGENTE_SIN_AUTORIZAR' }));
  } finally {
    process.env.SYNC_CONFIG_PASSWORD = password;
  }
  expect((await readLocalConfig(folder, given)).tenant).toBe(whose);
  const asides = (await readdir(folder)).filter((name) => name.endsWith('.anterior'));
  expect(asides).toEqual([expect.stringMatching(/^sync-config\.enc\.\d{17}\.anterior$/)]);
  expect(lines.join('\n')).toContain(`queda como ${asides[0]}`);
  expect(await readFile(join(folder, asides[0]!))).toEqual(before);
});

test('an exported data key of a newer agent is refused, and the one that is there stays', async () => {
  const file = join(folder, 'clave.axk');
  const content = JSON.stringify({ formato: 2, agente: '9.1.0', tenant, dataKey: 'otra' });
  await writeFile(file, sealEnvelope(Buffer.from(content), oldInstall.transferPassword));
  const before = await readFolder();
  await expect(importDataKey({ folder, file, print: () => {} })).rejects.toThrow(NEWER);
  expect(await readFolder()).toEqual(before);
});

test('what a newer agent left in the spool: its table alone is refused, and nothing of it is removed', async () => {
  const entry = await entryOf('vista_articulos');
  const [, ...sealed] = (await readFile(join(entry, 'manifiesto'), 'utf8')).split('\n');
  const head = '{"version":3,"id":"5fddc783-55c8-4cee-b7a2-24cafe08b1cc","agente":"9.1.0"}';
  await writeFile(join(entry, 'manifiesto'), [head, ...sealed].join('\n'));
  const before = await readFolder();
  const kept = async () => Object.entries(await readFolder()).filter(([path]) => path.startsWith(entry));
  const expected = Object.entries(before).filter(([path]) => path.startsWith(entry));
  expect(expected).toHaveLength(8);
  for (const usesSpool of [true, false]) {
    const { reason, log } = await sync({ usesSpool, tablas: ['vista_articulos', 'vista_proveedores'] });
    expect(reason, log).toBe('parcial');
    expect(log).toMatch(new RegExp(`ERROR vista_articulos: .*manifiesto ${NEWER.source}`));
    expect(await kept()).toEqual(expected);
  }
  const lines: string[] = [];
  await runStatus({ folder, json: false, print: (line) => lines.push(line), signal: never });
  expect(lines.join('\n')).toContain('En spool/: 1 carpetas de un agente más nuevo');
  // Also when the table is no longer configured.
  await world.setTables({ tablasSubida: [] });
  const { reason, log } = await sync();
  await world.setTables(oldInstall.tables);
  expect(reason, log).toBe('exitoso');
  expect(log).toMatch(new RegExp(`AVISO .*manifiesto ${NEWER.source}`));
  expect(await kept()).toEqual(expected);
});

test('the lock of a newer agent holds while it is touched, whatever else is in it', async () => {
  const lock = join(folder, 'sync.lock');
  await writeFile(lock, '{"formato":2,"agente":"9.1.0","titular":"otra forma"}');
  const before = new Date(Date.now() - 60_000);
  await utimes(lock, before, before);
  expect((await sync()).reason).toBe('ocupado');
  const long = new Date(Date.now() - 3_600_000);
  await utimes(lock, long, long);
  expect((await sync({ tablas: ['vista_proveedores'] })).reason).toBe('exitoso');
});

test('a backend that wants a newer agent, before a run or amid it: not asked again, said in the log, and what was read stays', async () => {
  const settings = { DATABASE_URL: world.backend.databaseUrl, LOG_LEVEL: 'silent', SYNC_MIN_AGENT_VERSION: '99.0.0' };
  const strict = await buildApp(loadConfig(settings));
  let asked = 0;
  strict.server.on('request', () => asked++);
  try {
    const target = await strict.listen({ host: '127.0.0.1', port: 0 });
    const patient = { ...policy, attempts: 5, maxTotalMs: 60_000 };
    const before = await readFolder();
    for (const requests of [/\/config\//, /^PUT \S+\/chunks\//]) {
      asked = 0;
      backend.divert = { requests, target };
      const { reason, log } = await sync({ tablas: ['vista_articulos'], policy: patient });
      expect(reason, log).toBe('antiguo');
      expect(log).toContain(
        `Este agente es la versión ${manifest.version} y el backend pide la 99.0.0 o posterior. [AGENTE_ANTIGUO] Instale esa versión`,
      );
      expect(asked).toBeLessThanOrEqual(2);
      const entry = await entryOf('vista_articulos');
      const chunks = Object.entries(before).filter(([path]) => path.startsWith(entry) && path.endsWith('.trozo'));
      expect(chunks).toHaveLength(7);
      expect(await readFolder()).toMatchObject(Object.fromEntries(chunks));
    }
  } finally {
    backend.divert = undefined;
    await strict.close();
  }
  expect((await sync({ tablas: ['vista_articulos'] })).log).toContain('Se termina una subida pendiente');
});

test('a backend that is newer: fields in its answers that the agent does not know are passed over, and a code is no crash', async () => {
  const answers: Record<string, [number, object]> = {
    '/api/sync/health': [200, { success: true, status: 'ok', region: 'sur' }],
    '/api/sync/logs/t': [200, { success: true, logsInsertados: 0, cola: 'rápida' }],
    '/api/sync/config/t': [409, { success: false, code: 'CODIGO_DE_MANANA', detail: 'Otra cosa.', status: 409 }],
  };
  const server = createServer((request, answer) => {
    const [status, body] = answers[request.url!]!;
    answer.writeHead(status, { 'content-type': status === 200 ? 'application/json' : 'application/problem+json' });
    answer.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const newer = new Backend({ url: `http://127.0.0.1:${port}`, tenant: 't', key: 'k', retryPolicy: policy });
    await newer.checkHealth(never);
    await newer.sendLogs([], never);
    await expect(newer.fetchConfig(undefined, never)).rejects.toThrow(/respondió 409 .*CODIGO_DE_MANANA/);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});
