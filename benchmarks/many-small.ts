import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { writeLocalConfig } from '../client/config/local.ts';
import { startPostgres } from '../fixtures/postgres.ts';
import { startAgent } from '../fixtures/processes.ts';
import { runSql, type SqlTarget } from '../fixtures/sql.ts';
import { openSqlServer } from '../fixtures/sql-server.ts';
import { type ServerFixture, startServerFixture, startServerOn } from '../fixtures/system.ts';
import type { TablaSubida } from '../protocol/tenant-config/config.ts';
import { withDatabase } from '../server/commands/with-database.ts';
import { loadConfig } from '../server/config.ts';
import { createApiKey } from '../server/tenants/api-keys.ts';
import { createConfiguration, updateConfiguration } from '../server/tenants/configurations.ts';
import { codigoOf } from './rows.ts';
import { type Aim, printAims, releases, runBenchmark, useBuiltPrograms } from './run.ts';
import {
  below,
  count,
  countSent,
  final,
  KEYS,
  MAX_CHANGED,
  type Outcome,
  retried,
  simulateRun,
  type Tenant,
} from './simulated-agent.ts';

/**
 * `npm run bench:many [-- tenants [seconds]] [--agents] [--processes N]`: many small tenants against one server process (or N, each with
 * its share of the tenants), ten tables each, 0 to 50 changed rows a table and run, 16 agents at a time, one run after the other: how many, how long each takes, and
 * whether anything grows with them (PostgreSQL's catalogue, the server's memory, its connections).
 *
 * An agent costs half a second of CPU for itself. So agents are simulated, in this process, on the same cores: each run is
 * the requests of an agent in its order, made by the agent's own code from the chunk on (configuration with its ETag, a
 * one-shot upload for each table that has something new, its records in one batch). What is not as in life: connections
 * stay open from one run to the next, as behind a proxy. With `--agents` each run is a process of the real agent, which
 * reads a SQL Server (the stand-in, unless `SQLSERVER_URL` names one).
 */
const { values: flags, positionals } = import.meta.main
  ? parseArgs({
      options: { agents: { type: 'boolean', default: false }, processes: { type: 'string', default: '1' } },
      allowPositionals: true,
    })
  : { values: { agents: false, processes: '1' }, positionals: [] };
const [TENANTS = 300, SECONDS = 120] = positionals.map(Number);
const PROCESSES = Number(flags.processes);
const AT_A_TIME = Math.min(16, TENANTS);
const TABLES = 10;
const SAMPLE_MS = 1000;
/** A tenant's runs of an hour are made in a minute here: that bound is not what is measured. */
const UNBOUNDED = { RATE_LIMIT_PER_MINUTE: '1000000', RATE_LIMIT_ADDRESS_PER_MINUTE: '1000000' };
const PASSWORD = 'Contraseña de prueba ñ 1';

if (import.meta.main) printAims(await measureManySmall());

export function measureManySmall(): Promise<Aim[]> {
  useBuiltPrograms();
  return runBenchmark(run);
}

async function run(): Promise<Aim[]> {
  const postgres = await startPostgres();
  releases.push(postgres.stop);
  const folder = await mkdtemp(join(tmpdir(), 'ax-sync-muchos-'));
  releases.push(() => rm(folder, { recursive: true, force: true }));
  const server = await startServerFixture(postgres.url, UNBOUNDED);
  releases.push(server.stop);
  const urls = [server.url, ...(await startMore(server, PROCESSES - 1))];
  const sql = flags.agents ? await fillSqlServer(postgres.url) : undefined;
  const tenants = await createTenants(server, folder, sql);
  const observer = new pg.Client({ connectionString: server.databaseUrl });
  await observer.connect();
  releases.push(() => observer.end());

  const runOnce = (tenant: Tenant) =>
    flags.agents ? runAgent(tenant) : simulateRun(urls[tenant.n % PROCESSES]!, tenant);
  const samples: Sample[] = [];
  const ended = new AbortController();
  const sampling = sampleUntil(ended.signal, server, observer, samples);
  let work: Awaited<ReturnType<typeof runAll>>;
  try {
    work = await runAll(tenants, runOnce);
  } finally {
    ended.abort();
    await sampling;
  }
  const aims = print(work, samples);
  if (!flags.agents) await expectRows(observer, tenants);
  return aims;
}

/** So many at a time, no tenant twice at once, for SECONDS; runs that have begun by then go on to their end. */
async function runAll(tenants: readonly Tenant[], runOnce: (tenant: Tenant) => Promise<Outcome>) {
  const waiting = [...tenants];
  const outcomes: (Outcome & { seconds: number })[] = [];
  const startedAt = performance.now();
  const since = (moment: number) => (performance.now() - moment) / 1000;
  const agent = async () => {
    while (since(startedAt) < SECONDS) {
      const tenant = waiting.shift()!;
      const began = performance.now();
      outcomes.push({ ...(await runOnce(tenant)), seconds: since(began) });
      waiting.push(tenant);
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, agent));
  return { outcomes, seconds: since(startedAt) };
}

