import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { Writable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { hashApiKey, makeApiKey } from '../protocol/api-key.ts';
import { API_PREFIX, headers } from '../protocol/constants.ts';
import { pathTo } from '../protocol/endpoints.ts';
import { buildApp } from './app.ts';
import { keyCreate } from './commands/key-create.ts';
import { keyList } from './commands/key-list.ts';
import { keyRevoke } from './commands/key-revoke.ts';
import { type Config, loadConfig } from './config.ts';
import { KEYS_MAX } from './tenants/api-keys.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** API keys over real HTTP and a real PostgreSQL, with a proxy between the two that counts what is asked. */

let proxy: Awaited<ReturnType<typeof startCountingProxy>>;
let server: TestServer;
beforeAll(async () => {
  proxy = await startCountingProxy(inject('postgresUrl'));
  server = await startTestServer(proxy.url);
});
afterAll(async () => {
  await server?.close();
  await proxy?.close();
});

/** A TCP proxy to PostgreSQL. `count` tells the bytes that went each way while `work` ran. */
async function startCountingProxy(postgresUrl: string) {
  const target = new URL(postgresUrl);
  const total = { sent: 0, received: 0 };
  const listener = createServer((client) => {
    const upstream = connect(Number(target.port || 5432), target.hostname);
    for (const [from, to, way] of [
      [client, upstream, 'sent'],
      [upstream, client, 'received'],
    ] as const) {
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.on('data', (bytes) => {
        total[way] += bytes.length;
        to.write(bytes);
      });
    }
  });
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const url = new URL(postgresUrl);
  url.host = `127.0.0.1:${(listener.address() as AddressInfo).port}`;
  return {
    url: url.href,
    async count(work: () => Promise<unknown>) {
      const before = { ...total };
      await work();
      return { sent: total.sent - before.sent, received: total.received - before.received };
    },
    async close() {
      listener.close();
      await once(listener, 'close');
    },
  };
}

const config = (settings: Partial<Config> = {}, LOG_LEVEL = 'silent'): Config => ({
  ...loadConfig({ DATABASE_URL: server.databaseUrl, LOG_LEVEL }),
  ...settings,
});

let last = 0;
/** A tenant of its own, with names of one length, and a key that is valid for so many days. */
async function newTenant({ days }: { days?: number } = {}): Promise<{ tenant: string; key: string }> {
  const tenant = `clave${String(++last).padStart(3, '0')}`;
  const key = await server.addTenant(tenant);
  if (days !== undefined) {
    await server.sql.query(
      `UPDATE sync_api_keys SET "expiresAt" = "createdAt" + make_interval(days => $2) WHERE "tenantId" = $1`,
      [tenant, days],
    );
  }
  return { tenant, key };
}

const fetchConfig = (as: { tenant: string; key: string }) =>
  server.call(pathTo('getConfig', { tenantId: as.tenant }), as);
const rotate = (as: { tenant: string; key: string }, next: string) =>
  server.call(pathTo('rotateKey', { tenantId: as.tenant }), {
    ...as,
    method: 'POST',
    json: { huella: hashApiKey(next).toString('base64') },
  });
const keysOf = async (tenant: string) =>
  (await server.sql.query(`SELECT * FROM sync_api_keys WHERE "tenantId" = $1 ORDER BY "createdAt", id`, [tenant])).rows;
const hoursFromNow = (at: Date) => (at.getTime() - Date.now()) / 3_600_000;

test('every refusal is the same answer for the same work: as many bytes to and from PostgreSQL, nothing written', async () => {
  const mine = await newTenant();
  const other = await newTenant();
  const revoked = await newTenant();
  const expired = await newTenant();
  await server.sql.query(`UPDATE sync_api_keys SET "revokedAt" = now() WHERE "tenantId" = $1`, [revoked.tenant]);
  await server.sql.query(`UPDATE sync_api_keys SET "expiresAt" = now() WHERE "tenantId" = $1`, [expired.tenant]);
  const never = makeApiKey();
  // Its tables are held by the process from now on, which a refusal must not tell.
  expect((await fetchConfig(mine)).status).toBe(200);
  const cases: [string, { path: string; tenant: string; key: string }][] = [
    ['a key that never was', { ...mine, path: mine.tenant, key: never }],
    ['no key', { ...mine, path: mine.tenant, key: '' }],
    ['a key that is no key', { ...mine, path: mine.tenant, key: 'x'.repeat(5000) }],
    ['a tenant that never was', { path: 'nadie999', tenant: 'nadie999', key: never }],
    ["another's key", { path: mine.tenant, tenant: mine.tenant, key: other.key }],
    ["another's path", { ...mine, path: other.tenant }],
    ["another's header", { path: mine.tenant, tenant: other.tenant, key: mine.key }],
    ["another's header and key", { ...other, path: mine.tenant }],
    ['a revoked key', { ...revoked, path: revoked.tenant }],
    ['an expired key', { ...expired, path: expired.tenant }],
  ];
  const seen = new Map<string, unknown>();
  for (const [what, { path, tenant, key }] of cases) {
    let answer: unknown;
    const work = await proxy.count(async () => {
      const response = await server.call(pathTo('getConfig', { tenantId: path }), { tenant, key });
      const fields = Object.fromEntries([...response.headers].filter(([name]) => name !== 'date'));
      answer = { status: response.status, fields, body: await response.text() };
    });
    seen.set(what, { answer, work });
  }
  const [first] = seen.values() as Iterable<{ answer: { status: number }; work: { sent: number } }>;
  expect(first!.answer.status).toBe(401);
  expect(first!.work.sent).toBeGreaterThan(100);
  for (const [what, one] of seen) expect(one, what).toEqual(first);
});

test('the last use is noted with one write a minute, however many requests', async () => {
  const mine = await newTenant();
  await server.sql.query(`
    CREATE TABLE escrituras (id text);
    CREATE FUNCTION contar() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
      $$ BEGIN INSERT INTO escrituras VALUES (NEW.id); RETURN NULL; END $$;
    CREATE TRIGGER contar AFTER UPDATE ON sync_api_keys FOR EACH ROW EXECUTE FUNCTION contar()`);
  const writes = async () => (await server.sql.query('SELECT FROM escrituras')).rowCount;
  try {
    const many = () => Promise.all(Array.from({ length: 25 }, () => fetchConfig(mine)));
    expect((await many()).every(({ status }) => status === 200)).toBe(true);
    await many();
    expect(await writes()).toBe(1);
    const [{ lastUsedAt }] = await keysOf(mine.tenant);
    expect(Math.abs(hoursFromNow(lastUsedAt))).toBeLessThan(0.1);
    await server.sql.query(
      `UPDATE sync_api_keys SET "lastUsedAt" = now() - interval '61 seconds' WHERE "tenantId" = $1`,
      [mine.tenant],
    );
    await server.sql.query('TRUNCATE escrituras');
    await many();
    expect(await writes()).toBe(1);
  } finally {
    await server.sql.query('DROP TRIGGER contar ON sync_api_keys; DROP FUNCTION contar; DROP TABLE escrituras');
  }
});

describe('rotation', () => {
  test('both keys are in force until the new one is used; from then on the old one has its grace period', async () => {
    const old = await newTenant({ days: 30 });
    const next = { ...old, key: makeApiKey() };
    expect((await fetchConfig(next)).status).toBe(401);
    const response = await rotate(old, next.key);
    expect(response.status).toBe(200);
    const body = (await response.json()) as { id: string; expira: string };
    const [first, second] = await keysOf(old.tenant);
    expect(body).toEqual({ success: true, id: second.id, expira: second.expiresAt.toISOString(), graciaHoras: 168 });
    expect(second).toMatchObject({ rotatedFrom: first.id, nombre: 'prueba', lastUsedAt: null, revokedAt: null });
    expect(hoursFromNow(second.expiresAt)).toBeCloseTo(30 * 24, 0);
    expect((await fetchConfig(old)).status).toBe(200);
    expect((await keysOf(old.tenant))[0].graceUntil).toBeNull();

    expect((await fetchConfig(next)).status).toBe(200);
    const { graceUntil } = (await keysOf(old.tenant))[0];
    expect(hoursFromNow(graceUntil)).toBeCloseTo(168, 0);
    expect((await fetchConfig(old)).status).toBe(200);
    await server.sql.query(`UPDATE sync_api_keys SET "lastUsedAt" = NULL WHERE id = $1`, [second.id]);
    expect((await fetchConfig(next)).status).toBe(200);
    expect((await keysOf(old.tenant))[0].graceUntil).toEqual(graceUntil);

    await server.sql.query(`UPDATE sync_api_keys SET "graceUntil" = now() WHERE id = $1`, [first.id]);
    expect((await fetchConfig(old)).status).toBe(401);
    expect((await fetchConfig(next)).status).toBe(200);
  });

  test('the same rotation again, or several times at once, answers the same key; the new one is never sent', async () => {
    const old = await newTenant();
    const next = makeApiKey();
    const answers = await Promise.all(Array.from({ length: 6 }, () => rotate(old, next)));
    const bodies = await Promise.all([...answers, await rotate(old, next)].map((answer) => answer.text()));
    expect(new Set(bodies).size).toBe(1);
    expect(JSON.parse(bodies[0]!)).toMatchObject({ success: true, expira: null });
    expect(bodies[0]).not.toContain('sk_live');
    expect(await keysOf(old.tenant)).toHaveLength(2);
  });

  test("somebody's open transaction on the keys or the tenant keeps no request waiting for it", async () => {
    const old = await newTenant();
    const next = { ...old, key: makeApiKey() };
    expect((await rotate(old, next.key)).status).toBe(200);
    const client = await server.sql.connect();
    try {
      await client.query('BEGIN');
      await client.query(`SELECT FROM sync_api_keys WHERE "tenantId" = $1 FOR UPDATE`, [old.tenant]);
      await client.query(`SELECT FROM sync_configurations WHERE "tenantId" = $1 FOR UPDATE`, [old.tenant]);
      for (const as of [old, next]) expect((await fetchConfig(as)).status).toBe(200);
      const refused = await rotate(old, makeApiKey());
      expect([refused.status, await refused.json()]).toMatchObject([503, { code: 'OCUPADO' }]);
      await client.query('ROLLBACK');
    } finally {
      client.release();
    }
    const [held, unnoted] = await keysOf(old.tenant);
    expect([held.graceUntil, unnoted.lastUsedAt]).toEqual([null, null]);
    await fetchConfig(next);
    expect((await keysOf(old.tenant))[0].graceUntil).toBeInstanceOf(Date);
  });

  test('a key that is being revoked is in force to its end, and puts no other in its place', async () => {
    const old = await newTenant();
    const [{ id }] = await keysOf(old.tenant);
    await keyRevoke(config(), id, { gracia: 24, derivadas: false });
    expect((await fetchConfig(old)).status).toBe(200);
    const response = await rotate(old, makeApiKey());
    expect([response.status, await response.json()]).toMatchObject([403, { code: 'CLAVE_RETIRADA' }]);
    expect(await keysOf(old.tenant)).toHaveLength(1);
  });

  test("another key's hash, and what is no hash, is refused", async () => {
    const old = await newTenant();
    const other = await newTenant();
    for (const json of [
      { huella: hashApiKey(other.key).toString('base64') },
      { huella: hashApiKey(old.key).toString('base64') },
      { huella: 'sk_live_x' },
      { huella: 'A'.repeat(44) },
      {},
    ]) {
      const response = await server.call(pathTo('rotateKey', { tenantId: old.tenant }), {
        ...old,
        method: 'POST',
        json,
      });
      expect([response.status, await response.json()]).toMatchObject([
        400,
        { code: 'CUERPO_INVALIDO', campo: 'huella' },
      ]);
    }
    expect(await keysOf(old.tenant)).toHaveLength(1);
    expect(await keysOf(other.tenant)).toHaveLength(1);
  });

  test('a tenant has a bounded number of keys in force, also when they are asked for at once', async () => {
    const old = await newTenant();
    const answers = await Promise.all(Array.from({ length: KEYS_MAX + 4 }, () => rotate(old, makeApiKey())));
    expect(answers.map(({ status }) => status).sort()).toEqual([
      ...Array(KEYS_MAX - 1).fill(200),
      409,
      409,
      409,
      409,
      409,
    ]);
    await expect(keyCreate(config(), old.tenant, { nombre: undefined, dias: undefined })).rejects.toMatchObject({
      code: 'DEMASIADAS_CLAVES',
    });
    await server.sql.query(
      `UPDATE sync_api_keys SET "revokedAt" = now() WHERE "tenantId" = $1 AND "rotatedFrom" IS NOT NULL`,
      [old.tenant],
    );
    expect((await rotate(old, makeApiKey())).status).toBe(200);
  });

  test.each([
    ['no end', '', null, false],
    [
      'a year, just begun',
      `"expiresAt" = now() + interval '364 days', "createdAt" = now() - interval '1 day'`,
      364,
      false,
    ],
    [
      'a year, 13 days left',
      `"expiresAt" = now() + interval '13 days', "createdAt" = now() - interval '352 days'`,
      13,
      true,
    ],
    [
      'nine days, five left',
      `"expiresAt" = now() + interval '5 days', "createdAt" = now() - interval '4 days'`,
      5,
      false,
    ],
    [
      'nine days, two left',
      `"expiresAt" = now() + interval '2 days', "createdAt" = now() - interval '7 days'`,
      2,
      true,
    ],
    [
      'rotated, in its grace period',
      `"graceUntil" = now() + interval '7 days', "createdAt" = now() - interval '90 days'`,
      7,
      true,
    ],
    [
      'revoked, in its grace period',
      `"revokedAt" = now() + interval '1 day', "createdAt" = now() - interval '90 days'`,
      1,
      false,
    ],
  ])(
    'GET /config tells the end of the key and whether to renew it, with 304 too: %s',
    async (_what, set, days, renew) => {
      const mine = await newTenant();
      if (set !== '') await server.sql.query(`UPDATE sync_api_keys SET ${set} WHERE "tenantId" = $1`, [mine.tenant]);
      const first = await fetchConfig(mine);
      const again = await server.call(pathTo('getConfig', { tenantId: mine.tenant }), {
        ...mine,
        headers: { 'if-none-match': first.headers.get('etag')! },
      });
      expect([first.status, again.status]).toEqual([200, 304]);
      for (const response of [first, again]) {
        const end = response.headers.get(headers.apiKeyExpires);
        if (days === null) expect(end).toBeNull();
        else expect(hoursFromNow(new Date(end!)) / 24).toBeCloseTo(days, 1);
        expect(response.headers.get(headers.apiKeyRenew)).toBe(renew ? 'true' : null);
      }
    },
  );
});

describe('limits', () => {
  /** A server of its own (counters are of a process) on the same database, asked without a socket, from any address. */
  async function withApp(
    settings: Partial<Config>,
    use: (
      ask: (from: string, as: { tenant: string; key: string }, extra?: object) => Promise<Answer>,
      log: string[],
    ) => Promise<void>,
  ) {
    const log: string[] = [];
    const destination = new Writable({
      write(line, _encoding, done) {
        log.push(String(line));
        done();
      },
    });
    let app: FastifyInstance | undefined;
    try {
      app = await buildApp(config(settings, 'warn'), destination);
      const asked = app;
      await use(async (remoteAddress, { tenant, key }, extra = {}) => {
        const response = await asked.inject({
          url: `${API_PREFIX}${pathTo('getConfig', { tenantId: tenant })}`,
          remoteAddress,
          headers: { [headers.tenant]: tenant, [headers.apiKey]: key, ...extra },
        });
        return { status: response.statusCode, code: response.json().code, retryAfter: response.headers['retry-after'] };
      }, log);
    } finally {
      await app?.close();
    }
  }
  interface Answer {
    status: number;
    code: string;
    retryAfter: string | number | string[] | undefined;
  }

  test('requests with one key are bounded, wherever they come from; another key of the tenant is not touched', async () => {
    const mine = await newTenant();
    const second = { ...mine, key: await keyCreate(config(), mine.tenant, { nombre: undefined, dias: undefined }) };
    await withApp({ RATE_LIMIT_PER_MINUTE: 3 }, async (ask) => {
      for (const from of ['10.0.0.1', '10.0.0.2', '10.0.0.3']) expect((await ask(from, mine)).status).toBe(200);
      const refused = await ask('10.0.0.4', mine);
      expect(refused).toMatchObject({ status: 429, code: 'DEMASIADAS_PETICIONES' });
      expect(Number(refused.retryAfter)).toBeGreaterThan(0);
      expect((await ask('10.0.0.1', second)).status).toBe(200);
    });
  });

  test('requests from one address are bounded before PostgreSQL is asked, whatever tenant and key they name', async () => {
    const mine = await newTenant();
    await withApp({ RATE_LIMIT_ADDRESS_PER_MINUTE: 3, LOCKOUT_FAILURES: 100 }, async (ask) => {
      for (const n of [1, 2, 3]) {
        expect((await ask('10.0.0.1', { tenant: `nadie${n}`, key: makeApiKey() })).status).toBe(401);
      }
      const work = await proxy.count(async () => {
        expect((await ask('10.0.0.1', mine)).status).toBe(429);
        expect((await ask('10.0.0.1', { tenant: 'nadie4', key: makeApiKey() })).status).toBe(429);
      });
      expect(work).toEqual({ sent: 0, received: 0 });
      expect((await ask('10.0.0.2', mine)).status).toBe(200);
    });
  });

  test('an address whose credentials are refused too often is locked out and logged once; right keys are not, known before or not', async () => {
    const known = await newTenant();
    const unknown = await newTenant();
    const guess = () => ({ tenant: known.tenant, key: makeApiKey() });
    await withApp({ LOCKOUT_FAILURES: 3, LOCKOUT_SECONDS: 60 }, async (ask, log) => {
      expect((await ask('10.0.0.1', known)).status).toBe(200);
      for (let n = 0; n < 3; n++) expect((await ask('10.0.0.1', guess())).status).toBe(401);
      const work = await proxy.count(async () => {
        for (let n = 0; n < 3; n++) {
          const refused = await ask('10.0.0.1', guess());
          expect(refused).toMatchObject({ status: 429, code: 'DEMASIADAS_PETICIONES' });
          expect(Number(refused.retryAfter)).toBeGreaterThan(50);
        }
      });
      expect(work.received).toBeLessThan(1500);
      // As many as come, they are looked up together.
      const flood = await proxy.count(() => Promise.all(Array.from({ length: 100 }, () => ask('10.0.0.1', guess()))));
      expect(flood.received).toBeLessThan(1500);
      expect((await ask('10.0.0.1', unknown)).status).toBe(200);
      expect((await ask('10.0.0.1', known)).status).toBe(200);
      expect((await ask('10.0.0.2', unknown)).status).toBe(200);
      const lines = log.filter((line) => line.includes('dirección bloqueada'));
      expect(lines.map((line) => JSON.parse(line))).toMatchObject([
        { direccion: '10.0.0.1', rechazos: 3, segundos: 60 },
      ]);
      expect(log.join('')).not.toContain('sk_live');

      await server.sql.query(`UPDATE sync_api_keys SET "revokedAt" = now() WHERE "tenantId" = $1`, [known.tenant]);
      expect((await ask('10.0.0.1', known)).status).toBe(401);
      expect((await ask('10.0.0.1', known)).status).toBe(429);
    });
  });

  test('a lockout ends', async () => {
    const mine = await newTenant();
    await withApp({ LOCKOUT_FAILURES: 1, LOCKOUT_SECONDS: 1 }, async (ask) => {
      expect((await ask('10.0.0.1', { ...mine, key: 'x' })).status).toBe(401);
      const guess = async () => (await ask('10.0.0.1', { ...mine, key: 'y' })).status;
      expect(await guess()).toBe(429);
      await expect.poll(guess, { timeout: 10_000, interval: 200 }).toBe(401);
    });
  });

  test('an IPv6 network of 64 bits is one address', async () => {
    const mine = await newTenant();
    await withApp({ LOCKOUT_FAILURES: 2 }, async (ask) => {
      for (const from of ['2001:db8:1:2::1', '2001:db8:1:2:ffff::9']) {
        expect((await ask(from, { ...mine, key: 'x' })).status).toBe(401);
      }
      expect((await ask('2001:db8:1:2:3::4', { ...mine, key: 'y' })).status).toBe(429);
      expect((await ask('2001:db8:1:3::1', mine)).status).toBe(200);
    });
  });

  test('behind a proxy the address is what the proxy saw, not what a client writes in X-Forwarded-For', async () => {
    const mine = await newTenant();
    const bad = { ...mine, key: 'x' };
    const via = (forwarded: string) => ({ 'x-forwarded-for': forwarded });
    await withApp({ LOCKOUT_FAILURES: 2, TRUST_PROXY: true }, async (ask, log) => {
      expect((await ask('10.9.9.9', bad, via('1.1.1.1, 203.0.113.7'))).status).toBe(401);
      expect((await ask('10.9.9.9', bad, via('2.2.2.2, 203.0.113.7'))).status).toBe(401);
      expect((await ask('10.9.9.9', bad, via('3.3.3.3, 203.0.113.7'))).status).toBe(429);
      expect((await ask('10.9.9.9', mine, via('1.1.1.1, 203.0.113.8'))).status).toBe(200);
      expect(log.filter((line) => line.includes('TRUST_PROXY'))).toEqual([]);
    });
    await withApp({}, async (ask, log) => {
      for (let n = 0; n < 3; n++) await ask('10.9.9.9', mine, via('203.0.113.7'));
      expect(log.filter((line) => line.includes('TRUST_PROXY'))).toHaveLength(1);
    });
  });
});

describe('commands', () => {
  test('key create, list and revoke: name, use, end, and what came in its place', async () => {
    const { tenant } = await newTenant();
    const key = await keyCreate(config(), tenant, { nombre: 'caja\u001b[2J', dias: 90 });
    const next = makeApiKey();
    await fetchConfig({ tenant, key });
    expect((await rotate({ tenant, key }, next)).status).toBe(200);
    const [first, second, third] = await keysOf(tenant);
    const day = (at: Date) => at.toISOString().slice(0, 10);
    const list = await keyList(config(), tenant);
    const lines = list.split('\n');
    expect(lines).toHaveLength(4);
    expect(lines[1]).toMatch(new RegExp(`^${first.id} +${tenant} +prueba +\\d.* - +en vigor +-$`));
    expect(lines[2]).toMatch(
      new RegExp(
        `^${second.id} .*caja\\\\u\\{1b\\}\\[2J .*${day(new Date())} \\d\\d:\\d\\dZ +en vigor hasta ${day(second.expiresAt)} `,
      ),
    );
    expect(lines[3]).toMatch(new RegExp(`^${third.id} .* ${second.id}$`));
    for (const secret of [key, next, second.hash.toString('hex')]) expect(list).not.toContain(secret);

    const graced = await keyRevoke(config(), second.id, { gracia: 24, derivadas: false });
    expect(graced).toMatch(new RegExp(`^Clave ${second.id} de «${tenant}»: en retirada, vale hasta `));
    expect(graced).toContain(`AVISO: siguen en vigor las que salieron de ella por rotación: ${third.id}.`);
    const longer = await keyRevoke(config(), second.id, { gracia: 48, derivadas: false });
    expect(longer.split('\n')[0]).toBe(graced.split('\n')[0]);

    const both = await keyRevoke(config(), second.id, { gracia: 0, derivadas: true });
    expect(both.split('\n').map((line) => line.split(' ')[1])).toEqual([second.id, third.id]);
    expect((await fetchConfig({ tenant, key })).status).toBe(401);
    expect((await fetchConfig({ tenant, key: next })).status).toBe(401);
    expect(await keyList(config(), tenant)).toMatch(new RegExp(`${third.id} .*retirada el ${day(new Date())}`));
    await expect(keyRevoke(config(), second.id, { gracia: 0, derivadas: false })).rejects.toThrow(/no hay una clave/);
  });

  test.each([
    [() => keyCreate(config(), server.tenant, { nombre: undefined, dias: 0 }), /--dias «0» no vale/],
    [() => keyCreate(config(), server.tenant, { nombre: undefined, dias: 1.5 }), /--dias «1.5» no vale/],
    [() => keyRevoke(config(), 'x', { gracia: 721, derivadas: false }), /--gracia «721» no vale/],
    [() => keyRevoke(config(), 'x', { gracia: -1, derivadas: false }), /--gracia «-1» no vale/],
    [() => keyCreate(config(), 'nadie', { nombre: undefined, dias: undefined }), /El tenant «nadie» no existe/],
  ])('a value that does not do is refused with its rule (%#)', async (work, message) => {
    await expect(work()).rejects.toThrow(message);
  });

  test('a tenant that is not there has the code of the table', async () => {
    const options = { nombre: undefined, dias: undefined };
    await expect(keyCreate(config(), 'nadie', options)).rejects.toMatchObject({ code: 'CONFIG_NO_ENCONTRADA' });
  });
});
