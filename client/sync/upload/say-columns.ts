import { describeCambios, describeUnread } from '../../../protocol/rows/drift.ts';
import { cambiosOf } from '../../../protocol/tenant-config/config.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import type { SentUpload } from './deliver.ts';
import type { UploadJob } from './job.ts';

/** Says what changed of a table's columns; how many changes wait for an administrator. */
export function sayColumns(
  { context: { columnsWaiting, log, watermarks }, tabla, fingerprints }: UploadJob,
  head: UploadHead,
  sent: SentUpload | undefined,
): number {
  if (sent === undefined) {
    const named = watermarks.get(tabla.nombre, fingerprints)?.esquema ?? '';
    const waiting = columnsWaiting[tabla.nombre]?.[named] ?? 0;
    if (waiting > 0)
      log.warn(`Siguen por aprobar ${waiting} cambios de columnas: ax-sync-server schema list`, tabla.nombre);
    return waiting;
  }
  const { esquema } = sent.result;
  if (esquema === undefined) return 0;
  const { estado, nueva, cambios, total } = esquema;
  const what = describeCambios(cambios, total);
  const isPart = head.base !== undefined && head.modo !== 'completo' && head.entera !== true;
  const unread = isPart && cambiosOf(tabla) !== 'huellas' ? describeUnread(cambios) : [];
  if (estado === 'vigente') {
    const text = [`Cambiaron las columnas: ${what}`, ...unread].join('; ');
    if (unread.length > 0) log.warn(text, tabla.nombre);
    else log.info(text, tabla.nombre);
    return 0;
  }
  if (nueva) {
    log.warn(
      `${[`Cambiaron las columnas: ${what}`, ...unread].join('; ')}. La tabla sigue subiendo, y de las que ya no están queda el último ` +
        'valor hasta que el administrador decida con ax-sync-server schema list y schema approve. Compruebe el origen.',
      tabla.nombre,
    );
  } else log.warn(`Siguen por aprobar cambios de columnas (${what}): ax-sync-server schema list`, tabla.nombre);
  return total;
}