/** Starts so many servers more on the same database; their addresses. */
async function startMore({ databaseUrl }: ServerFixture, count: number): Promise<string[]> {
  const urls: string[] = [];
  for (let n = 0; n < count; n += 1) {
    const { url, running } = await startServerOn(databaseUrl, UNBOUNDED);
    releases.push(running.stop);
    urls.push(url);
  }
  return urls;
}

/** As `tenant create`, `config set` and `key create` do it, in one process. */
async function createTenants(server: ServerFixture, folder: string, sql: SqlTarget | undefined): Promise<Tenant[]> {
  const tablas = Array.from({ length: TABLES }, (_, n) => (sql === undefined ? tablaOf(n) : queryOf(n)));
  const at = sql ?? {
    host: 'sql.example',
    port: 1433,
    database: 'EmpresaDB',
    user: 'sync',
    password: 'x',
    encrypt: true,
  };
  const { host, port, database, user, password, encrypt } = at;
  const tenants: Tenant[] = [];
  await withDatabase(loadConfig({ DATABASE_URL: server.databaseUrl }), async (connection) => {
    for (let n = 0; n < TENANTS; n++) {
      const name = `tenant-${n}`;
      await createConfiguration(connection, { tenantId: name, host, port, database, user, password });
      await updateConfiguration(connection, name, () => ({ tables: { tablasSubida: tablas, tablasBajada: [] } }));
      const key = await createApiKey(connection, name);
      const sent = tablas.map(() => new Uint8Array(KEYS));
      tenants.push({ n, name, key, folder: join(folder, name), etag: undefined, tablas: [], sent });
    }
  });
  if (!flags.agents) return tenants;
  for (const { name, key, folder: own } of tenants) {
    await mkdir(own);
    const sqlServer = { encrypt, trustServerCertificate: true };
    await writeLocalConfig(own, PASSWORD, { url: server.url, tenant: name, key, sqlServer });
  }
  return tenants;
}

function tablaOf(n: number): TablaSubida {
  const nombre = `maestro_${n}`;
  const query = `SELECT * FROM ${nombre} WHERE modificado > @ultimaSync`;
  return { nombre, tipoCampo: nombre, primaryKey: 'codigo', incremental: true, process: { query } };
}

/** A SQL Server with the table that all tenants read. */
async function fillSqlServer(postgresUrl: string): Promise<SqlTarget> {
  const { target, stop } = await openSqlServer(postgresUrl, { runs: 'apart' });
  releases.push(stop);
  const rows = Array.from({ length: MAX_CHANGED }, (_, n) => `(${n}, '${codigoOf(n)}', N'Ferretería ñ ${n}', ${n}.5)`);
  await runSql(
    target,
    `CREATE TABLE maestro (n INT NOT NULL PRIMARY KEY, codigo VARCHAR(20) NOT NULL, nombre NVARCHAR(100) NOT NULL,
       precio DECIMAL(18,4) NOT NULL)
     INSERT INTO maestro VALUES ${rows.join(', ')}`,
  );
  return target;
}

/** 0 to MAX_CHANGED rows, how many the clock says; all of them have changed. */
function queryOf(n: number): TablaSubida {
  const nombre = `maestro_${n}`;
  const many = `(DATEPART(millisecond, SYSDATETIME()) + ${below(1000)}) % ${MAX_CHANGED + 1}`;
  const query = `SELECT codigo, nombre, precio, SYSDATETIME() AS leido FROM maestro WHERE n < ${many}`;
  return { nombre, tipoCampo: nombre, primaryKey: 'codigo', process: { query } };
}

async function runAgent({ folder }: Tenant): Promise<Outcome> {
  const env = { SYNC_CONFIG_PASSWORD: PASSWORD };
  const { code, stdout, stderr } = await startAgent(['sync', '--carpeta', folder], { env }).finished;
  const output = stdout + stderr;
  // In its log a refusal that was overcome reads like one that was not; the exit code tells them apart.
  for (const [, error] of output.matchAll(/\[([A-Z_]+)\]/g)) count(retried, error!);
  if (code !== 0) count(final, `exit code ${code}`);
  const uploads = [...output.matchAll(/: (\d+) filas subidas/g)];
  const rows = uploads.reduce((sum, [, filas]) => sum + Number(filas), 0);
  return { uploads: uploads.length, rows, failed: code !== 0 };
}

interface Sample {
  /** Seconds since the first. */
  at: number;
  pgClass: number;
  pgAttributeBytes: number;
  connections: number;
  rssAnon: number;
  rss: number;
}

