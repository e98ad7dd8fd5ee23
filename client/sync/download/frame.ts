import type { DownloadEnd, DownloadStart } from '../../../protocol/api.ts';
import { limits } from '../../../protocol/constants.ts';
import { backendError } from '../../http/backend-error.ts';

/**
 * A framed download: the line `{"$inicio":…}`, one line a row, the line `{"$fin":{"filas":n}}`. A connection that a
 * proxy ends cleanly in the middle looks like the end of the data; only the last line, with the right count, says that
 * everything has arrived.
 */
export interface FramedDownload {
  start: DownloadStart['$inicio'];
  /**
   * The rows, in pieces of whole lines. Ends without error only when `$fin` came with the number of lines that passed;
   * throws BackendError (retryable) otherwise.
   */
  rows: AsyncGenerator<Uint8Array>;
}

const NEWLINE = 10;

/**
 * Reads the first line of a framed download.
 * @throws {BackendError} when it is not `$inicio`
 */
export async function readFrame(body: AsyncIterable<Uint8Array>): Promise<FramedDownload> {
  const groups = wholeLines(body);
  const first = await groups.next();
  const group = first.done === true ? Buffer.alloc(0) : first.value;
  const end = group.indexOf(NEWLINE);
  const start = end < 0 ? undefined : parse<DownloadStart>(group.subarray(0, end))?.$inicio;
  if (start === undefined) {
    await groups.return(undefined);
    throw backendError('DESCARGA_INCOMPLETA', { motivo: 'no empieza con «$inicio»' });
  }
  const rows = withoutEnd(group.subarray(end + 1), groups);
  // A generator that was not begun has no end either: who leaves before the first row would leave the download open.
  const leave = rows.return.bind(rows);
  rows.return = async (value) => {
    await groups.return(undefined);
    return leave(value);
  };
  return { start, rows };
}

/** Passes all lines on but the last one ever, which must be `$fin` with their number. */
async function* withoutEnd(first: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Uint8Array> {
  let held: Buffer = Buffer.alloc(0);
  let count = 0;
  try {
    for (let group = first; ; ) {
      if (group.length > 0) {
        const lastLine = group.subarray(0, -1).lastIndexOf(NEWLINE) + 1;
        if (held.length > 0) {
          count++;
          yield held;
        }
        if (lastLine > 0) {
          const lines = group.subarray(0, lastLine);
          count += countLines(lines);
          yield lines;
        }
        // A copy: the network's buffer is used again.
        held = Buffer.from(group.subarray(lastLine));
      }
      const next = await rest.next();
      if (next.done === true) break;
      group = next.value;
    }
  } finally {
    await rest.return(undefined);
  }
  const filas = parse<DownloadEnd>(held)?.$fin?.filas;
  if (filas === undefined) {
    throw backendError('DESCARGA_INCOMPLETA', { motivo: `se cortó después de ${count} filas y falta «$fin»` });
  }
  if (filas !== count) {
    throw backendError('DESCARGA_INCOMPLETA', { motivo: `llegaron ${count} de ${filas} filas` });
  }
}

/** The same bytes, in pieces that end with a newline. What is left without one at the end is not a line: dropped. */
async function* wholeLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let waiting = 0;
  for await (const piece of source) {
    const bytes = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    const end = bytes.lastIndexOf(NEWLINE) + 1;
    if (end > 0) {
      // Only the line that was cut is put together, not the piece.
      const begun = waiting === 0 ? 0 : bytes.indexOf(NEWLINE) + 1;
      if (begun > 0) yield Buffer.concat([...parts, bytes.subarray(0, begun)]);
      if (end > begun) yield bytes.subarray(begun, end);
      parts = [];
      waiting = 0;
    }
    if (end < bytes.length) {
      parts.push(Buffer.from(bytes.subarray(end)));
      waiting += bytes.length - end;
    }
    if (waiting > limits.lineMaxBytes) {
      throw backendError('DESCARGA_FILA_GRANDE', { bytes: limits.lineMaxBytes });
    }
  }
}

function countLines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) count++;
  return count;
}

function parse<T>(line: Uint8Array): Partial<T> | undefined {
  try {
    return JSON.parse(Buffer.from(line).toString('utf8')) as Partial<T>;
  } catch {
    return undefined;
  }
}
