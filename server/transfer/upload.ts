import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import type { ChunkResponse, Commit, UploadResult } from '../../protocol/api.ts';
import { defined } from '../../protocol/defined.ts';
import { digestOfDigests } from '../../protocol/digest.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';
import type { Connection } from '../postgres/pool.ts';
import { findCommit, recordCommit } from '../rows/commits.ts';
import type { HashedBajas } from '../rows/hashed-bajas.ts';
import { isPart } from '../rows/schemas.ts';
import {
  assertKeys,
  openTemporary,
  rowKeyOf,
  setChunk,
  TEMPORARY_TABLE,
  temporaryRows,
  uploadRows,
  uploadTable,
} from '../rows/staging.ts';
import {
  claimChunk,
  extendUpload,
  findChunks,
  finishUpload,
  lockUpload,
  storeChunkRows,
  type Upload,
} from '../rows/uploads.ts';
import { type Configuration, findUploadTable } from '../tenants/configurations.ts';
import { inSpan } from '../tracing/spans.ts';
import { applyReceived } from './apply-received.ts';
import { copyBody } from './copy-body.ts';
import { chunkBody, type OneShot, oneShotBody } from './incoming.ts';
import { claimAnswer, type OneShotAnswer, storeAnswer } from './repeated.ts';
import { withTenantTransfer } from './transfer.ts';

/**
 * UPLOAD, the server's half: body ▶ digest ▶ inflate ▶ limit ▶ lines ▶ COPY ▶ pre_process ▶ merge ▶ post_process ▶ ack.
 * One transaction for a one-shot upload; for a resumable one, a transaction for each chunk and one for the commit.
 * Nothing here is tied to the request's signal: once the body is in, the answer is stored even if nobody waits for it.
 */

/** Receives a whole upload in one transaction: all of it or nothing. */
export async function receiveOneShot(
  context: Context,
  configuration: Configuration,
  request: OneShot,
): Promise<OneShotAnswer> {
  const { modo, reading, idempotencyKey } = request;
  const incoming = oneShotBody(context.config, request);
  const { nombre } = request.tabla ?? {};
  const of = { direccion: 'upload', tabla: nombre ?? '' } as const;
  return withTenantTransfer(context, configuration, of, async (transfer) => {
    const { connection } = transfer;
    const repeated = await claimAnswer(transfer, request, incoming);
    if (repeated !== undefined) return repeated;
    await openTemporary(connection);
    const place = { tenant: configuration.tenantId, ...defined({ tabla: nombre }) };
    const copy = () => copyBody(connection, TEMPORARY_TABLE, incoming, defined({ tabla: nombre }));
    const filas = await inSpan('COPY', place, copy, (rows) => rows);
    const table = request.tabla ?? findUploadTable(configuration, incoming.head.tabla ?? '');
    transfer.tabla = table.nombre;
    const rows = temporaryRows(rowKeyOf(table));
    await assertKeys(connection, rows, table);
    const columns = { huella: request.esquema, agente: request.agente, isPart: isPart(modo, reading) };
    const received = { rows, filas, modo, reading, columns, generacion: idempotencyKey };
    const result = await applyReceived(transfer, table, received);
    await storeAnswer(transfer, request, incoming, result);
    return { result, tablaNombrada: incoming.head.tabla ?? table.nombre };
  });
}

/** Chunk `n` of a resumable upload as the request describes it. */
export interface Chunk {
  uploadId: string;
  n: number;
  digest: string;
  body: Readable;
}

/** Receives a chunk; the same chunk again changes nothing. */
export async function receiveChunk(
  context: Context,
  configuration: Configuration,
  { uploadId, n, digest, body }: Chunk,
): Promise<ChunkResponse> {
  const { config } = context;
  const incoming = chunkBody(config, body, digest);
  // Behind the transaction: parallel chunks would wait for each other.
  const afterCommit = (connection: Connection) => extendUpload(connection, uploadId, config.UPLOAD_EXPIRE_HOURS);
  const of = { direccion: 'upload', tabla: '', afterCommit } as const;
  return withTenantTransfer(context, configuration, of, async ({ connection }) => {
    const upload = await lockUpload(connection, configuration.tenantId, uploadId, 'share');
    if (upload.resultado !== null) throw new SyncError('SUBIDA_CERRADA', 'La subida ya se confirmó.', { trozo: n });
    const stored = await claimChunk(connection, uploadId, n, digest);
    if (stored !== undefined) {
      if (stored.digest === digest) return { success: true, trozo: n, filas: stored.filas, repetido: true };
      throw new SyncError('TROZO_DISTINTO', `El trozo ${n} ya está, con otro contenido.`, { trozo: n });
    }
    await setChunk(connection, n);
    const at = { tabla: upload.tabla, trozo: n };
    const copy = () => copyBody(connection, uploadTable(uploadId), incoming, at);
    const filas = await inSpan('COPY', { tenant: configuration.tenantId, tabla: upload.tabla }, copy, (rows) => rows);
    await storeChunkRows(connection, uploadId, n, filas);
    return { success: true, trozo: n, filas, repetido: false };
  });
}