async function sampleUntil(
  ended: AbortSignal,
  { running }: ServerFixture,
  observer: pg.Client,
  samples: Sample[],
): Promise<void> {
  const startedAt = performance.now();
  while (!ended.aborted) {
    const { rows } = await observer.query<Pick<Sample, 'pgClass' | 'pgAttributeBytes' | 'connections'>>(`
      SELECT (SELECT count(*)::integer FROM pg_class) AS "pgClass",
             pg_total_relation_size('pg_attribute')::float8 AS "pgAttributeBytes",
             (SELECT count(*)::integer FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()) AS connections`);
    const status = await readFile(`/proc/${running.child.pid}/status`, 'utf8');
    const bytesOf = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024;
    const at = (performance.now() - startedAt) / 1000;
    samples.push({ at, ...rows[0]!, rssAnon: bytesOf('RssAnon'), rss: bytesOf('VmRSS') });
    await sleep(SAMPLE_MS, undefined, { signal: ended }).catch(() => {});
  }
}

/** Every row that was confirmed is there, and no other but those whose upload failed, maybe after it had been applied. */
async function expectRows(observer: pg.Client, tenants: readonly Tenant[]): Promise<void> {
  const { rows } = await observer.query<{ n: number }>('SELECT count(*)::integer AS n FROM parametros_maestros');
  const stored = rows[0]!.n;
  const { confirmed, unsure } = countSent(tenants);
  if (stored < confirmed || stored > confirmed + unsure) {
    throw new Error(`${stored} rows are stored, ${confirmed} were confirmed and ${unsure} more sent`);
  }
  console.log(`\n${confirmed} rows were confirmed, ${unsure} more sent, ${stored} are stored`);
}

function print({ outcomes, seconds }: Awaited<ReturnType<typeof runAll>>, samples: readonly Sample[]): Aim[] {
  const sorted = outcomes.map((outcome) => outcome.seconds).sort((a, b) => a - b);
  const percentile = (p: number) => sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))]!;
  const sum = (of: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + of(outcome), 0);
  const rate = (n: number) => (n / seconds).toFixed(1);
  const who = flags.agents ? 'agent processes' : 'simulated agents';
  console.log(
    `\n${cpus()[0]?.model}, ${cpus().length} cores; ${TENANTS} tenants, ${AT_A_TIME} ${who} at a time, ${PROCESSES} server processes\n`,
  );
  console.log('| s | runs | failed | runs/s | uploads/s | rows/s | p50 ms | p90 ms | p99 ms |');
  console.log('|---:|---:|---:|---:|---:|---:|---:|---:|---:|');
  const figures = [seconds.toFixed(1), outcomes.length, sum(({ failed }) => Number(failed)), rate(outcomes.length)];
  figures.push(rate(sum(({ uploads }) => uploads)), rate(sum(({ rows }) => rows)));
  figures.push(...[50, 90, 99].map((p) => (percentile(p) * 1000).toFixed(0)));
  console.log(`| ${figures.join(' | ')} |`);
  console.log(`\n| error | ${flags.agents ? 'said' : 'asked again'} | ended a table or run |\n|---|---:|---:|`);
  for (const code of new Set([...retried.keys(), ...final.keys()])) {
    console.log(`| ${code} | ${retried.get(code) ?? 0} | ${final.get(code) ?? 0} |`);
  }
  if (retried.size + final.size === 0) console.log('| none | 0 | 0 |');
  return printGrowth(samples);
}

function printGrowth(samples: readonly Sample[]): Aim[] {
  const total = samples.at(-1)!.at;
  const window = Math.min(60, total / 2);
  const first = samples.filter(({ at }) => at <= window);
  const last = samples.filter(({ at }) => at >= total - window);
  console.log(
    `\n| mean of | first ${window.toFixed(0)} s | last ${window.toFixed(0)} s | highest |\n|---|---:|---:|---:|`,
  );
  const line = (what: string, of: (sample: Sample) => number, digits: number) => {
    const mean = (some: readonly Sample[]) => some.reduce((sum, sample) => sum + of(sample), 0) / some.length;
    const highest = Math.max(...samples.map(of));
    console.log(`| ${what} | ${[mean(first), mean(last), highest].map((n) => n.toFixed(digits)).join(' | ')} |`);
    return mean(last) / mean(first);
  };
  const catalogue = line('rows of pg_class', ({ pgClass }) => pgClass, 0);
  line('pg_attribute, kB', ({ pgAttributeBytes }) => pgAttributeBytes / 1000, 0);
  line('server RssAnon, MB', ({ rssAnon }) => rssAnon / 1e6, 1);
  const memory = line('server VmRSS, MB', ({ rss }) => rss / 1e6, 1);
  line('connections of PostgreSQL', ({ connections }) => connections, 1);
  return [
    { what: `${TENANTS} small tenants: rows of pg_class, last minute × first`, value: catalogue, atMost: 1.01 },
    { what: `${TENANTS} small tenants: memory of the server, last minute × first`, value: memory, atMost: 1.05 },
  ];
}
