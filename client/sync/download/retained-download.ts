import type { ReportBajas } from '../../../protocol/api.ts';
import { SyncError } from '../../../protocol/errors.ts';
import { describeError } from '../../errors/describe-error.ts';
import type { SyncContext } from '../context.ts';

/** What an administrator is asked of an update that the guard holds back at SQL Server (target-guard.ts), and told of it. */

type Told = Pick<SyncContext, 'backend' | 'log' | 'onRetained' | 'signal'>;

/**
 * Reports the bajas and answers whether just these were approved. Where they were not, or nobody answers, they are retained: the run
 * goes on and ends `parcial`.
 */
export async function isApproved({ backend, log, onRetained, signal }: Told, report: ReportBajas): Promise<boolean> {
  const { tabla, bajas, total } = report;
  let what: string;
  try {
    const { estado, nueva } = await backend.reportBajas(report, signal);
    if (estado === 'aprobada') return true;
    what =
      estado === 'descartada'
        ? 'El administrador las descartó: mientras la descarga las traiga, la tabla queda como está'
        : `Si son correctas, el administrador las aprueba con ax-sync-server bajas list y approve${nueva ? '' : ' (ya estaban pendientes)'}`;
  } catch (error) {
    signal.throwIfAborted();
    what =
      error instanceof SyncError && error.code === 'RUTA_DESCONOCIDA'
        ? 'El backend es de una versión que no las puede aprobar: actualícelo'
        : `No se pudo preguntar al backend si están aprobadas (${describeError(error).message})`;
  }
  onRetained(bajas);
  log.warn(
    `${bajas} de ${total} filas del destino desaparecerían o quedarían inactivas: son demasiadas, y la bajada se retiene entera. ` +
      `La tabla queda como estaba.${sampleOf(report)} ${what}.`,
    tabla,
  );
  return false;
}

/**
 * Tells the backend that nothing is held back any more, for a table of which the backend was told that something was.
 */
export async function tellNone({ backend, log, signal }: Told, tabla: string): Promise<void> {
  const none = { direccion: 'download' as const, tabla, digest: '0'.repeat(64), bajas: 0, total: 0, muestra: [] };
  await tell(() => backend.reportBajas(none, signal), { log, signal }, tabla);
}

/**
 * Tells the backend that the approval is used up. That nobody hears it does no harm: it ends by itself, and is of these
 * bajas alone.
 */
export async function tellApplied({ backend, log, signal }: Told, report: ReportBajas): Promise<void> {
  log.info(`Se aplican las ${report.bajas} bajas que aprobó el administrador`, report.tabla);
  await tell(() => backend.reportBajas({ ...report, aplicada: true }, signal), { log, signal }, report.tabla);
}

async function tell(
  report: () => Promise<unknown>,
  { log, signal }: Pick<Told, 'log' | 'signal'>,
  tabla: string,
): Promise<void> {
  try {
    await report();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof SyncError && error.code === 'RUTA_DESCONOCIDA') return;
    log.warn(`El backend no sabe todavía que ya no hay bajas retenidas: ${describeError(error).message}`, tabla);
  }
}

const SHOWN = 5;

function sampleOf({ muestra, bajas, altas = 0, muestraAltas = [] }: ReportBajas): string {
  const listed = (keys: readonly string[], count: number) =>
    keys.slice(0, SHOWN).join(', ') + (count > SHOWN ? ', …' : '');
  const gone = muestra.length === 0 ? '' : ` Bajas: ${listed(muestra, bajas)}.`;
  return altas === 0 ? gone : `${gone} La misma bajada trae ${altas} nuevas: ${listed(muestraAltas, altas)}.`;
}
