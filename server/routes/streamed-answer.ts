import type { Socket } from 'node:net';
import { pipeline, Readable, type Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { mediaTypes } from '../../protocol/constants.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';
import type { DownloadFormat } from '../transfer/download-formats.ts';
import { countUnsent } from '../transfer/unsent.ts';
import { chooseEncoding } from './negotiation.ts';

/** Answers that are made while they are sent: compressed as the reader would have it, cut where he takes nothing. */

const mediaTypeOf = {
  envelope: `${mediaTypes.json}; charset=utf-8`,
  ndjson: mediaTypes.ndjson,
  framed: mediaTypes.framedNdjson,
} as const;

/** Returns a signal that is aborted once nobody reads the answer (any more). */
export function watchRequest(request: FastifyRequest, reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  // Comes after the last byte as well, when there is nothing left to give up.
  const leave = () => gone.abort(new SyncError('CUERPO_CORTADO', 'Quien pedía la descarga se fue.'));
  // The socket too: an answer that waits behind another one of its socket is not told.
  const { socket } = request.raw;
  socket.once('close', leave);
  reply.raw.once('close', () => {
    socket.off('close', leave);
    leave();
  });
  // Gone before this was reached: there is no event to come.
  if (reply.raw.closed || reply.raw.destroyed || socket.destroyed) leave();
  return gone.signal;
}

/** Sends the body. What fails in it is a connection that breaks. */
export function sendStream(
  context: Context,
  request: FastifyRequest,
  reply: FastifyReply,
  { body: source, format }: { body: AsyncIterable<string | Buffer>; format: DownloadFormat },
): FastifyReply {
  const { socket } = request.raw;
  const encoder = makeEncoder(request.headers['accept-encoding']);
  const rows = Readable.from(
    watchReader(source, context.config.TRANSFER_IDLE_MS, socket, () => reply.raw.destroy()),
    { objectMode: false, highWaterMark: READ_AHEAD_BYTES },
  );
  reply.header('vary', 'accept, accept-encoding').type(mediaTypeOf[format]);
  let body: Readable = rows;
  if (encoder !== undefined) {
    reply.header('content-encoding', encoder.name);
    // The failure of either end destroys the other, and with it the answer.
    body = pipeline(rows, encoder.stream, () => {});
  }
  return reply.send(body);
}

/** What is read before it is compressed, so that PostgreSQL works on while that is done. */
const READ_AHEAD_BYTES = 1024 * 1024;

/** Cuts a download whose reader takes nothing: it holds a connection and a snapshot of the database. */
async function* watchReader<T>(
  source: AsyncIterable<T>,
  idleMs: number,
  socket: Socket,
  cut: () => void,
): AsyncGenerator<T> {
  const from = socket.bytesWritten;
  for await (const item of source) {
    const stop = watchTaking(socket, from, idleMs, cut);
    try {
      yield item;
    } finally {
      stop();
    }
  }
}

/**
 * Some readers keep to a speed by taking megabytes at once and then nothing for minutes (`curl --limit-rate`): past the first
 * mebibyte, which a kernel may take for a reader that is not there, what was taken may last as it does at so many bytes a second.
 */
const PACED_BYTES_PER_MS = 16;
const PACED_FROM_BYTES = 1024 * 1024;
const PACED_MAX_IDLES = 5;

/** Calls `cut` once the peer of `socket` has taken nothing for `idleMs`, or a quarter longer; after a burst, later. */
function watchTaking(socket: Socket, from: number, idleMs: number, cut: () => void): () => void {
  let unsent: number | undefined;
  let since = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const pacedMs = () => {
    if (unsent === undefined) return 0;
    const taken = socket.bytesWritten - from - socket.writableLength - unsent;
    return Math.min(PACED_MAX_IDLES * idleMs, Math.max(0, taken - PACED_FROM_BYTES) / PACED_BYTES_PER_MS);
  };
  const arm = () => {
    timer = setTimeout(async () => {
      const now = await countUnsent(socket);
      if (timer === undefined) return;
      if (now !== unsent) {
        unsent = now;
        since = performance.now();
      } else if (performance.now() - since >= idleMs + pacedMs()) return cut();
      arm();
    }, idleMs / 4);
  };
  arm();
  return () => {
    clearTimeout(timer);
    timer = undefined;
  };
}

/** Speed over size: the answer is made as it is sent. */
const COMPRESSION_LEVEL = 1;

/** zstd where this Node has it; undefined where the client would have the answer as it is. */
function makeEncoder(accepted: string | undefined): { name: string; stream: Transform } | undefined {
  const { createZstdCompress } = zlib as { createZstdCompress?: () => Transform };
  const name = chooseEncoding(accepted, createZstdCompress === undefined ? ['gzip'] : ['zstd', 'gzip']);
  if (name === 'zstd') return { name, stream: createZstdCompress!() };
  if (name === undefined) return undefined;
  return { name, stream: zlib.createGzip({ level: COMPRESSION_LEVEL, chunkSize: 64 * 1024 }) };
}
