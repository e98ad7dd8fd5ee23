import { SyncError } from '../../../protocol/errors.ts';
import { COPY_QUOTE } from '../../postgres/copy.ts';
import type { Bytes } from './stage.ts';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const OPENING_BRACE = 0x7b;
const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

/** Maximum of blank lines: PostgreSQL reads each of them, and a gigabyte of them shrinks to a megabyte. */
const BLANK_LINES_MAX = 1_000_000;

/**
 * Rewrites NDJSON to what COPY takes for one row a line, without parsing it: drops a byte order mark, turns CRLF into LF,
 * empties a line of blanks (COPY counts it and passes over it, so its line numbers stay those of the body).
 *
 * @throws SyncError LINEA_INVALIDA: a line does not begin as an object (so neither arrays nor `\.`, which ends a COPY before
 * PostgreSQL 18, reach COPY); DEMASIADO_GRANDE: a line is longer than `lineMaxBytes`, or more than a million are blank.
 */
export function cleanLines(lineMaxBytes: number) {
  return async function* (source: Bytes): AsyncGenerator<Buffer> {
    let held: Buffer = Buffer.alloc(0);
    let first = true;
    let line = 1;
    let blankLines = 0;
    let started = false;
    let length = 0;

    /** Returns one piece for each: a generator that stopped at every line of blanks would take a second a megabyte. */
    function clean(bytes: Buffer): Buffer {
      const kept: Buffer[] = [];
      const quote = bytes.indexOf(COPY_QUOTE);
      let from = 0;
      let at = 0;
      while (at < bytes.length) {
        if (!started) {
          const blanks = at;
          while (bytes[at] === SPACE || bytes[at] === TAB) at += 1;
          if (at > blanks && (at === bytes.length || bytes[at] === LF)) {
            if (blanks > from) kept.push(bytes.subarray(from, blanks));
            from = at;
          }
          if (at === bytes.length) break;
          if (bytes[at] === OPENING_BRACE) started = true;
          else if (bytes[at] !== LF) throw notAnObject(line);
        }
        const end = bytes.indexOf(LF, at);
        const stop = end === -1 ? bytes.length : end;
        if (quote >= at && quote < stop) throw notAnObject(line);
        length += stop - at;
        if (length > lineMaxBytes) {
          throw new SyncError('DEMASIADO_GRANDE', `La línea ${line} pasa de ${lineMaxBytes} bytes.`, { linea: line });
        }
        if (end === -1) break;
        if (!started) {
          blankLines += 1;
          if (blankLines > BLANK_LINES_MAX) {
            throw new SyncError('DEMASIADO_GRANDE', `Hay más de ${BLANK_LINES_MAX} líneas vacías.`, { linea: line });
          }
        }
        line += 1;
        length = 0;
        started = false;
        at = end + 1;
      }
      if (kept.length === 0) return bytes.subarray(from);
      kept.push(bytes.subarray(from));
      return Buffer.concat(kept);
    }

    for await (let bytes of source) {
      if (held.length > 0) bytes = Buffer.concat([held, bytes]);
      held = Buffer.alloc(0);
      if (first) {
        if (bytes.length < BOM.length && BOM.subarray(0, bytes.length).equals(bytes)) {
          held = bytes;
          continue;
        }
        if (bytes.subarray(0, BOM.length).equals(BOM)) bytes = bytes.subarray(BOM.length);
        first = false;
      }
      if (bytes.at(-1) === CR) {
        held = bytes.subarray(-1);
        bytes = bytes.subarray(0, -1);
      }
      for (let cr = bytes.indexOf(CR); cr !== -1; cr = bytes.indexOf(CR, cr + 1)) {
        if (bytes[cr + 1] === LF) bytes[cr] = SPACE;
      }
      const cleaned = clean(bytes);
      if (cleaned.length > 0) yield cleaned;
    }
    // A CR at the very end closes the last line like a CRLF.
    if (held.length > 0 && held[0] !== CR) yield clean(held);
  };
}

function notAnObject(line: number): SyncError {
  return new SyncError('LINEA_INVALIDA', `La línea ${line} no es un objeto JSON.`, { linea: line });
}
