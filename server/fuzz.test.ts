import { readFileSync } from 'node:fs';
import { Agent, request as httpRequest, type RequestOptions } from 'node:http';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { createScratchDatabase } from '../fixtures/postgres.ts';
import { digestOf, formatContentDigest } from '../protocol/digest.ts';
import { EXAMPLE_TENANT as TENANT } from '../protocol/endpoints/endpoint.ts';
import { urlTo } from '../protocol/endpoints.ts';
import { endpointOf, findFault } from './testing/declared-answers.ts';
import { type ExampleRequest, exampleRequests } from './testing/example-requests.ts';
import { runServer, startServerProcess } from './testing/run-cli.ts';

/**
 * Requests that are right but for a few mutations, against a server process. `npm run fuzz` sends 20,000 of them;
 * FUZZ_REQUESTS and FUZZ_SEED choose others.
 */

const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? 2000);
const SEED = Number(process.env.FUZZ_SEED ?? 20260101);
const AT_ONCE = 64;
const POOL = 20;
const UPLOADS = ['1', '2', '3'].map((digit) => digit.repeat(32));
const TABLES = {
  tablasSubida: [
    { nombre: 'clientes', primaryKey: 'id', process: { query: 'SELECT 1' } },
    { nombre: 'lineas', primaryKey: ['serie', 'numero'], desactivarAusentes: true, process: { query: 'SELECT 1' } },
  ],
  tablasBajada: [
    { nombre: 'clientes', process: { query: 'parametros_maestros.tipo_campo=cliente' } },
    {
      ...{ nombre: 'consulta', primaryKey: 'codigo', cambios: 'huellas' },
      process: { query: 'SELECT * FROM parametros_maestros LIMIT 50' },
      pre_process: { enabled: true, ejecutarEn: 'origen', sql: 'SELECT 1' },
    },
  ],
};

type Request = Pick<ExampleRequest, 'method' | 'path' | 'headers' | 'body'>;

/** The examples of every endpoint that is declared; a chunk of each upload that is open. */
const requests = fc.constantFrom<Request>(
  ...exampleRequests,
  ...exampleRequests
    .filter(({ name }) => name === 'putChunk')
    .map((chunk) => ({ ...chunk, path: chunk.path.replace(/[0-9a-f]{32}/, UPLOADS[2]!) })),
);

const odd = fc.constantFrom(
  ...[
    '',
    '..',
    '../../etc/passwd',
    '%00',
    '%2e%2e%2f',
    '%',
    '%E0%A4',
    "'; DROP TABLE parametros_maestros; --",
    '"',
    '\\',
    '\\u0000',
  ],
  ...[
    'null',
    '-1',
    '1e999',
    '9'.repeat(40),
    '[]',
    '{}',
    '['.repeat(500),
    'x'.repeat(3000),
    'á',
    '\ud800',
    '__proto__',
    '\u0002',
    '\u0001',
  ],
);
const headerName = fc.constantFrom(
  ...[
    'x-tenant-id',
    'x-api-key',
    'content-type',
    'content-encoding',
    'content-digest',
    'content-length',
    'transfer-encoding',
  ],
  ...[
    'idempotency-key',
    'accept',
    'accept-encoding',
    'if-none-match',
    'expect',
    'x-forwarded-for',
    'connection',
    'range',
  ],
);
const headerValue = fc.oneof(
  odd.map((text) => text.replace(/[^\x20-\x7e]/g, '?')),
  fc.constantFrom(
    'application/json',
    'application/x-ndjson',
    'gzip',
    'br',
    'chunked',
    '0',
    '5',
    '*',
    'application/gzip',
    '*/*;q=0',
  ),
);

type Mutation = (request: Request) => Request;

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS').map(
    (method): Mutation =>
      (r) => ({ ...r, method }),
  ),
  fc.tuple(odd, fc.nat()).map(
    ([text, at]): Mutation =>
      (r) => ({ ...r, path: splice(r.path, at, text) }),
  ),
  fc.tuple(fc.nat(), fc.nat(30)).map(
    ([at, length]): Mutation =>
      (r) => ({ ...r, path: r.path.slice(0, at % r.path.length) + r.path.slice((at % r.path.length) + length) }),
  ),
  fc.tuple(headerName, headerValue).map(
    ([name, value]): Mutation =>
      (r) => ({ ...r, headers: { ...r.headers, [name]: value } }),
  ),
  headerName.map(
    (name): Mutation =>
      (r) => ({ ...r, headers: Object.fromEntries(Object.entries(r.headers).filter(([key]) => key !== name)) }),
  ),
  fc.tuple(fc.nat(), fc.nat(255)).map(
    ([at, byte]): Mutation =>
      (r) => {
        const body = Buffer.from(r.body);
        if (body.length > 0) body[at % body.length] = byte;
        return { ...r, body };
      },
  ),
  fc.nat().map(
    (at): Mutation =>
      (r) => ({ ...r, body: r.body.subarray(0, at % (r.body.length + 1)) }),
  ),
  fc.tuple(odd, fc.nat()).map(
    ([text, at]): Mutation =>
      (r) => {
        const cut = at % (r.body.length + 1);
        return { ...r, body: Buffer.concat([r.body.subarray(0, cut), Buffer.from(text), r.body.subarray(cut)]) };
      },
  ),
  fc.uint8Array({ maxLength: 200 }).map(
    (bytes): Mutation =>
      (r) => ({ ...r, body: Buffer.from(bytes) }),
  ),
  fc.constant<Mutation>((r) => ({ ...r, body: Buffer.concat([r.body, r.body]) })),
  // With the digest of what is sent, a damaged body gets further.
  fc.constant<Mutation>((r) => ({
    ...r,
    headers: { ...r.headers, 'content-digest': formatContentDigest(digestOf(r.body)) },
  })),
  fc.constant<Mutation>((r) => ({
    ...r,
    body: gzipSync(r.body),
    headers: { ...r.headers, 'content-encoding': 'gzip' },
  })),
);

