import QueryStream from 'pg-query-stream';
import type { DownloadEnd, DownloadStart } from '../../protocol/api.ts';
import type { TablaBajada } from '../../protocol/config.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Config } from '../config.ts';
import type { Configuration } from '../data/configurations.ts';
import { prepareDownloadQuery } from '../data/download-query.ts';
import { copyLinesFrom } from '../postgres/copy.ts';
import { translateSqlError } from '../postgres/errors.ts';
import type { Borrowed, Connection } from '../postgres/pool.ts';
import { nextRows, openTenantCursor, setTenant, setTimeouts } from '../postgres/tenant.ts';
import type { Context } from './context.ts';
import { DatabaseClock } from './database-clock.ts';
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
    const read = format === 'envelope' ? readRows : readLines;
    const rows = readBatches(connection, config, tally, (select) =>
      clock.count<unknown>(read(connection, select, tally)),
    );
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
const FIRST_BATCH_ROWS = 100;
const BATCH_MAX_ROWS = 50_000;

interface Tally {
  filas: number;
  bytes: number;
}

/** One batch after the other to the end of the cursor, within DOWNLOAD_MAX_ROWS. */
async function* readBatches(
  connection: Connection,
  config: Config,
  tally: Tally,
  read: (select: string) => AsyncIterable<unknown>,
): AsyncGenerator<unknown> {
  let max = FIRST_BATCH_ROWS;
  while (true) {
    const before = tally.filas;
    // The clock bounds them; anew for each, because the query may have changed it.
    await setTimeouts(connection, { statementMs: 0 });
    yield* read(nextRows(max));
    if (tally.filas === before) return;
    if (tally.filas > config.DOWNLOAD_MAX_ROWS) {
      throw new SyncError('SQL_FALLO', `La consulta pasa de ${config.DOWNLOAD_MAX_ROWS} filas (DOWNLOAD_MAX_ROWS).`);
    }
    max = Math.min(BATCH_MAX_ROWS, Math.max(1, Math.floor((BATCH_BYTES * tally.filas) / tally.bytes)));
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

/** A row of the envelope is held whole, and this many at a time. */
const ENVELOPE_ROW_MAX_BYTES = 16 * 1024 * 1024;
const ENVELOPE_ROWS = 16;

async function* readRows(connection: Connection, select: string, tally: Tally): AsyncGenerator<string> {
  const bounded = `SELECT CASE WHEN octet_length(fila) <= ${ENVELOPE_ROW_MAX_BYTES} THEN fila END FROM (${select}) r`;
  const options = { rowMode: 'array' as const, batchSize: ENVELOPE_ROWS, highWaterMark: ENVELOPE_ROWS };
  for await (const [row] of connection.query(new QueryStream(bounded, [], options)) as AsyncIterable<[string | null]>) {
    if (row === null) {
      const detail = `La fila ${tally.filas + 1} pasa de ${ENVELOPE_ROW_MAX_BYTES} bytes: pida application/x-ndjson.`;
      throw new SyncError('DEMASIADO_GRANDE', detail);
    }
    tally.filas += 1;
    tally.bytes += row.length;
    yield row;
  }
}

interface Head {
  tabla: string;
  schema: { columns: { name: string; type: string; nullable?: boolean }[] };
  timestamp: string;
}

/** The specification's envelope, its keys in the specification's order. */
async function* writeEnvelope(
  { tabla, schema, timestamp }: Head,
  rows: AsyncIterable<unknown>,
  _tally: Tally,
  finish: () => Promise<void>,
): AsyncGenerator<string> {
  let text = `{"success":true,"tabla":${JSON.stringify(tabla)},"data":[`;
  let separator = '';
  for await (const row of rows) {
    text += separator + (row as string);
    separator = ',';
    if (text.length >= 64 * 1024) {
      yield text;
      text = '';
    }
  }
  await finish();
  yield `${text}],"schema":${JSON.stringify(schema)},"timestamp":${JSON.stringify(timestamp)}}`;
}

async function* writeNdjson(
  _head: Head,
  rows: AsyncIterable<unknown>,
  _tally: Tally,
  finish: () => Promise<void>,
): AsyncGenerator<Buffer> {
  yield* rows as AsyncIterable<Buffer>;
  await finish();
}

async function* writeFramed(
  { tabla, schema, timestamp }: Head,
  rows: AsyncIterable<unknown>,
  tally: Tally,
  finish: () => Promise<void>,
): AsyncGenerator<string | Buffer> {
  const columns = schema.columns.map(({ name, type, nullable }) => ({ name, type, nullable: nullable ?? true }));
  const start: DownloadStart = { $inicio: { tabla, schema: { columns }, timestamp } };
  yield `${JSON.stringify(start)}\n`;
  yield* rows as AsyncIterable<Buffer>;
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
