import type { Readable } from 'node:stream';
import QueryStream from 'pg-query-stream';
import type { DownloadEnd, DownloadStart } from '../../protocol/api.ts';
import type { TablaBajada } from '../../protocol/config.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Configuration } from '../data/configurations.ts';
import { prepareDownloadQuery } from '../data/download-query.ts';
import { copyLinesFrom } from '../postgres/copy.ts';
import { translateSqlError } from '../postgres/errors.ts';
import type { Borrowed } from '../postgres/pool.ts';
import { CONSULTA_ROLE, setTenant, setTimeouts } from '../postgres/tenant.ts';
import type { Context } from './context.ts';
import { logFailure } from './phase.ts';

/**
 * DOWNLOAD, the server's half: query ▶ COPY TO (PostgreSQL writes the NDJSON) ▶ frame ▶ body. One read-only transaction
 * with one snapshot, under a role that sees the tenant's rows alone.
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
  const giveUp = () => close(true);
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    signal.throwIfAborted();
    await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await setTenant(connection, configuration.tenantId);
    await setTimeouts(connection, { statementMs: config.SQL_TIMEOUT_MS });
    // Without the check a query whose reader has gone would run to its end.
    await connection.query(
      `SET LOCAL client_connection_check_interval = '5s'; SET LOCAL TimeZone = 'UTC'; SET LOCAL ROLE ${CONSULTA_ROLE}`,
    );
    const { select, schema } = await prepareDownloadQuery(connection, configuration.tenantId, tabla);
    const head = { tabla: tabla.nombre, schema, timestamp: new Date().toISOString() };
    const source =
      format === 'envelope'
        ? connection.query(new QueryStream(select, [], { rowMode: 'array', batchSize: 500, highWaterMark: 500 }))
        : copyLinesFrom(connection, select);
    const rows = source[Symbol.asyncIterator]() as AsyncIterator<unknown>;
    const first = await rows.next();
    const write = { envelope: writeEnvelope, ndjson: writeNdjson, framed: writeFramed }[format];
    const finish = async () => {
      await connection.query('COMMIT');
      close(false);
    };
    const body = write(head, resume(first, rows), source as CountingSource, finish);
    return translating(body, tabla.nombre);
  } catch (error) {
    await connection.query('ROLLBACK').then(
      () => close(false),
      () => close(true),
    );
    const translated = translateSqlError(error, { tabla: tabla.nombre, fase: 'process' });
    await logFailure(context, configuration, 'download', tabla.nombre, started, translated);
    throw translated;
  }
}

/** COPY's stream knows the rows that PostgreSQL counted, once it has ended. */
type CountingSource = Readable & { rowCount?: number };

interface Head {
  tabla: string;
  schema: { columns: { name: string; type: string; nullable?: boolean }[] };
  timestamp: string;
}

/** The specification's envelope, its keys in the specification's order. */
async function* writeEnvelope(
  { tabla, schema, timestamp }: Head,
  rows: AsyncIterable<unknown>,
  _source: CountingSource,
  finish: () => Promise<void>,
): AsyncGenerator<string> {
  let text = `{"success":true,"tabla":${JSON.stringify(tabla)},"data":[`;
  let separator = '';
  for await (const row of rows) {
    text += separator + (row as [string])[0];
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
  _source: CountingSource,
  finish: () => Promise<void>,
): AsyncGenerator<Buffer> {
  yield* rows as AsyncIterable<Buffer>;
  await finish();
}

async function* writeFramed(
  { tabla, schema, timestamp }: Head,
  rows: AsyncIterable<unknown>,
  source: CountingSource,
  finish: () => Promise<void>,
): AsyncGenerator<string | Buffer> {
  const columns = schema.columns.map(({ name, type, nullable }) => ({ name, type, nullable: nullable ?? true }));
  const start: DownloadStart = { $inicio: { tabla, schema: { columns }, timestamp } };
  yield `${JSON.stringify(start)}\n`;
  yield* rows as AsyncIterable<Buffer>;
  await finish();
  const end: DownloadEnd = { $fin: { filas: source.rowCount ?? 0 } };
  yield `${JSON.stringify(end)}\n`;
}

/** An iteration whose first step was taken already. */
async function* resume<T>(first: IteratorResult<T>, rest: AsyncIterator<T>): AsyncGenerator<T> {
  for (let step = first; step.done !== true; step = await rest.next()) yield step.value;
}

async function* translating<T>(body: AsyncIterable<T>, tabla: string): AsyncGenerator<T> {
  try {
    yield* body;
  } catch (error) {
    throw translateSqlError(error, { tabla, fase: 'process' });
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