const hostile = fc
  .tuple(requests, fc.array(mutation, { minLength: 1, maxLength: 4 }), fc.integer({ min: 0, max: 19 }))
  .map(([request, mutations, die]) => ({
    request: mutations.reduce((r, mutate) => mutate(r), request),
    raw: die === 0,
  }));

function splice(text: string, at: number, inserted: string): string {
  const cut = at % (text.length + 1);
  return text.slice(0, cut) + inserted + text.slice(cut);
}

/** Stands for an answer that did not come. */
const CUT = -1;

interface Answer {
  status: number;
  text: string;
  /** Where the answer was read by a client. */
  type?: string;
  isCompressed?: boolean;
}

/** The answer, or undefined where the server cut the connection, as it may. */
function sendByClient(
  url: string,
  agent: Agent,
  { method, path, headers, body }: Request,
): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const options: RequestOptions = {
      method,
      agent,
      headers,
      path: path.replace(/[^\x21-\x7e]/g, '%c3%a1'),
    };
    const request = httpRequest(url, options, async (response) => {
      const parts = await response.toArray().catch(() => []);
      const { 'content-type': type = '', 'content-encoding': encoding } = response.headers;
      const text = Buffer.concat(parts as Buffer[]).toString();
      resolve({ status: response.statusCode!, text, type, isCompressed: encoding !== undefined });
    });
    request.setTimeout(30_000, () => request.destroy(new Error('no answer within 30 s')));
    request.on('error', (error) =>
      /30 s/.test(error.message) ? resolve({ status: 0, text: error.message }) : resolve(undefined),
    );
    request.end(body);
  });
}

/** What makes the answer another than its endpoint declares. An answer that broke off, or none to a HEAD, is none. */
function findFaultOf({ method, path }: Request, { status, type, text, isCompressed }: Answer): string | undefined {
  const endpoint = endpointOf(method, path);
  if (endpoint === undefined || type === undefined) return undefined;
  return findFault(endpoint, { status, type, text: isCompressed === true ? undefined : text });
}

/** The bytes as they are, lengths and line ends too. */
function sendRaw(url: string, { method, path, headers, body }: Request): Promise<Answer | undefined> {
  const { hostname, port } = new URL(url);
  const head = [`${method} ${path} HTTP/1.1`, 'Host: x', 'Connection: close', `Content-Length: ${body.length}`];
  const lines = [...head, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), '', ''];
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    let text = '';
    socket.setEncoding('utf8').on('data', (data) => {
      text += data;
    });
    socket.setTimeout(1000, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => {
      const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1];
      resolve(
        status === undefined ? undefined : { status: Number(status), text: text.slice(text.indexOf('\r\n\r\n') + 4) },
      );
    });
    socket.write(Buffer.concat([Buffer.from(lines.join('\r\n')), body]));
  });
}

const EXAMPLE_DIGEST = '0'.repeat(32);

/** The digest of the query of `consulta`, as the server tells it. */
async function digestOfChanges(url: string, agent: Agent, credentials: Record<string, string>): Promise<string> {
  const asked: Request = {
    method: 'POST',
    path: urlTo('openChanges', { tenantId: TENANT }),
    headers: { 'content-type': 'application/json', ...credentials },
    body: Buffer.from(JSON.stringify({ tabla: 'consulta', semilla: '5' })),
  };
  const digest = /"consulta":"([0-9a-f]{32})"/.exec((await sendByClient(url, agent, asked))?.text ?? '')?.[1];
  expect(digest).toBeDefined();
  return digest!;
}

function withDigest(body: Buffer, digest: string): Buffer<ArrayBuffer> {
  return Buffer.from(body.toString('latin1').replaceAll(EXAMPLE_DIGEST, digest), 'latin1');
}

