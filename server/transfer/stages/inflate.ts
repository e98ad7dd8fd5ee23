import { createRequire } from 'node:module';
import { pipeline } from 'node:stream';
import { crc32, createGunzip, createInflateRaw, type InflateRaw } from 'node:zlib';
import type * as ZlibSync from 'zlib-sync';
import { SyncError } from '../../../protocol/errors.ts';
import type { Bytes } from './stage.ts';

/** Output is made in pieces of this size: each costs a turn of the thread pool. */
const OUTPUT_BYTES = 1024 * 1024;

/** Inflates any number of gzip members, as `gunzip` does. */
export async function* inflateAny(source: Bytes): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: 256 * 1024 });
  // A failure of the source destroys the gunzip with it, and so comes out of the loop.
  pipeline(source, gunzip, () => {});
  try {
    for await (const bytes of gunzip) yield bytes as Buffer;
  } catch (error) {
    throw translate(error);
  }
}

/** zlib-sync never frees what zlib allocates for a member (it lacks inflateEnd): 42 KB, for as long as the process lives. */
const ADDON_MEMBERS_MAX = 256;
let addonMembers = 0;

/**
 * Inflates one gzip member.
 * The first members of a process go through the add-on, where it was built; node:zlib takes as much processor time.
 * @throws {SyncError} CUERPO_INVALIDO for incomplete or damaged data, or anything after its end
 */
export function inflateMember(source: Bytes): AsyncGenerator<Buffer> {
  if (addon === undefined || addonMembers >= ADDON_MEMBERS_MAX) return inflateWithNode(source);
  addonMembers += 1;
  return inflateWithAddon(source, addon);
}

export const addon = loadAddon();

function loadAddon(): typeof ZlibSync | undefined {
  try {
    return createRequire(import.meta.url)('zlib-sync') as typeof ZlibSync;
  } catch {
    // Optional: it did not build here.
    return undefined;
  }
}

const AFTER_END = 'hay datos después de su final';
const CUT = 'está incompleto';

/**
 * Inflates one member by `createInflateRaw`, which stops at the end of the compressed data: `createGunzip` goes on with
 * the next member and does not tell. Header and trailer are read here.
 */
export async function* inflateWithNode(source: Bytes): AsyncGenerator<Buffer> {
  const input = source[Symbol.asyncIterator]();
  const raw = createInflateRaw({ chunkSize: OUTPUT_BYTES });
  const feeding = new AbortController();
  try {
    const body = await skipHeader(input);
    const fed = feed(raw, body, input, feeding.signal);
    // Its failure destroys `raw`, and so comes out of the loop.
    fed.catch(() => {});
    let crc = 0;
    let bytes = 0;
    for await (const piece of raw as AsyncIterable<Buffer>) {
      crc = crc32(piece, crc);
      bytes += piece.length;
      yield piece;
    }
    feeding.abort();
    const trailer = await readTrailer(await fed, raw.bytesWritten, input);
    if (trailer.readUInt32LE(0) !== crc) throw damaged('la suma CRC-32 no coincide');
    if (trailer.readUInt32LE(4) !== bytes % 2 ** 32) throw damaged('la longitud no coincide');
  } catch (error) {
    throw translate(error);
  } finally {
    feeding.abort();
    raw.destroy();
    await input.return?.();
  }
}

/** What was fed and may not have been taken: bytes from `from` on, counted from the header's end. */
interface Fed {
  from: number;
  pieces: Buffer[];
}

/** Writes input to `raw` until the source ends or `signal` is aborted, which says that `raw` has ended. */
async function feed(raw: InflateRaw, first: Buffer, input: AsyncIterator<Buffer>, signal: AbortSignal): Promise<Fed> {
  const fed: Fed = { from: 0, pieces: [] };
  // Once the data has ended inside a piece, the write of that piece never calls back.
  const ended = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  try {
    for (let piece: Buffer | undefined = first; piece !== undefined; piece = await nextPiece(input)) {
      fed.pieces.push(piece);
      if (signal.aborted) return fed;
      const bytes = piece;
      await Promise.race([new Promise<void>((resolve) => raw.write(bytes, () => resolve())), ended]);
      while (fed.pieces.length > 0 && fed.from + fed.pieces[0]!.length <= raw.bytesWritten) {
        fed.from += fed.pieces.shift()!.length;
      }
      if (signal.aborted) return fed;
    }
    raw.end();
  } catch (error) {
    raw.destroy(error as Error);
    throw error;
  }
  return fed;
}

async function nextPiece(input: AsyncIterator<Buffer>): Promise<Buffer | undefined> {
  const { done, value } = await input.next();
  return done === true ? undefined : value;
}

const TRAILER_BYTES = 8;

