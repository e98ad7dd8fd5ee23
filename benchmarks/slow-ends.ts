import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { makeCertificate } from '../fixtures/certificate.ts';
import { type FaultProxy, startFaultProxy } from '../fixtures/chaos/proxy.ts';
import { startPostgres } from '../fixtures/postgres.ts';
import { startAgent, startNode, waitUntil } from '../fixtures/processes.ts';
import type { SqlTarget } from '../fixtures/sql.ts';
import { createTenant, type ServerFixture, startServerFixture, type TenantFixture } from '../fixtures/system.ts';
import { API_PREFIX, headers, mediaTypes } from '../protocol/constants.ts';
import type { ConfiguracionTablas } from '../protocol/tenant-config/config.ts';
import { downloadSchema } from './floor.ts';
import { readPeak, resetPeak } from './memory.ts';
import { lineOf } from './rows.ts';
import { type Aim, expectZero, printAims, releases, runBenchmark, useBuiltPrograms } from './run.ts';
import { openSource, type Source } from './source.ts';

/**
 * `npm run bench:slow [-- MB/s…]`: peaks of agent and server while one end is slow. A proxy before SQL Server, or before the server, lets
 * so many bytes a second through, each way; with TLS and without. And sixteen readers, and sixteen senders, of sixteen tenants
 * at once, on one slow line. Rows are fewer where the line is slower, so that it all takes a quarter of an hour.
 */
const MEGABYTE = 1e6;
const MAX_MEGABYTES = 150;
const MAX_SERVER_MEGABYTES = 400;
const AT_ONCE = 16;
/** How long the readers read. */
const MANY_SECONDS = 15;

interface Speed {
  /** Bytes a second. */
  speed: number;
  /** Rows of a run with SQL Server's line slow, and with the server's. */
  sqlRows: number;
  backendRows: number;
}

const SPEEDS: Speed[] = [
  { speed: 1 * MEGABYTE, sqlRows: 120_000, backendRows: 500_000 },
  { speed: 4 * MEGABYTE, sqlRows: 600_000, backendRows: 1_000_000 },
  { speed: 64 * MEGABYTE, sqlRows: 1_000_000, backendRows: 1_000_000 },
];

interface Line {
  slow: 'SQL Server' | 'server';
  speed: number;
  tls: boolean;
  what: string;
  rows?: number;
  seconds: number;
  /** Over its whole life, and from its first request on, when the key of its configuration (32 MiB) has been made. */
  agent?: number;
  transfer?: number | undefined;
  server: number | undefined;
}

if (import.meta.main) {
  useBuiltPrograms();
  const wanted = process.argv.slice(2).map(Number);
  printAims(
    await runBenchmark(() =>
      run(wanted.length === 0 ? SPEEDS : SPEEDS.filter(({ speed }) => wanted.includes(speed / MEGABYTE))),
    ),
  );
}

async function run(speeds: readonly Speed[]): Promise<Aim[]> {
  const sizes = [...new Set(speeds.flatMap(({ sqlRows, backendRows }) => [sqlRows, backendRows]))];
  const postgres = await startPostgres();
  releases.push(postgres.stop);
  const folder = await mkdtemp(join(tmpdir(), 'ax-sync-bench-'));
  releases.push(() => rm(folder, { recursive: true, force: true }));
  const source = await openSource(postgres.url, Math.max(...sizes));
  releases.push(source.stop);
  const server = await startServerFixture(postgres.url);
  releases.push(server.stop);
  const sqlProxy = await startFaultProxy(source.sql);
  releases.push(sqlProxy.close);
  const plain = await startFaultProxy({ host: '127.0.0.1', port: Number(new URL(server.url).port) });
  releases.push(plain.close);
  const secure = await startSecureProxy(server, folder);

  const lines: Line[] = [];
  const add = (line: Line) => {
    lines.push(line);
    printLine(line);
  };
  console.log(`\n${cpus()[0]?.model}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB\n`);
  console.log(
    '| slow line | MB/s | TLS on it | what | rows | s | agent peak MB | after its start MB | server peak MB |',
  );
  console.log('|---|---:|---|---|---:|---:|---:|---:|---:|');
  for (const tls of [true, false]) {
    const sql = { ...source.sql, port: sqlProxy.port, encrypt: tls };
    const backend = tls ? secure : { proxy: plain, url: `http://127.0.0.1:${plain.port}`, init: [] };
    const tenant = await openTenant(server, tls ? 'con-tls' : 'sin-tls', sql, source, backend, sizes);
    for (const rows of sizes) await expectZero(tenant, ['sync', '--upload-only', '--tabla', `subida_${rows}`]);
    for (const { speed, sqlRows, backendRows } of speeds) {
      const measure = async (slow: Line['slow'], rows: number, what: string, args: string[]) => {
        const proxy = slow === 'server' ? backend.proxy : sqlProxy;
        proxy.arm({ kind: 'slow', bytesPerSecond: speed });
        try {
          add({ slow, speed, tls, what, rows, ...(await measureAgent(server, backend, tenant, args)) });
        } finally {
          proxy.arm(undefined);
        }
      };
      await measure('SQL Server', sqlRows, 'download', ['--download-only', '--tabla', `bajada_${sqlRows}`]);
      await measure('SQL Server', sqlRows, 'upload', ['--upload-only', '--tabla', `subida_${sqlRows}`]);
      const up = ['--upload-only', '--tabla', `subida_${backendRows}`];
      await measure('server', backendRows, 'upload', up);
      await measure('server', backendRows, 'upload, --sin-spool', [...up, '--sin-spool']);
      await measure('server', backendRows, 'download', ['--download-only', '--tabla', `bajada_${backendRows}`]);
    }
    await tenant.remove();
  }
  await measureMany(postgres.url, source.sql, add);
  return aimsOf(lines);
}

