import pg from 'pg';
import { withSqlServer } from '../client/sqlserver/sql-server.ts';
import { startPostgres } from '../fixtures/postgres.ts';
import { startAgent } from '../fixtures/processes.ts';
import {
  createTenant,
  initArguments,
  type ServerFixture,
  startServerFixture,
  type TenantFixture,
} from '../fixtures/system.ts';
import { type CpuSeconds, countCpu } from './cpu.ts';
import { type Aim, expectZero, printAims, releases, runBenchmark, useBuiltPrograms } from './run.ts';
import { openSource, type Source } from './source.ts';

/**
 * `npm run bench:verify [-- rows]`: `verify` of a table that is equal, and of one with 1,000 differences, beside our reading of the same
 * rows alone, one after the other on this machine; the agent from the start of its process to its end. The second look at
 * what differed finds its rows by their keys, as SQL Server does by an index.
 */
const DIFFERENCES = { distintas: 400, faltan: 300, sobran: 300 };
const REPETITIONS = 3;

interface Line {
  what: string;
  seconds: number;
  agent: number;
  cpu: CpuSeconds;
}

if (import.meta.main) {
  const [rows = 1_000_000] = process.argv.slice(2).map(Number);
  printAims(await measureVerify(rows));
}

export function measureVerify(rows: number): Promise<Aim[]> {
  useBuiltPrograms();
  return runBenchmark(() => run(rows));
}

async function run(rows: number): Promise<Aim[]> {
  const postgres = await startPostgres();
  releases.push(postgres.stop);
  const source = await openSource(postgres.url, rows, { keyed: true });
  releases.push(source.stop);
  const server = await startServerFixture(postgres.url);
  releases.push(server.stop);
  const tenant = await createTenant(server, 'bench-verify', source.sql);
  const query = `SELECT TOP (${rows}) * FROM ${source.table}`;
  await tenant.configure({
    tablasSubida: [{ nombre: 'filas', primaryKey: 'codigo', bajas: 'desactivar', process: { query } }],
  });
  await expectZero(tenant, initArguments(server, tenant, source.sql));
  await expectZero(tenant, ['sync', '--upload-only']);
  await inDatabase(server, 'VACUUM ANALYZE parametros_maestros');
  const alone: number[] = [];
  const equal: Line[] = [];
  for (let i = 0; i < REPETITIONS; i++) {
    alone.push(await readAlone(source, query, rows));
    equal.push(await measure(server, source, tenant, 'equal', { rows, iguales: rows }));
  }
  await differ(server);
  const { distintas, faltan, sobran } = DIFFERENCES;
  const found = { rows, iguales: rows - distintas - faltan, ...DIFFERENCES };
  const different: Line[] = [];
  for (let i = 0; i < REPETITIONS; i++) {
    different.push(await measure(server, source, tenant, `${distintas + faltan + sobran} differences`, found));
  }
  await tenant.remove();
  const reading = median(alone);
  const lines = [medianOf(equal), medianOf(different)];
  print(rows, reading, lines);
  const peak = Math.max(...[...equal, ...different].map(({ agent }) => agent)) / 1e6;
  return [
    ...lines.map(({ what, seconds }) => ({
      what: `verify, ${what}, ${rows} rows, × reading alone`,
      value: seconds / reading,
      atMost: 2,
    })),
    { what: `verify, ${rows} rows, peak of the agent, MB`, value: peak, atMost: 150 },
    { what: `verify, ${rows} rows, peak of the server, MB`, value: server.running.peakRss() / 1e6, atMost: 150 },
  ];
}

async function readAlone({ sql }: Source, query: string, rows: number): Promise<number> {
  Bun.gc(true);
  const startedAt = performance.now();
  const signal = new AbortController().signal;
  let count = 0;
  await withSqlServer({ ...sql, trustServerCertificate: true }, { signal }, async (db) => {
    for await (const block of db.readRows(query, { signal })) count += block.rows;
  });
  if (count !== rows) throw new Error(`${count} rows were read instead of ${rows}`);
  return (performance.now() - startedAt) / 1000;
}

/** A run of `verify`, which has to find just this. */
async function measure(
  server: ServerFixture,
  source: Source,
  { folder, password }: TenantFixture,
  what: string,
  { rows, ...expected }: { rows: number; iguales: number },
): Promise<Line> {
  const env = { SYNC_CONFIG_PASSWORD: password };
  const agent = startAgent(['verify', '--json', '--carpeta', folder], { cwd: folder, env, watchesMemory: true });
  const cpu = countCpu(server.running.child.pid, source.pid);
  const { seconds, peakRss } = await agent.finished;
  const used = cpu.stop();
  const end = agent
    .output()
    .split('\n')
    .find((line) => line.includes('"evento":"fin"'));
  const [found] = (JSON.parse(end ?? '{"tablas":[]}') as { tablas: Record<string, number>[] }).tablas;
  for (const [name, value] of Object.entries({ filasOrigen: rows, ...expected })) {
    if (found?.[name] !== value) throw new Error(`${name} is ${found?.[name]} instead of ${value}:\n${agent.output()}`);
  }
  return { what, seconds, agent: peakRss, cpu: used };
}

/** Rows that the centre has otherwise, lacks, and has too much. */
async function differ(server: ServerFixture): Promise<void> {
  const { distintas, faltan, sobran } = DIFFERENCES;
  const each = (from: number, count: number) =>
    `codigo IN (SELECT codigo FROM parametros_maestros ORDER BY hashtext(codigo), codigo OFFSET ${from} LIMIT ${count})`;
  await inDatabase(server, `UPDATE parametros_maestros SET nombre = nombre || '.' WHERE ${each(0, distintas)}`);
  await inDatabase(server, `DELETE FROM parametros_maestros WHERE ${each(distintas, faltan)}`);
  await inDatabase(
    server,
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre)
     SELECT "tenantId", tipo_campo, 'X' || n, 'de más' FROM generate_series(1, ${sobran}) n,
       (SELECT "tenantId", tipo_campo FROM parametros_maestros LIMIT 1) una`,
  );
}

async function inDatabase(server: ServerFixture, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: server.databaseUrl });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

function medianOf(lines: readonly Line[]): Line {
  return lines.toSorted((a, b) => a.seconds - b.seconds)[Math.floor(lines.length / 2)]!;
}

function print(rows: number, reading: number, lines: readonly Line[]): void {
  console.log(
    '\n| rows | what | s | × reading alone | agent peak MB | CPU s: agent | server | PostgreSQL | stand-in |',
  );
  console.log('|---:|---|---:|---:|---:|---:|---:|---:|---:|');
  console.log(`| ${rows} | reading alone | ${reading.toFixed(2)} | 1.00 | | | | | |`);
  for (const { what, seconds, agent, cpu } of lines) {
    const used = [cpu.agent, cpu.server, cpu.postgres, cpu.standIn ?? 0].map((value) => value.toFixed(1));
    const ratio = (seconds / reading).toFixed(2);
    console.log(
      `| ${rows} | ${what} | ${seconds.toFixed(2)} | ${ratio} | ${Math.round(agent / 1e6)} | ${used.join(' | ')} |`,
    );
  }
}
