import { limits } from '../../protocol/constants.ts';
import { SyncError } from '../../protocol/errors.ts';
import { describeError, endsRun } from '../errors/describe-error.ts';
import type { ColumnsWaiting, RunContext } from './context.ts';

type GenerationContext = Pick<RunContext, 'backend' | 'log' | 'spool' | 'watermarks' | 'signal'>;

/**
 * Asks the backend, once a run, whether the marks of these tables stand on what it has: a table without news makes no upload
 * that would say so. Watermarks that stand on what it does not have (it was restored, or built anew) are forgotten, and those tables are
 * sent from the beginning; one of an earlier agent, without generation, is given one. Answers what waits of their columns, which no
 * upload without rows is told.
 *
 * Throws what ends the run. Anything else is told: an upload says what it stands on, too, and the next run asks again.
 */
export async function checkGenerations(context: GenerationContext, tablas: readonly string[]): Promise<ColumnsWaiting> {
  const { backend, log, watermarks, signal } = context;
  const stated = Object.entries(watermarks.generations(await withoutPending(context, tablas)));
  const waiting: Record<string, Readonly<Record<string, number>>> = {};
  try {
    for (let at = 0; at < stated.length; at += limits.generationsMaxCount) {
      const some = Object.fromEntries(stated.slice(at, at + limits.generationsMaxCount));
      const { tablas: answered, columnasPendientes } = await backend.checkGenerations(some, signal);
      Object.assign(waiting, columnasPendientes);
      for (const [tabla, generacion] of Object.entries(answered)) {
        if (generacion === null) {
          log.warn(
            watermarks.hasLedger(tabla)
              ? 'Lo que hay en el backend ya no es lo que dejó la última subida (otra subida, cambios a mano o una restauración): se sube entera'
              : 'El backend no tiene lo que ya se subió (¿se restauró?): se sube desde el principio',
            tabla,
          );
          await watermarks.forget(tabla);
        } else if (some[tabla] === null) await watermarks.adopt(tabla, generacion);
      }
    }
  } catch (error) {
    if (signal.aborted || endsRun(error)) throw error;
    if (error instanceof SyncError && error.code === 'RUTA_DESCONOCIDA') return waiting;
    log.warn(`No se pudo comprobar de qué estado parten las marcas: ${describeError(error).message}`);
  }
  return waiting;
}

/**
 * A ledger stands on the newest commit of its table. One that waits in the spool may have been committed, its answer lost: then the
 * mark is one behind, and the upload itself finds out.
 */
async function withoutPending({ spool, watermarks }: GenerationContext, tablas: readonly string[]): Promise<string[]> {
  const asked: string[] = [];
  for (const tabla of tablas) {
    if (!watermarks.hasLedger(tabla) || (await spool?.has(tabla).catch(() => false)) !== true) asked.push(tabla);
  }
  return asked;
}