/** What ends a resumable upload. */
export interface CommitRequest {
  uploadId: string;
  totals: Commit;
  bajas: HashedBajas | undefined;
  /** Of X-Sync-Agent. */
  agente: string | undefined;
}

/**
 * Merges a resumable upload once everything that `totals` states is there; repeated, answers what it answered.
 * @throws {SyncError} SUBIDA_CERRADA: it has been applied, but not with these rows and bajas; TOTALES_DISTINTOS
 */
export async function commitUpload(
  context: Context,
  configuration: Configuration,
  { uploadId, totals, bajas, agente }: CommitRequest,
): Promise<UploadResult> {
  const { tenantId } = configuration;
  return withTenantTransfer(context, configuration, { direccion: 'upload', tabla: '' }, async (transfer) => {
    const { connection } = transfer;
    const upload = await lockUpload(connection, tenantId, uploadId, 'update');
    const digest = digestOfCommit(totals, bajas);
    if (upload.resultado !== null) {
      await assertSameCommit(connection, upload, totals, digest);
      return upload.resultado;
    }
    transfer.tabla = upload.tabla;
    const table = findUploadTable(configuration, upload.tabla);
    assertTotals(upload.tabla, await findChunks(connection, uploadId), totals);
    const { modo, huellas } = upload;
    const lectura = upload.lectura ?? undefined;
    const base = huellas ? upload.base! : undefined;
    const reading = { lectura, relojAtrasado: upload.relojAtrasado ?? false, base, huellas };
    const rows = uploadRows(uploadId, rowKeyOf(table));
    const columns = { huella: upload.esquema ?? undefined, agente, isPart: upload.esParte ?? false };
    const received = { rows, filas: totals.filas, modo, reading, columns, generacion: uploadId, bajas };
    const result = await applyReceived(transfer, table, received);
    await finishUpload(connection, uploadId, result);
    const commit = { id: uploadId, tabla: table.nombre, agente, lectura, modo, digest, resultado: result };
    await recordCommit(connection, tenantId, commit);
    return result;
  });
}

/** The SHA-256 of what a commit states, hexadecimal. */
function digestOfCommit({ trozos, filas, digest }: Commit, bajas: HashedBajas | undefined): string {
  const gone = bajas === undefined ? [] : [bajas.semilla, bajas.leidas, ...bajas.huellas];
  return createHash('sha256')
    .update([trozos, filas, digest, ...gone].join(' '))
    .digest('hex');
}

/**
 * An agent whose folder was restored goes on with an upload that it has applied since, and may have read other rows for it.
 * @throws {SyncError} SUBIDA_CERRADA
 */
async function assertSameCommit(
  connection: Connection,
  { id, tenantId, tabla, resultado }: Upload,
  { filas }: Commit,
  digest: string,
): Promise<void> {
  const known = await findCommit(connection, tenantId, id);
  const isSame = known?.digest == null ? resultado?.filas === filas : known.digest === digest;
  if (isSame) return;
  throw new SyncError('SUBIDA_CERRADA', `La subida «${id}» ya se confirmó, con otras filas o bajas.`, { tabla });
}

/** @throws {SyncError} TOTALES_DISTINTOS */
function assertTotals(tabla: string, chunks: readonly { filas: number; digest: string }[], totals: Commit): void {
  const filas = chunks.reduce((sum, chunk) => sum + chunk.filas, 0);
  const digest = digestOfDigests(chunks.map((chunk) => chunk.digest));
  const differences = [
    chunks.length === totals.trozos ? '' : `trozos: ${totals.trozos} enviados, ${chunks.length} recibidos`,
    filas === totals.filas ? '' : `filas: ${totals.filas} enviadas, ${filas} recibidas`,
    digest === totals.digest ? '' : 'el digest no coincide',
  ].filter((difference) => difference !== '');
  if (differences.length > 0) {
    throw new SyncError('TOTALES_DISTINTOS', `${differences.join('; ')}.`, { tabla });
  }
}
