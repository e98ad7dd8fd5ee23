import { createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
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
import { downloadSchema, type Floor, measureFloor } from './floor.ts';
import { openFreebcp } from './freebcp.ts';
import { drawMemory, type MemoryCurve, sampleMemory } from './memory.ts';
import { type Aim, expectZero, printAims, releases, runBenchmark, useBuiltPrograms } from './run.ts';
import { linesOf, openSource, type Source } from './source.ts';

/**
 * `npm run bench [-- rows…] [--beside] [--draw FILE]`: uploads and downloads whole, through every real part, beside their
 * floor: the same rows by each step alone, one after the other, from a file on this machine. Prints a table; figures are
 * ratios within a run. `--beside`: the largest size once more, for a second tenant in the same table. `--draw`: memory
 * over time, as an SVG.
 */
interface Options {
  sizes: number[];
  beside: boolean;
  draw: string | undefined;
}

interface Line {
  filas: number;
  what: string;
  seconds: number;
  bytes: number;
  floor?: number | undefined;
  agent?: number;
  server?: number;
  cpu?: CpuSeconds;
}

const FIRST = 'upload, empty table';
const AGAIN = 'upload, nothing changed';
const BESIDE = 'upload, beside as many of another tenant';
const DOWNLOAD = 'download into #temp';
const MAX_MEGABYTES = 150;
/** Below this the process itself is what costs: no aims for time. */
const MANY_ROWS = 1_000_000;
/** Past it no floor is measured: it takes longer than what it is for, and the ratios of a million rows say the same. */
const FLOOR_ROWS = 1_000_000;

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    options: { beside: { type: 'boolean', default: false }, draw: { type: 'string' } },
    allowPositionals: true,
  });
  const sizes = positionals.length > 0 ? positionals.map(Number) : [100_000, 1_000_000];
  printAims(await measureSyncs({ sizes, beside: values.beside, draw: values.draw }));
}

export function measureSyncs(options: Options): Promise<Aim[]> {
  useBuiltPrograms();
  return runBenchmark(() => run(options));
}

async function run({ sizes, beside, draw }: Options): Promise<Aim[]> {
  const postgres = await startPostgres();
  releases.push(postgres.stop);
  const folder = await mkdtemp(join(tmpdir(), 'ax-sync-bench-'));
  releases.push(() => rm(folder, { recursive: true, force: true }));
  const source = await openSource(postgres.url, Math.max(...sizes));
  releases.push(source.stop);
  const bcp = await openFreebcp(source.sql, folder);
  const lines: Line[] = [];
  const curves: MemoryCurve[] = [];
  const aims: Aim[] = [];
  for (const rows of sizes) {
    const file = join(folder, 'filas.ndjson');
    await pipeline(Readable.from(linesOf(rows)), createWriteStream(file));
    const bytes = (await stat(file)).size;
    const floor = () =>
      rows > FLOOR_ROWS ? undefined : measureFloor(postgres.url, source.sql, { file, rows, folder, bcp });
    const before = await floor();
    // A server of its own for each size: its peak memory is that size's.
    const server = await startServerFixture(postgres.url);
    try {
      const twice = beside && rows === Math.max(...sizes);
      const own = await measureSize({ server, source, rows, bytes, twice, curves });
      // Again: the speed of a shared machine drifts, and so its drift counts half.
      const both = meanOf(before, await floor());
      lines.push(...own.map((line) => ({ ...line, floor: floorOf(line, both) })));
      aims.push(...aimsOf(rows, lines.slice(-own.length), both));
    } finally {
      await server.stop();
    }
    print(lines);
  }
  aims.push(...aimsOfGrowth(lines));
  if (draw !== undefined) drawMemory(draw, curves);
  return aims;
}

interface Size {
  server: ServerFixture;
  source: Source;
  rows: number;
  bytes: number;
  twice: boolean;
  curves: MemoryCurve[];
}