/** CRC-32 and length, which have to be all that follows the compressed data. */
async function readTrailer({ from, pieces }: Fed, taken: number, input: AsyncIterator<Buffer>): Promise<Buffer> {
  let trailer = Buffer.concat(pieces).subarray(taken - from);
  while (trailer.length <= TRAILER_BYTES) {
    const piece = await nextPiece(input);
    if (piece === undefined) break;
    trailer = Buffer.concat([trailer, piece]);
  }
  if (trailer.length < TRAILER_BYTES) throw damaged(CUT);
  if (trailer.length > TRAILER_BYTES) throw damaged(AFTER_END);
  return trailer;
}

/** Names and comments in it may be of any length; nobody's are of this one. */
const HEADER_MAX_BYTES = 64 * 1024;

/** Reads the header (RFC 1952, 2.3) and returns what came behind it. */
async function skipHeader(input: AsyncIterator<Buffer>): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  for (;;) {
    const length = lengthOfHeader(bytes);
    if (length !== undefined) return bytes.subarray(length);
    if (bytes.length > HEADER_MAX_BYTES) throw damaged('su cabecera no se acaba');
    const piece = await nextPiece(input);
    if (piece === undefined) throw damaged(CUT);
    bytes = Buffer.concat([bytes, piece]);
  }
}

const flags = { crc: 0x02, extra: 0x04, name: 0x08, comment: 0x10, reserved: 0xe0 };
const FIXED_BYTES = 10;

/** Undefined where more of it has to come. */
function lengthOfHeader(bytes: Buffer): number | undefined {
  if (bytes.length < FIXED_BYTES) return undefined;
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b || bytes[2] !== 8) throw damaged('no empieza como gzip');
  const has = bytes[3]!;
  if ((has & flags.reserved) !== 0) throw damaged('su cabecera no se entiende');
  let at = FIXED_BYTES;
  if ((has & flags.extra) !== 0) {
    if (bytes.length < at + 2) return undefined;
    at += 2 + bytes.readUInt16LE(at);
  }
  for (const text of [flags.name, flags.comment]) {
    if ((has & text) === 0) continue;
    const end = bytes.indexOf(0, at);
    if (end === -1) return undefined;
    at = end + 1;
  }
  if ((has & flags.crc) !== 0) {
    if (bytes.length < at + 2) return undefined;
    if (bytes.readUInt16LE(at) !== (crc32(bytes.subarray(0, at)) & 0xffff)) throw damaged('su cabecera está dañada');
    at += 2;
  }
  return bytes.length < at ? undefined : at;
}

/** Input is inflated in pieces of this size: DEFLATE grows data at most 1032 times, so a bomb makes 16 MB a piece. */
const ADDON_PIECE_BYTES = 16 * 1024;

/** Inflates one member by `zlib-sync`, on this thread. */
export async function* inflateWithAddon(source: Bytes, zlibSync: typeof ZlibSync): AsyncGenerator<Buffer> {
  const inflate = new zlibSync.Inflate({ chunkSize: 256 * 1024, windowBits: 31 });
  let ended = false;
  const push = (piece: Buffer): Buffer | undefined => {
    inflate.push(piece, zlibSync.Z_SYNC_FLUSH);
    if (inflate.err === zlibSync.Z_STREAM_END) ended = true;
    // No progress is no failure: more input is needed.
    else if (inflate.err < 0 && inflate.err !== zlibSync.Z_BUF_ERROR) throw damaged(inflate.msg ?? 'datos dañados');
    const result = inflate.result as Buffer | null;
    return result === null || result.length === 0 ? undefined : result;
  };
  // The add-on does not say how much of its input it left. So the last byte is kept apart: where the member ends before the last
  // byte of the body, something follows it.
  let held: Buffer = Buffer.alloc(0);
  async function* piecesOf(): AsyncGenerator<Buffer> {
    for await (const bytes of source) {
      for (let at = 0; at < bytes.length; at += ADDON_PIECE_BYTES) {
        if (held.length > 0) yield held;
        held = bytes.subarray(at, at + ADDON_PIECE_BYTES);
      }
    }
    if (held.length > 1) yield held.subarray(0, -1);
    yield held.subarray(-1);
  }
  for await (const piece of piecesOf()) {
    if (ended) throw damaged(AFTER_END);
    const result = push(piece);
    if (result !== undefined) yield result;
  }
  while (!ended) {
    const rest = push(Buffer.alloc(0));
    if (rest === undefined) break;
    yield rest;
  }
  if (!ended) throw damaged(CUT);
}

/** An error of zlib as CUERPO_INVALIDO; another one as it is. */
function translate(error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException;
  return code?.startsWith('Z_') === true ? damaged(message, error) : error;
}

function damaged(reason: string, cause?: unknown): SyncError {
  return new SyncError('CUERPO_INVALIDO', `El cuerpo no es gzip válido: ${reason}.`, { cause });
}
