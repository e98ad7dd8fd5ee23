import { readdir, stat } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
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
import type { Cambios } from '../protocol/tenant-config/changes.ts';
import { type CpuSeconds, countCpu } from './cpu.ts';
import { openFreebcp } from './freebcp.ts';
import { type Aim, expectZero, printAims, releases, runBenchmark, useBuiltPrograms } from './run.ts';
import { changeSource, openSource, type Source } from './source.ts';

/**
 * `npm run bench:changes [-- rows…]`: what a table costs of which nothing or little has changed (`cambios: "huellas"`), beside our
 * reading of the same rows alone and `freebcp queryout`, one after the other on this machine. The agent is measured from the start of
 * its process to its end; the bytes are those between it and the server, both ways.
 */
export interface Line {
  what: string;
  seconds: number;
  bytes: number;
  agentPeak: number;
  cpu: CpuSeconds;
}

const CHANGE = { changedEach: 100, goneEach: 1000 };
const PLAIN = 'first upload, completo';
const FIRST = 'first upload, huellas';
const SAME = 'huellas, nothing changed';
const SOME = 'huellas, 1 % changed, 0.1 % gone';

if (import.meta.main) {
  const sizes = process.argv.slice(2).map(Number);
  printAims(await measureChanges(sizes.length === 0 ? [1_000_000] : sizes));
}

export function measureChanges(sizes: readonly number[]): Promise<Aim[]> {
  useBuiltPrograms();
  return runBenchmark(async () => {
    const aims: Aim[] = [];
    for (const rows of sizes) aims.push(...(await measureSize(rows)));
    return aims;
  });
}

async function measureSize(rows: number): Promise<Aim[]> {
  const postgres = await startPostgres();
  releases.push(postgres.stop);
  let source = await openSource(postgres.url, rows);
  releases.push(() => source.stop());
  const server = await startServerFixture(postgres.url);
  releases.push(server.stop);
  const wire = await countBytes(server.url);
  releases.push(wire.close);
  const alone = [await readAlone(source, rows)];
  const freebcp = await measureFreebcp(source, rows);
  const lines: Line[] = [];
  const measure = async (tenant: TenantFixture, what: string) => {
    lines.push(await measureAgent(server, source, tenant, wire, what));
  };
  const plain = await openTenant(server, source, wire.url, 'completo', rows);
  await measure(plain, PLAIN);
  // Both into a table that is empty.
  await settle(server, 'TRUNCATE parametros_maestros');
  const tenant = await openTenant(server, source, wire.url, 'huellas', rows);
  await measure(tenant, FIRST);
  await settle(server);
  await measure(tenant, SAME);
  alone.push(await readAlone(source, rows));
  const ledger = await sizeOf(join(tenant.folder, 'huellas'));
  source = await changeSource(postgres.url, source, rows, CHANGE);
  await measure(tenant, SOME);
  await settle(server);
  await measure(tenant, `${SAME} since`);
  await plain.remove();
  await tenant.remove();
  const read = (alone[0]! + alone[1]!) / 2;
  print(rows, lines, { read, freebcp });
  const one = (what: string) => lines.find((line) => line.what === what)!;
  const aims: Aim[] = [
    { what: `${SAME}, ${rows} rows, × reading alone`, value: one(SAME).seconds / read, atMost: 1.5 },
    { what: `${SAME}, ${rows} rows, KB on the wire`, value: one(SAME).bytes / 1000, atMost: 20 },
    { what: `${SAME}, ${rows} rows, CPU s of PostgreSQL`, value: one(SAME).cpu.postgres, atMost: 0.3 },
    { what: `${SOME}, ${rows} rows, × reading alone`, value: one(SOME).seconds / read, atMost: 2 },
    {
      what: `${SOME}, ${rows} rows, share of the bytes of all`,
      value: one(SOME).bytes / one(FIRST).bytes,
      atMost: 0.03,
    },
    {
      what: `${FIRST}, ${rows} rows, × without a ledger`,
      value: one(FIRST).seconds / one(PLAIN).seconds,
      atMost: 1.05,
    },
    { what: `${SAME}, ${rows} rows, peak of the agent, MB`, value: one(SAME).agentPeak / 1e6, atMost: 150 },
    { what: `ledger, ${rows} rows, MB a million`, value: ledger / rows, atMost: 20 },
  ];
  if (freebcp !== undefined) {
    aims.push({ what: `${SAME}, ${rows} rows, × freebcp queryout`, value: one(SAME).seconds / freebcp, atMost: 1 });
  }
  return aims;
}