async function measureSize({ server, source, rows, bytes, twice, curves }: Size): Promise<Line[]> {
  const tenant = await openTenant(server, source, `bench-${rows}`, rows);
  try {
    const measure = async (who: TenantFixture, what: string, flag: string, size: number): Promise<Line> => {
      const line = await measureAgent(server, source, who, { what, rows, args: ['sync', flag], curves });
      return { ...line, bytes: size };
    };
    const lines: Line[] = [await measure(tenant, FIRST, '--upload-only', bytes)];
    await expectCount(server, rows);
    lines.push(await measure(tenant, AGAIN, '--upload-only', bytes));
    // As autovacuum would, some time or other, beside what is measured.
    await inDatabase(server, 'VACUUM ANALYZE parametros_maestros');
    lines.push(await measure(tenant, DOWNLOAD, '--download-only', await downloadBytes(tenant)));
    if (!twice) return lines;
    const other = await openTenant(server, source, `bench-otro-${rows}`, rows);
    try {
      lines.push(await measure(other, BESIDE, '--upload-only', bytes));
      await expectCount(server, 2 * rows);
    } finally {
      await other.remove();
    }
    return lines;
  } finally {
    await tenant.remove();
  }
}

function meanOf(one: Floor | undefined, other: Floor | undefined): Floor | undefined {
  if (one === undefined || other === undefined) return undefined;
  const mean = (a: number, b: number) => (a + b) / 2;
  return {
    first: mean(one.first, other.first),
    again: mean(one.again, other.again),
    copyTo: mean(one.copyTo, other.copyTo),
    bulkLoad: mean(one.bulkLoad, other.bulkLoad),
    freebcp: one.freebcp === undefined ? undefined : mean(one.freebcp, other.freebcp!),
  };
}

function floorOf({ what }: Line, floor: Floor | undefined): number | undefined {
  if (floor === undefined) return undefined;
  if (what === DOWNLOAD) return Math.max(floor.copyTo, floor.bulkLoad);
  return what === AGAIN ? floor.again : floor.first;
}

async function openTenant(
  server: ServerFixture,
  { sql, table }: Source,
  name: string,
  rows: number,
): Promise<TenantFixture> {
  const tenant = await createTenant(server, name, sql);
  await tenant.configure({
    tablasSubida: [
      { nombre: 'filas', primaryKey: 'codigo', process: { query: `SELECT TOP (${rows}) * FROM ${table}` } },
    ],
    tablasBajada: [
      {
        nombre: 'bajada',
        primaryKey: 'codigo',
        schema: downloadSchema,
        process: { query: 'parametros_maestros.tipo_campo=fila' },
        // What the tenant's own SQL does with the rows is not ours to measure.
        post_process: { enabled: true, ejecutarEn: 'destino', sql: 'SELECT COUNT(*) FROM {temp_table}' },
      },
    ],
  });
  await expectZero(tenant, initArguments(server, tenant, sql));
  return tenant;
}

/** A run of the agent, from the start of its process to its end. */
async function measureAgent(
  server: ServerFixture,
  source: Source,
  { folder, password }: TenantFixture,
  { what, rows, args, curves }: { what: string; rows: number; args: string[]; curves: MemoryCurve[] },
): Promise<Omit<Line, 'bytes'>> {
  const env = { SYNC_CONFIG_PASSWORD: password };
  const agent = startAgent([...args, '--carpeta', folder], { cwd: folder, env, watchesMemory: true });
  const cpu = countCpu(server.running.child.pid, source.pid);
  const memory = { agent: sampleMemory(agent.child.pid), server: sampleMemory(server.running.child.pid) };
  const { code, seconds, peakRss } = await agent.finished;
  for (const process of ['agent', 'server'] as const) {
    curves.push({ process, what, rows, samples: memory[process].stop() });
  }
  if (code !== 0) throw new Error(`ax-sync-client ${args.join(' ')}:\n${agent.output()}`);
  return { filas: rows, what, seconds, agent: peakRss, server: server.running.peakRss(), cpu: cpu.stop() };
}

async function expectCount(server: ServerFixture, count: number): Promise<void> {
  const [row] = await inDatabase(server, 'SELECT count(*)::int AS n FROM parametros_maestros');
  if (row?.n !== count) throw new Error(`${row?.n} rows arrived instead of ${count}`);
}

async function inDatabase(server: ServerFixture, sql: string): Promise<{ n?: number }[]> {
  const client = new pg.Client({ connectionString: server.databaseUrl });
  await client.connect();
  try {
    return (await client.query<{ n?: number }>(sql)).rows;
  } finally {
    await client.end();
  }
}

async function downloadBytes(tenant: TenantFixture): Promise<number> {
  const headers = { Accept: 'application/x-ndjson', 'Accept-Encoding': 'identity' };
  const response = await tenant.request(`/download/${tenant.tenant}?tabla=bajada`, { headers });
  let total = 0;
  for await (const piece of response.body!) total += piece.length;
  return total;
}

