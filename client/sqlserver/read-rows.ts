import type { Request } from 'tedious';
import { limits } from '../../protocol/constants.ts';
import { SqlServerError } from './errors.ts';
import { makeRequest, type SqlParameter, sendRequest } from './request.ts';
import { makeRowEncoder, type RowEncoder } from './row-events.ts';
import type { Session } from './session.ts';

/** Some rows of a result, as NDJSON. */
export interface NdjsonBlock {
  /** Whole lines; each ends in `\n`. Valid until the next block is pulled. */
  bytes: Uint8Array;
  rows: number;
  /** Characters that jsonb cannot hold and that became U+FFFD. */
  replacedCharacters: number;
}

export interface ReadRowsOptions {
  parameters?: readonly SqlParameter[];
  signal: AbortSignal;
  /** A block is handed on once it holds so many bytes; a line is never cut. Default 256 KiB. */
  blockBytes?: number;
  reader?: 'transcoder' | 'row-events';
}

export const DEFAULT_BLOCK_BYTES = 256 * 1024;

/**
 * The rows of the one result set of `sql`, through tedious' row events: slower than the transcoder, and the reference
 * that it is held against. While a block is with the consumer, reading from the socket stops; a consumer that leaves
 * early cancels the request.
 *
 * Throws `signal.reason`, or SqlServerError: RESULTADO (no result set, several, names that are empty or repeated),
 * VALOR (a value that row events cannot give exactly, a line over `limits.lineMaxBytes`), what SQL Server raised.
 */
export async function* readRowEvents(
  session: Session,
  sql: string,
  options: ReadRowsOptions,
): AsyncGenerator<NdjsonBlock> {
  const { parameters = [], signal, blockBytes = DEFAULT_BLOCK_BYTES } = options;
  const watch = session.watch(session.stallTimeoutMs);
  let encoder: RowEncoder | undefined;
  let failure: SqlServerError | undefined;
  let lines: string[] = [];
  let bytes = 0;
  let rowNumber = 0;
  let ended = false;
  let wake: (() => void) | undefined;

  let request: Request | undefined;
  const fail = (error: SqlServerError) => {
    failure ??= error;
    request?.cancel();
  };
  const attempt = (work: () => void) => {
    if (failure !== undefined) return;
    try {
      work();
    } catch (error) {
      fail(session.translate(error));
    }
  };
  const listen = (request: Request) => {
    request.on('columnMetadata', (columns) =>
      attempt(() => {
        if (encoder !== undefined) throw severalResults();
        encoder = makeRowEncoder(Object.values(columns));
      }),
    );
    request.on('row', (cells: readonly { value: unknown }[]) =>
      attempt(() => {
        rowNumber += 1;
        const line = `${encoder!.encode(cells, rowNumber)}\n`;
        const size = Buffer.byteLength(line);
        if (size > limits.lineMaxBytes) throw lineTooLong(rowNumber, size);
        lines.push(line);
        bytes += size;
        if (bytes >= blockBytes) {
          request.pause();
          watch.hold();
          wake?.();
        }
      }),
    );
  };

  const start = (done: (error?: Error | null) => void) => {
    request = makeRequest(sql, parameters, done);
    listen(request);
    return sendRequest(session.connection, request);
  };
  const answered = session.perform(start, { signal, watch });
  const end = answered.then(
    () => undefined,
    (error: unknown) => error,
  );
  void end.then(() => {
    ended = true;
    wake?.();
  });
  try {
    while (true) {
      if (!ended && bytes < blockBytes && failure === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (failure !== undefined) throw failure;
      if (ended) {
        const error = await end;
        if (error !== undefined) throw error;
        if (encoder === undefined) throw noResult();
      }
      if (lines.length > 0) {
        const rows = lines.length;
        const block = Buffer.from(lines.join(''));
        lines = [];
        bytes = 0;
        yield { bytes: block, rows, replacedCharacters: encoder!.takeReplaced() };
      }
      if (ended) return;
      watch.release();
      request?.resume();
    }
  } finally {
    if (!ended) {
      watch.release();
      request?.cancel();
      await end;
    }
    request?.removeAllListeners();
  }
}

export function noResult(): SqlServerError {
  return new SqlServerError('RESULTADO', 'La consulta no devuelve filas: process.query debe acabar en un SELECT.');
}

export function severalResults(): SqlServerError {
  return new SqlServerError(
    'RESULTADO',
    'La consulta devuelve más de un conjunto de filas: deje uno solo (los demás pasos van en pre_process).',
  );
}

export function lineTooLong(rowNumber: number, size: number): SqlServerError {
  const limit = limits.lineMaxBytes / 1024 / 1024;
  return new SqlServerError(
    'VALOR',
    `Fila ${rowNumber}: ocupa ${size} bytes y el máximo es ${limit} MiB por fila. Excluya la columna grande de la consulta.`,
  );
}
