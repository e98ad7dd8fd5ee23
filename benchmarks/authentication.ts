import { startPostgres } from '../fixtures/postgres.ts';
import { createTenant, startServerFixture, type TenantFixture } from '../fixtures/system.ts';
import { pathTo } from '../protocol/endpoints.ts';
import type { ConfiguracionTablas } from '../protocol/tenant-config/config.ts';
import { countCpu } from './cpu.ts';
import { type Aim, printAims, releases, runBenchmark, useBuiltPrograms } from './run.ts';

/**
 * `npm run bench:auth [-- requests [tables [KB]]]`: what a tenant's configuration costs each of its requests. One after the other, of a
 * tenant without tables and of one with many: the state of an upload, which needs none of them, and its opening, which finds a
 * table among them.
 */
const REQUESTS = Number(process.argv[2] ?? 1000);
const TABLES = Number(process.argv[3] ?? 200);
const KILOBYTES = Number(process.argv[4] ?? 1000);
const WARM = 100;
const DIFFERENCE_MAX_MS = 0.5;
const UPLOAD = '1'.repeat(32);

if (import.meta.main) {
  useBuiltPrograms();
  printAims(await runBenchmark(run));
}

async function run(): Promise<Aim[]> {
  const postgres = await startPostgres();
  releases.push(postgres.stop);
  const unlimited = { RATE_LIMIT_PER_MINUTE: '1000000', RATE_LIMIT_ADDRESS_PER_MINUTE: '1000000' };
  const server = await startServerFixture(postgres.url, unlimited);
  releases.push(server.stop);
  const sql = { host: 'sql.local', port: 1433, database: 'd', user: 'u', password: 'p', encrypt: true };
  const sizes = [
    { name: 'pequeno', tables: 1, bytes: 100 },
    { name: 'grande', tables: TABLES, bytes: KILOBYTES * 1000 },
  ];
  console.log(
    '\n| tables | KB | request | ms, median | server CPU ms | PostgreSQL CPU ms |\n|---:|---:|---|---:|---:|---:|',
  );
  const medians: Record<string, number> = {};
  for (const { name, tables, bytes } of sizes) {
    const tenant = await createTenant(server, name, sql);
    releases.push(tenant.remove);
    await tenant.configure(configurationOf(tables, bytes));
    for (const [what, ask] of requestsOf(tenant)) {
      for (let n = 0; n < WARM; n += 1) await ask();
      const { pid } = server.running.child;
      const cpu = countCpu(pid, undefined);
      const median = await measure(ask);
      const { server: own } = cpu.stop();
      medians[`${name} ${what}`] = median;
      const each = [median, (own * 1000) / REQUESTS];
      console.log(
        `| ${tables} | ${Math.round(bytes / 1000)} | ${what} | ${each.map((ms) => ms.toFixed(2)).join(' | ')} |`,
      );
    }
  }
  const value = Math.max(0, medians['grande state']! - medians['pequeno state']!);
  return [{ what: `ms that ${TABLES} tables cost a request that needs none`, value, atMost: DIFFERENCE_MAX_MS }];
}

/** Tables whose SQL fills `bytes` together. */
function configurationOf(count: number, bytes: number): ConfiguracionTablas {
  const query = `SELECT id, nombre FROM t WHERE nombre <> N'${'x'.repeat(Math.max(0, Math.floor(bytes / count) - 110))}'`;
  const tables = Array.from({ length: count }, (_, n) => ({
    nombre: `tabla_${n}`,
    tipoCampo: `t${n}`,
    process: { query },
  }));
  return { tablasSubida: tables, tablasBajada: [] };
}

function requestsOf({ tenant, request }: TenantFixture): [string, () => Promise<void>][] {
  const ask = async (path: string, init?: RequestInit) => {
    const response = await request(path, init);
    const text = await response.text();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  };
  const id = (tenant === 'grande' ? '2' : '1') + UPLOAD.slice(1);
  const body = JSON.stringify({ tabla: 'tabla_0', modo: 'incremental', id });
  const post = { method: 'POST', headers: { 'content-type': 'application/json' }, body };
  return [
    ['opening', () => ask(pathTo('openUpload', { tenantId: tenant }), post)],
    ['state', () => ask(pathTo('findUpload', { tenantId: tenant, id }))],
  ];
}

async function measure(ask: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < REQUESTS; n += 1) {
    const started = performance.now();
    await ask();
    times.push(performance.now() - started);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)]!;
}
