import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyRequest, preParsingAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import { headers, mediaTypes } from '../../protocol/constants.ts';
import { parseContentDigest } from '../../protocol/digest.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Config } from '../config.ts';
import { readBody } from '../transfer/stages/body.ts';

const { json, ndjson, jsonl, gzip } = mediaTypes;

/** Bounds how slow a JSON body may be; a hook `preParsing`. */
export function idleTimeout({ TRANSFER_IDLE_MS }: Config): preParsingAsyncHookHandler {
  return async (_request, _reply, payload) =>
    Readable.from(readBody(payload as Readable, TRANSFER_IDLE_MS), { objectMode: false });
}

/** Routes registered beside this plugin get their body as a stream, unread. */
export const streamedBodies = fp(async (app: FastifyInstance) => {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser([json, ndjson, jsonl, gzip], (_request, payload, done) => done(null, payload));
});

/** Returns the body of a route below `streamedBodies`; an empty one where the request has none. */
export function bodyOf(request: FastifyRequest): Readable {
  return (request.body as Readable | null | undefined) ?? Readable.from([]);
}

/** Returns which agent asks, as it says (X-Sync-Agent). */
export function agentOf(request: FastifyRequest): string | undefined {
  const id = request.headers[headers.agent];
  return typeof id === 'string' ? id : undefined;
}

/** Returns the media type without its parameters. */
export function mediaTypeOf(request: FastifyRequest): string {
  return (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
}

/**
 * Returns whether the body is gzip: by Content-Encoding, or because its media type says so.
 * @throws {SyncError} TIPO_NO_ADMITIDO: another encoding.
 */
export function isGzip(request: FastifyRequest): boolean {
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (encoding === 'gzip' || encoding === 'x-gzip') return true;
  if (encoding !== 'identity') {
    throw new SyncError('TIPO_NO_ADMITIDO', `Content-Encoding «${encoding.slice(0, 40)}» no se admite.`);
  }
  return mediaTypeOf(request) === gzip;
}

/**
 * Returns the SHA-256 that Content-Digest states (base64), if it is there.
 * @throws {SyncError} CUERPO_INVALIDO: it states none.
 */
export function digestOfRequest(request: FastifyRequest): string | undefined {
  const field = request.headers[headers.contentDigest];
  if (field === undefined) return undefined;
  const digest = parseContentDigest(String(field));
  if (digest === undefined) {
    throw new SyncError('CUERPO_INVALIDO', 'Content-Digest no trae sha-256=:…:.', { campo: 'Content-Digest' });
  }
  return digest;
}
