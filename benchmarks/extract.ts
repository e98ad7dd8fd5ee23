import { mkdtemp, rm, stat } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Connection, Request, TYPES } from 'tedious';
import { type SqlServer, withSqlServer } from '../client/sqlserver/sql-server.ts';
import { type BulkColumn, createTableSql } from '../client/sqlserver/tables/ddl.ts';
import { startPostgres } from '../fixtures/postgres.ts';
import { runSql, type SqlTarget } from '../fixtures/sql.ts';
import type { SqlTypeSpec } from '../protocol/rows/sql-types.ts';
import { type Freebcp, openFreebcp } from './freebcp.ts';
import { columns } from './rows.ts';
import { type Aim, printAims, releases, runBenchmark } from './run.ts';
import { linesOf, openSource, type Source } from './source.ts';

/**
 * `npm run bench:extract [-- rows]`: the agent's end at SQL Server alone, out (rows of a table to NDJSON) and in (NDJSON
 * to a bulk load), beside what else can do it: tedious as its authors mean it, and FreeTDS' `freebcp`, a C program.
 *
 * Each reading and load is timed from the login to the end, a process of `freebcp` from its start. They take turns; of
 * three repetitions the median counts. Rows come from a replay table and go into a sink, so that SQL Server costs next to
 * nothing. Prints a table for each direction; figures are ratios within a run.
 */
const [ROWS = 1_000_000] = import.meta.main ? process.argv.slice(2).map(Number) : [];
/** What is slow gets fewer rows: what counts is rows a second. */
const SLICE = Math.max(1, Math.floor(ROWS / 5));
const REPETITIONS = 3;
const PROBE_MS = 20_000;
const AIM_ROW_EVENTS = 3.5;
const AIM_FREEBCP_OUT = 1.5;
const AIM_FREEBCP_IN = 2;
/** No replay table's name: `freebcp in` first asks for the columns by a SELECT, which must not answer with rows. */
const SINK = 'replay.destino';
const signal = new AbortController().signal;

/** One way of doing it. */
interface Contender {
  name: string;
  rows: number;
  /** Answers the bytes of text that it wrote or read, where it did. Throws when it was not all rows. */
  run(): Promise<number | undefined>;
  aim?: number;
}

interface Result extends Contender {
  /** Rows a second of each repetition, ascending. */
  speeds: number[];
  bytes: number | undefined;
}

if (import.meta.main) printAims(await measureExtraction());

export function measureExtraction(): Promise<Aim[]> {
  return runBenchmark(run);
}

async function run(): Promise<Aim[]> {
  const postgres = await startPostgres();
  releases.push(postgres.stop);
  const folder = await mkdtemp(join(tmpdir(), 'ax-sync-extract-'));
  releases.push(() => rm(folder, { recursive: true, force: true }));
  const source = await openSource(postgres.url, ROWS);
  releases.push(source.stop);
  await runSql(source.sql, 'CREATE SCHEMA replay');
  await runSql(source.sql, createTableSql(SINK, bulkColumns(), []));
  const text = await writeText(source, folder);
  console.log(`\n${cpus()[0]?.model}, ${cpus().length} cores, Bun ${Bun.version}`);
  return [
    ...print('out: rows of SQL Server to text', await race(outwards(source, text))),
    ...print('in: text to INSERT BULK', await race(inwards(source, text))),
  ];
}

/** Each once, and so on again: what disturbs the machine disturbs all of them. The first is what the others are held to. */
async function race(contenders: Contender[]): Promise<Result[]> {
  const results: Result[] = contenders.map((contender) => ({ ...contender, speeds: [], bytes: undefined }));
  for (let repetition = 0; repetition < REPETITIONS; repetition++) {
    for (const result of results) {
      // Not at the next one's expense.
      Bun.gc(true);
      const startedAt = performance.now();
      result.bytes = await result.run();
      result.speeds.push((result.rows / (performance.now() - startedAt)) * 1000);
    }
  }
  for (const { speeds } of results) speeds.sort((a, b) => a - b);
  return results;
}

