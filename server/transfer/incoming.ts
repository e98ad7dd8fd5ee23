import type { Readable } from 'node:stream';
import type { Modo } from '../../protocol/api.ts';
import type { TablaSubida } from '../../protocol/tenant-config/config.ts';
import type { Config } from '../config.ts';
import type { Reading } from '../rows/commits.ts';
import type { Incoming } from './copy-body.ts';
import { type EnvelopeHead, readEnvelope } from './json-envelope.ts';
import { checkDigest, noteDigest } from './stages/digest.ts';
import { inflateAny, inflateMember } from './stages/inflate.ts';
import { limitBytes, limitRatio } from './stages/limits.ts';
import { cleanLines } from './stages/lines.ts';
import type { Stage } from './stages/stage.ts';

/** Which stages a body passes, by the kind of upload that it is. */

/** A one-shot upload as the request describes it. */
export interface OneShot {
  body: Readable;
  format: 'ndjson' | 'envelope';
  gzip: boolean;
  /** Of the query string; an envelope names its own. */
  tabla: TablaSubida | undefined;
  modo: Modo;
  digest: string | undefined;
  idempotencyKey: string | undefined;
  reading: Reading;
  /** The description of its columns that it names. */
  esquema: string | undefined;
  /** Of X-Sync-Agent. */
  agente: string | undefined;
}

/** Its body with its stages. */
export interface IncomingOneShot extends Incoming {
  /** The stages that see the bytes as they were sent, and the limit of those: what a repeated request passes. */
  asSent: readonly Stage[];
  /** What an envelope says beside its rows, once it has been read. */
  head: EnvelopeHead;
  /** SHA-256 of the body: as the request states it, or once it has been read where that is wanted. */
  seen: { digest?: string | undefined };
}

/** Returns the body of a one-shot upload with its stages. */
export function oneShotBody(config: Config, request: OneShot): IncomingOneShot {
  const { body, format, gzip, digest, idempotencyKey } = request;
  const head: EnvelopeHead = { tabla: undefined };
  const verdict = { differs: false };
  const seen = { digest };
  // A digest that is stated has been checked when the body ends.
  const isNoted = idempotencyKey !== undefined && digest === undefined;
  const digests = [checkDigest(digest, verdict), ...(isNoted ? [noteDigest(seen)] : [])];
  const limit = limitBytes(config.UPLOAD_MAX_BYTES, 'El envío');
  const stages = [
    ...digests,
    ...(gzip ? [limitRatio(inflateAny)] : []),
    limit,
    ...(format === 'envelope' ? [readEnvelope(head)] : []),
    cleanLines(config.LINE_MAX_BYTES),
  ];
  return { body, idleMs: config.TRANSFER_IDLE_MS, stages, verdict, asSent: [...digests, limit], head, seen };
}

/** Returns the body of a chunk with its stages. */
export function chunkBody(config: Config, body: Readable, digest: string): Incoming {
  const verdict = { differs: false };
  const stages = [
    limitBytes(config.CHUNK_BODY_MAX_BYTES, 'El trozo comprimido'),
    checkDigest(digest, verdict),
    limitRatio(inflateMember),
    limitBytes(config.CHUNK_MAX_BYTES, 'El trozo'),
    cleanLines(config.LINE_MAX_BYTES),
  ];
  return { body, idleMs: config.TRANSFER_IDLE_MS, stages, verdict };
}
