import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { SyncError } from '../../protocol/errors.ts';
import { COPY_QUOTE } from '../postgres/copy.ts';

/** The stages that received bytes pass, in the order in which transfer/upload.ts joins them. */

type Bytes = AsyncIterable<Buffer>;

/** A body may be so slow on average, beside the time that it may be silent. */
const SLOWEST_BYTES_PER_SECOND = 1024;

/**
 * A request's body. Ends with CUERPO_CORTADO when the peer sends nothing for `idleMs`, or has been waited for longer than
 * that and a body of 1 KB/s would have taken, or goes. The request itself is not destroyed when the reader stops early: it
 * still has to carry the answer.
 */
export async function* readBody(body: Readable, idleMs: number): AsyncGenerator<Buffer> {
  const iterator = body.iterator({ destroyOnReturn: false })[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let timer: NodeJS.Timeout | undefined;
  let waitedMs = 0;
  let total = 0;
  try {
    while (true) {
      const asked = performance.now();
      const idle = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(cutShort(`no llegó ningún byte en ${Math.ceil(idleMs / 1000)} s`)), idleMs);
      });
      const next = await Promise.race([iterator.next(), idle]).catch((error: unknown) => {
        throw error instanceof SyncError ? error : cutShort('se perdió la conexión', error);
      });
      clearTimeout(timer);
      if (next.done === true) return;
      waitedMs += performance.now() - asked;
      total += next.value.length;
      if (waitedMs > idleMs + (total / SLOWEST_BYTES_PER_SECOND) * 1000) {
        throw cutShort(`llegaron ${total} bytes en ${Math.ceil(waitedMs / 1000)} s`);
      }
      yield next.value;
    }
  } finally {
    clearTimeout(timer);
    // Not awaited: where the peer is silent the pending step ends with the connection.
    iterator.return?.().catch(() => {});
  }
}

function cutShort(reason: string, cause?: unknown): SyncError {
  return new SyncError('CUERPO_CORTADO', `El cuerpo no llegó entero: ${reason}.`, { cause });
}

/** So much is read of a body that a later stage has refused, to learn whether it was damaged on the way. */
const REST_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Passes bytes on, and fails at the end unless their SHA-256 is `expected` (base64). Where a later stage gives up first,
 * `verdict.differs` says afterwards whether it was given other bytes than were sent.
 */
export function checkDigest(expected: string | undefined, verdict: { differs: boolean }) {
  return async function* (source: Bytes): AsyncGenerator<Buffer> {
    if (expected === undefined) {
      yield* source;
      return;
    }
    const hash = createHash('sha256');
    const iterator = source[Symbol.asyncIterator]();
    let over = false;
    const next = async (): Promise<Buffer | undefined> => {
      over = true;
      const { done, value } = await iterator.next();
      if (done === true) return undefined;
      over = false;
      hash.update(value);
      return value;
    };
    try {
      for (let bytes = await next(); bytes !== undefined; bytes = await next()) yield bytes;
      if (hash.digest('base64') !== expected) throw differentDigest();
    } finally {
      if (!over) {
        let left = REST_MAX_BYTES;
        const rest = () => next().catch(() => undefined);
        for (let bytes = await rest(); bytes !== undefined && left > 0; bytes = await rest()) left -= bytes.length;
        verdict.differs = over && hash.digest('base64') !== expected;
      }
      await iterator.return?.();
    }
  };
}

/** Passes bytes on; at their end `seen.digest` is their SHA-256 (base64). */
export function noteDigest(seen: { digest?: string | undefined }) {
  return async function* (source: Bytes): AsyncGenerator<Buffer> {
    const hash = createHash('sha256');
    for await (const bytes of source) {
      hash.update(bytes);
      yield bytes;
    }
    seen.digest = hash.digest('base64');
  };
}

/** DIGEST_DISTINTO. */
export function differentDigest(cause?: unknown): SyncError {
  return new SyncError('DIGEST_DISTINTO', 'El SHA-256 de lo recibido no es el de Content-Digest.', { cause });
}

/** Passes at most `maxBytes` on, then fails with DEMASIADO_GRANDE. `what` names what is measured. */
export function limitBytes(maxBytes: number, what: string) {
  return async function* (source: Bytes): AsyncGenerator<Buffer> {
    let total = 0;
    for await (const bytes of source) {
      total += bytes.length;
      if (total > maxBytes) throw new SyncError('DEMASIADO_GRANDE', `${what} pasa de ${maxBytes} bytes.`);
      yield bytes;
    }
  };
}

/** Rows that are all alike shrink to a hundredth; only what was made for it to a thousandth. */
const RATIO_MAX = 250;
/** Up to so much any ratio will do. */
const RATIO_FREE_BYTES = 16 * 1024 * 1024;

/**
 * `inflate` with a bound on how much its input grows: fails with DEMASIADO_GRANDE past 250 times. The bound on the bytes
 * is another stage's; this one is met long before it by what a small request can make the server do.
 */
export function limitRatio(inflate: (source: Bytes) => AsyncIterable<Buffer>) {
  return async function* (source: Bytes): AsyncGenerator<Buffer> {
    let before = 0;
    let after = 0;
    async function* count(): AsyncGenerator<Buffer> {
      for await (const bytes of source) {
        before += bytes.length;
        yield bytes;
      }
    }
    for await (const bytes of inflate(count())) {
      after += bytes.length;
      if (after > RATIO_FREE_BYTES && after > before * RATIO_MAX) {
        throw new SyncError('DEMASIADO_GRANDE', `El cuerpo crece más de ${RATIO_MAX} veces al descomprimirlo.`);
      }
      yield bytes;
    }
  };
}

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const OPENING_BRACE = 0x7b;
const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

/** PostgreSQL reads each of them, and a gigabyte of them shrinks to a megabyte. */
const BLANK_LINES_MAX = 1_000_000;

/**
 * Makes of NDJSON what COPY takes for one row a line, without parsing it: a byte order mark goes, CRLF becomes LF, a
 * line of blanks becomes empty (COPY counts it and passes over it, so its line numbers stay those of the body).
 *
 * Fails with LINEA_INVALIDA at a line that does not begin as an object (so neither arrays nor `\.`, which ends a COPY
 * before PostgreSQL 18, reach it), with DEMASIADO_GRANDE at one longer than `lineMaxBytes` and past a million blank ones.
 */
export function cleanLines(lineMaxBytes: number) {
  return async function* (source: Bytes): AsyncGenerator<Buffer> {
    let held: Buffer = Buffer.alloc(0);
    let first = true;
    let line = 1;
    let blankLines = 0;
    let started = false;
    let length = 0;

    /** One piece for each: a generator that stopped at every line of blanks would take a second for each megabyte. */
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
