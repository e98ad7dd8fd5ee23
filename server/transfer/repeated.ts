import type { UploadResult } from '../../protocol/api.ts';
import { defined } from '../../protocol/defined.ts';
import { recordCommit } from '../rows/commits.ts';
import { claimIdempotencyKey, otherRequest, storeIdempotentResult } from '../rows/idempotency.ts';
import { drainBody } from './copy-body.ts';
import type { IncomingOneShot, OneShot } from './incoming.ts';
import type { Transfer } from './transfer.ts';

/** One-shot uploads that come again under their Idempotency-Key. */

export interface OneShotAnswer {
  result: UploadResult;
  /** As an envelope named its table. */
  tablaNombrada: string;
}

/** What a key belongs to, beside the bytes of the body. */
function describeRequest({ format, tabla, modo }: OneShot): string {
  return JSON.stringify([format, tabla?.nombre ?? null, modo]);
}

/**
 * Takes the request's key for the transfer's transaction, or returns what the request of the same key was answered,
 * once the whole body has come. Returns undefined without a key.
 * @throws {SyncError} PETICION_DISTINTA: the key came with another request
 */
export async function claimAnswer(
  { connection, configuration }: Transfer,
  request: OneShot,
  incoming: IncomingOneShot,
): Promise<OneShotAnswer | undefined> {
  const { idempotencyKey } = request;
  if (idempotencyKey === undefined) return undefined;
  const peticion = describeRequest(request);
  const stored = await claimIdempotencyKey(connection, configuration.tenantId, idempotencyKey, peticion);
  if (stored === undefined) return undefined;
  await drainBody(incoming, incoming.asSent);
  if (stored.digest !== null && stored.digest !== incoming.seen.digest) throw otherRequest();
  const { tablaNombrada = stored.resultado.tabla, ...result } = stored.resultado;
  return { result, tablaNombrada };
}

/** Keeps the answer beside the request's key, if it has one, and in the generations; without a key, that there was an upload. */
export async function storeAnswer(
  { connection, configuration: { tenantId }, tabla }: Transfer,
  request: OneShot,
  { head, seen }: IncomingOneShot,
  result: UploadResult,
): Promise<void> {
  const { idempotencyKey, agente, modo, reading } = request;
  const { lectura } = reading;
  if (idempotencyKey === undefined) {
    await recordCommit(connection, tenantId, { id: undefined, tabla, agente, lectura, modo });
    return;
  }
  const resultado = { ...result, ...defined({ tablaNombrada: head.tabla }) };
  const answer = { resultado, digest: seen.digest ?? null };
  await storeIdempotentResult(connection, tenantId, idempotencyKey, answer);
  const peticion = describeRequest(request);
  await recordCommit(connection, tenantId, { id: idempotencyKey, tabla, agente, lectura, modo, peticion, ...answer });
}
