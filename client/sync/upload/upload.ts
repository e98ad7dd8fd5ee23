import { limits } from '../../../protocol/constants.ts';
import { defined } from '../../../protocol/defined.ts';
import type { ErrorCode } from '../../../protocol/error-table.ts';
import { SyncError } from '../../../protocol/errors.ts';
import { bajasOf, isPhaseAt, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { runTogether } from '../../async/run-together.ts';
import { AgentError } from '../../errors/agent-error.ts';
import { describeError } from '../../errors/describe-error.ts';
import { withRetries } from '../../errors/retry.ts';
import { isSpoolUnusable } from '../../files/disk.ts';
import { sensitiveColumnsOf } from '../../rows/field-encryption.ts';
import type { SqlServer } from '../../sqlserver/sql-server.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import type { SpooledUpload } from '../../state/spool/spooled-upload.ts';
import { type Fingerprints, fingerprintsOf } from '../../state/watermarks.ts';
import { type UselessReason, WholeUploadNeeded } from '../../state/whole-upload-needed.ts';
import { isKnownRefused, isSnapshotRefused, noteRefusal } from '../../state/without-snapshot.ts';
import { atSqlServer } from '../at-sql-server.ts';
import { expectedRows, type SyncContext } from '../context.ts';
import { checkGenerations } from '../generations.ts';
import { causeOf, isLostConnection, recordPhase, runPhaseAtSqlServer } from '../phases.ts';
import { UploadBuffer } from './buffer.ts';
import { Announcement } from './columns.ts';
import { confirm } from './confirm.ts';
import { Delivery, isChunkLost, type SentUpload } from './deliver.ts';
import type { UploadEvents } from './events.ts';
import { extract, parametersOf } from './extract.ts';
import type { UploadJob } from './job.ts';
import { dropUseless, findPending, keepOrDrop, rowsIn } from './pending.ts';
import { planUpload, type UploadPlan } from './plan.ts';
import type { KnownOfChanges } from './read-changes.ts';
import { headOfUnchanged, readHead } from './read-head.ts';

/**
 * Uploads one table: pre_process at SQL Server, its rows to the backend (which runs what is configured at `destino` and
 * applies everything in one transaction), the new mark, post_process at SQL Server.
 * What an earlier run has read and not had committed is in the spool, and then that goes up first: SQL Server is read
 * for it only where the reading had not come to its end; what is new since then is read after it. The mark is SQL
 * Server's clock from before the read, or earlier (reading.ts), and moves only after the backend has answered.
 * A connection to SQL Server that breaks while rows are read is one more attempt, with pre_process (whose session has
 * gone); so is a disk that does not take the spool, then without it. Answers the rows sent (`leidas`: of them, those
 * read after what was pending).
 * @throws {PhaseFailure}, or the error of the connection
 */
export async function uploadTable(
  context: SyncContext,
  tabla: TablaSubida,
): Promise<{ filas: number; leidas?: number }> {
  const { folder, log, watermarks, policy, progress, signal } = context;
  const fingerprints = fingerprintsOf(tabla, context, sensitiveColumnsOf(tabla, context.dataKey));
  const known: KnownFromBefore = {
    ...{ fingerprints, usesSpool: context.usesSpool, newest: undefined, resumed: undefined },
    withoutSnapshot: await isKnownRefused(folder, tabla.nombre, fingerprints),
  };
  const attempt = async () => {
    try {
      return await uploadOnce({ ...context, usesSpool: known.usesSpool }, tabla, known);
    } catch (error) {
      const cause = causeOf(error);
      if (isSpoolUnusable(cause)) known.usesSpool = false;
      if (isCode(cause, 'GENERACION_DESCONOCIDA')) await watermarks.forget(tabla.nombre);
      if (cause instanceof WholeUploadNeeded) {
        known.entera = true;
        await watermarks.forgetLedger(tabla.nombre);
      }
      if (isSnapshotRefused(cause)) {
        known.withoutSnapshot = true;
        await noteRefusal(folder, tabla.nombre, fingerprints, cause);
      }
      if (isCode(cause, 'LECTURA_ANTIGUA')) known.newest = cause.place.lectura;
      throw error;
    }
  };
  const onRetry = (error: unknown) => {
    progress.again();
    const cause = causeOf(error);
    if (cause instanceof WholeUploadNeeded) {
      log.info(`${describeUseless[cause.reason]}: la tabla se sube entera`, tabla.nombre);
      return;
    }
    if (isSnapshotRefused(cause)) {
      log.info(`${describeError(cause).message} La tabla se lee sin SNAPSHOT`, tabla.nombre);
      return;
    }
    const how = known.usesSpool ? 'Se intenta de nuevo.' : 'La tabla se sube sin pasar por spool/.';
    log.warn(`${describeError(cause).text} ${how}`, tabla.nombre);
  };
  const upload = () => withRetries(attempt, { signal, policy, when: isWorthAnotherAttempt, onRetry });
  const filas = await upload();
  if (known.resumed !== true) return { filas };
  progress.again();
  progress.expect(expectedRows(context, 'upload', tabla));
  // What was pending may have been committed long ago, and another upload after it.
  if (watermarks.hasLedger(tabla.nombre)) await checkGenerations(context, [tabla.nombre]);
  const leidas = await upload();
  return { filas: filas + leidas, leidas };
}

/** Why a ledger, or what was read of changes, was of no use. */
const describeUseless = {
  danado: 'El libro de huellas falta o no se puede leer',
  desordenado: 'Las filas llegan en otro orden que la última vez, y son demasiadas para compararlas así',
  repetidas: 'El origen tiene filas con la misma clave',
  muchasBajas: `Faltan más de ${limits.bajasMaxCount} filas en el origen`,
  caducada: 'SQL Server olvidó cambios mientras se leían',
} as const satisfies Record<UselessReason, string>;

/** What the attempts before this one have shown. */
interface KnownFromBefore extends KnownOfChanges {
  fingerprints: Fingerprints;
  usesSpool: boolean;
  /** When the rows were read that made an earlier attempt a reading too old. */
  newest: string | undefined;
  /** Whether what went up was of an earlier run: what is new since then is still to be read. */
  resumed: boolean | undefined;
}

/** One attempt: plan, pre_process, extraction and delivery side by side, commit, mark, post_process. */
async function uploadOnce(context: SyncContext, tabla: TablaSubida, known: KnownFromBefore): Promise<number> {
  const { fingerprints } = known;
  const job: UploadJob = { context, tabla, fingerprints, ...defined({ withoutSnapshot: known.withoutSnapshot }) };
  const plan = await choosePlan(job);
  const pending = plan.kind === 'fresh' ? undefined : plan.pending;
  // What a later attempt finds is of this run.
  known.resumed = pending !== undefined && (known.resumed ?? true);
  try {
    if (plan.kind === 'deliverOnly') {
      const { head } = plan.pending;
      const rows = await transfer(job, plan, bufferOf(context, head, pending));
      if (isPhaseAt(tabla.post_process, 'upload', 'origen')) {
        await atSqlServer(context, tabla, (db) => runPhase(job, db, head, 'post_process'));
      }
      return rows;
    }
    const unchanged =
      plan.kind === 'fresh' && known.entera !== true
        ? await context.looks.find(context, tabla, fingerprints)
        : undefined;
    if (unchanged !== undefined) {
      const buffer = bufferOf(context, headOfUnchanged(job, unchanged));
      await buffer.finish(context.signal);
      return await transfer(job, plan, buffer);
    }
    return await atSqlServer(context, tabla, async (db) => {
      const head = pending?.head ?? (await readHead(job, db, known));
      if (plan.kind === 'fresh') await runPhase(job, db, head, 'pre_process');
      const rows = await transfer(job, plan, bufferOf(context, head, pending), db);
      await runPhase(job, db, head, 'post_process');
      return rows;
    });
  } finally {
    await pending?.close();
  }
}

async function choosePlan({ context, tabla, fingerprints }: UploadJob): Promise<UploadPlan> {
  const pending = await findPending(context, tabla.nombre);
  const plan = planUpload(tabla, fingerprints, { pending, mark: context.watermarks.get(tabla.nombre, fingerprints) });
  if (plan.kind === 'fresh' && plan.useless !== undefined) {
    await dropUseless(context, plan.useless.pending, plan.useless.reason);
  }
  return plan;
}

/** process: rows of `db`, where it is given, by way of the buffer to the backend, which applies them; then the mark. */
function transfer(job: UploadJob, plan: UploadPlan, buffer: UploadBuffer, db?: SqlServer): Promise<number> {
  const { context, tabla, withoutSnapshot } = job;
  const place = { direccion: 'upload', tabla: tabla.nombre, fase: 'process', ejecutadoEn: 'origen' } as const;
  const events = watch(job, plan, buffer);
  const from = plan.kind === 'continue' ? plan.from : undefined;
  return recordPhase(context, place, async () => {
    try {
      const read =
        db &&
        ((inner: AbortSignal) =>
          extract({ context, tabla, db, from, ...defined({ withoutSnapshot }) }, buffer, events, inner));
      const known = context.watermarks.get(tabla.nombre, job.fingerprints)?.esquema;
      const announcement = new Announcement(context.backend, tabla.nombre, known);
      const delivery = new Delivery(context.backend, buffer, events, announcement);
      const sent = await deliverAsRead(delivery, read, actsOnNothing(tabla, buffer.head), context.signal);
      return await confirm(job, buffer, sent);
    } catch (error) {
      await keepOrDrop(context, buffer.store, error);
      throw error;
    }
  });
}

/**
 * Delivers what `read` puts into the buffer while it does so (undefined: all of it is there), and has it committed. The first failure
 * of either stops the other: nothing has been applied then.
 */
export async function deliverAsRead(
  delivery: Delivery,
  read: ((signal: AbortSignal) => Promise<void>) | undefined,
  sendEmpty: boolean,
  signal: AbortSignal,
): Promise<SentUpload | undefined> {
  const deliver = (inner: AbortSignal) => delivery.send(inner);
  await runTogether(signal, read === undefined ? [deliver] : [read, deliver]);
  return delivery.commit({ sendEmpty }, signal);
}

/** Shows an upload's progress: its rows as they are read, or as they are sent where all of them have been read before. */
function watch({ context, tabla }: UploadJob, { kind }: UploadPlan, buffer: UploadBuffer): UploadEvents {
  const { log, progress } = context;
  const { nombre } = tabla;
  const onRead = (rows: number, bytes: number) => {
    progress.rows(rows);
    progress.bytes(bytes);
  };
  const common = {
    onOffline: (error: unknown) =>
      log.warn(`${describeError(error).message} Mientras tanto se sigue leyendo a spool/.`, nombre),
    onCommit: () => progress.waiting(() => 'a que el backend aplique las filas'),
  };
  if (kind === 'deliverOnly') {
    const { head, store } = buffer;
    progress.expect({ filas: rowsIn(store!), exacto: true });
    const when = (head.leido ?? head.reloj).local.slice(0, 19).replace('T', ' ');
    log.info(`Se termina una subida pendiente, leída a las ${when} (hora de SQL Server)`, nombre);
    return { ...common, onRead: () => {}, onDelivered: ({ filas, bytes }) => onRead(filas, bytes) };
  }
  progress.waiting(() =>
    buffer.store?.full === true ? 'sitio en spool/, a que el backend reciba' : 'filas de SQL Server',
  );
  return { ...common, onRead, onDelivered: () => {} };
}

function bufferOf({ spool, usesSpool }: SyncContext, head: UploadHead, pending?: SpooledUpload): UploadBuffer {
  return new UploadBuffer(head, usesSpool ? spool : undefined, pending);
}

async function runPhase(
  { context, tabla }: UploadJob,
  db: SqlServer,
  head: UploadHead,
  fase: 'pre_process' | 'post_process',
): Promise<void> {
  const withMark = (sql: string) => ({ sql, ...parametersOf(sql, head) });
  if (isPhaseAt(tabla[fase], 'upload', 'origen')) context.looks.forget();
  await runPhaseAtSqlServer(context, db, { direccion: 'upload', tabla, fase }, withMark);
}

function isWorthAnotherAttempt(error: unknown): boolean {
  const cause = causeOf(error);
  if (isCode(cause, 'GENERACION_DESCONOCIDA') || isCode(cause, 'LECTURA_ANTIGUA')) return true;
  if (cause instanceof WholeUploadNeeded || isSnapshotRefused(cause)) return true;
  return isLostConnection(error) || isChunkLost(cause) || isSpoolUnusable(cause) || isOtherColumns(cause);
}

/** Returns whether the columns changed while rows were read: they are read again, from the first. */
function isOtherColumns(error: unknown): boolean {
  return error instanceof AgentError && error.code === 'COLUMNAS_CAMBIADAS';
}

function isCode(error: unknown, code: ErrorCode): error is SyncError {
  return error instanceof SyncError && error.code === code;
}

/**
 * Returns whether an upload without rows still does something at the backend: a phase there, or that all are absent.
 */
function actsOnNothing(tabla: TablaSubida, { modo }: UploadHead): boolean {
  if (isPhaseAt(tabla.pre_process, 'upload', 'destino') || isPhaseAt(tabla.post_process, 'upload', 'destino'))
    return true;
  return modo === 'completo' && bajasOf(tabla) !== 'ignorar';
}
