import type { Retencion, UploadResult } from '../../protocol/api.ts';
import type { TablaSubida } from '../../protocol/tenant-config/config.ts';
import type { SyncContext } from './context.ts';

/** What the log says of rows that the backend took, but not as they were meant. */

/** Keys of a sample that a line has room for. */
const SHOWN = 5;

/** Tells of a set of bajas: one that is new at length, one that is known from before in a line. */
export function sayRetained({ log }: Pick<SyncContext, 'log'>, { nombre }: TablaSubida, retencion: Retencion): void {
  const { estado, nueva, bajas, total, muestra, altas, muestraAltas } = retencion;
  if (estado === 'descartada') {
    log.info(`${bajas} bajas que el administrador descartó siguen sin aplicarse`, nombre);
    return;
  }
  if (!nueva) {
    log.warn(`${bajas} bajas siguen retenidas: ax-sync-server bajas list`, nombre);
    return;
  }
  const beside = altas > 0 ? ` La misma lectura trae ${altas} nuevas (${listOf(muestraAltas, altas)}).` : '';
  log.warn(
    `${bajas} de ${total} filas ya no están en el origen (${listOf(muestra, bajas)}).${beside} Son demasiadas para darlas por ` +
      'buenas: siguen activas hasta que el administrador decida con ax-sync-server bajas list, approve o discard. Compruebe el origen.',
    nombre,
  );
}

function listOf(keys: readonly string[], count: number): string {
  const shown = keys.slice(0, SHOWN);
  return shown.join(', ') + (count > shown.length ? ', …' : '');
}

/** Keys that SQL Server takes for one: it is said when they are uploaded, not when a download of both fails. */
export function describeAlike({ pares, muestra }: NonNullable<UploadResult['clavesParecidas']>): string {
  const pairs =
    muestra.map(([one, other]) => `«${one}» y «${other}»`).join(', ') + (pares > muestra.length ? ', …' : '');
  return (
    `Claves nuevas que se distinguen de otra solo por mayúsculas o blancos finales (${pares}): ${pairs}. Suben como filas distintas, ` +
    'pero una bajada de las dos falla en un destino que no las distinga (error 2627): corrija una en el origen, o dé a la ' +
    'clave del destino una intercalación _CS_AS.'
  );
}
