import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ChunkResponse, Commit, Modo, UploadResult } from '../../protocol/api.ts';
import { defined } from '../../protocol/defined.ts';
import { digestOfDigests } from '../../protocol/digest.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { TablaSubida } from '../../protocol/tenant-config/config.ts';
import type { Context } from '../context.ts';
import { copyLinesInto } from '../postgres/copy.ts';
import { translateCopyError, translateMergeError } from '../postgres/errors.ts';
import { type Connection, inTransaction } from '../postgres/pool.ts';
import { commitDurably, setTimeouts } from '../postgres/tenant.ts';
import { deactivateAbsent } from '../rows/absent.ts';
import { assertCurrent, type Reading, recordCommit } from '../rows/commits.ts';
import { claimIdempotencyKey, otherRequest, storeIdempotentResult } from '../rows/idempotency.ts';
import { lockTipoCampo, mergeReceived } from '../rows/merge.ts';
import { claimKeys } from '../rows/shared-keys.ts';
import {
  assertKeys,
  findRowKey,
  openTemporary,
  type ReceivedRows,
  setChunk,
  TEMPORARY_TABLE,
  temporaryRows,
  uploadRows,
  uploadTable,
} from '../rows/staging.ts';
import { claimChunk, extendUpload, findChunks, finishUpload, lockUpload, storeChunkRows } from '../rows/uploads.ts';
import { type Configuration, findUploadTable, namesSharing, tipoCampoOf } from '../tenants/configurations.ts';
import { insertLogs } from '../tenants/logs.ts';
import { describeAlike, describeRetention } from './describe.ts';
import { type EnvelopeHead, readEnvelope } from './json-envelope.ts';
import { collecting } from './memory.ts';
import { logEntry, logFailure, logOwner, runPhase } from './phase.ts';
import { readBody } from './stages/body.ts';
import { checkDigest, differentDigest, noteDigest } from './stages/digest.ts';
import { inflateAny, inflateMember } from './stages/inflate.ts';
import { limitBytes, limitRatio } from './stages/limits.ts';
import { cleanLines } from './stages/lines.ts';
import { type Stage, throughStages } from './stages/stage.ts';

/**
 * UPLOAD, the server's half: body ▶ digest ▶ inflate ▶ limit ▶ lines ▶ COPY ▶ pre_process ▶ merge ▶ post_process ▶ ack.
 * One transaction for a one-shot upload; for a resumable one, a transaction for each chunk and one for the commit.
 * Nothing here is tied to the request's signal: once the body is in, the answer is stored even if nobody waits for it.
 */

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
  /** Of X-Sync-Agent. */
  agente: string | undefined;
}

/** Receives a whole upload in one transaction: all of it or nothing. */
export async function receiveOneShot(
  context: Context,
  configuration: Configuration,
  { body, format, gzip, tabla, modo, digest, idempotencyKey, reading, agente }: OneShot,
): Promise<{ result: UploadResult; tablaNombrada: string }> {
  const { config, database } = context;
  const tenant = configuration.tenantId;
  const started = new Date();
  const head: EnvelopeHead = { tabla: undefined };
  let table = tabla;
  const verdict = { differs: false };
  const seen = { digest };
  const asSent: Stage[] = [
    checkDigest(digest, verdict),
    // A digest that is stated has been checked when the body ends.
    ...(idempotencyKey === undefined || digest !== undefined ? [] : [noteDigest(seen)]),
  ];
  const stages: Stage[] = [
    ...asSent,
    ...(gzip ? [limitRatio(inflateAny)] : []),
    limitBytes(config.UPLOAD_MAX_BYTES, 'El envío'),
    ...(format === 'envelope' ? [readEnvelope(head)] : []),
    cleanLines(config.LINE_MAX_BYTES),
  ];
  try {
    return await database.withTransfer(tenant, (connection) =>
      inTransaction(connection, async () => {
        await setTimeouts(connection, { lockMs: config.LOCK_TIMEOUT_MS });
        const peticion = JSON.stringify([format, table?.nombre ?? null, modo]);
        if (idempotencyKey !== undefined) {
          const stored = await claimIdempotencyKey(connection, tenant, idempotencyKey, peticion);
          if (stored !== undefined) {
            await readToEnd(context, body, [...asSent, limitBytes(config.UPLOAD_MAX_BYTES, 'El envío')]);
            if (stored.digest !== null && stored.digest !== seen.digest) throw otherRequest();
            const { tablaNombrada = stored.resultado.tabla, ...result } = stored.resultado;
            return { result, tablaNombrada };
          }
        }
        await openTemporary(connection);
        const lines = await copyBody(connection, TEMPORARY_TABLE, context, body, { stages, verdict }, table?.nombre);
        table ??= findUploadTable(configuration, head.tabla ?? '');
        const received = temporaryRows(await findRowKey(connection, tenant, table));
        await assertKeys(connection, received, table);
        const tablaNombrada = head.tabla ?? table.nombre;
        const options = { reading, generacion: idempotencyKey };
        const result = await applyReceived(connection, context, configuration, table, modo, received, lines, options);
        if (idempotencyKey !== undefined) {
          const resultado = { ...result, ...(head.tabla === undefined ? {} : { tablaNombrada }) };
          const answer = { resultado, digest: seen.digest ?? null };
          await storeIdempotentResult(connection, tenant, idempotencyKey, answer);
          const { nombre } = table;
          const { lectura } = reading;
          await recordCommit(connection, tenant, {
            ...{ id: idempotencyKey, tabla: nombre, agente, lectura, modo, peticion },
            ...answer,
          });
        }
        return { result, tablaNombrada };
      }),
    );
  } catch (error) {
    await logFailure(context, configuration, 'upload', table?.nombre ?? '', started, error);
    throw error;
  }
}