async function openTenant(
  server: ServerFixture,
  { sql, table }: Source,
  url: string,
  cambios: Cambios,
  rows: number,
): Promise<TenantFixture> {
  const tenant = await createTenant(server, `bench-${cambios}-${rows}`, sql);
  await tenant.configure({
    tablasSubida: [
      { nombre: 'filas', primaryKey: 'codigo', cambios, process: { query: `SELECT TOP (${rows}) * FROM ${table}` } },
    ],
  });
  await expectZero(tenant, initArguments({ ...server, url }, tenant, sql));
  return tenant;
}

/** One run of the agent, from the start of its process to its end. Throws where it does not end well. */
export async function measureAgent(
  server: ServerFixture,
  source: Source,
  { folder, password }: TenantFixture,
  wire: ByteCount,
  what: string,
): Promise<Line> {
  const before = wire.bytes;
  const agent = startAgent(['sync', '--carpeta', folder], {
    cwd: folder,
    env: { SYNC_CONFIG_PASSWORD: password },
    watchesMemory: true,
  });
  const cpu = countCpu(server.running.child.pid, source.pid);
  const { code, seconds, peakRss } = await agent.finished;
  if (code !== 0) throw new Error(`${what}:\n${agent.output()}`);
  return { what, seconds, bytes: wire.bytes - before, agentPeak: peakRss, cpu: cpu.stop() };
}

/** Seconds of a reading to NDJSON from the login on, in this process. */
async function readAlone({ sql, table }: Source, rows: number): Promise<number> {
  const startedAt = performance.now();
  const { signal } = new AbortController();
  await withSqlServer({ ...sql, trustServerCertificate: true }, { signal }, async (db) => {
    let count = 0;
    for await (const block of db.readRows(`SELECT TOP (${rows}) * FROM ${table}`, { signal })) count += block.rows;
    if (count !== rows) throw new Error(`${count} rows were read, not ${rows}`);
  });
  return (performance.now() - startedAt) / 1000;
}

async function measureFreebcp({ sql, table }: Source, rows: number): Promise<number | undefined> {
  const bcp = await openFreebcp(sql, tmpdir());
  if (bcp === undefined) return undefined;
  const startedAt = performance.now();
  await bcp([`SELECT TOP (${rows}) * FROM ${table}`, 'queryout', '/dev/null'], rows);
  return (performance.now() - startedAt) / 1000;
}

/** As PostgreSQL would, some time or other: what an upload leaves it to do is not counted against the next one. */
export async function settle(
  { databaseUrl }: ServerFixture,
  sql = 'VACUUM ANALYZE parametros_maestros',
): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    await client.query(sql);
    await client.query('CHECKPOINT');
  } finally {
    await client.end();
  }
}

export interface ByteCount {
  url: string;
  bytes: number;
  close(): Promise<void>;
}

/** Passes everything on to `target`, and counts it, both ways. */
export async function countBytes(target: string): Promise<ByteCount> {
  const { hostname, port } = new URL(target);
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('data', (bytes) => {
        count.bytes += bytes.length;
      });
      from.on('error', () => to.destroy());
      from.pipe(to);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const count: ByteCount = {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    bytes: 0,
    close: async () => {
      server.close();
    },
  };
  return count;
}

export async function sizeOf(folder: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder)) bytes += (await stat(join(folder, name))).size;
  return bytes;
}

function print(rows: number, lines: readonly Line[], alone: { read: number; freebcp: number | undefined }): void {
  console.log(`\n${cpus()[0]?.model}, ${cpus().length} cores, Bun ${Bun.version}, ${rows} rows`);
  console.log(
    `reading alone ${alone.read.toFixed(2)} s, freebcp queryout ${alone.freebcp?.toFixed(2) ?? 'not installed'}`,
  );
  console.log(
    '\n| what | s | × reading alone | on the wire, KB | agent peak MB | CPU s: agent | server | PostgreSQL | stand-in |',
  );
  console.log('|---|---:|---:|---:|---:|---:|---:|---:|---:|');
  for (const { what, seconds, bytes, agentPeak, cpu } of lines) {
    const { agent, server, postgres, standIn } = cpu;
    const parts = [agent, server, postgres, standIn].map((value) => value?.toFixed(1) ?? '');
    const ratio = (seconds / alone.read).toFixed(2);
    const kilo = (bytes / 1000).toFixed(1);
    console.log(
      `| ${what} | ${seconds.toFixed(2)} | ${ratio} | ${kilo} | ${Math.round(agentPeak / 1e6)} | ${parts.join(' | ')} |`,
    );
  }
}
