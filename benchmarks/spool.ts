import pg from 'pg';
import { makeRandom } from '../fixtures/chaos/faults.ts';
import { type FaultProxy, startFaultProxy } from '../fixtures/chaos/proxy.ts';
import { startPostgres } from '../fixtures/postgres.ts';
import type { Finished } from '../fixtures/processes.ts';
import { createTenant, initArguments, startServerFixture } from '../fixtures/system.ts';
import { limits } from '../protocol/constants.ts';
import { expectZero, releases, runBenchmark, useBuiltPrograms } from './run.ts';
import { openSource } from './source.ts';

/**
 * `npm run bench:spool [-- rows [pairs [cuts]]]`: what the spool costs, and what resuming costs.
 *
 * Throughput: uploads of the same rows into an empty table with the spool and with `--sin-spool`, in turns, and the ratio
 * of each pair. Resuming: the line is cut once, at a random moment of the upload, and the bytes that go up are compared
 * with those of an upload that is not cut.
 */
useBuiltPrograms();

const [ROWS = 1_000_000, PAIRS = 5, CUTS = 10] = process.argv.slice(2).map(Number);
const SEED = 20_240_115;
/** Of NDJSON (rows.ts). */
const LINE_BYTES = 277;
const mega = (bytes: number) => (bytes / 1e6).toFixed(2);

await runBenchmark(run);

async function run(): Promise<void> {
  const postgres = await startPostgres();
  releases.push(postgres.stop);
  const { sql, table, stop } = await openSource(postgres.url, ROWS);
  releases.push(stop);
  const server = await startServerFixture(postgres.url);
  releases.push(server.stop);
  const { hostname: host, port } = new URL(server.url);
  const proxy = await startFaultProxy({ host, port: Number(port) });
  releases.push(proxy.close);
  const tenant = await createTenant(server, 'bench', sql);
  releases.push(tenant.remove);
  await tenant.configure({
    tablasSubida: [
      { nombre: 'filas', primaryKey: 'codigo', process: { query: `SELECT TOP (${ROWS}) * FROM ${table}` } },
    ],
  });
  const throughProxy = initArguments({ ...server, url: `http://127.0.0.1:${proxy.port}` }, tenant, sql);
  const upload = async (...flags: string[]): Promise<Finished> => {
    await empty(server.databaseUrl);
    const done = await tenant.agent(['sync', '--upload-only', ...flags]);
    if (done.code !== 0) throw new Error(`${done.stdout}${done.stderr}`);
    return done;
  };
  await expectZero(tenant, initArguments(server, tenant, sql));
  await measureThroughput(upload);
  await expectZero(tenant, throughProxy);
  await measureResuming(proxy, upload);
}

async function measureThroughput(upload: (...flags: string[]) => Promise<Finished>): Promise<void> {
  await upload();
  console.log(`\n| ${ROWS} rows, pair | with spool s | --sin-spool s | ratio |\n|---:|---:|---:|---:|`);
  const ratios: number[] = [];
  for (let pair = 1; pair <= PAIRS; pair++) {
    // Each comes first in every other pair.
    const first = pair % 2 === 1;
    const before = first ? await upload() : undefined;
    const without = await upload('--sin-spool');
    const withSpool = before ?? (await upload());
    ratios.push(withSpool.seconds / without.seconds);
    console.log(
      `| ${pair} | ${withSpool.seconds.toFixed(2)} | ${without.seconds.toFixed(2)} | ${ratios.at(-1)!.toFixed(3)} |`,
    );
  }
  ratios.sort((a, b) => a - b);
  console.log(`\nmedian ratio of ${PAIRS} pairs: ${ratios[ratios.length >> 1]!.toFixed(3)}`);
}

async function measureResuming(proxy: FaultProxy, upload: () => Promise<Finished>): Promise<void> {
  const random = makeRandom(SEED);
  proxy.arm(undefined);
  await upload();
  const whole = proxy.bytes.subida;
  // A chunk is closed at so much NDJSON.
  const chunk = (whole * limits.chunkTargetBytes) / (ROWS * LINE_BYTES);
  console.log(`\nnot cut: ${mega(whole)} MB go up, ${mega(chunk)} MB a chunk, two connections`);
  console.log('\n| cut after MB | MB that went up | sent again MB | chunks |\n|---:|---:|---:|---:|');
  for (let cut = 1; cut <= CUTS; cut++) {
    const after = Math.floor(random() * whole);
    proxy.arm({ kind: 'cut', direction: 'subida', after });
    await upload();
    if (proxy.fired !== 1) throw new Error('the line was not cut');
    const again = proxy.bytes.subida - whole;
    console.log(`| ${mega(after)} | ${mega(proxy.bytes.subida)} | ${mega(again)} | ${(again / chunk).toFixed(2)} |`);
  }
}

/** As before the first upload. */
async function empty(databaseUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  await client.query('TRUNCATE parametros_maestros; CHECKPOINT');
  await client.end();
}