/** Receives chunk `n` of a resumable upload; the same chunk again changes nothing. */
export async function receiveChunk(
  context: Context,
  configuration: Configuration,
  uploadId: string,
  n: number,
  digest: string,
  body: Readable,
): Promise<ChunkResponse> {
  const { config, database } = context;
  const verdict = { differs: false };
  const stages: Stage[] = [
    limitBytes(config.CHUNK_BODY_MAX_BYTES, 'El trozo comprimido'),
    checkDigest(digest, verdict),
    limitRatio(inflateMember),
    limitBytes(config.CHUNK_MAX_BYTES, 'El trozo'),
    cleanLines(config.LINE_MAX_BYTES),
  ];
  return database.withTransfer(configuration.tenantId, async (connection) => {
    const response = await inTransaction(connection, async (): Promise<ChunkResponse> => {
      await setTimeouts(connection, { lockMs: config.LOCK_TIMEOUT_MS });
      const upload = await lockUpload(connection, configuration.tenantId, uploadId, 'share');
      if (upload.resultado !== null) throw new SyncError('SUBIDA_CERRADA', 'La subida ya se confirmó.', { trozo: n });
      const stored = await claimChunk(connection, uploadId, n, digest);
      if (stored !== undefined) {
        if (stored.digest !== digest) {
          throw new SyncError('TROZO_DISTINTO', `El trozo ${n} ya está, con otro contenido.`, { trozo: n });
        }
        return { success: true, trozo: n, filas: stored.filas, repetido: true };
      }
      await setChunk(connection, n);
      const filas = await copyBody(
        connection,
        uploadTable(uploadId),
        context,
        body,
        { stages, verdict },
        upload.tabla,
        n,
      );
      await storeChunkRows(connection, uploadId, n, filas);
      return { success: true, trozo: n, filas, repetido: false };
    });
    await extendUpload(connection, uploadId, config.UPLOAD_EXPIRE_HOURS);
    return response;
  });
}

/** Merges a resumable upload once everything that `totals` states is there; repeated, answers what it answered. */
export async function commitUpload(
  context: Context,
  configuration: Configuration,
  uploadId: string,
  totals: Commit,
  agente: string | undefined,
): Promise<UploadResult> {
  const { config, database } = context;
  const tenant = configuration.tenantId;
  const started = new Date();
  let tabla = '';
  try {
    return await database.withTransfer(tenant, (connection) =>
      inTransaction(connection, async () => {
        await setTimeouts(connection, { lockMs: config.LOCK_TIMEOUT_MS });
        const upload = await lockUpload(connection, tenant, uploadId, 'update');
        if (upload.resultado !== null) return upload.resultado;
        tabla = upload.tabla;
        const table = findUploadTable(configuration, tabla);
        const chunks = await findChunks(connection, uploadId);
        checkTotals(tabla, chunks, totals);
        const received = uploadRows(uploadId, await findRowKey(connection, tenant, table));
        const { modo } = upload;
        const reading = { lectura: upload.lectura ?? undefined, relojAtrasado: upload.relojAtrasado ?? false };
        const options = { reading, generacion: uploadId };
        const { filas } = totals;
        const result = await applyReceived(connection, context, configuration, table, modo, received, filas, options);
        await finishUpload(connection, uploadId, result);
        const { nombre } = table;
        const { lectura } = reading;
        await recordCommit(connection, tenant, {
          id: uploadId,
          tabla: nombre,
          agente,
          lectura,
          modo,
          resultado: result,
        });
        return result;
      }),
    );
  } catch (error) {
    await logFailure(context, configuration, 'upload', tabla, started, error);
    throw error;
  }
}

