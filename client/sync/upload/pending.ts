import { SyncError } from '../../../protocol/errors.ts';
import type { TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { describeError, isCredentialCode } from '../../errors/describe-error.ts';
import { isDiskError } from '../../files/disk.ts';
import { BackendError } from '../../http/client.ts';
import { SqlServerError } from '../../sqlserver/sql-server.ts';
import type { ChunkStore } from '../../state/spool/chunk-store.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import { SpooledUpload } from '../../state/spool/spooled-upload.ts';
import { type Fingerprints, isMadeWith } from '../../state/watermarks.ts';
import type { SyncContext } from '../context.ts';
import { abandon, type UploadKind } from './deliver.ts';
import { modoOf } from './plan.ts';

/** Which uploads of the spool are gone on with, and which are begun afresh. */

/** What the spool holds of this table and may be used; what may not be is removed, here and at the backend. */
export async function findPending(
  context: SyncContext,
  tabla: TablaSubida,
  huellas: Fingerprints,
): Promise<SpooledUpload | undefined> {
  const { log, spool } = context;
  const found = await spool?.find(tabla.nombre).catch((error: unknown) => {
    if (!isDiskError(error)) throw error;
    log.warn(`No se puede leer spool/ (${error.message}): se empieza de nuevo`, tabla.nombre);
    return undefined;
  });
  if (found === undefined) return undefined;
  if (found === 'damaged') {
    log.warn('Lo que quedaba en spool/ no se puede leer: se empieza de nuevo', tabla.nombre);
    return undefined;
  }
  const reason = whyUseless(context, tabla, huellas, found);
  if (reason === undefined) return found;
  log.info(`Lo que quedaba en spool/ no vale (${reason}): se empieza de nuevo`, tabla.nombre);
  await drop(context, found);
  return undefined;
}

/**
 * What the backend is told of an upload that was begun before. That SQL Server's clock was behind excused it from being older than
 * what had been applied by then; what has been applied since may be newer, and is compared.
 */
export function asBegunBefore({ relojAtrasado, ...head }: UploadHead): UploadKind {
  return { ...head, ...(relojAtrasado === true ? { reopen: true } : {}) };
}

/** Removes what waits for a table, here and at the backend. What a newer agent left is refused when the table comes to it. */
export async function dropPending(
  { backend, log, spool }: Pick<SyncContext, 'backend' | 'log' | 'spool'>,
  tabla: string,
): Promise<void> {
  const found = await spool?.find(tabla).catch((error: unknown) => log.warn(describeError(error).text, tabla));
  if (found === undefined || found === 'damaged') return;
  await drop({ backend, log }, found);
  log.info('Lo que quedaba en spool/ se descarta (--desde-cero)', tabla);
}

function whyUseless({ marks }: SyncContext, tabla: TablaSubida, huellas: Fingerprints, pending: SpooledUpload) {
  const { head, complete, lastKey } = pending;
  if (!isMadeWith(head.huella, huellas) || head.modo !== modoOf(tabla, head.entera === true))
    return 'la configuración cambió';
  // Somebody removed or moved the mark since; or this very upload set it, and its end was lost.
  const mark = marks.get(tabla.nombre, huellas)?.local ?? null;
  if (mark !== (head.desde?.local ?? null) && mark !== head.reloj.local) return 'la marca es otra';
  if (complete) return undefined;
  if (lastKey === undefined || head.particion !== (tabla.particion?.columna ?? null)) return 'la lectura no terminó';
  return undefined;
}

/** After a failure: rows that are safe in the spool stay for the next run, unless the backend will never take them. */
export async function keepOrDrop(context: SyncContext, store: ChunkStore | undefined, error: unknown): Promise<void> {
  if (store === undefined) return;
  const { log, signal } = context;
  const worthIt = store instanceof SpooledUpload && (store.complete || store.lastKey !== undefined);
  if (!worthIt || !(signal.aborted || mayGoOn(error))) {
    await drop(context, store);
    return;
  }
  await store.close();
  let rows = 0;
  for (let n = 0; n < store.ready; n++) rows += store.info(n).filas;
  const next = store.complete ? 'las envía sin volver a leer SQL Server' : 'sigue leyendo detrás de ellas';
  log.warn(`${rows} filas leídas quedan en spool/: la próxima ejecución ${next}`, store.head.tabla);
}

function mayGoOn(error: unknown): boolean {
  if (error instanceof BackendError || error instanceof SqlServerError || isDiskError(error)) return true;
  // An error of the server's own may come of the very rows: they are read again.
  if (error instanceof SyncError) {
    if (error.code === 'AGENTE_ANTIGUO') return true;
    return (error.retryable && error.code !== 'INTERNO') || isCredentialCode(error.code);
  }
  return false;
}

async function drop(context: Pick<SyncContext, 'backend' | 'log'>, store: ChunkStore): Promise<void> {
  if (store.id !== undefined) await abandon(context.backend, store.id);
  await removeStore(context, store);
}

/** What cannot be removed fails nothing: the next run finds that it is of no use. */
export async function removeStore({ log }: Pick<SyncContext, 'log'>, store: ChunkStore): Promise<void> {
  await store.remove().catch((error: unknown) => {
    log.warn(`No se puede borrar de spool/: ${describeError(error).message}`);
  });
}
