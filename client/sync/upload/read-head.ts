import { defined } from '../../../protocol/defined.ts';
import { bajasOf, cambiosOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import type { Unchanged } from '../../sqlserver/read/change-tracking.ts';
import { isEarlier, readAgentClock, readClocks, type ServerClock } from '../../sqlserver/session/clock.ts';
import { findOldestWriter, RIGHT_TO_SEE } from '../../sqlserver/session/open-transactions.ts';
import type { SqlServer } from '../../sqlserver/sql-server.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import type { Watermark } from '../../state/watermarks.ts';
import type { SyncContext } from '../context.ts';
import type { UploadJob } from './job.ts';
import { type ChangesPlan, type KnownOfChanges, planChanges } from './read-changes.ts';
import { isDue, modoOf, planReading, type ReadingPlan, readsChanges, type Seen } from './reading.ts';

/**
 * Decides what an upload is read with: looks at SQL Server's clock and open transactions, and says what is unusual about them.
 * `known.newest`: when the rows were read that made an earlier attempt a reading too old.
 */
export async function readHead(
  job: UploadJob,
  db: SqlServer,
  known: KnownOfChanges & { newest: string | undefined },
): Promise<UploadHead> {
  const { context, tabla, fingerprints } = job;
  // In this order: reading.ts says why.
  const now = await readClocks(db, context.signal);
  const oldest = cambiosOf(tabla) === 'marca' ? await findWriter(context, db) : undefined;
  const after = readAgentClock();
  const mark = context.watermarks.get(tabla.nombre, fingerprints);
  const changes = await planChanges(context, tabla, db, { mark, utc: now.utc, known });
  return headOf(job, { now, after, oldest }, changes, known.newest);
}

/** Returns what an upload of a table is that has no news: nothing is read for it. */
export function headOfUnchanged(job: UploadJob, { desde, hasta, now, after }: Unchanged): UploadHead {
  const seguimiento = { desde, hasta, cambiadas: [], snapshot: false };
  return headOf(job, { now, after, oldest: undefined }, { entera: false, seguimiento });
}

function headOf(
  { context, tabla, fingerprints }: UploadJob,
  seen: Seen,
  changes: ChangesPlan,
  newest?: string | undefined,
): UploadHead {
  const { log, watermarks } = context;
  const { nombre } = tabla;
  if (watermarks.isOutdated(nombre, fingerprints)) {
    log.info('La consulta o el destino cambiaron desde la última vez: se sube desde el principio', nombre);
  }
  const mark = watermarks.get(nombre, fingerprints);
  const { now: leido } = seen;
  const plan = { ...planReading(tabla, mark, seen), ...changes };
  sayPlan(context, tabla, plan, mark !== undefined);
  const { ultimaSync, entera, marca, revuelto, retroceso, retenida, versiones, quieta, seguimiento } = plan;
  // Begun after what the backend has was applied, and yet earlier by its clock: the clocks disagree, and this is the newer one.
  const huellas = readingOf(context, tabla, mark, leido);
  const isWhole = huellas !== undefined && huellas.contra === undefined;
  const isOlder = newest !== undefined && isEarlier(leido.utc, newest);
  if (isOlder) {
    log.warn(
      `El reloj de SQL Server (${leido.utc} UTC) va por detrás de lo último que se leyó (${newest}): se aplica lo que se lee ahora`,
      nombre,
    );
  }
  return {
    tabla: nombre,
    modo: modoOf(tabla, huellas === undefined ? entera : isWhole),
    huella: fingerprints.actual,
    ...{ reloj: marca, leido, ultimaSync },
    desde: mark === undefined ? null : { local: mark.local, utc: mark.utc },
    ...((readsChanges(cambiosOf(tabla)) && entera) || isWhole ? { entera: true } : {}),
    ...defined({ base: mark?.generacion }),
    lectura: leido.utc,
    ...(plan.relojAtrasado || isOlder ? { relojAtrasado: true } : {}),
    ...defined({ revuelto, retroceso, retenida, huellas, versiones, quieta, seguimiento }),
    particion: tabla.particion?.columna ?? null,
  };
}

/** How a table of `huellas` is compared; undefined for others, and where there is no disk for a ledger. */
function readingOf(
  { log, spool, usesSpool }: SyncContext,
  tabla: TablaSubida,
  mark: Watermark | undefined,
  { utc }: ServerClock,
): UploadHead['huellas'] {
  if (cambiosOf(tabla) !== 'huellas') return undefined;
  if (!usesSpool || spool === undefined) return undefined;
  if (mark?.libro === undefined) {
    log.info('No hay libro de huellas que valga: se sube la tabla entera', tabla.nombre);
    return {};
  }
  if (!isDue(tabla, mark, utc)) return { contra: mark.libro };
  log.info('Toca subir la tabla entera (completoCada)', tabla.nombre);
  return {};
}

/** Since when the oldest transaction that has written is open; undefined where there is none, or none to be seen. */
async function findWriter({ log, said, servidor, signal }: SyncContext, db: SqlServer): Promise<string | undefined> {
  const found = await findOldestWriter(db, signal);
  if (found.seVe) return found.desde;
  const key = `transacciones ${servidor.join(' ')}`;
  if (!said.has(key)) {
    const hole = 'de las que lleven abiertas más que solapeSegundos pueden no subir filas';
    log.info(`No se ven las transacciones abiertas en SQL Server (${found.motivo}): ${hole}. Pida ${RIGHT_TO_SEE}.`);
  }
  said.add(key);
  return undefined;
}

function sayPlan({ log }: SyncContext, tabla: TablaSubida, plan: ReadingPlan, hasMark: boolean): void {
  const { retroceso, retenida, ultimaSync, entera } = plan;
  const { nombre } = tabla;
  const from = entera ? 'desde el principio' : `lo escrito desde ${ultimaSync?.slice(0, 19).replace('T', ' ')}`;
  if (retroceso !== undefined) {
    const how = retroceso === null ? 'no se sabe cuánto' : `unos ${retroceso} s respecto al de este equipo`;
    log.warn(`El reloj de SQL Server se atrasó, ${how}: se lee otra vez ${from}`, nombre);
  } else if (cambiosOf(tabla) === 'marca' && entera && hasMark) {
    log.info('Comparación completa (completoCada): se lee desde el principio', nombre);
  }
  if (retenida !== undefined) {
    const since = retenida.slice(0, 19).replace('T', ' ');
    log.info(`Hay una transacción abierta que escribe desde ${since}: la marca se queda ahí hasta que termine`, nombre);
  }
  if (entera && bajasOf(tabla) !== 'ignorar' && modoOf(tabla, entera) === 'incremental') {
    log.warn('No se buscan bajas: la consulta no deja añadir las filas que tengan a NULL la fecha', nombre);
  }
}
