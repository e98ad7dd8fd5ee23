import type { DownloadEnd, DownloadStart } from '../../protocol/api.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { TablaBajada } from '../../protocol/tenant-config/config.ts';
import type { Config } from '../config.ts';
import type { Context } from '../context.ts';
import { copyLinesFrom } from '../postgres/copy.ts';
import { DatabaseClock } from '../postgres/database-clock.ts';
import { translateSqlError } from '../postgres/errors.ts';
import type { Borrowed, Connection } from '../postgres/pool.ts';
import { nextRows, openTenantCursor, setTenant, setTimeouts } from '../postgres/tenant.ts';
import { prepareDownloadQuery } from '../rows/download-query.ts';
import type { Configuration } from '../tenants/configurations.ts';
import { collecting } from './memory.ts';
import { logFailure } from './phase.ts';

/**
 * DOWNLOAD, the server's half: query ▶ cursor ▶ COPY TO (PostgreSQL writes the NDJSON) ▶ frame ▶ body. One read-only
 * transaction with one snapshot. The tenant's query runs inside functions of a role that sees the tenant's rows alone; the
 * statements around it fetch its rows in batches.
 */

export type DownloadFormat = 'envelope' | 'ndjson' | 'framed';

/**
 * Starts the query and returns the body once PostgreSQL has sent the first rows, so what fails at once fails here. The
 * body throws when the query fails midway. `signal` says that nobody reads (any more): the query is given up.
 */
export async function openDownload(
  context: Context,
  configuration: Configuration,
  tabla: TablaBajada,
  format: DownloadFormat,
  signal: AbortSignal,
): Promise<AsyncIterable<string | Buffer>> {
  const { config, database } = context;
  const started = new Date();
  const borrowed = await database.borrowTransfer(configuration.tenantId);
  const { connection } = borrowed;
  const close = closeOnce(borrowed);
  const clock = new DatabaseClock(config.SQL_TIMEOUT_MS, () => giveUp(tookTooLong(config, tabla.nombre)));
  const giveUp = (reason: unknown = signal.reason) => {
    clock.stop(reason);
    close(true);
  };
  const onAbort = () => giveUp();
  const fail = async (error: unknown): Promise<unknown> => {
    const translated = translateSqlError(error, { tabla: tabla.nombre, fase: 'process' });
    await logFailure(context, configuration, 'download', tabla.nombre, started, translated);
    return translated;
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted();
    await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await setTenant(connection, configuration.tenantId);
    await setTimeouts(connection, { statementMs: config.SQL_TIMEOUT_MS });
    // Without the check a query whose reader has gone would run to its end.
    await connection.query(`SET LOCAL client_connection_check_interval = '5s'; SET LOCAL TimeZone = 'UTC'`);
    const ordered = format !== 'framed';
    const { select, schema } = await prepareDownloadQuery(connection, configuration.tenantId, tabla, { ordered });
    await openTenantCursor(connection, select);
    const head = { tabla: tabla.nombre, schema, timestamp: new Date().toISOString() };
    const tally = { filas: 0, bytes: 0 };
    const rows = readBatches(connection, config, tally, (select) => clock.count(readLines(connection, select, tally)));
    const first = await rows.next();
    const write = { envelope: writeEnvelope, ndjson: writeNdjson, framed: writeFramed }[format];
    const finish = async () => {
      await endTransaction(connection);
      close(false);
    };
    const body = write(head, resume(first, rows), tally, finish);
    return logging(body, (error) => fail(error));
  } catch (error) {
    await endTransaction(connection).then(
      () => close(false),
      () => close(true),
    );
    throw await fail(error);
  }
}

/**
 * Ends the transaction as if it had not been, and with it every setting that the query may have made; locks of the session
 * are what a rollback leaves.
 */
async function endTransaction(connection: Connection): Promise<void> {
  await connection.query('ROLLBACK; SELECT pg_advisory_unlock_all()');
}

/**
 * So many bytes are fetched at a time, as far as the rows before let guess. PostgreSQL keeps them meanwhile: less than the
 * 4 MB of work_mem, past which they would go to the disk.
 */
const BATCH_BYTES = 1024 * 1024;
const FIRST_BATCH_ROWS = 10;
const BATCH_MAX_ROWS = 50_000;
/** How much larger than the one before a batch may be: the next rows may be of another size. */
const BATCH_GROWTH = 20;

interface Tally {
  filas: number;
  bytes: number;
}

/** One batch after the other to the end of the cursor, within DOWNLOAD_MAX_ROWS. */
async function* readBatches(
  connection: Connection,
  config: Config,
  tally: Tally,
  read: (select: string) => AsyncIterable<Buffer>,
): AsyncGenerator<Buffer> {
  let max = FIRST_BATCH_ROWS;
  while (true) {
    const before = { ...tally };
    // The clock bounds them; anew for each, because the query may have changed it.
    await setTimeouts(connection, { statementMs: 0 });
    yield* read(nextRows(max));
    const filas = tally.filas - before.filas;
    if (filas === 0) return;
    if (tally.filas > config.DOWNLOAD_MAX_ROWS) {
      throw new SyncError('SQL_FALLO', `La consulta pasa de ${config.DOWNLOAD_MAX_ROWS} filas (DOWNLOAD_MAX_ROWS).`);
    }
    const rowBytes = Math.max(tally.bytes / tally.filas, (tally.bytes - before.bytes) / filas);
    max = Math.min(BATCH_MAX_ROWS, max * BATCH_GROWTH, Math.max(1, Math.floor(BATCH_BYTES / rowBytes)));
  }
}

