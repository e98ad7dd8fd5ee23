import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import { createScratchDatabase, startPostgres } from '../fixtures/postgres.ts';
import type { Finished } from '../fixtures/processes.ts';
import {
  createTenant,
  initArguments,
  type ServerFixture,
  startServerFixture,
  type TenantFixture,
} from '../fixtures/system.ts';
import { expectZero, releases, runBenchmark, useBuiltPrograms } from './run.ts';
import { linesOf, openSource, type Source } from './source.ts';

/**
 * `npm run bench [-- rows…]`: uploads and downloads whole, through every real part, beside their floor: the same rows by
 * COPY and MERGE alone, one after the other, from a file on this machine. Prints a table; figures are ratios within a run.
 */
useBuiltPrograms();

const sizes = process.argv.slice(2).map(Number);
const SIZES = sizes.length > 0 ? sizes : [100_000, 1_000_000];

interface Line {
  filas: number;
  what: string;
  seconds: number;
  bytes: number;
  floor?: number;
  agent?: number;
  server?: number;
}

await runBenchmark(run);

async function run(): Promise<void> {
  const postgres = await startPostgres();
  releases.push(postgres.stop);
  const folder = await mkdtemp(join(tmpdir(), 'ax-sync-bench-'));
  releases.push(() => rm(folder, { recursive: true, force: true }));
  const source = await openSource(postgres.url, Math.max(...SIZES));
  releases.push(source.stop);
  const lines: Line[] = [];
  for (const count of SIZES) {
    const file = join(folder, `${count}.ndjson`);
    await pipeline(Readable.from(linesOf(count)), createWriteStream(file));
    const bytes = (await stat(file)).size;
    const floor = await measureFloor(postgres.url, file);
    // A server of its own for each size: its peak memory is that size's.
    const server = await startServerFixture(postgres.url);
    try {
      lines.push(...(await measureSync(server, source, count, bytes, floor)));
    } finally {
      await server.stop();
    }
    print(lines);
  }
}

interface Floor {
  first: number;
  again: number;
  download: number;
}

/** COPY and MERGE alone, on one connection, nothing overlapped. */
async function measureFloor(postgresUrl: string, file: string): Promise<Floor> {
  const scratch = await createScratchDatabase(postgresUrl, 'piso');
  const client = new pg.Client({ connectionString: scratch.url });
  await client.connect();
  try {
    await client.query(`
      CREATE TABLE piso (tenant text, tipo text, codigo text COLLATE "C", nombre text, activo boolean NOT NULL,
        parametros_json jsonb NOT NULL, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
        PRIMARY KEY (tenant, tipo, codigo));
      CREATE UNLOGGED TABLE entrada (doc jsonb NOT NULL,
        codigo text COLLATE "C" GENERATED ALWAYS AS (doc ->> 'codigo') STORED)`);
    const upload = async () => {
      await client.query('TRUNCATE entrada');
      await client.query('CHECKPOINT');
      const startedAt = performance.now();
      const copy = client.query(
        copyFrom(String.raw`COPY entrada(doc) FROM STDIN WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')`),
      );
      await pipeline(createReadStream(file, { highWaterMark: 256 * 1024 }), copy);
      await client.query(`
        MERGE INTO piso p USING (
          SELECT DISTINCT ON (codigo) codigo, coalesce(doc ->> 'nombre', doc ->> 'descripcion') AS nombre,
                 coalesce((doc ->> 'activo')::boolean, true) AS activo, doc - '{codigo,nombre,activo}'::text[] AS resto
          FROM entrada ORDER BY codigo
        ) s ON p.tenant = 'uno' AND p.tipo = 'fila' AND p.codigo = s.codigo
        WHEN MATCHED AND (p.nombre IS DISTINCT FROM s.nombre OR p.activo <> s.activo OR p.parametros_json <> s.resto)
          THEN UPDATE SET nombre = s.nombre, activo = s.activo, parametros_json = s.resto, updated_at = now()
        WHEN NOT MATCHED THEN INSERT (tenant, tipo, codigo, nombre, activo, parametros_json)
          VALUES ('uno', 'fila', s.codigo, s.nombre, s.activo, s.resto)`);
      return (performance.now() - startedAt) / 1000;
    };
    const first = await upload();
    const again = await upload();
    const startedAt = performance.now();
    const rows = `SELECT row_to_json(q) FROM (SELECT codigo, nombre, activo, parametros_json -> 'precio' AS precio,
      parametros_json -> 'fecha' AS fecha FROM piso ORDER BY codigo) q`;
    const out = client.query(
      copyTo(String.raw`COPY (${rows}) TO STDOUT WITH (FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')`),
    );
    for await (const _ of out);
    return { first, again, download: (performance.now() - startedAt) / 1000 };
  } finally {
    await client.end();
    await scratch.drop();
  }
}