test('mutated requests leave the server up, without an internal error, a lost connection or a table left behind', {
  timeout: 600_000,
}, async () => {
  const scratch = await createScratchDatabase(inject('postgresUrl'));
  const sql = new pg.Pool({ connectionString: scratch.url, max: 1 });
  // It ends before its sockets do: what is dropped then may still tell them.
  sql.on('error', () => {});
  const env = { DATABASE_URL: scratch.url };
  const token = 'testigo-de-prueba-de-32-letras--';
  const sqlServer = ['--host', 'h', '--database', 'd', '--user', 'u', '--password', 'p'];
  await runServer(['migrate'], env);
  await runServer(['tenant', 'create', '--tenant', TENANT, ...sqlServer], env);
  const key = (await runServer(['key', 'create', '--tenant', TENANT], env)).stdout.trim();
  await sql.query('UPDATE sync_configurations SET "configuracionTablas" = $1', [JSON.stringify(TABLES)]);
  const { url, child, log } = await startServerProcess({
    ...env,
    RATE_LIMIT_ADDRESS_PER_MINUTE: '10000000',
    LOCKOUT_FAILURES: '100000',
    RATE_LIMIT_PER_MINUTE: '10000000',
    TRANSFER_IDLE_MS: '300',
    DATABASE_POOL_MAX: String(POOL),
    TENANT_TRANSFERS_MAX: String(POOL),
    LOG_LEVEL: 'info',
    METRICS_TOKEN: token,
    DATABASE_QUEUE_MAX: '1000',
  });
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
  const credentials = { 'x-tenant-id': TENANT, 'x-api-key': key };
  const seen = new Map<number, number>();
  const started = performance.now();
  let sent = 0;
  try {
    for (const id of UPLOADS) {
      const opened: Request = {
        method: 'POST',
        path: urlTo('openUpload', { tenantId: TENANT }),
        headers: { 'content-type': 'application/json', ...credentials },
        body: Buffer.from(JSON.stringify({ tabla: 'clientes', modo: 'incremental', id })),
      };
      expect((await sendByClient(url, agent, opened))?.status).toBe(201);
    }
    const consulta = await digestOfChanges(url, agent, credentials);
    const queue = fc.sample(hostile, { seed: SEED, numRuns: REQUESTS });
    const work = async () => {
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        const { path } = next.request;
        // Of another digest nothing that an agent holds is looked at.
        const body = path.includes('download-cambios') ? withDigest(next.request.body, consulta) : next.request.body;
        const request = { ...next.request, body, headers: { ...credentials, ...next.request.headers } };
        const answer = await (next.raw ? sendRaw(url, request) : sendByClient(url, agent, request));
        sent += 1;
        seen.set(answer?.status ?? CUT, (seen.get(answer?.status ?? CUT) ?? 0) + 1);
        if (answer === undefined) continue;
        expect(answer.status, JSON.stringify(next)).not.toBe(0);
        expect(answer.status, JSON.stringify([next, answer.text])).not.toBe(500);
        if (answer.status >= 400 && answer.text !== '') {
          expect(answer.text, JSON.stringify([next, answer.status])).toContain('"success":false');
        }
        expect(findFaultOf(request, answer), JSON.stringify([next, answer.text])).toBeUndefined();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    const health = exampleRequests.find(({ name }) => name === 'checkHealth')!;
    expect((await sendByClient(url, agent, health))?.status).toBe(200);
    expect(child.exitCode).toBeNull();
    expect(log()).not.toMatch(/error interno/);
    const busy = async () =>
      (
        await sql.query(
          `SELECT state, wait_event, left(query, 100) AS query, now() - state_change AS since FROM pg_stat_activity
           WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`,
        )
      ).rows;
    await expect.poll(busy, { timeout: 20_000 }).toEqual([]);
    const { rows } = await sql.query(`
      SELECT (SELECT count(*)::integer FROM pg_class WHERE relname ~ '^sync_recibido_[0-9a-f]{32}$') AS tables,
             (SELECT count(*)::integer FROM sync_uploads WHERE resultado IS NULL) AS uploads,
             (SELECT count(*)::integer FROM pg_stat_activity WHERE datname = current_database()) AS connections`);
    expect(rows[0].tables).toBe(rows[0].uploads);
    expect(rows[0].connections).toBeLessThanOrEqual(POOL + 4 + 1);
    const metrics = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } })).text();
    expect(metrics).toMatch(/ax_sync_connections\{pool="transfer",state="busy"\} 0/);
    const peakMb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]) / 1024;
    expect(peakMb).toBeLessThan(500);
    // Half of them and more have to get past the door, or nothing behind it was tried.
    expect(seen.get(401) ?? 0).toBeLessThan(sent / 3);
    const statuses = [...seen]
      .sort(([a], [b]) => a - b)
      .map(([status, times]) => `${status === CUT ? 'cut' : status}: ${times}`);
    console.log(
      `${sent} requests, seed ${SEED}, ${((performance.now() - started) / 1000).toFixed(1)} s, server peak ${Math.round(peakMb)} MB; ${statuses.join(', ')}`,
    );
  } finally {
    agent.destroy();
    child.kill('SIGTERM');
    await sql.end();
    await scratch.drop();
  }
});
