import { SyncError } from '../../protocol/errors.ts';
import type { TablaBajada } from '../../protocol/tenant-config/config.ts';
import type { Config } from '../config.ts';
import type { Context } from '../context.ts';
import { DatabaseClock } from '../postgres/database-clock.ts';
import { translateSqlError } from '../postgres/errors.ts';
import type { Borrowed, Connection } from '../postgres/pool.ts';
import { openTenantCursor, setTenant, setTimeouts } from '../postgres/tenant.ts';
import { prepareDownloadQuery } from '../rows/download-query.ts';
import type { Configuration } from '../tenants/configurations.ts';
import { readBatches } from './download-batches.ts';
import { bodyWriters, type DownloadFormat, type Head } from './download-formats.ts';
import { logFailure } from './transfer.ts';

/**
 * DOWNLOAD, the server's half: query ▶ cursor ▶ COPY TO (PostgreSQL writes the NDJSON) ▶ frame ▶ body. One read-only
 * transaction with one snapshot. The tenant's query runs inside functions of a role that sees the tenant's rows alone; the
 * statements around it fetch its rows in batches.
 */

/** A download as the request asks for it. */
export interface DownloadRequest {
  tabla: TablaBajada;
  format: DownloadFormat;
  /** Aborted once nobody reads (any more): the query is given up. */
  signal: AbortSignal;
}

/**
 * Starts the query and returns the body once PostgreSQL has sent the first rows, so what fails at once fails here. The
 * body throws when the query fails midway.
 *
 * @throws SyncError SQL_FALLO, OCUPADO; the signal's reason
 */
export async function openDownload(
  context: Context,
  configuration: Configuration,
  { tabla, format, signal }: DownloadRequest,
): Promise<AsyncIterable<string | Buffer>> {
  const { config, database } = context;
  const started = new Date();
  const fail = async (error: unknown): Promise<unknown> => {
    const translated = translateSqlError(error, { tabla: tabla.nombre, fase: 'process' });
    await logFailure({ context, configuration, direccion: 'download', tabla: tabla.nombre }, started, translated);
    return translated;
  };
  const borrowed = await database.borrowTransfer(configuration.tenantId);
  const { connection } = borrowed;
  const close = closeOnce(borrowed);
  const giveUp = (reason: unknown = signal.reason) => {
    clock.stop(reason);
    close(true);
  };
  const clock = new DatabaseClock(config.SQL_TIMEOUT_MS, () => giveUp(tookTooLong(config, tabla.nombre)));
  signal.addEventListener('abort', () => giveUp(), { once: true });
  try {
    signal.throwIfAborted();
    const schema = await openCursor(connection, context, configuration, tabla, { ordered: format !== 'framed' });
    const tally = { filas: 0, bytes: 0 };
    const head = { tabla: tabla.nombre, schema, timestamp: new Date().toISOString() };
    const rows = readBatches(connection, config, tally, clock);
    const first = await rows.next();
    const finish = async () => {
      await endTransaction(connection);
      close(false);
    };
    const body = bodyWriters[format](head, resume(first, rows), () => tally.filas, finish);
    return logging(body, fail);
  } catch (error) {
    await endTransaction(connection).then(
      () => close(false),
      () => close(true),
    );
    throw await fail(error);
  }
}

/** Opens the cursor on the tenant's query, in one snapshot that only it reads. Returns the schema of its rows. */
async function openCursor(
  connection: Connection,
  { config }: Context,
  { tenantId }: Configuration,
  tabla: TablaBajada,
  { ordered }: { ordered: boolean },
): Promise<Head['schema']> {
  await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await setTenant(connection, tenantId);
  await setTimeouts(connection, { statementMs: config.SQL_TIMEOUT_MS });
  // Without the check a query whose reader has gone would run to its end.
  await connection.query(`SET LOCAL client_connection_check_interval = '5s'; SET LOCAL TimeZone = 'UTC'`);
  const { select, schema } = await prepareDownloadQuery(connection, tenantId, tabla, { ordered });
  await openTenantCursor(connection, select);
  return schema;
}

/**
 * Ends the transaction as if it had not been, and with it every setting that the query may have made; locks of the session
 * are what a rollback leaves.
 */
async function endTransaction(connection: Connection): Promise<void> {
  await connection.query('ROLLBACK; SELECT pg_advisory_unlock_all()');
}

function tookTooLong({ SQL_TIMEOUT_MS }: Config, tabla: string): SyncError {
  const detail = `PostgreSQL tardó más de ${SQL_TIMEOUT_MS / 1000} s (SQL_TIMEOUT_MS): se canceló la consulta (57014).`;
  return new SyncError('SQL_FALLO', detail, { tabla, fase: 'process' });
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
