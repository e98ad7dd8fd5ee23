import { type ErrorCode, SyncError } from '../../../protocol/errors.ts';
import { isPhaseAt, primaryKeyOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { mentionsMark } from '../../../protocol/tenant-config/ultima-sync.ts';
import { guardedNames, isKnownQuery, withKnownQuery } from '../../config/sensitive-pins.ts';
import { describeError } from '../../errors/describe-error.ts';
import { withRetries } from '../../errors/retry.ts';
import { isSpoolUnusable } from '../../files/disk.ts';
import { encryptRows, refuseColumns, sensitiveColumnsOf } from '../../rows/field-encryption.ts';
import { findRangeKey } from '../../sqlserver/read/range-key.ts';
import { type RangeEnd, readRanges } from '../../sqlserver/read/ranges.ts';
import {
  DEFAULT_BLOCK_BYTES,
  type NdjsonBlock,
  type SqlParameter,
  type SqlServer,
} from '../../sqlserver/sql-server.ts';
import { type ChunkStore, MemoryChunks } from '../../state/spool/chunk-store.ts';
import type { ChunkInfo, UploadHead } from '../../state/spool/manifest.ts';
import type { SpooledUpload } from '../../state/spool/spooled-upload.ts';
import { type Fingerprints, fingerprintsOf } from '../../state/watermarks.ts';
import type { SyncContext } from '../context.ts';
import { causeOf, isLostConnection, recordPhase, runPhaseAtSqlServer } from '../phases.ts';
import { cutChunks, sealChunks } from './chunks.ts';
import { confirm } from './confirm.ts';
import { CHUNKS_IN_FLIGHT, deliver, isChunkLost, sendChunks, sendKept } from './deliver.ts';
import { asBegunBefore, findPending, keepOrDrop } from './pending.ts';
import { queryOf } from './plan.ts';
import { readHead } from './read-head.ts';

/**
 * Uploads one table: pre_process at SQL Server, its rows to the backend (which runs what is configured at `destino`
 * and applies everything in one transaction), the new mark, post_process at SQL Server.
 *
 * What an earlier run has read and not had committed is in the spool, and then that goes up first: SQL Server is read for it
 * only where the reading had not come to its end; what is new since then is read after it. The mark is SQL Server's clock
 * from before the read, or earlier (plan.ts), and moves only after the backend has answered.
 *
 * A connection to SQL Server that breaks while rows are read is one more attempt, with pre_process (whose session has
 * gone); so is a disk that does not take the spool, then without it. Answers the rows sent. Throws PhaseFailure, or the
 * error of the connection.
 */
export async function uploadTable(context: SyncContext, tabla: TablaSubida): Promise<number> {
  const { log, marks, policy, progress, signal } = context;
  let { usesSpool } = context;
  let newest: string | undefined;
  let resumed: boolean | undefined;
  const onPending = (found: boolean) => {
    // What a later attempt finds is of this run.
    resumed = found && (resumed ?? true);
  };
  const attempt = async () => {
    try {
      return await uploadOnce({ ...context, usesSpool }, tabla, newest, onPending);
    } catch (error) {
      const cause = causeOf(error);
      if (isSpoolUnusable(cause)) usesSpool = false;
      if (isCode(cause, 'GENERACION_DESCONOCIDA')) await marks.forget(tabla.nombre);
      if (isCode(cause, 'LECTURA_ANTIGUA')) newest = cause.place.lectura;
      throw error;
    }
  };
  const onRetry = (error: unknown) => {
    progress.again();
    const how = usesSpool ? 'Se intenta de nuevo.' : 'La tabla se sube sin pasar por spool/.';
    log.warn(`${describeError(causeOf(error)).text} ${how}`, tabla.nombre);
  };
  const upload = () => withRetries(attempt, { signal, policy, when: isWorthAnotherAttempt, onRetry });
  const rows = await upload();
  return resumed === true ? rows + (await upload()) : rows;
}

function isWorthAnotherAttempt(error: unknown): boolean {
  const cause = causeOf(error);
  if (isCode(cause, 'GENERACION_DESCONOCIDA') || isCode(cause, 'LECTURA_ANTIGUA')) return true;
  return isLostConnection(error) || isChunkLost(cause) || isSpoolUnusable(cause);
}

function isCode(error: unknown, code: ErrorCode): error is SyncError {
  return error instanceof SyncError && error.code === code;
}

/** `newest`: when the rows were read that made an earlier attempt a reading too old. */
async function uploadOnce(
  context: SyncContext,
  tabla: TablaSubida,
  newest: string | undefined,
  onPending: (found: boolean) => void,
): Promise<number> {
  const huellas = fingerprintsOf(tabla, context, sensitiveColumnsOf(tabla, context.dataKey));
  const pending = await findPending(context, tabla, huellas);
  onPending(pending !== undefined);
  try {
    return pending?.complete === true
      ? await finishPending(context, tabla, huellas, pending)
      : await readAndFinish(context, tabla, huellas, pending, newest);
  } finally {
    await pending?.close();
  }
}

const CONNECTING = () => 'la conexión a SQL Server';
const COMMITTING = () => 'a que el backend aplique las filas';

const placeOf = ({ nombre }: TablaSubida) =>
  ({ direccion: 'upload', tabla: nombre, fase: 'process', ejecutadoEn: 'origen' }) as const;

/** The whole way. `pending`: whole ranges of a reading that broke off, which goes on behind them. */
async function readAndFinish(
  context: SyncContext,
  tabla: TablaSubida,
  huellas: Fingerprints,
  pending: SpooledUpload | undefined,
  newest: string | undefined,
): Promise<number> {
  return atSqlServer(context, tabla, async (db) => {
    const head = pending?.head ?? (await readHead(context, db, tabla, huellas, newest));
    const withMark = (sql: string) => ({ sql, ...parametersOf(sql, head.ultimaSync) });
    if (pending === undefined) await runPhaseAtSqlServer(context, db, 'upload', tabla, 'pre_process', withMark);
    const rows = await recordPhase(context, placeOf(tabla), () => sendRows(context, db, tabla, huellas, head, pending));
    await runPhaseAtSqlServer(context, db, 'upload', tabla, 'post_process', withMark);
    return rows;
  });
}

/** All rows are in the spool: SQL Server is needed for post_process alone. */
async function finishPending(
  context: SyncContext,
  tabla: TablaSubida,
  huellas: Fingerprints,
  pending: SpooledUpload,
): Promise<number> {
  const { backend, log, progress, signal } = context;
  const { head } = pending;
  progress.expect({ filas: rowsOf(pending), exacto: true });
  const when = (head.leido ?? head.reloj).local.slice(0, 19).replace('T', ' ');
  log.info(`Se termina una subida pendiente, leída a las ${when} (hora de SQL Server)`, tabla.nombre);
  const rows = await recordPhase(context, placeOf(tabla), async () => {
    try {
      const options = { signal, onWait: () => {}, onCommit: () => progress.waiting(COMMITTING) };
      const onDelivered = ({ filas, bytes }: ChunkInfo) => {
        progress.rows(filas);
        progress.bytes(bytes);
      };
      const { idempotencyKey } = pending;
      const sent =
        idempotencyKey === undefined
          ? await deliver(backend, asBegunBefore(head), pending, { ...options, onDelivered })
          : await sendKept(backend, asBegunBefore(head), pending, options, idempotencyKey);
      return await confirm(context, tabla, huellas, head, sent, pending.replaced, pending);
    } catch (error) {
      await keepOrDrop(context, pending, error);
      throw error;
    }
  });
  if (isPhaseAt(tabla.post_process, 'upload', 'origen')) {
    const withMark = (sql: string) => ({ sql, ...parametersOf(sql, head.ultimaSync) });
    await atSqlServer(context, tabla, (db) =>
      runPhaseAtSqlServer(context, db, 'upload', tabla, 'post_process', withMark),
    );
  }
  return rows;
}

function atSqlServer<T>(
  { log, progress, signal, withSqlServer }: SyncContext,
  { nombre }: TablaSubida,
  use: (db: SqlServer) => Promise<T>,
): Promise<T> {
  const onMessage = (text: string) => log.info(`SQL Server: ${text}`, nombre);
  progress.waiting(CONNECTING);
  return withSqlServer({ signal, onMessage }, use);
}

async function sendRows(
  context: SyncContext,
  db: SqlServer,
  tabla: TablaSubida,
  huellas: Fingerprints,
  head: UploadHead,
  pending: SpooledUpload | undefined,
) {
  const { backend, chunkBytes, log, progress, signal, spool, usesSpool } = context;
  let replaced = pending?.replaced ?? 0;
  let store: ChunkStore | undefined = pending;
  progress.waiting(() => (store?.full === true ? 'sitio en spool/, a que el backend reciba' : 'filas de SQL Server'));
  const read = (inner: AbortSignal) => {
    const rows = readTable(context, db, tabla, head, pending?.lastKey, inner);
    const sensitive = sensitiveColumnsOf(tabla, context.dataKey);
    const pins = context.sensitivePins;
    const onClean = () => context.learn((known) => withKnownQuery(known, tabla));
    const checked = isKnownQuery(pins, tabla) ? rows : refuseColumns(rows, tabla, guardedNames(pins, tabla), onClean);
    const leaving = sensitive === undefined ? checked : encryptRows(checked, tabla, sensitive);
    const blocks = tap(leaving, (item) => {
      if ('ultima' in item) return;
      replaced += item.replacedCharacters;
      progress.rows(item.rows);
      progress.bytes(item.bytes.length);
    });
    return sealChunks(cutChunks(blocks, chunkBytes), pending?.ready);
  };
  try {
    const sent = await sendChunks(
      backend,
      {
        ...(pending === undefined ? head : { ...asBegunBefore(head), store: pending }),
        sendEmpty: actsOnNothing(tabla, head),
        openStore: async () => {
          store = await openStore(context, head);
          return store;
        },
        keep: async (chunk, clave) => {
          if (usesSpool) store = await spool?.keep(head, chunk, { clave, sustituidos: replaced });
        },
        countReplaced: () => replaced,
        onWait: (error) =>
          log.warn(`${describeError(error).message} Mientras tanto se sigue leyendo a spool/.`, tabla.nombre),
        onCommit: () => progress.waiting(COMMITTING),
        signal,
      },
      read,
    );
    return await confirm(context, tabla, huellas, head, sent, replaced, store);
  } catch (error) {
    await keepOrDrop(context, store, error);
    throw error;
  }
}

function rowsOf(store: ChunkStore): number {
  let rows = 0;
  for (let n = 0; n < store.ready; n++) rows += store.info(n).filas;
  return rows;
}

async function openStore({ spool, usesSpool }: SyncContext, head: UploadHead): Promise<ChunkStore> {
  return spool !== undefined && usesSpool ? spool.create(head) : new MemoryChunks(CHUNKS_IN_FLIGHT);
}

async function* readTable(
  { chunkBytes }: SyncContext,
  db: SqlServer,
  tabla: TablaSubida,
  { ultimaSync, entera }: UploadHead,
  after: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<NdjsonBlock | RangeEnd> {
  const { particion } = tabla;
  const query = queryOf(tabla, entera === true);
  const parameters = parametersOf(query, ultimaSync).parameters ?? [];
  const names = namesOf(tabla);
  const blockBytes = Math.min(DEFAULT_BLOCK_BYTES, chunkBytes);
  if (particion === undefined) {
    yield* db.readRows(query, { parameters, names, blockBytes, signal });
    return;
  }
  const key = await findRangeKey(db, query, parameters, particion.columna, signal);
  const { filas } = particion;
  yield* readRanges(db, query, {
    ...{ parameters, names, blockBytes, signal, key, filas },
    ...(after === undefined ? {} : { after }),
  });
}

/** Whether an upload without rows still does something at the backend: a phase there, or that all are absent. */
function actsOnNothing(tabla: TablaSubida, { modo }: UploadHead): boolean {
  if (isPhaseAt(tabla.pre_process, 'upload', 'destino') || isPhaseAt(tabla.post_process, 'upload', 'destino'))
    return true;
  return modo === 'completo' && tabla.desactivarAusentes === true;
}

/** The columns that the backend looks for by name (protocol/SPEC.md, R2 and R3). */
function namesOf(tabla: TablaSubida): string[] {
  return [...primaryKeyOf(tabla), 'codigo', 'nombre', 'descripcion', 'razon_social', 'activo'];
}

function parametersOf(sql: string, ultimaSync: string | null): { parameters?: SqlParameter[] } {
  if (!mentionsMark(sql)) return {};
  return { parameters: [{ name: 'ultimaSync', type: 'datetime2', value: ultimaSync }] };
}

async function* tap<T>(source: AsyncIterable<T>, see: (item: T) => void): AsyncGenerator<T> {
  for await (const item of source) {
    see(item);
    yield item;
  }
}
