import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type OwnPostgres, startOwnPostgres } from '../fixtures/postgres.ts';
import { type ServerUnderAttack, startServerUnderAttack, victimTables } from './testing/under-attack.ts';

/**
 * A query that takes gigabytes in PostgreSQL stops no other tenant, where the operating system bounds its processes as
 * docs/servidor.md says: LimitAS of systemd, which is what prlimit sets here. As in load.test.ts, another tenant's twenty requests are
 * answered 2xx meanwhile, each within three seconds.
 */

const ATTACKER = 'atacante';
const VICTIM = 'victima';
/** shared_buffers (256 MB here) and what docs/servidor.md says that a session may need beside them. */
const ADDRESS_SPACE = 2 * 1024 ** 3;
/** More than that, were there no bound. */
const GREEDY = `SELECT array_length(array_agg(repeat('x', 50000000 + n)), 1) AS x FROM generate_series(1, 45) n`;

let postgres: OwnPostgres;
let server: ServerUnderAttack;
beforeAll(async () => {
  postgres = await startOwnPostgres({ durable: false, addressSpace: ADDRESS_SPACE });
  server = await startServerUnderAttack(postgres.url, { SQL_TIMEOUT_MS: '300000', RATE_LIMIT_PER_MINUTE: '1000000' });
  await server.addTenant(VICTIM, victimTables);
  await server.addTenant(ATTACKER, {
    tablasSubida: [{ nombre: 'clientes', primaryKey: 'id', process: { query: 'SELECT 1' } }],
    tablasBajada: [{ nombre: 'bajada', process: { query: GREEDY } }],
  });
});
afterAll(async () => {
  await server?.close();
  await postgres?.stop();
});

/** The highest resident memory of any session of the server so far, shared buffers not counted. */
async function peakOfBackends(): Promise<number> {
  const { rows } = await server.sql.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE application_name = 'ax-sync-server'`,
  );
  const running = new Set(readdirSync('/proc'));
  const own = rows.map(({ pid }) => String(pid)).filter((pid) => running.has(pid));
  return Math.max(
    0,
    // One that has just ended says nothing of its memory.
    ...own.map(
      (pid) => Number(/RssAnon:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024,
    ),
  );
}

const sessions = async () =>
  (
    await server.sql.query<{ begun: string }>(
      `SELECT string_agg(concat(pid, ' ', backend_start), ',' ORDER BY pid) AS begun FROM pg_stat_activity
       WHERE backend_type IN ('checkpointer', 'background writer', 'walwriter')`,
    )
  ).rows[0]!.begun;

/** Those of the query; whoever asks again too soon is refused unasked. */
const answersOf = (answers: string[]) => answers.filter((answer) => !answer.includes('"code":"OCUPADO"'));

test('a query that takes gigabytes of a backend ends with an error of its own tenant, and nobody else notices', {
  timeout: 300_000,
}, async () => {
  const before = await sessions();
  const answers: string[] = [];
  let highest = 0;
  const { failed, peakMb, slowestMs } = await server.measure(VICTIM, async (signal) => {
    for (let n = 0; n < 2; n += 1) {
      void (async () => {
        while (!signal.aborted) {
          const answer = await server.call(ATTACKER, '/download/{}?tabla=bajada', { signal });
          answers.push(`${answer.status} ${await answer.text()}`);
        }
      })().catch(() => {});
    }
    void (async () => {
      while (!signal.aborted) {
        highest = Math.max(highest, await peakOfBackends().catch(() => 0));
        await sleep(20);
      }
    })();
    // Until the first one has ended: the others go on.
    await expect.poll(() => answersOf(answers).length, { timeout: 200_000, interval: 100 }).toBeGreaterThan(0);
  });
  console.log(
    `slowest ${Math.round(slowestMs)} ms, peak ${Math.round(peakMb)} MB, a backend ${Math.round(highest / 1e6)} MB`,
  );
  expect(failed).toEqual([]);
  expect(peakMb).toBeLessThan(400);
  for (const answer of answersOf(answers)) expect(answer).toMatch(/^503 .*"code":"BASE_NO_DISPONIBLE"/);
  // What the others use of PostgreSQL was not begun anew.
  expect(await sessions()).toBe(before);
  expect(highest).toBeGreaterThan(100_000_000);
  expect(highest).toBeLessThan(ADDRESS_SPACE);
});

test('within the same bound a line of the largest size goes up', async () => {
  const line = `{"id":1,"texto":"${'x'.repeat(63 * 1024 * 1024)}"}\n`;
  const headers = { 'content-type': 'application/x-ndjson' };
  const answer = await server.call(VICTIM, '/upload/{}?tabla=clientes', { method: 'POST', headers, body: line });
  expect(`${answer.status} ${(await answer.text()).slice(0, 300)}`).toMatch(/^200 /);
});
