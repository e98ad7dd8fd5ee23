import type { ChangesRequest, CompareDownload, DownloadLedger } from '../../protocol/api.ts';
import { defined } from '../../protocol/defined.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { TablaBajada } from '../../protocol/tenant-config/config.ts';
import type { Config } from '../config.ts';
import type { Context } from '../context.ts';
import { DatabaseClock } from '../postgres/database-clock.ts';
import { translateSqlError } from '../postgres/errors.ts';
import { type Borrowed, beginTransaction, type Connection, endTransaction } from '../postgres/pool.ts';
import { closeTenantCursor, openTenantCursor, setTenant, setTimeouts } from '../postgres/tenant.ts';
import {
  BucketComparison,
  changedSql,
  comparedSql,
  digestOfQuery,
  NO_ROWS_SQL,
  signaturesSql,
} from '../rows/download-changes.ts';
import { type DownloadQuery, prepareDownloadQuery } from '../rows/download-query.ts';
import { bitmapOf } from '../rows/verify.ts';
import type { Configuration } from '../tenants/configurations.ts';
import { attributesOf, failSpan, tracer } from '../tracing/spans.ts';
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
  /** What the agent holds of it; undefined: everything is sent. */
  changes?: ChangesRequest;
  /** Of what is asked for it; undefined: it is not compared. */
  compared?: CompareDownload;
  /** Aborted once nobody reads (any more): the query is given up. */
  signal: AbortSignal;
}

/**
 * Starts the query and returns the body once PostgreSQL has sent the first rows, so what fails at once fails here. The
 * body throws when the query fails midway.
 * @throws {SyncError} SQL_FALLO, OCUPADO; the signal's reason
 */
export async function openDownload(
  context: Context,
  configuration: Configuration,
  { tabla, format, changes, compared, signal }: DownloadRequest,
): Promise<AsyncIterable<string | Buffer>> {
  const { config, database, meters } = context;
  const started = new Date();
  // To the last row, which is long after the answer began.
  const span = tracer.startSpan('bajada', {
    attributes: attributesOf({ tenant: configuration.tenantId, tabla: tabla.nombre }),
  });
  const fail = async (error: unknown): Promise<unknown> => {
    const translated = translateSqlError(error, { tabla: tabla.nombre, fase: 'process' });
    meters.countTransfer('download', translated);
    failSpan(span, translated);
    span.end();
    await logFailure({ context, configuration, direccion: 'download', tabla: tabla.nombre }, started, translated);
    return translated;
  };
  const borrowed = await database.borrowTransfer(configuration.tenantId).catch((error: unknown) => {
    failSpan(span, error);
    span.end();
    throw error;
  });
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
    const columnas = compared && new Set(compared.columnas.map((name) => name.toLowerCase()));
    const ordered = format !== 'framed';
    const query = await prepare(connection, context, configuration, tabla, { ordered, ...defined({ columnas }) });
    const head: Head = { tabla: tabla.nombre, schema: query.schema, timestamp: new Date().toISOString() };
    if (compared !== undefined) head.huellas = await openCompared(connection, query, tabla, compared);
    else if (changes === undefined) await openTenantCursor(connection, query.select);
    else head.huellas = await openChanged({ connection, config, clock }, query, changes);
    const tally = { filas: 0, bytes: 0 };
    const rows = readBatches(connection, config, tally, clock);
    const first = await rows.next();
    const finish = async () => {
      await endTransaction(connection, UNDO);
      close(false);
      if (compared !== undefined) return;
      meters.countTransfer('download');
      meters.countDownload(tally.filas);
      span.setAttribute('ax_sync.filas', tally.filas);
      span.end();
    };
    const body = bodyWriters[format](head, resume(first, rows), () => tally.filas, finish);
    return logging(body, fail);
  } catch (error) {
    await endTransaction(connection, UNDO).then(
      () => close(false),
      () => close(true),
    );
    throw await fail(error);
  }
}

/** Begins the one snapshot that only the tenant's query reads. */
async function prepare(
  connection: Connection,
  { config }: Context,
  { tenantId }: Configuration,
  tabla: TablaBajada,
  options: { ordered: boolean; columnas?: ReadonlySet<string> },
): Promise<DownloadQuery> {
  await beginTransaction(connection, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  await setTenant(connection, tenantId);
  await setTimeouts(connection, { statementMs: config.SQL_TIMEOUT_MS });
  // Without the check a query whose reader has gone would run to its end.
  await connection.query(`SET LOCAL client_connection_check_interval = '5s'; SET LOCAL TimeZone = 'UTC'`);
  return prepareDownloadQuery(connection, tenantId, tabla, options);
}

/** Opens the cursor on the rows of the buckets that differ from what the agent holds; on all, where that cannot be compared. */
async function openChanged(
  { connection, config, clock }: { connection: Connection; config: Config; clock: DatabaseClock },
  query: DownloadQuery,
  request: ChangesRequest,
): Promise<DownloadLedger> {
  const consulta = digestOfQuery(query);
  const { libro, sinFilas = false } = request;
  const { keyed } = query;
  if (keyed === undefined || libro?.consulta !== consulta) {
    await openTenantCursor(connection, sinFilas ? NO_ROWS_SQL : query.select);
    return { consulta };
  }
  const comparison = new BucketComparison(libro);
  const { bits } = comparison;
  await openTenantCursor(connection, signaturesSql(keyed, request, bits));
  for await (const lines of readBatches(connection, config, { filas: 0, bytes: 0 }, clock)) {
    comparison.take(lines.toString('latin1'));
  }
  await closeTenantCursor(connection);
  const { distintos, filas } = comparison;
  await openTenantCursor(connection, sinFilas ? NO_ROWS_SQL : changedSql(keyed, request, bits, distintos));
  return { consulta, cubos: { distintos: distintos.toString('base64'), filas } };
}

/**
 * Opens the cursor on what a comparison asks for.
 * @throws {SyncError} SQL_FALLO for a table without a key
 */
async function openCompared(
  connection: Connection,
  query: DownloadQuery,
  tabla: TablaBajada,
  request: CompareDownload,
): Promise<DownloadLedger> {
  const { keyed } = query;
  if (keyed === undefined) {
    throw new SyncError('SQL_FALLO', 'Sin primaryKey no se compara.', { tabla: tabla.nombre, fase: 'process' });
  }
  const { bits, cubos } = request;
  const wanted = cubos === undefined ? undefined : bitmapOf(bits, Buffer.from(cubos, 'base64'));
  await openTenantCursor(
    connection,
    wanted === undefined ? comparedSql(keyed, request, bits) : changedSql(keyed, request, bits, wanted),
  );
  return { consulta: digestOfQuery(query) };
}

/** As if it had not been, and with it every setting that the query may have made; locks of the session are what a rollback leaves. */
const UNDO = 'ROLLBACK; SELECT pg_advisory_unlock_all()';

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
