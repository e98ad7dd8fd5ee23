import { spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { hashApiKey, makeApiKey } from '../../protocol/api-key.ts';
import { runRotateKey } from '../commands/rotate-key.ts';
import { AgentError } from '../errors/agent-error.ts';
import { type CuttingProxy, startCuttingProxy } from '../testing/cutting-proxy.ts';
import { startWorld, type World } from '../testing/world.ts';
import { type LocalConfig, readLocalConfig, writeLocalConfig } from './local.ts';

/** The rotation of the agent's key, against the real backend, and what is left wherever it breaks off. */

let world: World;
let proxy: CuttingProxy;
/** The key of `init`, near its end. */
let first: string;
const password = () => process.env.SYNC_CONFIG_PASSWORD!;

beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  first = world.backend.key;
});
afterAll(() => world?.close());
beforeEach(async () => {
  await world.backend.sql.query(`DELETE FROM sync_api_keys WHERE hash <> $1`, [hashApiKey(first)]);
  await world.backend.sql.query(
    `UPDATE sync_api_keys SET "createdAt" = now() - interval '360 days', "expiresAt" = now() + interval '5 days',
       "lastUsedAt" = NULL, "graceUntil" = NULL, "revokedAt" = NULL`,
  );
  proxy = await startCuttingProxy(world.backend.url);
  await world.init(proxy.url);
});
afterEach(() => proxy?.close());

const ROTATE = /^POST \S+\/keys\//;
const local = (folder = world.folder) => readLocalConfig(folder, password());
const write = (config: LocalConfig) => writeLocalConfig(world.folder, password(), config);

interface StoredKey {
  id: string;
  rotatedFrom: string | null;
  lastUsedAt: Date | null;
  graceUntil: Date | null;
  hash: Buffer;
}
async function stored(): Promise<StoredKey[]> {
  return (await world.backend.sql.query('SELECT * FROM sync_api_keys ORDER BY "createdAt", id')).rows;
}
const storedAs = async (key: string) => (await stored()).find(({ hash }) => hash.equals(hashApiKey(key)));

/** A rotation is whole: one new key, used, in the file; the old one in its grace period. */
async function expectRotated(): Promise<void> {
  const { key, nextKey, previousKey } = await local();
  expect({ nextKey, previousKey }).toEqual({ nextKey: undefined, previousKey: first });
  expect(key).toMatch(/^sk_live_[\w-]{43}$/);
  expect(key).not.toBe(first);
  const keys = await stored();
  expect(keys).toHaveLength(2);
  const [old, made] = [await storedAs(first), await storedAs(key)];
  expect(made).toMatchObject({ rotatedFrom: old!.id, lastUsedAt: expect.any(Date) });
  expect(old!.graceUntil).toBeInstanceOf(Date);
}

test('sync renews a key that is near its end and goes on with the new one, once, and neither is written anywhere', async () => {
  const { reason, log } = await world.sync();
  expect(reason).toBe('exitoso');
  expect(log).toMatch(
    /INFO {2}Clave de API renovada: la nueva es c\w{24}, hasta el \d{4}-.*; la anterior vale todavía 168 h/,
  );
  // The first use of the new key comes with the next thing that is asked: here with the next run.
  const again = await world.sync();
  expect(again.log).not.toMatch(/renovada|clave/i);
  await expectRotated();
  const { key } = await local();
  const written = await world.readFile('logs/sync-combined.log');
  for (const secret of [first, key, key.slice(8)]) expect(written).not.toContain(secret);
  expect((await readFile(join(world.folder, 'sync-config.enc'))).toString('latin1')).not.toContain('sk_live');
});

test('a key that is far from its end, or never ends, is left alone', async () => {
  for (const end of [`now() + interval '200 days'`, 'NULL']) {
    await world.backend.sql.query(`UPDATE sync_api_keys SET "expiresAt" = ${end}`);
    expect((await world.sync()).log).not.toMatch(/clave/i);
  }
  expect(await stored()).toHaveLength(1);
  expect((await local()).key).toBe(first);
});

test('the answer to the rotation is lost: the old key goes on, and the next run ends what was begun', async () => {
  proxy.cut = { afterBytes: 0, times: Number.POSITIVE_INFINITY, requests: ROTATE };
  const { reason, log } = await world.sync();
  expect(reason).toBe('exitoso');
  expect(log).toMatch(/AVISO No se pudo renovar la clave de API \(caduca el \d{4}-/);
  const { key, nextKey } = await local();
  expect(key).toBe(first);
  expect(await storedAs(nextKey!)).toMatchObject({ lastUsedAt: null });
  expect((await storedAs(first))!.graceUntil).toBeNull();
  proxy.cut = undefined;
  await world.sync();
  expect((await local()).key).toBe(nextKey!);
  await world.sync();
  await expectRotated();
});

test.each([
  ['before the backend was asked', false, ''],
  ['after the backend had answered', true, ''],
  [
    'after the backend had answered, and its old key has ended since',
    true,
    `UPDATE sync_api_keys SET "expiresAt" = now()
     WHERE "rotatedFrom" IS NULL`,
  ],
])('a run ended %s: the next one goes on with the same new key', async (_when, asked, sql) => {
  const nextKey = makeApiKey();
  if (asked) {
    const response = await world.backend.call('/keys/acme-001', {
      method: 'POST',
      json: { huella: hashApiKey(nextKey).toString('base64') },
    });
    expect(response.status).toBe(200);
  }
  if (sql !== '') await world.backend.sql.query(sql);
  await write({ ...(await local()), nextKey });
  expect((await world.sync()).reason).toBe('exitoso');
  expect((await local()).key).toBe(nextKey);
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await stored()).toHaveLength(2);
  if (sql === '') await expectRotated();
});

