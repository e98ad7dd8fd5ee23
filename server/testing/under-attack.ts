import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import pg from 'pg';
import { createScratchDatabase } from '../../fixtures/postgres.ts';
import { API_PREFIX, headers } from '../../protocol/constants.ts';
import { migrate } from '../postgres/migrate.ts';
import { createApiKey } from '../tenants/api-keys.ts';
import { createConfiguration } from '../tenants/configurations.ts';
import { startServerProcess } from './run-cli.ts';

/** A server process, the tenants that share it, and what one of them meets while another one attacks. */
export interface ServerUnderAttack {
  url: string;
  /** As the superuser. */
  sql: pg.Pool;
  /** Adds a tenant, or replaces its tables. */
  addTenant(tenant: string, tables: object): Promise<void>;
  keyOf(tenant: string): string;
  /** fetch below /api/sync as that tenant; `{}` in the path is its name. */
  call(tenant: string, path: string, init?: RequestInit & { json?: unknown }): Promise<Response>;
  /** Runs `attack`, and meanwhile the victim's requests. */
  measure(victim: string, attack: (signal: AbortSignal) => Promise<unknown>): Promise<Measured>;
  restart(): Promise<void>;
  /** What a server does when it starts: rejects when that takes longer than `signal` lets it. */
  migrate(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface Measured {
  /** What the victim did not get: requests that were not answered 2xx within VICTIM_MS. */
  failed: string[];
  /** The victim's slowest request. */
  slowestMs: number;
  /** The highest resident memory of the server's process. */
  peakMb: number;
}

/** What every request of a tenant is answered within, whatever another tenant does. */
const VICTIM_MS = 3000;
const VICTIM_REQUESTS = 20;

export const victimTables = {
  tablasSubida: [{ nombre: 'clientes', primaryKey: 'id', process: { query: 'SELECT 1' } }],
  tablasBajada: [{ nombre: 'cuentas', process: { query: 'SELECT n AS codigo FROM generate_series(1, 100) n' } }],
};

/** Starts a server in a process of its own, with a database of its own, for tests that attack it. */
export async function startServerUnderAttack(
  postgresUrl: string,
  env: Record<string, string>,
): Promise<ServerUnderAttack> {
  const scratch = await createScratchDatabase(postgresUrl, 'carga');
  const sql = new pg.Pool({ connectionString: scratch.adminUrl, max: 3 });
  // It ends before its sockets do: what is dropped then may still tell them.
  sql.on('error', () => {});
  const keys = new Map<string, string>();
  await migrate(scratch.adminUrl);
  const start = () => startServerProcess({ DATABASE_URL: scratch.url, ...env, LOG_LEVEL: 'info' });
  let running = await start();

  async function addTenant(tenant: string, tables: object): Promise<void> {
    const connection = await sql.connect();
    try {
      const server = { host: 'sql.local', port: 1433, database: 'd', user: 'u', password: 'p' };
      await createConfiguration(connection, { tenantId: tenant, ...server });
      await connection.query('UPDATE sync_configurations SET "configuracionTablas" = $2 WHERE "tenantId" = $1', [
        tenant,
        JSON.stringify(tables),
      ]);
      if (!keys.has(tenant)) keys.set(tenant, await createApiKey(connection, tenant));
    } finally {
      connection.release();
    }
  }

  const call: ServerUnderAttack['call'] = (tenant, path, { json, ...init } = {}) => {
    const sent = new Headers(init.headers);
    sent.set(headers.tenant, tenant);
    if (!sent.has(headers.apiKey)) sent.set(headers.apiKey, keys.get(tenant)!);
    if (json !== undefined) sent.set('content-type', 'application/json');
    const body = json === undefined ? init.body : JSON.stringify(json);
    const url = `${running.url}${API_PREFIX}${path.replace('{}', tenant)}`;
    return fetch(url, { ...init, headers: sent, ...(body == null ? {} : { body }) });
  };

  /** One request of each kind in turn, each read to its end. */
  async function askAs(tenant: string): Promise<Pick<Measured, 'failed' | 'slowestMs'>> {
    const failed: string[] = [];
    let slowestMs = 0;
    const requests: [what: string, path: string, init?: RequestInit & { json?: unknown }][] = [
      ['config', '/config/{}'],
      [
        'upload',
        '/upload/{}?tabla=clientes',
        { method: 'POST', headers: { 'content-type': 'application/x-ndjson' }, body: '{"id":1}\n' },
      ],
      ['download', '/download/{}?tabla=cuentas'],
      ['open', '/uploads/{}', { method: 'POST', json: { tabla: 'clientes', modo: 'incremental' } }],
    ];
    for (let n = 0; n < VICTIM_REQUESTS; n += 1) {
      const [what, path, init] = requests[n % requests.length]!;
      const started = performance.now();
      const answer = await ask(running.url, path.replace('{}', tenant), {
        method: init?.method ?? 'GET',
        body: init?.json === undefined ? (init?.body as string) : JSON.stringify(init.json),
        headers: {
          [headers.tenant]: tenant,
          [headers.apiKey]: keys.get(tenant)!,
          ...(init?.json === undefined ? {} : { 'content-type': 'application/json' }),
          ...(init?.headers as Record<string, string>),
        },
      });
      const ms = performance.now() - started;
      slowestMs = Math.max(slowestMs, ms);
      if (answer.status < 200 || answer.status > 299 || ms >= VICTIM_MS) {
        failed.push(`${what}: ${answer.status} in ${Math.round(ms)} ms: ${answer.text.slice(0, 200)}`);
      }
    }
    await sql.query('DELETE FROM sync_uploads WHERE "tenantId" = $1', [tenant]);
    return { failed, slowestMs };
  }

  return {
    get url() {
      return running.url;
    },
    sql,
    addTenant,
    keyOf: (tenant) => keys.get(tenant)!,
    call,
    measure: async (victim, attack) => {
      const over = new AbortController();
      await forgetPeak(running.child);
      const attacking = attack(over.signal);
      try {
        await attacking;
        return { ...(await askAs(victim)), peakMb: readPeakMb(running.child) };
      } finally {
        over.abort();
      }
    },
    migrate: async (signal) => {
      const late = once(signal, 'abort').then(() => {
        throw new Error('the migration waits');
      });
      await Promise.race([migrate(scratch.url), late]);
    },
    restart: async () => {
      await stop(running.child);
      running = await start();
    },
    close: async () => {
      await stop(running.child);
      await sql.end();
      await scratch.drop();
    },
  };
}

/** One request on a socket of its own, as of somebody who comes now; status 0 where none is answered in time. */
function ask(
  base: string,
  path: string,
  { body, ...options }: { method: string; headers: Record<string, string>; body: string | undefined },
): Promise<{ status: number; text: string }> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(VICTIM_MS);
    const fail = (error: Error) => resolve({ status: 0, text: String(error) });
    const sent = request(`${base}${API_PREFIX}${path}`, { ...options, agent: false, signal }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
      });
      answer.once('error', fail).once('end', () => resolve({ status: answer.statusCode!, text }));
    });
    sent.once('error', fail).end(body);
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  // A second signal cuts what still runs.
  child.kill('SIGTERM');
  child.kill('SIGTERM');
  const kill = setTimeout(() => child.kill('SIGKILL'), 5000);
  await once(child, 'exit');
  clearTimeout(kill);
}

/** The kernel counts the peak anew from here. */
async function forgetPeak({ pid }: ChildProcess): Promise<void> {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

function readPeakMb({ pid }: ChildProcess): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}