interface Backend {
  proxy: FaultProxy;
  url: string;
  /** What `init` is told of it. */
  init: string[];
}

/** The slow line carries TLS, which ends before the server, in a process of its own. */
async function startSecureProxy(server: ServerFixture, folder: string): Promise<Backend> {
  const { key, cert } = await makeCertificate('localhost');
  const files = { key: join(folder, 'clave.pem'), cert: join(folder, 'certificado.pem') };
  await Promise.all([writeFile(files.key, key), writeFile(files.cert, cert)]);
  const args = ['--to', new URL(server.url).port, '--key', files.key, '--cert', files.cert];
  const front = startNode('benchmarks/tls-front.ts', args);
  releases.push(front.stop);
  await waitUntil(async () => front.output() !== '', front);
  const proxy = await startFaultProxy({ host: '127.0.0.1', port: Number(front.output()) });
  releases.push(proxy.close);
  return { proxy, url: `https://localhost:${proxy.port}`, init: ['--ca', files.cert] };
}

async function openTenant(
  server: ServerFixture,
  name: string,
  sql: SqlTarget,
  { table }: Source,
  backend: Backend,
  sizes: readonly number[],
): Promise<TenantFixture> {
  const tenant = await createTenant(server, name, sql);
  const tablas: ConfiguracionTablas = {
    tablasSubida: sizes.map((rows) => ({
      nombre: `subida_${rows}`,
      tipoCampo: `t${rows}`,
      primaryKey: 'codigo',
      process: { query: `SELECT TOP (${rows}) * FROM ${table}` },
    })),
    tablasBajada: sizes.map((rows) => ({
      nombre: `bajada_${rows}`,
      primaryKey: 'codigo',
      schema: downloadSchema,
      process: { query: `parametros_maestros.tipo_campo=t${rows}` },
      post_process: { enabled: true, ejecutarEn: 'destino', sql: 'SELECT COUNT(*) FROM {temp_table}' },
    })),
  };
  await tenant.configure(tablas);
  const tls = sql.encrypt ? ['--sql-confiar-certificado'] : ['--sql-sin-cifrado'];
  const args = ['init', '--url', backend.url, '--tenant', name, '--key', tenant.key, ...backend.init, ...tls];
  await expectZero(tenant, args);
  return tenant;
}

async function measureAgent(
  server: ServerFixture,
  { proxy }: Backend,
  { folder, password }: TenantFixture,
  args: string[],
): Promise<Pick<Line, 'seconds' | 'agent' | 'transfer' | 'server'>> {
  const { pid } = server.running.child;
  await resetPeak(pid);
  const env = { SYNC_CONFIG_PASSWORD: password };
  const before = proxy.connections;
  const agent = startAgent(['sync', ...args, '--carpeta', folder], { cwd: folder, env });
  const ended = agent.finished.then(() => true);
  const wait = (ms: number) => Promise.race([ended, sleep(ms).then(() => false)]);
  while (proxy.connections === before && !(await wait(10)));
  // What the key took is given back a moment later.
  await wait(300);
  const start = agent.peakRss();
  await resetPeak(agent.child.pid);
  let transfer: number | undefined;
  while (!(await wait(20))) transfer = (await readPeak(agent.child.pid)) ?? transfer;
  const { code, seconds } = await agent.finished;
  if (code !== 0) throw new Error(`ax-sync-client ${args.join(' ')}:\n${agent.output()}`);
  return { seconds, agent: Math.max(start, transfer ?? 0), transfer, server: await readPeak(pid) };
}

