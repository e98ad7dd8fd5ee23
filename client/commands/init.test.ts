import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { isSealedForAgent } from '../../protocol/crypto/agent-key.ts';
import { agentIdIn } from '../config/agent-key.ts';
import { type LocalConfig, readLocalConfig, writeLocalConfig } from '../config/local.ts';
import { startWorld, type World } from '../testing/world.ts';
import { runInit } from './init.ts';
import { runTest } from './test.ts';

/** `init`, and what it leaves for the runs after it: the agent's key pair, and whom it trusts. */

let world: World;
let other: string;
const { signal } = new AbortController();
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
});
afterAll(() => world?.close());
beforeEach(async () => {
  other = await mkdtemp(join(tmpdir(), 'ax-otro-'));
});
afterEach(() => rm(other, { recursive: true, force: true }));

const localOf = (folder: string): Promise<LocalConfig> => readLocalConfig(folder, process.env.SYNC_CONFIG_PASSWORD!);
/** `init` without a password of its own: the backend's is used. */
const init = (folder: string) => {
  const { host, port, encrypt } = world.settings;
  const sqlServer = { host, port, encrypt: encrypt === true, trustServerCertificate: false };
  const { url, tenant, key } = world.backend;
  return runInit({ folder, url, tenant, key, sqlServer, print: () => {}, signal });
};
const useLoginOfBackend = () =>
  world.backend.sql.query(`UPDATE sync_configurations SET "sqlServerUser" = $1, "sqlServerPassword" = $2`, [
    world.settings.user,
    world.settings.password,
  ]);

test('the password of the backend opens SQL Server, and lies sealed for this agent even in sync-config.enc', async () => {
  await useLoginOfBackend();
  await init(world.folder);
  const { remote } = await localOf(world.folder);
  expect(isSealedForAgent(remote!.config.sqlServerPassword)).toBe(true);
  await world.setTables({});
  expect((await world.sync()).reason).toBe('exitoso');
});

test('init again in the same folder keeps the key pair; a second folder waits until an administrator authorises it', async () => {
  await useLoginOfBackend();
  const first = agentIdIn(await localOf(world.folder));
  await init(world.folder);
  expect(agentIdIn(await localOf(world.folder))).toBe(first);

  const refused = await init(other).catch((error: unknown) => error as Error);
  const id = agentIdIn(await localOf(other))!;
  expect(refused).toMatchObject({
    code: 'AGENTE_SIN_AUTORIZAR',
    kind: 'credenciales',
    action: expect.stringContaining(`--id ${id}`),
  });
  expect(id).not.toBe(first);
  const waiting = await world.sync({ folder: other });
  expect(waiting).toMatchObject({ reason: 'credenciales', log: expect.stringContaining('no está autorizado') });

  await world.backend.sql.query('UPDATE sync_agents SET autorizado = true WHERE id = $1', [id]);
  expect((await world.sync({ folder: other })).reason).toBe('exitoso');
  expect(agentIdIn(await localOf(other))).toBe(id);
});

test('an install folder of an earlier version registers a key pair at its next run, says so, and goes on', async () => {
  await useLoginOfBackend();
  await world.backend.sql.query('DELETE FROM sync_agents');
  const { agentKey: _, remote, ...older } = await localOf(world.folder);
  const config = { ...remote!.config, sqlServerPassword: world.settings.password };
  const password = process.env.SYNC_CONFIG_PASSWORD!;
  const { password: __, ...sqlServer } = older.sqlServer;
  await writeLocalConfig(world.folder, password, {
    ...older,
    sqlServer,
    remote: { etag: '"vieja"', config },
  });

  const { reason, log } = await world.sync();
  expect(reason).toBe('exitoso');
  const id = agentIdIn(await localOf(world.folder));
  expect(log).toContain(`AVISO Agente ${id}: su clave pública está registrada.`);
  expect((await world.sync()).log).not.toContain('clave pública');
  expect(await runTest({ folder: world.folder, print: () => {}, signal })).toBe('exitoso');
});

test('an install folder of an earlier version that another agent came before registers too, and waits', async () => {
  await useLoginOfBackend();
  await init(world.folder);
  const { agentKey: _, remote: __, ...older } = await localOf(world.folder);
  await writeLocalConfig(other, process.env.SYNC_CONFIG_PASSWORD!, older);
  const { reason, log } = await world.sync({ folder: other });
  const id = agentIdIn(await localOf(other));
  expect(reason).toBe('credenciales');
  expect(log).toContain(`El agente ${id} está registrado y no está autorizado.`);
  expect((await world.sync({ folder: other })).log).toContain(String(id));
});

test('a new password that is soon guessed is refused before anything is sent; one that is in use still opens', async () => {
  const strong = process.env.SYNC_CONFIG_PASSWORD!;
  try {
    for (const weak of ['x', 'once letras', 'aaaaaaaaaaaaaaaa', 'abababababab']) {
      process.env.SYNC_CONFIG_PASSWORD = weak;
      await expect(init(other), weak).rejects.toMatchObject({ code: 'CONTRASENA_DEBIL', kind: 'configuracion' });
    }
    expect(await readdir(other)).toEqual([]);
    process.env.SYNC_CONFIG_PASSWORD = 'x';
    await writeLocalConfig(other, 'x', await localOf(world.folder).catch(() => readLocalConfig(world.folder, strong)));
    await init(other);
    expect((await world.sync({ folder: other })).reason).toBe('exitoso');
  } finally {
    process.env.SYNC_CONFIG_PASSWORD = strong;
  }
});

test('plain http to another machine is refused before anything is sent, unless asked for', async () => {
  // Another spelling of this machine, which the agent does not take for it.
  const url = world.backend.url.replace('127.0.0.1', '[::ffff:127.0.0.1]');
  const { tenant, key } = world.backend;
  const sqlServer = { encrypt: false, trustServerCertificate: false };
  const lines: string[] = [];
  const options = {
    folder: world.folder,
    url,
    tenant,
    key,
    sqlServer,
    print: (line: string) => lines.push(line),
    signal,
  };
  await expect(runInit(options)).rejects.toMatchObject({
    code: 'URL_SIN_CIFRAR',
    kind: 'configuracion',
    action: expect.stringMatching(/--permitir-http/),
  });
  await runInit({ ...options, allowsHttp: true });
  expect(lines[0]).toMatch(/^AVISO: la dirección no es https/);
});
