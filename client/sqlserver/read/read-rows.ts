import type { ColumnMetadata } from 'tedious/lib/token/colmetadata-token-parser.js';
import { limits } from '../../../protocol/constants.ts';
import { type SqlServerError, sqlServerError } from '../errors.ts';
import { makeRequest, type SqlParameter, sendRequest } from '../session/request.ts';
import type { Session } from '../session/session.ts';
import type { NdjsonBlock } from '../transcoder/ndjson-block.ts';
import type { RowFilter } from '../transcoder/row-filter.ts';
import { findUnknownColumn, RowTranscoder } from '../transcoder/row-transcoder.ts';
import { sendRowsTo } from '../transcoder/transcoding-connection.ts';
import { describeResult, type ResultColumn } from './result-columns.ts';
import { assertUsableNames, makeRowEncoder, type RowEncoder } from './row-events.ts';

export interface ReadRowsOptions {
  parameters?: readonly SqlParameter[];
  signal: AbortSignal;
  /** A block is handed on once it holds so many bytes; a line is never cut. Default 256 KiB. */
  blockBytes?: number;
  /** Default: the transcoder. Row events are the reference that it is held against. */
  reader?: 'transcoder' | 'row-events';
  /** Spellings: a column whose name differs from one of these in case alone takes it. SQL Server does not tell them apart. */
  names?: readonly string[];
  /** Told the columns of the result before its first row; what it throws ends the reading. */
  onColumns?: (columns: ResultColumn[]) => void;
  /** Drops rows before they are lines, of most results: blocks that it has been asked about have `read`. */
  filter?: RowFilter | undefined;
}

export const DEFAULT_BLOCK_BYTES = 256 * 1024;

/**
 * Yields the rows of the one result set of `sql`, at the consumer's pace: while one block is with the consumer the next
 * one fills, and then reading from the socket stops. A consumer that leaves early cancels the request.
 * The transcoder reads them; where it cannot (a type that it does not know, another tedious), and where `options` say
 * so, tedious' row events do, slower, and refusing what they have lost digits of.
 * Throws `signal.reason`, what the filter throws, or SqlServerError: RESULTADO_AUSENTE, RESULTADO_REPETIDO,
 * COLUMNA_SIN_NOMBRE, COLUMNA_REPETIDA, VALOR_INEXACTO, FILA_GRANDE (a line over `limits.lineMaxBytes`), what SQL
 * Server raised.
 */
export async function* readRows(session: Session, sql: string, options: ReadRowsOptions): AsyncGenerator<NdjsonBlock> {
  const { parameters = [], signal, blockBytes = DEFAULT_BLOCK_BYTES } = options;
  const watch = session.watch(session.idleTimeoutMs);
  const spellings = new Map(options.names?.map((name) => [name.toLowerCase(), name]));
  const wantsTranscoder = options.reader !== 'row-events' && session.canTranscode();
  let transcoder: RowTranscoder | undefined;
  let events: EventCollector | undefined;
  let failure: unknown;
  let ended = false;
  let wake: (() => void) | undefined;

  let done: (error?: Error | null) => void = () => {};
  const request = makeRequest(sql, parameters, (error) => done(error));
  /** Nobody wants the rest of the answer; it has to be read all the same. */
  const cancel = () => {
    transcoder?.discard();
    request.cancel();
  };
  const attempt = (work: () => void) => {
    if (failure !== undefined) return;
    try {
      work();
    } catch (error) {
      failure = session.translate(error);
      cancel();
    }
  };
  const pauseIfFull = (collector: { full: boolean }) => {
    if (!collector.full) return;
    request.pause();
    watch.hold();
    wake?.();
  };
  request.on('columnMetadata', (metadata) =>
    attempt(() => {
      if (transcoder !== undefined || events !== undefined) throw severalResults();
      // The transcoder is to know this very array: it says which result the rows belong to.
      const columns = metadata as ColumnMetadata[];
      for (const column of columns) column.colName = spellings.get(column.colName.toLowerCase()) ?? column.colName;
      assertUsableNames(columns.map(({ colName }) => colName));
      options.onColumns?.(describeResult(columns));
      if (wantsTranscoder) transcoder = makeTranscoder(session, columns, { blockBytes, filter: options.filter });
      if (transcoder === undefined) events = new EventCollector(columns, blockBytes);
    }),
  );
  request.on('row', (cells: readonly { value: unknown }[]) =>
    attempt(() => {
      events!.add(cells);
      pauseIfFull(events!);
    }),
  );
  sendRowsTo(request, {
    get transcoder() {
      return transcoder;
    },
    onBlock: () => {
      if (request.canceled) transcoder!.discard();
      if (transcoder!.failure !== undefined) {
        failure ??= transcoder!.failure.error;
        cancel();
        return;
      }
      attempt(() => {
        const { tooLong } = transcoder!;
        if (tooLong !== undefined) throw valueTooLong(tooLong.rowNumber, tooLong.column);
        pauseIfFull(transcoder!);
      });
    },
  });

  const start = (onAnswered: typeof done) => {
    done = onAnswered;
    return sendRequest(session.connection, request);
  };
  const end = session.perform(start, { signal, watch }).then(
    () => undefined,
    (error: unknown) => error,
  );
  void end.then(() => {
    ended = true;
    wake?.();
  });
  try {
    while (true) {
      const collector = transcoder ?? events;
      if (!ended && failure === undefined && collector?.full !== true) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (failure !== undefined) throw failure;
      if (ended) assertAnswered(await end, transcoder ?? events);
      const block = (transcoder ?? events)?.take();
      if (!ended) {
        watch.release();
        request.resume();
      }
      if (block !== undefined) yield block;
      else if (ended) return;
    }
  } finally {
    if (!ended) {
      watch.release();
      cancel();
      await end;
    }
    request.removeAllListeners();
  }
}