function aimsOf(rows: number, lines: readonly Line[], floor: Floor | undefined): Aim[] {
  const ratio = (what: string) => {
    const { seconds, floor } = lines.find((line) => line.what === what)!;
    return seconds / floor!;
  };
  const download = lines.find(({ what }) => what === DOWNLOAD)!;
  const aims: Aim[] = [];
  for (const process of ['agent', 'server'] as const) {
    const peak = Math.max(...lines.map((line) => line[process]!)) / 1e6;
    aims.push({ what: `peak of the ${process}, ${rows} rows, MB`, value: peak, atMost: MAX_MEGABYTES });
  }
  if (rows < MANY_ROWS || floor === undefined) return aims;
  const { freebcp, copyTo, bulkLoad } = floor;
  const alone = `COPY TO alone ${copyTo.toFixed(2)} s, bulk load alone ${bulkLoad.toFixed(2)} s`;
  console.log(
    `\n${rows} rows: ${alone}, freebcp in ${freebcp?.toFixed(2) ?? 'not installed'}${freebcp === undefined ? '' : ' s'}`,
  );
  aims.push(
    { what: `${FIRST}, ${rows} rows, × floor`, value: ratio(FIRST), atMost: 1.2 },
    { what: `${AGAIN}, ${rows} rows, × floor`, value: ratio(AGAIN), atMost: 1.3 },
    { what: `${DOWNLOAD}, ${rows} rows, × its slower half alone`, value: ratio(DOWNLOAD), atMost: 1.5 },
  );
  if (freebcp !== undefined) {
    aims.push({ what: `${DOWNLOAD}, ${rows} rows, × freebcp in`, value: freebcp / download.seconds, atLeast: 2 });
  }
  return aims;
}

/** Seconds a row, the largest size against the smallest: of all three, and of a table that holds another tenant's rows. */
function aimsOfGrowth(lines: readonly Line[]): Aim[] {
  const sizes = [...new Set(lines.map(({ filas }) => filas))];
  const smallest = Math.min(...sizes);
  const largest = Math.max(...sizes);
  if (smallest === largest) return [];
  const cost = (what: string, rows: number) => {
    const line = lines.find((candidate) => candidate.what === what && candidate.filas === rows);
    return line === undefined ? undefined : line.seconds / rows;
  };
  const growth = (what: string, base: string): Aim[] => {
    const value = cost(what, largest);
    if (value === undefined) return [];
    const name = `${what}: cost of a row at ${largest} rows × that of ${base} at ${smallest}`;
    return [{ what: name, value: value / cost(base, smallest)!, atMost: 1.15 }];
  };
  return [...[FIRST, AGAIN, DOWNLOAD].flatMap((what) => growth(what, what)), ...growth(BESIDE, FIRST)];
}

function print(lines: readonly Line[]): void {
  const mega = (n: number | undefined) => (n === undefined ? '' : String(Math.round(n / 1e6)));
  console.log(
    `\n${cpus()[0]?.model}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Bun ${Bun.version}\n`,
  );
  console.log('| rows | what | s | rows/s | MB/s | floor s | × floor | agent peak MB | server peak MB |');
  console.log('|---:|---|---:|---:|---:|---:|---:|---:|---:|');
  for (const { filas, what, seconds, bytes, floor, agent, server } of lines) {
    const ratio = floor === undefined ? '' : (seconds / floor).toFixed(2);
    const speed = `${Math.round(filas / seconds)} | ${(bytes / 1e6 / seconds).toFixed(1)}`;
    console.log(
      `| ${filas} | ${what} | ${seconds.toFixed(2)} | ${speed} | ${floor?.toFixed(2) ?? ''} | ${ratio} | ${mega(agent)} | ${mega(server)} |`,
    );
  }
  console.log(
    '\n| rows | what | s | agent | server | PostgreSQL | stand-in | of all cores |\n|---:|---|---:|---:|---:|---:|---:|---:|',
  );
  for (const { filas, what, seconds, cpu } of lines) {
    if (cpu === undefined) continue;
    const { agent, server, postgres, standIn } = cpu;
    const used = (agent + server + postgres + (standIn ?? 0)) / seconds / cpus().length;
    const parts = [seconds, agent, server, postgres, standIn].map((value) => value?.toFixed(1) ?? '');
    console.log(`| ${filas} | ${what} | ${parts.join(' | ')} | ${Math.round(100 * used)} % |`);
  }
}
