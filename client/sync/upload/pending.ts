import { SyncError } from '../../../protocol/errors.ts';
import { describeError, isCredentialCode } from '../../errors/describe-error.ts';
import { isDiskError } from '../../files/disk.ts';
import { BackendError } from '../../http/backend-error.ts';
import { SqlServerError } from '../../sqlserver/sql-server.ts';
import type { ChunkStore } from '../../state/spool/chunk-store.ts';
import { SpooledUpload } from '../../state/spool/spooled-upload.ts';
import type { SyncContext } from '../context.ts';
import { abandon } from './open.ts';

/** What the spool holds of a table: how it is found, and when it goes. */

/**
 * Finds what an earlier run left of this table; undefined, and said, where it cannot be read.
 * @throws {AgentError} ARCHIVO_MAS_NUEVO
 */
export async function findPending({ log, spool }: SyncContext, tabla: string): Promise<SpooledUpload | undefined> {
  const found = await spool?.find(tabla).catch((error: unknown) => {
    if (!isDiskError(error)) throw error;
    log.warn(`No se puede leer spool/ (${error.message}): se empieza de nuevo`, tabla);
    return undefined;
  });
  if (found !== 'damaged') return found;
  log.warn('Lo que quedaba en spool/ no se puede leer: se empieza de nuevo', tabla);
  return undefined;
}

/** Removes what is not gone on with, here and at the backend. */
export async function dropUseless(context: SyncContext, pending: SpooledUpload, reason: string): Promise<void> {
  context.log.info(`Lo que quedaba en spool/ no vale (${reason}): se empieza de nuevo`, pending.head.tabla);
  await drop(context, pending);
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

/**
 * Decides after a failure: rows that are safe in the spool stay for the next run, unless the backend will never take
 * them.
 */
export async function keepOrDrop(context: SyncContext, store: ChunkStore | undefined, error: unknown): Promise<void> {
  if (store === undefined) return;
  const { log, signal } = context;
  const worthIt = store instanceof SpooledUpload && (store.complete || store.lastKey !== undefined);
  if (!worthIt || !(signal.aborted || mayGoOn(error))) {
    await drop(context, store);
    return;
  }
  await store.close();
  const next = store.complete ? 'las envía sin volver a leer SQL Server' : 'sigue leyendo detrás de ellas';
  log.warn(`${rowsIn(store)} filas leídas quedan en spool/: la próxima ejecución ${next}`, store.head.tabla);
}

/** Rows in the chunks that may be sent. */
export function rowsIn(store: ChunkStore): number {
  let rows = 0;
  for (let n = 0; n < store.ready; n++) rows += store.info(n).filas;
  return rows;
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

/** Removes a store. What cannot be removed fails nothing: the next run finds that it is of no use. */
export async function removeStore({ log }: Pick<SyncContext, 'log'>, store: ChunkStore): Promise<void> {
  await store.remove().catch((error: unknown) => {
    log.warn(`No se puede borrar de spool/: ${describeError(error).message}`);
  });
}