/** The rows that tedious gives as events, collected as the transcoder collects them. */
class EventCollector {
  readonly #encoder: RowEncoder;
  readonly #blockBytes: number;
  #lines: string[] = [];
  #bytes = 0;
  #rowNumber = 0;

  constructor(columns: readonly ColumnMetadata[], blockBytes: number) {
    this.#encoder = makeRowEncoder(columns);
    this.#blockBytes = blockBytes;
  }

  get full(): boolean {
    return this.#bytes >= this.#blockBytes;
  }

  /** Throws SqlServerError FILA_GRANDE. */
  add(cells: readonly { value: unknown }[]): void {
    this.#rowNumber += 1;
    const line = `${this.#encoder.encode(cells, this.#rowNumber)}\n`;
    const size = Buffer.byteLength(line);
    if (size > limits.lineMaxBytes) throw valueTooLong(this.#rowNumber, undefined);
    this.#lines.push(line);
    this.#bytes += size;
  }

  /** The rows since the last call, if there are any. */
  take(): NdjsonBlock | undefined {
    const rows = this.#lines.length;
    if (rows === 0) return undefined;
    const bytes = Buffer.from(this.#lines.join(''));
    this.#lines = [];
    this.#bytes = 0;
    return { bytes, rows, replacedCharacters: this.#encoder.takeReplaced() };
  }
}

/** Throws what SQL Server answered with, or RESULTADO_AUSENTE. */
function assertAnswered(error: unknown, collector: RowTranscoder | EventCollector | undefined): void {
  if (error !== undefined) throw error;
  if (collector === undefined) throw noResult();
}

/** Undefined, and said, where a column is of a type that the transcoder does not know. */
function makeTranscoder(
  session: Session,
  columns: ColumnMetadata[],
  options: { blockBytes: number; filter: RowFilter | undefined },
): RowTranscoder | undefined {
  const unknown = findUnknownColumn(columns);
  if (unknown === undefined) return new RowTranscoder(columns, options);
  session.notify(slowReading(unknown));
  return undefined;
}

function noResult(): SqlServerError {
  return sqlServerError('RESULTADO_AUSENTE', {});
}

function severalResults(): SqlServerError {
  return sqlServerError('RESULTADO_REPETIDO', {});
}

function valueTooLong(rowNumber: number, column: string | undefined): SqlServerError {
  const limit = limits.lineMaxBytes / 1024 / 1024;
  const place = column === undefined ? `Fila ${rowNumber}` : `Fila ${rowNumber}, columna «${column}»`;
  return sqlServerError('FILA_GRANDE', { lugar: place, limite: limit });
}

function slowReading({ colName, type }: { colName: string; type: { name: string } }): string {
  return (
    `La columna «${colName}» es de un tipo (${type.name}) o de una intercalación que el lector rápido no conoce: ` +
    'la consulta se lee más despacio.'
  );
}