function tookTooLong({ SQL_TIMEOUT_MS }: Config, tabla: string): SyncError {
  const detail = `PostgreSQL tardó más de ${SQL_TIMEOUT_MS / 1000} s (SQL_TIMEOUT_MS): se canceló la consulta (57014).`;
  return new SyncError('SQL_FALLO', detail, { tabla, fase: 'process' });
}

async function* readLines(connection: Connection, select: string, tally: Tally): AsyncGenerator<Buffer> {
  const source = copyLinesFrom(connection, select);
  for await (const bytes of collecting(source)) {
    tally.bytes += bytes.length;
    yield bytes;
  }
  tally.filas += source.rowCount;
}

interface Head {
  tabla: string;
  schema: { columns: { name: string; type: string; nullable?: boolean }[] };
  timestamp: string;
}

const LINE_FEED = 0x0a;
const COMMA = 0x2c;

/** The specification's envelope, its keys in the specification's order. Lines become elements as they pass: no row is held. */
async function* writeEnvelope(
  { tabla, schema, timestamp }: Head,
  rows: AsyncIterable<Buffer>,
  _tally: Tally,
  finish: () => Promise<void>,
): AsyncGenerator<string | Buffer> {
  yield `{"success":true,"tabla":${JSON.stringify(tabla)},"data":[`;
  let between = false;
  for await (const bytes of rows) {
    if (between) yield ',';
    // Whether another row comes is not known yet.
    between = bytes.at(-1) === LINE_FEED;
    const piece = between ? bytes.subarray(0, -1) : bytes;
    for (let at = piece.indexOf(LINE_FEED); at !== -1; at = piece.indexOf(LINE_FEED, at + 1)) piece[at] = COMMA;
    yield piece;
  }
  await finish();
  yield `],"schema":${JSON.stringify(schema)},"timestamp":${JSON.stringify(timestamp)}}`;
}

async function* writeNdjson(
  _head: Head,
  rows: AsyncIterable<Buffer>,
  _tally: Tally,
  finish: () => Promise<void>,
): AsyncGenerator<Buffer> {
  yield* rows;
  await finish();
}

async function* writeFramed(
  { tabla, schema, timestamp }: Head,
  rows: AsyncIterable<Buffer>,
  tally: Tally,
  finish: () => Promise<void>,
): AsyncGenerator<string | Buffer> {
  const columns = schema.columns.map(({ name, type, nullable }) => ({ name, type, nullable: nullable ?? true }));
  const start: DownloadStart = { $inicio: { tabla, schema: { columns }, timestamp } };
  yield `${JSON.stringify(start)}\n`;
  yield* rows;
  await finish();
  const end: DownloadEnd = { $fin: { filas: tally.filas } };
  yield `${JSON.stringify(end)}\n`;
}

/** An iteration whose first step was taken already. */
async function* resume<T>(first: IteratorResult<T>, rest: AsyncIterator<T>): AsyncGenerator<T> {
  for (let step = first; step.done !== true; step = await rest.next()) yield step.value;
}

/** What fails midway is logged like what fails at once: the reader sees only a connection that breaks. */
async function* logging<T>(body: AsyncIterable<T>, fail: (error: unknown) => Promise<unknown>): AsyncGenerator<T> {
  try {
    yield* body;
  } catch (error) {
    throw await fail(error);
  }
}

/** A connection in the middle of a COPY can only be closed; one whose transaction ended goes back. */
function closeOnce({ release }: Borrowed): (broken: boolean) => void {
  let closed = false;
  return (broken) => {
    if (closed) return;
    closed = true;
    release(broken);
  };
}

/** Where `Accept` leads, by its preferences. Throws NO_ACEPTABLE. */
export function chooseFormat(accept: string | undefined): DownloadFormat {
  const ranges = (accept ?? '*/*').split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const weight = Number(/^q=([\d.]+)$/.exec(parameters.find((parameter) => /^q=/.test(parameter)) ?? '')?.[1] ?? 1);
    return { type, framed: parameters.includes('marco=1'), weight };
  });
  // Sorting is stable: of equal weights the first named wins.
  for (const { type, framed } of ranges.filter(({ weight }) => weight > 0).sort((a, b) => b.weight - a.weight)) {
    if (['application/json', 'application/*', '*/*'].includes(type)) return 'envelope';
    if (['application/x-ndjson', 'application/jsonl'].includes(type)) return framed ? 'framed' : 'ndjson';
  }
  throw new SyncError('NO_ACEPTABLE', `No se puede responder como «${(accept ?? '').slice(0, 100)}».`);
}
