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
 * Rewrites NDJSON to what COPY takes for one row a line, without parsing it: drops a byte order mark, turns CRLF into
 * LF, empties a line of blanks (COPY counts it and passes over it, so its line numbers stay those of the body).
 * @throws {SyncError} LINEA_INVALIDA: a line does not begin as an object (so neither arrays nor `\.`, which ends a COPY
 * before PostgreSQL 18, reach COPY); DEMASIADO_GRANDE: a line is longer than `lineMaxBytes`, or more than a million are
 * blank.
 */
export function cleanLines(lineMaxBytes: number) {
  return async function* (source: Bytes): AsyncGenerator<Buffer> {
    const lines = new LineCleaner(lineMaxBytes);
    let held: Buffer = Buffer.alloc(0);
    for await (const piece of withoutMark(source)) {
      let bytes = held.length > 0 ? Buffer.concat([held, piece]) : piece;
      held = Buffer.alloc(0);
      if (bytes.at(-1) === CR) {
        held = bytes.subarray(-1);
        bytes = bytes.subarray(0, -1);
      }
      blankCarriageReturns(bytes);
      const cleaned = lines.clean(bytes);
      if (cleaned.length > 0) yield cleaned;
    }
    // A CR at the very end closes the last line like a CRLF.
    if (held.length > 0 && held[0] !== CR) yield lines.clean(held);
  };
}

/** Drops the byte order mark that the source begins with, wherever the pieces end. */
async function* withoutMark(source: Bytes): AsyncGenerator<Buffer> {
  let held: Buffer | undefined = Buffer.alloc(0);
  for await (const piece of source) {
    if (held === undefined) {
      yield piece;
      continue;
    }
    held = Buffer.concat([held, piece]);
    if (held.length < BOM.length && BOM.subarray(0, held.length).equals(held)) continue;
    yield held.subarray(0, BOM.length).equals(BOM) ? held.subarray(BOM.length) : held;
    held = undefined;
  }
  if (held !== undefined && held.length > 0) yield held;
}

function blankCarriageReturns(bytes: Buffer): void {
  for (let cr = bytes.indexOf(CR); cr !== -1; cr = bytes.indexOf(CR, cr + 1)) {
    if (bytes[cr + 1] === LF) bytes[cr] = SPACE;
  }
}

/** The lines of a body, whatever pieces it comes in. */
class LineCleaner {
  readonly #maxBytes: number;
  /** From 1. */
  #line = 1;
  #blankLines = 0;
  /** Whether the line's object has begun. */
  #started = false;
  /** Bytes of the line so far. */
  #length = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Returns one piece for each: a generator that stopped at every line of blanks would take a second a megabyte. */
  clean(bytes: Buffer): Buffer {
    const kept: Buffer[] = [];
    const quote = bytes.indexOf(COPY_QUOTE);
    let from = 0;
    let at = 0;
    while (at < bytes.length) {
      const begin = this.#started ? at : behindBlanks(bytes, at);
      if (begin > at && endsLine(bytes, begin)) {
        if (at > from) kept.push(bytes.subarray(from, at));
        from = begin;
      }
      if (begin === bytes.length) break;
      at = this.#take(bytes, begin, quote);
    }
    if (kept.length === 0) return bytes.subarray(from);
    kept.push(bytes.subarray(from));
    return Buffer.concat(kept);
  }

  /** Takes what there is of one line; returns where the next one begins. `quote`: where the first quote of COPY stands. */
  #take(bytes: Buffer, at: number, quote: number): number {
    if (!this.#started) this.#begin(bytes[at]!);
    const end = bytes.indexOf(LF, at);
    const stop = end === -1 ? bytes.length : end;
    if (quote >= at && quote < stop) throw notAnObject(this.#line);
    this.#extend(stop - at);
    if (end === -1) return bytes.length;
    this.#end();
    return end + 1;
  }

  #begin(byte: number): void {
    if (byte === OPENING_BRACE) this.#started = true;
    else if (byte !== LF) throw notAnObject(this.#line);
  }

  #extend(bytes: number): void {
    this.#length += bytes;
    if (this.#length > this.#maxBytes) {
      throw tooLarge(this.#line, `La línea ${this.#line} pasa de ${this.#maxBytes} bytes.`);
    }
  }

  #end(): void {
    if (!this.#started) {
      this.#blankLines += 1;
      if (this.#blankLines > BLANK_LINES_MAX) {
        throw tooLarge(this.#line, `Hay más de ${BLANK_LINES_MAX} líneas vacías.`);
      }
    }
    this.#line += 1;
    this.#length = 0;
    this.#started = false;
  }
}

function behindBlanks(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] === SPACE || bytes[at] === TAB) at += 1;
  return at;
}

function endsLine(bytes: Buffer, at: number): boolean {
  return at === bytes.length || bytes[at] === LF;
}

function tooLarge(line: number, detail: string): SyncError {
  return new SyncError('DEMASIADO_GRANDE', detail, { linea: line });
}

function notAnObject(line: number): SyncError {
  return new SyncError('LINEA_INVALIDA', `La línea ${line} no es un objeto JSON.`, { linea: line });
}