function outwards({ sql, table }: Source, text: Text | undefined): Contender[] {
  const select = (rows: number) => `SELECT TOP (${rows}) * FROM ${table}`;
  const read = (rows: number, reader: 'transcoder' | 'row-events') => () =>
    withDb(sql, async (db) => {
      let bytes = 0;
      let count = 0;
      for await (const block of db.readRows(select(rows), { signal, reader })) {
        bytes += block.bytes.length;
        count += block.rows;
      }
      expectRows(count, rows);
      return bytes;
    });
  const contenders: Contender[] = [
    { name: 'transcoder to NDJSON', rows: ROWS, run: read(ROWS, 'transcoder') },
    { name: 'tedious row events to NDJSON, exact', rows: SLICE, run: read(SLICE, 'row-events'), aim: AIM_ROW_EVENTS },
    {
      name: 'tedious row events, JSON.stringify',
      rows: SLICE,
      aim: AIM_ROW_EVENTS,
      run: async () => {
        let bytes = 0;
        await readEvents(sql, select(SLICE), SLICE, (cells) => {
          const row: Record<string, unknown> = {};
          for (const { metadata, value } of cells) row[metadata.colName] = value;
          bytes += Buffer.byteLength(`${JSON.stringify(row)}\n`);
        });
        return bytes;
      },
    },
    {
      name: 'tedious row events alone',
      rows: SLICE,
      aim: AIM_ROW_EVENTS,
      run: async () => {
        await readEvents(sql, select(SLICE), SLICE, () => {});
        return undefined;
      },
    },
  ];
  if (text === undefined) return contenders;
  const run = async () => {
    await text.bcp([select(ROWS), 'queryout', '/dev/null'], ROWS);
    return text.bytes;
  };
  return [...contenders, { name: 'freebcp queryout /dev/null -c', rows: ROWS, run, aim: AIM_FREEBCP_OUT }];
}

function inwards({ sql }: Source, text: Text | undefined): Contender[] {
  const all = [...linesOf(ROWS)];
  const some = [...linesOf(SLICE)];
  const contenders: Contender[] = [
    {
      name: 'bulkLoad of NDJSON, exact',
      rows: ROWS,
      run: async () => {
        const load = (db: SqlServer) => db.bulkLoad(SINK, bulkColumns(), asStream(all), { signal });
        expectRows(await withDb(sql, load), ROWS);
        return sizeOf(all);
      },
    },
    {
      name: 'tedious bulk load of JSON.parse',
      rows: SLICE,
      run: async () => {
        expectRows(await loadWithTedious(sql, some), SLICE);
        return sizeOf(some);
      },
    },
  ];
  if (text === undefined) return contenders;
  const copyIn = (...flags: string[]): Contender => ({
    name: ['freebcp in -c', ...flags].join(' '),
    rows: ROWS,
    aim: AIM_FREEBCP_IN,
    run: async () => {
      await text.bcp([SINK, 'in', text.file, ...flags], ROWS);
      return text.bytes;
    },
  });
  // Left to itself it begins a new INSERT BULK every 1000 rows.
  return [...contenders, copyIn(), copyIn('-b', '100000')];
}

function withDb<T>(sql: SqlTarget, use: (db: SqlServer) => Promise<T>): Promise<T> {
  return withSqlServer({ ...sql, trustServerCertificate: true }, { signal }, use);
}

/** A connection of tedious itself, with the options that the agent gives it. */
async function withTedious<T>(sql: SqlTarget, use: (connection: Connection) => Promise<T>): Promise<T> {
  const { host, port, database, user, password, encrypt } = sql;
  const connection = new Connection({
    server: host,
    authentication: { type: 'default', options: { userName: user, password } },
    options: { port, database, encrypt, trustServerCertificate: true, requestTimeout: 0, packetSize: 16_384 },
  });
  await new Promise<void>((resolve, reject) => connection.connect((error) => (error ? reject(error) : resolve())));
  try {
    return await use(connection);
  } finally {
    connection.close();
  }
}

type Cell = { metadata: { colName: string }; value: unknown };

async function readEvents(sql: SqlTarget, query: string, rows: number, onRow: (cells: Cell[]) => void): Promise<void> {
  let count = 0;
  await withTedious(sql, (connection) => {
    return new Promise<void>((resolve, reject) => {
      const request = new Request(query, (error) => (error ? reject(error) : resolve()));
      request.on('row', (cells: Cell[]) => {
        count++;
        onRow(cells);
      });
      connection.execSqlBatch(request);
    });
  });
  expectRows(count, rows);
}

