import { generateKeyPairSync } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import { digestOf, formatContentDigest } from '../protocol/digest.ts';
import { type ServerUnderAttack, startServerUnderAttack, victimTables } from './testing/under-attack.ts';

/**
 * One tenant must not stop another. While each of these attacks runs, twenty requests of another tenant are answered 2xx, each
 * within three seconds, and the server's process stays below 400 MB. The server is a process of its own, with the settings of
 * an installation but for shorter times.
 */

const ATTACKER = 'atacante';
const ACCOMPLICE = 'complice';
const VICTIM = 'victima';
const PEAK_MAX_MB = 400;

/** strpos looks for no interrupt: some two seconds of a core, whatever the timeout. */
const UNINTERRUPTIBLE = `SELECT sum(strpos(repeat('a', 5000000), 'b' || repeat('a', 200 + n))) AS x FROM generate_series(1, 2) n`;

const process = { query: 'SELECT 1' };

let server: ServerUnderAttack;
beforeAll(async () => {
  server = await startServerUnderAttack(inject('postgresUrl'), {
    SQL_TIMEOUT_MS: '30000',
    LOCK_TIMEOUT_MS: '8000',
    HTTP_CONNECTIONS_MAX: '200',
    RATE_LIMIT_PER_MINUTE: '1000000',
  });
  await server.addTenant(VICTIM, victimTables);
  for (const tenant of [ATTACKER, ACCOMPLICE]) await attackWith('SELECT 1 AS x', tenant);
});
afterEach(async () => {
  // What an attack has left in PostgreSQL is no load of the next one.
  await expect.poll(() => countBackends('active'), { timeout: 60_000, interval: 200 }).toBe(0);
});
afterAll(async () => {
  await server?.close();
});

/** The tables of an attacker: `bajada` is this query. */
function attackWith(query: string, tenant = ATTACKER): Promise<void> {
  return server.addTenant(tenant, {
    tablasSubida: [{ nombre: 'clientes', primaryKey: 'id', process }],
    tablasBajada: [{ nombre: 'bajada', process: { query } }],
  });
}

/** Downloads as the attacker, `times` at once, until the attack is over; whoever is refused tries again. */
function download(signal: AbortSignal, times: number, { tenant = ATTACKER, accept = 'application/x-ndjson' } = {}) {
  for (let n = 0; n < times; n += 1) {
    void (async () => {
      while (!signal.aborted) {
        const answer = await server.call(tenant, '/download/{}?tabla=bajada', { signal, headers: { accept } });
        await answer.text();
        await sleep(300);
      }
    })().catch(() => {});
  }
}

/** A body that begins and does not end before the attack does. */
function endless(signal: AbortSignal, piece: Uint8Array): ReadableStream {
  return new ReadableStream({
    async pull(controller) {
      controller.enqueue(piece);
      await sleep(200, undefined, { signal }).catch(() => controller.error(signal.reason));
    },
  });
}

