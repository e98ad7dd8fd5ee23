import type { EsquemaCambiado, Retencion, UploadResult } from '../../protocol/api.ts';
import { describeCambios, describeUnread } from '../../protocol/rows/drift.ts';
import { cambiosOf, type TablaSubida } from '../../protocol/tenant-config/config.ts';

/** Parts of the sentence that sync_logs has of an upload. */

/** Says what it held back, and what to do about it. */
export function describeRetention(tenant: string, retencion: Retencion | undefined): string[] {
  if (retencion === undefined) return [];
  const { bajas, total, altas, muestra, estado, id } = retencion;
  const some = muestra.slice(0, 5).join(', ');
  if (estado === 'descartada') return [`${bajas} bajas descartadas no se aplican (${some})`];
  const beside = altas > 0 ? `, con ${altas} altas en el mismo envío` : '';
  return [
    `${bajas} bajas retenidas de ${total} filas${beside} (${some}): decida con ax-sync-server bajas approve (o discard) --tenant ${tenant} --id ${id}`,
  ];
}

/** Keys that a download to SQL Server would take for one. */
export function describeAlike(parecidas: UploadResult['clavesParecidas']): string[] {
  if (parecidas === undefined) return [];
  const pairs = parecidas.muestra.map(([one, other]) => `«${one}» y «${other}»`).join(', ');
  const count = parecidas.pares === 1 ? '1 par de claves' : `${parecidas.pares} pares de claves`;
  return [`${count} que SQL Server toma por iguales: ${pairs}`];
}

/** Says what changed of its columns, and what to do about it. */
export function describeSchema(
  tenant: string,
  tabla: TablaSubida,
  esquema: EsquemaCambiado | undefined,
  isPart: boolean,
): string[] {
  if (esquema === undefined) return [];
  const { id, estado, cambios, total } = esquema;
  const what = `columnas de «${tabla.nombre}»: ${describeCambios(cambios, total)}`;
  // Of row hashes every row is another one by its new column, and comes.
  const unread = isPart && cambiosOf(tabla) !== 'huellas' ? describeUnread(cambios) : [];
  if (estado === 'vigente') return [what, ...unread];
  return [`${what}: decida con ax-sync-server schema approve --tenant ${tenant} --id ${id}`, ...unread];
}