/** As its manual shows it. What it takes loses digits: decimals are doubles, dates have milliseconds. */
async function loadWithTedious(sql: SqlTarget, pieces: readonly Buffer[]): Promise<number> {
  return withTedious(sql, (connection) => {
    return new Promise<number>((resolve, reject) => {
      const load = connection.newBulkLoad(SINK, { keepNulls: true }, (error, count) =>
        error ? reject(error) : resolve(count ?? 0),
      );
      for (const { name, type, nullable } of bulkColumns()) {
        const { length, precision, scale } = type;
        load.addColumn(name, tediousType(type), {
          nullable,
          ...(typeof length === 'number' ? { length } : {}),
          ...(precision === undefined ? {} : { precision }),
          ...(scale === undefined ? {} : { scale }),
        });
      }
      connection.execBulkLoad(load, parsed(pieces));
    });
  });
}

function* parsed(pieces: readonly Buffer[]): Generator<Record<string, unknown>> {
  for (const piece of pieces) {
    for (const line of piece.toString('utf8').split('\n')) {
      if (line !== '') yield JSON.parse(line) as Record<string, unknown>;
    }
  }
}

function tediousType({ name }: SqlTypeSpec) {
  const types: Record<string, (typeof TYPES)[keyof typeof TYPES]> = {
    // As the agent sends them.
    varchar: TYPES.NVarChar,
    nvarchar: TYPES.NVarChar,
    decimal: TYPES.Decimal,
    money: TYPES.Money,
    int: TYPES.Int,
    bit: TYPES.Bit,
    datetime2: TYPES.DateTime2,
    uniqueidentifier: TYPES.UniqueIdentifier,
  };
  const type = types[name];
  if (type === undefined) throw new Error(`rows.ts has a new type: ${name}`);
  return type;
}

interface Text {
  /** The table as its text: dates with milliseconds, and no telling NULL from ''. */
  file: string;
  bytes: number;
  bcp: Freebcp;
}

async function writeText({ sql, table }: Source, folder: string): Promise<Text | undefined> {
  const bcp = await openFreebcp(sql, folder);
  if (bcp === undefined) return undefined;
  const file = join(folder, 'filas.tsv');
  // It asks for the columns by SET FMTONLY, and never ends where that answers with rows.
  try {
    await bcp([`SELECT TOP (1) * FROM ${table}`, 'queryout', file], 1, PROBE_MS);
  } catch (error) {
    console.warn(`SKIPPED: freebcp cannot read ${table}: ${(error as Error).message}`);
    return undefined;
  }
  await bcp([`SELECT TOP (${ROWS}) * FROM ${table}`, 'queryout', file], ROWS);
  return { file, bytes: (await stat(file)).size, bcp };
}

function bulkColumns(): BulkColumn[] {
  return columns.map(({ name, type, nullable }) => ({ name, type: type as SqlTypeSpec, nullable }));
}

async function* asStream(pieces: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* pieces;
}

function sizeOf(pieces: readonly Buffer[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

function expectRows(count: number, rows: number): void {
  if (count !== rows) throw new Error(`${count} rows instead of ${rows}`);
}

function print(title: string, results: Result[]): Aim[] {
  const aims: Aim[] = [];
  const median = ({ speeds }: Result) => speeds[speeds.length >> 1]!;
  const own = median(results[0]!);
  const thousands = (speed: number) => `${(speed / 1000).toFixed(1)} k`;
  console.log(
    `\n| ${title} | rows | rows/s, median | slowest – fastest | MB/s of its text | the first is × as fast | aim |`,
  );
  console.log('|---|---:|---:|---:|---:|---:|---:|');
  for (const result of results) {
    const { name, rows, speeds, bytes, aim } = result;
    const speed = median(result);
    const spread = `${thousands(speeds[0]!)} – ${thousands(speeds.at(-1)!)}`;
    const mega = bytes === undefined ? '' : ((bytes / rows / 1e6) * speed).toFixed(1);
    const ratio = result === results[0] ? '' : (own / speed).toFixed(2);
    if (aim !== undefined) {
      aims.push({ what: `${results[0]!.name} × ${name}, ${ROWS} rows`, value: own / speed, atLeast: aim });
    }
    console.log(`| ${name} | ${rows} | ${thousands(speed)} | ${spread} | ${mega} | ${ratio} | ${aim ?? ''} |`);
  }
  return aims;
}