/** Reads a body of which nothing but its digest is wanted. */
async function readToEnd({ config }: Context, body: Readable, stages: readonly Stage[]): Promise<void> {
  const read = throughStages(readBody(body, config.TRANSFER_IDLE_MS), stages);
  for await (const _ of read);
}

/** Copies the body through `stages` into the table that waits; how many rows. */
async function copyBody(
  connection: Connection,
  table: string,
  { config }: Context,
  body: Readable,
  { stages, verdict }: { stages: readonly Stage[]; verdict: { differs: boolean } },
  tabla: string | undefined,
  trozo?: number,
): Promise<number> {
  const copy = copyLinesInto(connection, table);
  const lines = collecting(throughStages(readBody(body, config.TRANSFER_IDLE_MS), stages));
  try {
    await pipeline(lines, copy);
  } catch (error) {
    // Until every stage has ended, the digest's among them: damage on the way is the reason, not what it led to.
    await lines.return(undefined).catch(() => {});
    const place = defined({ tabla, trozo });
    throw placed(verdict.differs ? differentDigest(error) : translateCopyError(error, place), place);
  }
  return copy.rowCount;
}

/** An error of a stage knows its line; here it learns table and chunk. */
function placed(error: unknown, place: { tabla?: string; trozo?: number }): unknown {
  if (!(error instanceof SyncError)) return error;
  const { code, detail, retryAfter, cause } = error;
  return new SyncError(code, detail, {
    ...place,
    ...error.place,
    ...defined({ retryAfter }),
    cause,
  });
}

function checkTotals(tabla: string, chunks: readonly { filas: number; digest: string }[], totals: Commit): void {
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

/** Everything that follows once the rows are in PostgreSQL, in the transaction that is open. */
async function applyReceived(
  connection: Connection,
  context: Context,
  configuration: Configuration,
  tabla: TablaSubida,
  modo: Modo,
  received: ReceivedRows,
  filas: number,
  { reading, generacion }: { reading: Reading; generacion: string | undefined },
): Promise<UploadResult> {
  const tenant = configuration.tenantId;
  const tipoCampo = tipoCampoOf(tabla);
  await commitDurably(connection);
  await lockTipoCampo(connection, tenant, tipoCampo);
  await assertCurrent(connection, tenant, tabla.nombre, reading);
  await runPhase(connection, context, configuration, 'upload', tabla, 'pre_process');
  const started = new Date();
  const merge = async () => {
    await claimKeys(connection, tenant, tabla, namesSharing(configuration, tabla), received);
    return mergeReceived(connection, tenant, tabla, received);
  };
  const { claves, insertados, actualizados, parecidas } = await merge().catch((error: unknown) => {
    throw translateMergeError(error, { tabla: tabla.nombre });
  });
  const { desactivados, retencion, aprobadasPor } =
    tabla.desactivarAusentes === true && modo === 'completo'
      ? await deactivateAbsent(connection, tenant, tabla, received, { filas, altas: insertados })
      : { desactivados: 0 };
  const result: UploadResult = {
    success: true,
    tabla: tabla.nombre,
    tipoCampo,
    filas,
    registrosInsertados: insertados,
    registrosActualizados: actualizados,
    registrosSinCambios: claves - insertados - actualizados,
    registrosDesactivados: desactivados,
    clavesRepetidas: filas - claves,
    ...defined({ generacion }),
    bajasRetenidas: retencion?.estado === 'pendiente' ? retencion.bajas : 0,
    ...defined({ retencion, clavesParecidas: parecidas }),
    timestamp: new Date().toISOString(),
  };
  const entry = logEntry('upload', tabla.nombre, 'process', started, {
    registrosAfectados: insertados + actualizados + desactivados,
    mensaje: [
      `${filas} filas recibidas: ${insertados} nuevas, ${actualizados} cambiadas, ${desactivados} desactivadas`,
      ...(aprobadasPor === undefined ? [] : [`bajas aprobadas por ${aprobadasPor}`]),
      ...describeRetention(tenant, retencion),
      ...describeAlike(parecidas),
    ].join('; '),
    metadatos: { ...result, modo, ...defined({ aprobadasPor }) },
  });
  const estado = (result.bajasRetenidas ?? 0) > 0 ? 'parcial' : 'exitoso';
  await insertLogs(connection, logOwner(configuration), [{ ...entry, estado }]);
  if (retencion?.nueva === true) {
    context.log.warn({ tenant, tabla: tabla.nombre, ...retencion }, describeRetention(tenant, retencion)[0]!);
  }
  await runPhase(connection, context, configuration, 'upload', tabla, 'post_process');
  return result;
}
