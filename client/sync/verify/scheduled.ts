import type { TablaBajada, TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { describeError } from '../../errors/describe-error.ts';
import { type VerificationState, verifications } from '../../state/verifications.ts';
import { count } from '../../ui/words.ts';
import type { SyncContext } from '../context.ts';
import { causeOf } from '../phases.ts';
import { verifyDownload } from './verify-download.ts';
import { verifyTable } from './verify-table.ts';

/** `verificar`: a run compares a table after its upload or download, when it is due. */

const DAY_MS = 86_400_000;
const PERIODS: Record<NonNullable<TablaSubida['verificar']>, number> = {
  diario: DAY_MS,
  semanal: 7 * DAY_MS,
  mensual: 30 * DAY_MS,
};
/** The next run goes on. */
const MAX_SECONDS = 15 * 60;
/** A run that begins each day a little later or earlier still compares each day. */
const SLACK_MS = 3_600_000;

/** Returns whether a comparison is due: none has ended since long enough, or one waits to be gone on with. */
function isVerifyDue(
  { verificar }: Pick<TablaSubida, 'verificar'>,
  state: VerificationState | undefined,
  now: number,
): boolean {
  if (verificar === undefined) return false;
  if (state?.ultima === undefined || state.sigue !== undefined) return true;
  const age = now - Date.parse(state.ultima.inicio);
  return age < 0 || age >= PERIODS[verificar] - SLACK_MS;
}

/** Compares a table that was synchronised just now, if it is due. What comes of it is said, and never fails the run. */
export async function verifyIfDue(
  context: SyncContext,
  task: { direccion: 'upload'; tabla: TablaSubida } | { direccion: 'download'; tabla: TablaBajada },
): Promise<void> {
  const { folder, log, signal } = context;
  const { direccion, tabla } = task;
  if (tabla.verificar === undefined) return;
  try {
    const state = (await verifications.read(folder))[`${direccion}/${tabla.nombre}`];
    if (!isVerifyDue(tabla, state, Date.now())) return;
    context.progress.again();
    const options = { reparar: false, maxSegundos: MAX_SECONDS };
    const found =
      direccion === 'upload'
        ? await verifyTable(context, tabla, options)
        : await verifyDownload(context, tabla, options);
    const { iguales, distintas, faltan, sobran, enVuelo, estado, mensaje } = found;
    const parts = [
      `${count(iguales)} iguales, ${count(distintas)} distintas, ${count(faltan)} faltan, ${count(sobran)} sobran, ${count(enVuelo)} en vuelo`,
    ];
    if (mensaje !== null) parts.push(mensaje);
    if (estado === 'iguales' || estado === 'sin_comparar')
      log.info(`Comparada con el backend: ${parts.join('; ')}`, tabla.nombre);
    else log.warn(`Comparada con el backend (${estado}): ${parts.join('; ')}. Véase verify.`, tabla.nombre);
  } catch (error) {
    signal.throwIfAborted();
    log.warn(`No se pudo comparar con el backend: ${describeError(causeOf(error)).text}`, tabla.nombre);
  }
}