test.each([
  ['as it asks', false],
  ['as the backend answers', true],
])('the agent is killed %s: the next run has a key', async (_when, arrives) => {
  const main = resolve(import.meta.dirname, '..', 'main.ts');
  const child = spawn(process.execPath, [main, 'rotate-key', '--carpeta', world.folder], { stdio: 'ignore' });
  const ended = new Promise((done) => child.once('close', (_code, signal) => done(signal)));
  proxy.onRequest = (line) => {
    if (ROTATE.test(line)) child.kill('SIGKILL');
  };
  if (!arrives) proxy.refuse = ROTATE;
  expect(await ended).toBe('SIGKILL');
  proxy.refuse = undefined;
  proxy.onRequest = undefined;
  if (arrives) await expect.poll(async () => (await stored()).length, { timeout: 10_000 }).toBe(2);
  const { nextKey } = await local();
  expect((await world.sync()).reason).toBe('exitoso');
  expect((await local()).key).toBe(nextKey);
  expect((await world.sync()).reason).toBe('exitoso');
  await expectRotated();
});

test('a new key that cannot be kept is not asked for', async () => {
  await world.backend.sql.query(`UPDATE sync_api_keys SET "expiresAt" = NULL`);
  await world.sync();
  await world.backend.sql.query(`UPDATE sync_api_keys SET "expiresAt" = now() + interval '5 days'`);
  const asked: string[] = [];
  proxy.onRequest = (line) => asked.push(line);
  // In the way of the file that is written before it takes the old one's place.
  const obstacle = join(world.folder, `sync-config.enc.${process.pid}.tmp`);
  await mkdir(obstacle);
  try {
    const { reason, log } = await world.sync();
    expect(reason).toBe('exitoso');
    expect(log).toMatch(/AVISO No se pudo renovar la clave de API .*No se puede escribir/);
  } finally {
    await rm(obstacle, { recursive: true });
  }
  expect(asked.some((line) => /\/config\//.test(line))).toBe(true);
  expect(asked.filter((line) => ROTATE.test(line))).toEqual([]);
  expect(await stored()).toHaveLength(1);
});

test('a backend that has forgotten the new key is asked with the one before, and gives another', async () => {
  await world.sync();
  await world.sync();
  const lost = (await local()).key;
  // As a backup from before the rotation has it.
  await world.backend.sql.query(`DELETE FROM sync_api_keys WHERE "rotatedFrom" IS NOT NULL`);
  await world.backend.sql.query(`UPDATE sync_api_keys SET "graceUntil" = NULL`);
  expect((await world.sync()).reason).toBe('exitoso');
  expect((await world.sync()).reason).toBe('exitoso');
  await expectRotated();
  expect((await local()).key).not.toBe(lost);
});

test('a key that was revoked, now or soon, is not rotated: the operator is told', async () => {
  await world.backend.sql.query(`UPDATE sync_api_keys SET "revokedAt" = now() + interval '1 day'`);
  const soon = await world.sync();
  expect(soon.reason).toBe('exitoso');
  expect(soon.log).toMatch(/AVISO La clave de API se termina \(caduca el .*\): pida otra al administrador/);
  await write({ ...(await local()), nextKey: makeApiKey() });
  expect((await world.sync()).log).toMatch(/AVISO No se pudo renovar .*CLAVE_RETIRADA/);
  expect((await local()).nextKey).toBeUndefined();
  expect(await stored()).toHaveLength(1);
  await world.backend.sql.query(`UPDATE sync_api_keys SET "revokedAt" = now()`);
  expect((await world.sync()).reason).toBe('credenciales');
});

test('two install folders with one key: each gets its own, and neither is locked out', async () => {
  const other = await mkdtemp(join(tmpdir(), 'ax-otra-'));
  try {
    await cp(join(world.folder, 'sync-config.enc'), join(other, 'sync-config.enc'));
    for (const folder of [world.folder, world.folder, other, other]) {
      expect((await world.sync({ folder })).reason).toBe('exitoso');
    }
    await world.backend.sql.query(`UPDATE sync_api_keys SET "graceUntil" = now() WHERE "rotatedFrom" IS NULL`);
    for (const folder of [world.folder, other]) expect((await world.sync({ folder })).reason).toBe('exitoso');
    expect((await local()).key).not.toBe((await local(other)).key);
    expect(await stored()).toHaveLength(3);
  } finally {
    await rm(other, { recursive: true });
  }
});

test('rotate-key changes the key at once, whenever it ends, unless a run is under way', async () => {
  await world.backend.sql.query(`UPDATE sync_api_keys SET "expiresAt" = NULL`);
  const lines: string[] = [];
  const options = {
    folder: world.folder,
    print: (line: string) => lines.push(line),
    signal: AbortSignal.timeout(60_000),
  };
  await writeFile(join(world.folder, 'sync.lock'), JSON.stringify({ pid: process.ppid }));
  await expect(runRotateKey(options)).rejects.toMatchObject({ kind: 'ocupado' });
  await rm(join(world.folder, 'sync.lock'));
  expect(await stored()).toHaveLength(1);

  await runRotateKey(options);
  expect(lines).toEqual([
    expect.stringMatching(
      /^Clave de API cambiada en sync-config\.enc: la nueva es c\w{24}, sin caducidad; la anterior vale todavía 168 h\.$/,
    ),
  ]);
  await expectRotated();
  await rm(join(world.folder, 'sync-config.enc'));
  await expect(runRotateKey(options)).rejects.toBeInstanceOf(AgentError);
});