async function measureSync(
  server: ServerFixture,
  { sql, table }: Source,
  count: number,
  bytes: number,
  floor: Floor,
): Promise<Line[]> {
  const tenant = await createTenant(server, `bench-${count}`, sql);
  try {
    await tenant.configure({
      tablasSubida: [
        { nombre: 'filas', primaryKey: 'codigo', process: { query: `SELECT TOP (${count}) * FROM ${table}` } },
      ],
      tablasBajada: [
        {
          nombre: 'bajada',
          primaryKey: 'codigo',
          schema: {
            columns: [
              { name: 'codigo', type: 'VARCHAR(20)', nullable: false },
              { name: 'nombre', type: 'NVARCHAR(200)', nullable: false },
              { name: 'activo', type: 'BIT', nullable: false },
              { name: 'precio', type: 'DECIMAL(18,4)', nullable: false },
              { name: 'fecha', type: 'DATETIME2(7)', nullable: false },
            ],
          },
          process: { query: 'parametros_maestros.tipo_campo=fila' },
          // What the tenant's own SQL does with the rows is not ours to measure.
          post_process: { enabled: true, ejecutarEn: 'destino', sql: 'SELECT COUNT(*) FROM {temp_table}' },
        },
      ],
    });
    await expectZero(tenant, initArguments(server, tenant, sql));
    const upload = async (what: string, floorSeconds: number): Promise<Line> => {
      const done = await expectZero(tenant, ['sync', '--upload-only']);
      return { filas: count, what, bytes, floor: floorSeconds, ...figuresOf(done, server) };
    };
    const first = await upload('upload, empty table', floor.first);
    await expectCount(server, count);
    const again = await upload('upload, nothing changed', floor.again);
    const downloaded = await expectZero(tenant, ['sync', '--download-only']);
    const size = await downloadBytes(tenant);
    const download: Line = {
      filas: count,
      what: 'download into #temp',
      bytes: size,
      floor: floor.download,
      ...figuresOf(downloaded, server),
    };
    return [first, again, download];
  } finally {
    await tenant.remove();
  }
}

function figuresOf(done: Finished, server: ServerFixture) {
  return { seconds: done.seconds, agent: done.peakRss, server: server.running.peakRss() };
}

async function expectCount(server: ServerFixture, count: number): Promise<void> {
  const client = new pg.Client({ connectionString: server.databaseUrl });
  await client.connect();
  const { rows } = await client.query<{ n: number }>('SELECT count(*)::int AS n FROM parametros_maestros');
  await client.end();
  if (rows[0]?.n !== count) throw new Error(`${rows[0]?.n} rows arrived instead of ${count}`);
}

async function downloadBytes(tenant: TenantFixture): Promise<number> {
  const headers = { Accept: 'application/x-ndjson', 'Accept-Encoding': 'identity' };
  const response = await tenant.request(`/download/${tenant.tenant}?tabla=bajada`, { headers });
  let total = 0;
  for await (const piece of response.body!) total += piece.length;
  return total;
}

function print(lines: Line[]): void {
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
}
