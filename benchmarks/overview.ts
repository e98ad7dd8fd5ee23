import pg from 'pg';
import { createScratchDatabase, startPostgres } from '../fixtures/postgres.ts';
import { migrate } from '../server/postgres/migrate.ts';
import type { Connection } from '../server/postgres/pool.ts';
import { OVERVIEW, readOverview } from '../server/tenants/overview.ts';
import { type Aim, printAims, releases, runBenchmark } from './run.ts';

/**
 * `npm run bench:overview [-- tenants [entries]]`: what it costs to know how all tenants stand, which `/metrics` and `/metrics/peores` ask
 * for at most once a minute. `entries` of each lie in the last ten weeks.
 */
const TENANTS = Number(process.argv[2] ?? 10_000);
const ENTRIES = Number(process.argv[3] ?? 200);
const RUNS = 5;
const AIM_MS = 3000;

if (import.meta.main) printAims(await runBenchmark(run));

async function run(): Promise<Aim[]> {
  const postgres = await startPostgres();
  releases.push(postgres.stop);
  const scratch = await createScratchDatabase(postgres.url);
  await migrate(scratch.url);
  const pool = new pg.Pool({ connectionString: scratch.url, max: 1 });
  releases.push(() => pool.end());
  const connection: Connection = await pool.connect();
  releases.push(async () => connection.release());
  await fill(connection);
  const times: number[] = [];
  for (let n = 0; n < RUNS; n += 1) {
    const began = performance.now();
    const { tenants } = await readOverview(connection);
    if (tenants !== TENANTS) throw new Error(`${tenants} tenants of ${TENANTS}`);
    times.push(performance.now() - began);
  }
  const { rows } = await connection.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(
    `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${OVERVIEW}`,
  );
  const plan = rows[0]!['QUERY PLAN'][0].Plan;
  const blocks = plan['Shared Hit Blocks']! + plan['Shared Read Blocks']!;
  const median = times.toSorted((one, other) => one - other)[Math.floor(RUNS / 2)]!;
  console.log(
    '\n| tenants | entries | ms, median | ms, worst | blocks of 8 KB looked at |\n|---:|---:|---:|---:|---:|',
  );
  console.log(
    `| ${TENANTS} | ${TENANTS * ENTRIES} | ${Math.round(median)} | ${Math.round(Math.max(...times))} | ${blocks} |`,
  );
  return [{ what: `ms to know how ${TENANTS} tenants stand`, value: median, atMost: AIM_MS }];
}

async function fill(connection: Connection): Promise<void> {
  await connection.query(
    `INSERT INTO sync_configurations ("tenantId", "sqlServerHost", "sqlServerDatabase", "sqlServerUser", "sqlServerPassword", "configuracionTablas")
     SELECT 'tenant-' || n, 'h', 'd', 'u', 'p', '{}' FROM generate_series(1, $1::integer) n`,
    [TENANTS],
  );
  await connection.query(`SELECT sync_semana_logs(now() - make_interval(days => n)) FROM generate_series(0, 70, 7) n`);
  // In the order of time, as they come.
  await connection.query(
    `INSERT INTO sync_logs ("tenantId", direccion, tabla, fase, estado, "registrosAfectados", "duracionMs", mensaje, "fechaInicio", "createdAt")
     SELECT 'tenant-' || 1 + n % $1::integer, 'upload', 'tabla-' || n % 10, 'process', CASE n % 50 WHEN 0 THEN 'error' ELSE 'exitoso' END, 5, 10,
       '5 filas recibidas: 2 nuevas, 3 cambiadas, 0 desactivadas', now(), now() - interval '70 days' * (1 - n / ($1::integer * $2::integer)::float8)
     FROM generate_series(1, $1::integer * $2::integer) n`,
    [TENANTS, ENTRIES],
  );
  await connection.query('ANALYZE');
}