/** As operators would, with what `curl` does: sixteen tenants at once on one line of 4 MB/s. */
async function measureMany(postgresUrl: string, sql: SqlTarget, add: (line: Line) => void): Promise<void> {
  // Of its own: its peaks are not what the runs before left.
  const server = await startServerFixture(postgresUrl, { DATABASE_POOL_MAX: '20' });
  releases.push(server.stop);
  const proxy = await startFaultProxy({ host: '127.0.0.1', port: Number(new URL(server.url).port) });
  releases.push(proxy.close);
  const speed = 4 * MEGABYTE;
  const rows = 100_000;
  const query = `SELECT 'C' || g AS codigo, md5(g::text) || md5((g + 1)::text) AS nombre, g * 1.0001 AS precio FROM generate_series(1, 5000000) g`;
  const tablas = {
    tablasSubida: [{ nombre: 'filas', primaryKey: 'codigo', process: { query: 'SELECT 1' } }],
    tablasBajada: [{ nombre: 'bajada', process: { query } }],
  };
  const tenants: TenantFixture[] = [];
  for (let n = 0; n < AT_ONCE; n++) {
    const tenant = await createTenant(server, `varios-${n}`, sql);
    releases.push(tenant.remove);
    await tenant.configure(tablas);
    tenants.push(tenant);
  }
  let text = '';
  for (let n = 0; n < rows; n++) text += lineOf(n);
  const body = gzipSync(text, { level: 2 });
  const call = ({ tenant, key }: TenantFixture, path: string, init: RequestInit) =>
    fetch(`http://127.0.0.1:${proxy.port}${API_PREFIX}${path.replace('{}', tenant)}`, {
      ...init,
      headers: { [headers.tenant]: tenant, [headers.apiKey]: key, ...(init.headers as Record<string, string>) },
    });
  const measure = async (what: string, use: (tenant: TenantFixture) => Promise<void>, rows?: number) => {
    const { pid } = server.running.child;
    await resetPeak(pid);
    proxy.arm({ kind: 'slow', bytesPerSecond: speed });
    const started = performance.now();
    await Promise.all(tenants.map(use));
    const seconds = (performance.now() - started) / 1000;
    proxy.arm(undefined);
    add({
      slow: 'server',
      speed,
      tls: false,
      what,
      ...(rows !== undefined && { rows }),
      seconds,
      server: await readPeak(pid),
    });
  };
  for (const encoding of ['gzip', 'identity']) {
    await measure(`${AT_ONCE} readers at once, ${encoding}`, async (tenant) => {
      const response = await call(tenant, '/download/{}?tabla=bajada', {
        headers: { accept: mediaTypes.ndjson, 'accept-encoding': encoding },
      });
      if (!response.ok) throw new Error(await response.text());
      const reader = response.body!.getReader();
      const ends = performance.now() + MANY_SECONDS * 1000;
      while (performance.now() < ends && !(await reader.read()).done);
      await reader.cancel();
    });
  }
  await measure(
    `${AT_ONCE} senders at once, gzip`,
    async (tenant) => {
      const response = await call(tenant, '/upload/{}?tabla=filas', {
        method: 'POST',
        headers: { 'content-type': mediaTypes.ndjson, 'content-encoding': 'gzip' },
        body,
      });
      if (!response.ok) throw new Error(await response.text());
    },
    AT_ONCE * rows,
  );
}

function printLine({ slow, speed, tls, what, rows, seconds, agent, transfer, server }: Line): void {
  const mega = (bytes: number | undefined) => (bytes === undefined ? '' : String(Math.round(bytes / MEGABYTE)));
  const cells = [
    slow,
    speed / MEGABYTE,
    tls ? 'yes' : 'no',
    what,
    rows ?? '',
    seconds.toFixed(1),
    mega(agent),
    mega(transfer),
    mega(server),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}

function aimsOf(lines: readonly Line[]): Aim[] {
  const highest = (values: readonly (number | undefined)[]) =>
    Math.max(...values.filter((value) => value !== undefined)) / MEGABYTE;
  const alone = lines.filter(({ agent }) => agent !== undefined);
  return [
    { what: 'highest peak of the agent, MB', value: highest(alone.map(({ agent }) => agent)), atMost: MAX_MEGABYTES },
    {
      what: 'highest peak of the server, one agent, MB',
      value: highest(alone.map(({ server }) => server)),
      atMost: MAX_MEGABYTES,
    },
    {
      what: `highest peak of the server, ${AT_ONCE} at once, MB`,
      value: highest(lines.map(({ server }) => server)),
      atMost: MAX_SERVER_MEGABYTES,
    },
  ];
}