/** The server's sessions in PostgreSQL. */
async function countBackends(state?: string): Promise<number> {
  const { rowCount } = await server.sql.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'ax-sync-server'
       AND ($1::text IS NULL OR state = $1)`,
    [state ?? null],
  );
  return rowCount!;
}

async function whileRunning(attack: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const { failed, peakMb, slowestMs } = await server.measure(VICTIM, attack);
  console.log(`slowest ${Math.round(slowestMs)} ms, peak ${Math.round(peakMb)} MB`);
  expect(failed).toEqual([]);
  expect(peakMb).toBeLessThan(PEAK_MAX_MB);
}

const opening = { method: 'POST', json: { tabla: 'clientes', modo: 'incremental' } };

test('a slow chunk, and requests that end its upload, hold no connection of another tenant', async () => {
  await whileRunning(async (signal) => {
    const opened = await server.call(ATTACKER, '/uploads/{}', opening);
    const { id } = (await opened.json()) as { id: string };
    const chunk = gzipSync('{"id":1}\n');
    const headers = { 'content-type': 'application/gzip', 'content-digest': formatContentDigest(digestOf(chunk)) };
    const body = endless(signal, new Uint8Array(chunk.subarray(0, 1)));
    const slow = server.call(ATTACKER, `/uploads/{}/${id}/chunks/1`, {
      method: 'PUT',
      headers,
      body,
      duplex: 'half',
      signal,
    } as RequestInit);
    slow.catch(() => {});
    await sleep(300);
    for (let n = 0; n < 8; n += 1) {
      void (async () => {
        while (!signal.aborted) {
          await server.call(ATTACKER, `/uploads/{}/${id}`, { method: 'DELETE', signal }).catch(() => {});
          await sleep(20);
        }
      })();
    }
    await sleep(300);
  });
});

test('downloads that are left while PostgreSQL works on keep their connections: no more backends than connections', async () => {
  // strpos looks for no interrupt: nothing ends it before its time.
  await attackWith(UNINTERRUPTIBLE);
  let most = 0;
  await whileRunning(async (signal) => {
    for (let round = 0; round < 5; round += 1) {
      const gone = new AbortController();
      signal.addEventListener('abort', () => gone.abort());
      const before = await countBackends('active');
      for (let n = 0; n < 6; n += 1) {
        void server.call(ATTACKER, '/download/{}?tabla=bajada', { signal: gone.signal }).catch(() => {});
      }
      for (let n = 0; n < 10 && (await countBackends('active')) < before + 6; n += 1) await sleep(150);
      gone.abort();
      most = Math.max(most, await countBackends());
    }
  });
  expect(most).toBeLessThanOrEqual(10 + 4);
});

test('functions that PostgreSQL does not interrupt hold the connections of their own tenant alone', async () => {
  await attackWith(UNINTERRUPTIBLE);
  await whileRunning(async (signal) => {
    download(signal, 6);
    await sleep(500);
  });
});

test('two tenants together do not hold all connections, neither those that run nor the places to wait', async () => {
  const sleeping = 'SELECT pg_sleep(60) IS NULL AS x';
  await attackWith(sleeping);
  await attackWith(sleeping, ACCOMPLICE);
  await whileRunning(async (signal) => {
    download(signal, 10);
    download(signal, 10, { tenant: ACCOMPLICE });
    await sleep(500);
  });
});

test('a tenant takes no lock that others wait for: no advisory lock, neither to hold one nor to fill the table of locks', async () => {
  // The lock that node-pg-migrate takes, one by the victim's name, and as many as there is room for.
  await attackWith(
    `SELECT count(pg_advisory_lock(n)) AS x, pg_sleep(60) IS NULL AS y
     FROM (SELECT 7241865325823964 AS n UNION ALL SELECT hashtext('sync_agents ${VICTIM}') UNION ALL SELECT generate_series(1, 20000)) locks`,
  );
  await whileRunning(async (signal) => {
    download(signal, 6);
    await sleep(1500);
    // As an agent of the victim that registers, and a server that starts.
    const { publicKey } = generateKeyPairSync('x25519');
    const json = { clavePublica: publicKey.export({ format: 'jwk' }).x };
    const registered = await server.call(VICTIM, '/agents/{}', {
      method: 'POST',
      json,
      signal: AbortSignal.timeout(3000),
    });
    expect(registered.status).toBe(200);
    await server.sql.query('DELETE FROM sync_agents');
    await server.migrate(AbortSignal.timeout(5000));
  });
  const refused = await server.call(ATTACKER, '/download/{}?tabla=bajada');
  expect(await refused.text()).toMatch(/42501/);
});

test.each([
  ['raises its memory', `SELECT set_config('work_mem', '2000GB', false) AS x`],
  ['seeds what is random in a connection of the pool', 'SELECT setseed(0.5) IS NULL AS x'],
  [
    'fills a folder of PostgreSQL with snapshots',
    'SELECT count(pg_export_snapshot()) AS x FROM generate_series(1, 100000)',
  ],
  ['queues the commits of all by notifications', `SELECT pg_notify('x', 'x') IS NULL AS x`],
  ['fills the WAL', `SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000)) AS x`],
])('a tenant that %s is refused', async (_what, query) => {
  await attackWith(query);
  const refused = await server.call(ATTACKER, '/download/{}?tabla=bajada');
  expect(`${refused.status} ${await refused.text()}`).toMatch(/^422 .*42501/);
});

test('envelopes of large rows stay within bounds of memory, whether they are read or not', async () => {
  await attackWith(`SELECT repeat('x', 16000000) AS x FROM generate_series(1, 16) n`);
  const headers = { accept: 'application/json' };
  await whileRunning(async (signal) => {
    // Three that read, and three that read nothing of what comes.
    const begun = Array.from({ length: 6 }, async (_, n) => {
      const answer = await server.call(ATTACKER, '/download/{}?tabla=bajada', { signal, headers });
      if (n % 2 === 0) answer.text().catch(() => {});
    });
    await Promise.race([Promise.allSettled(begun), sleep(12_000)]);
    await sleep(1000);
  });
});

test('the text of an error is bounded', async () => {
  await attackWith(`SELECT (repeat('x', 30000000) || n)::integer AS x FROM generate_series(1, 10) n`);
  await whileRunning(async (signal) => {
    const begun = Array.from({ length: 4 }, () => server.call(ATTACKER, '/download/{}?tabla=bajada', { signal }));
    await Promise.race([Promise.allSettled(begun), sleep(5000)]);
  });
  const refused = await server.call(ATTACKER, '/download/{}?tabla=bajada');
  const text = await refused.text();
  expect(`${refused.status} ${text.slice(0, 500)}`).toMatch(/^422 .*invalid input syntax for type integer.*/);
  expect(text.length).toBeLessThan(10_000);
});

test('the state of ten thousand tables is bounded', async () => {
  await server.sql.query(
    `INSERT INTO sync_logs ("tenantId", direccion, tabla, fase, estado, mensaje, "fechaInicio")
     SELECT $1, 'upload', 'tabla ' || n, 'process', 'exitoso', repeat('x', 10000), now() FROM generate_series(1, 10000) n`,
    [ATTACKER],
  );
  await whileRunning(async (signal) => {
    let bytes = 0;
    for (let n = 0; n < 6; n += 1) {
      void (async () => {
        while (!signal.aborted) {
          const asked = server.call(ATTACKER, '/status/{}', { signal });
          const text = await asked.then((answer) => answer.text()).catch(() => '');
          bytes = Math.max(bytes, text.length);
        }
      })();
    }
    await sleep(1500);
    expect(bytes).toBeLessThan(2_000_000);
  });
});

test('sockets that say nothing shut nobody out', async () => {
  const { hostname, port } = new URL(server.url);
  const sockets: Socket[] = [];
  await whileRunning(async (signal) => {
    for (let n = 0; n < 400; n += 1) {
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {});
      socket.once('connect', () => socket.write('GET /api/sync/health HTTP/1.1\r\nHost: x\r\n'));
      sockets.push(socket);
    }
    signal.addEventListener('abort', () => {
      for (const socket of sockets) socket.destroy();
    });
    await sleep(500);
  });
});

test('after a restart wrong keys lock out no right one of the same address', async () => {
  await server.restart();
  await whileRunning(async (signal) => {
    const wrong = async () => {
      const headers = { 'x-api-key': `sk_live_${'x'.repeat(43)}` };
      await server
        .call(VICTIM, '/config/{}', { headers, signal })
        .then((answer) => answer.text())
        .catch(() => {});
    };
    for (let n = 0; n < 40; n += 1) await wrong();
    void (async () => {
      while (!signal.aborted) {
        await wrong();
        await sleep(5);
      }
    })();
  });
});
