import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { startPostgres } from '../fixtures/postgres.ts';
import { createTenant, type ServerFixture, startServerFixture, type TenantFixture } from '../fixtures/system.ts';
import { mediaTypes } from '../protocol/constants.ts';
import { digestOf, digestOfDigests, formatContentDigest } from '../protocol/digest.ts';
import { pathTo } from '../protocol/endpoints.ts';
import { readPeak, resetPeak } from './memory.ts';
import { lineOf } from './rows.ts';
import { type Aim, printAims, releases, runBenchmark, useBuiltPrograms } from './run.ts';

/**
 * `npm run bench:memory [-- runs]`: what stays in the server's process from one run to the next. One process serves them all, one after the
 * other: an upload of eight chunks in which nothing changes, a one-shot upload, and the table down again, with gzip and plain. Every so
 * often its garbage is collected twice, and what is left then is what counts: peaks and resident memory between collections go up and
 * down with V8's mood.
 */
const RUNS = Number(process.argv[2] ?? 200);
const TOLD = 20;
const CHUNKS = 8;
const CHUNK_ROWS = 5000;
/** What the first runs leave is code, caches and connections. */
const WARM = Math.min(RUNS / 2, 40);
const GROWTH_MAX_KB = 20;

interface Left {
  rss: number;
  heapUsed: number;
  external: number;
  arrayBuffers: number;
}

if (import.meta.main) printAims(await measureServerMemory());

export function measureServerMemory(): Promise<Aim[]> {
  useBuiltPrograms();
  return runBenchmark(run);
}

async function run(): Promise<Aim[]> {
  const postgres = await startPostgres();
  releases.push(postgres.stop);
  const file = join(tmpdir(), `ax-sync-memory-${process.pid}.json`);
  releases.push(() => rm(file, { force: true }));
  const unlimited = { RATE_LIMIT_PER_MINUTE: '1000000', RATE_LIMIT_ADDRESS_PER_MINUTE: '1000000' };
  const server = await startServerFixture(postgres.url, {
    ...unlimited,
    NODE_OPTIONS: `--import=${collectOnSignal(file)}`,
  });
  releases.push(server.stop);
  const sql = { host: 'sql.local', port: 1433, database: 'd', user: 'u', password: 'p', encrypt: true };
  const tenant = await createTenant(server, 'memoria', sql);
  releases.push(tenant.remove);
  await tenant.configure({
    tablasSubida: [{ nombre: 'filas', tipoCampo: 'fila', primaryKey: 'codigo', process: { query: 'SELECT 1' } }],
    tablasBajada: [{ nombre: 'bajada', process: { query: 'parametros_maestros.tipo_campo=fila' } }],
  });
  const chunks = Array.from({ length: CHUNKS }, (_, n) => gzipSync(linesOf(n * CHUNK_ROWS), { level: 2 }));

  console.log('\n| runs | peak MB | after collection: resident MB | heap MB | external MB | of it buffers MB |');
  console.log('|---:|---:|---:|---:|---:|---:|');
  const { pid } = server.running.child;
  const left = new Map<number, Left>();
  for (let n = 1; n <= RUNS; n += 1) {
    if (n % TOLD === 1) await resetPeak(pid);
    await runOnce(tenant, chunks);
    if (n % TOLD !== 0 && n !== RUNS) continue;
    const peak = await readPeak(pid);
    const now = await readLeft(server, file);
    left.set(n, now);
    const figures = [peak ?? 0, now.rss, now.heapUsed, now.external, now.arrayBuffers];
    console.log(`| ${n} | ${figures.map((bytes) => (bytes / 1e6).toFixed(1)).join(' | ')} |`);
  }
  const growth = (left.get(RUNS)!.rss - left.get(WARM)!.rss) / (RUNS - WARM) / 1000;
  return [{ what: `kB that stay of a run, from the ${WARM}th to the ${RUNS}th`, value: growth, atMost: GROWTH_MAX_KB }];
}

function linesOf(from: number): string {
  let text = '';
  for (let n = from; n < from + CHUNK_ROWS; n += 1) text += lineOf(n);
  return text;
}

async function runOnce(tenant: TenantFixture, chunks: readonly Buffer[]): Promise<void> {
  const name = tenant.tenant;
  const call = async (path: string, init: RequestInit): Promise<Response> => {
    const response = await tenant.request(path, init);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const post = (body: object) => ({
    method: 'POST',
    headers: { 'content-type': mediaTypes.json },
    body: JSON.stringify(body),
  });
  await (await call(pathTo('getConfig', { tenantId: name }), {})).text();
  const opened = await call(pathTo('openUpload', { tenantId: name }), post({ tabla: 'filas', modo: 'completo' }));
  const { id } = (await opened.json()) as { id: string };
  const digests = chunks.map(digestOf);
  for (const [n, body] of chunks.entries()) {
    const headers = { 'content-type': mediaTypes.gzip, 'content-digest': formatContentDigest(digests[n]!) };
    await (
      await call(pathTo('putChunk', { tenantId: name, id, n: String(n + 1) }), {
        method: 'PUT',
        headers,
        body: new Uint8Array(body),
      })
    ).text();
  }
  const totals = { trozos: chunks.length, filas: chunks.length * CHUNK_ROWS, digest: digestOfDigests(digests) };
  await (await call(pathTo('commitUpload', { tenantId: name, id }), post(totals))).text();
  const headers = { 'content-type': mediaTypes.ndjson, 'content-encoding': 'gzip' };
  await (
    await call(`${pathTo('uploadOnce', { tenantId: name })}?tabla=filas`, {
      method: 'POST',
      headers,
      body: new Uint8Array(chunks[0]!),
    })
  ).text();
  for (const encoding of ['gzip', 'identity']) {
    const headers = { accept: mediaTypes.ndjson, 'accept-encoding': encoding };
    const response = await call(`/download/${name}?tabla=bajada`, { headers });
    for await (const _ of response.body!);
  }
}

/** A module that collects garbage on SIGUSR2 and writes to `file` what is left. */
function collectOnSignal(file: string): string {
  const source = `
    import { renameSync, writeFileSync } from 'node:fs';
    const rest = () => new Promise((next) => setTimeout(next, 100));
    process.on('SIGUSR2', async () => {
      for (let n = 0; n < 3; n += 1) { globalThis.gc(); await rest(); }
      writeFileSync(${JSON.stringify(`${file}.new`)}, JSON.stringify(process.memoryUsage()));
      renameSync(${JSON.stringify(`${file}.new`)}, ${JSON.stringify(file)});
    });`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

async function readLeft({ running }: ServerFixture, file: string): Promise<Left> {
  await rm(file, { force: true });
  running.child.kill('SIGUSR2');
  for (;;) {
    const text = await readFile(file, 'utf8').catch(() => undefined);
    if (text !== undefined) return JSON.parse(text) as Left;
    await sleep(50);
  }
}
