import type { Retencion } from '../../protocol/api.ts';
import type { TablaSubida } from '../../protocol/tenant-config/config.ts';
import { GUARDA_BAJAS, isRetained, MUESTRA_MAX } from '../../protocol/tenant-config/guard.ts';
import type { Connection } from '../postgres/pool.ts';
import { tipoCampoOf } from '../tenants/configurations.ts';
import { forgetBajas, type Place, retainBajas } from './bajas.ts';
import type { ReceivedRows } from './staging.ts';

/** Rows that a whole upload no longer has: deactivated, or held back by the guard. */

export interface AbsentRows {
  desactivados: number;
  retencion?: Retencion;
  /** Who approved what was deactivated, where the guard had held it back. */
  aprobadasPor?: string;
}

/**
 * Sets rows of this tenant and tipo_campo inactive whose key was not received, unless the guard holds them back (guard.ts): then they
 * stay as they are, and wait for an administrator. What he has approved is done, once.
 *
 * `filas`: rows received; `altas`: rows that the same transaction has inserted.
 */
export async function deactivateAbsent(
  connection: Connection,
  tenant: string,
  tabla: TablaSubida,
  received: ReceivedRows,
  { filas, altas }: { filas: number; altas: number },
): Promise<AbsentRows> {
  const tipoCampo = tipoCampoOf(tabla);
  const place: Place = { tenant, direccion: 'upload', tabla: tabla.nombre };
  const { guarda } = tabla;
  const all = `p."tenantId" = $1 AND p.tipo_campo = $2 AND p.activo`;
  const absent = `${all} AND NOT EXISTS (SELECT FROM ${received.table} WHERE (${received.key}) COLLATE "C" = p.codigo)`;
  const values = [tenant, tipoCampo];
  const deactivate = async (condition: string, more: unknown[] = []) => {
    const sql = `UPDATE parametros_maestros p SET activo = false, updated_at = now() WHERE ${condition}`;
    return (await connection.query(sql, [...values, ...more])).rowCount ?? 0;
  };
  await connection.query('SET LOCAL enable_nestloop = off');
  try {
    // Few, as ever: found and set without another look at all rows.
    const max = Math.min(GUARDA_BAJAS, guarda?.bajas ?? GUARDA_BAJAS);
    const { rows: some } = await connection.query<{ codigo: string }>(
      `SELECT p.codigo FROM parametros_maestros p WHERE ${absent} ORDER BY p.codigo LIMIT ${Math.max(max, MUESTRA_MAX) + 1}`,
      values,
    );
    const keys = some.map(({ codigo }) => codigo);
    if (filas > 0 && keys.length <= max) {
      await forgetBajas(connection, place);
      return { desactivados: keys.length === 0 ? 0 : await deactivate(`${all} AND p.codigo = ANY ($3)`, [keys]) };
    }
    const { rows: counts } = await connection.query<{ bajas: number; digest: string; total: number }>(
      `SELECT count(*)::integer AS bajas, ${DIGEST} AS digest,
         (SELECT count(*)::integer FROM parametros_maestros p WHERE ${all} AND p.created_at <> now()) AS total
       FROM parametros_maestros p WHERE ${absent}`,
      values,
    );
    const { bajas, digest, total } = counts[0]!;
    if (!isRetained({ bajas, total, recibidas: filas }, guarda)) {
      await forgetBajas(connection, place);
      return { desactivados: bajas === 0 ? 0 : await deactivate(absent) };
    }
    const muestra = keys.slice(0, MUESTRA_MAX);
    const { rows: added } = await connection.query<{ codigo: string }>(
      `SELECT p.codigo FROM parametros_maestros p WHERE ${all} AND p.created_at = now() ORDER BY p.codigo LIMIT ${MUESTRA_MAX}`,
      values,
    );
    const found = { digest, bajas, total, muestra, altas, muestraAltas: added.map(({ codigo }) => codigo) };
    const { id, estado, nueva, resueltaPor } = await retainBajas(
      connection,
      place,
      { ...found, tipoCampo },
      daysIn(tabla.completoCada),
    );
    if (estado === 'aprobada') {
      await forgetBajas(connection, place);
      return { desactivados: await deactivate(absent), aprobadasPor: resueltaPor ?? '' };
    }
    const { digest: _, ...told } = found;
    return { desactivados: 0, retencion: { id, estado, nueva, ...told } };
  } finally {
    await connection.query('SET LOCAL enable_nestloop TO DEFAULT').catch(() => {});
  }
}

/** Whole days in `7d` or `12h`, rounded up. */
function daysIn(duration = '0d'): number {
  const count = Number.parseInt(duration, 10);
  return duration.endsWith('h') ? Math.ceil(count / 24) : count;
}

/** Of the set of `p.codigo`, in no order and in one pass: 192 bits of hashes that add up, in hexadecimal. */
const DIGEST = `encode(sha256(convert_to(concat_ws(':', count(*), bit_xor(hashtextextended(p.codigo, 1)),
  bit_xor(hashtextextended(p.codigo, 2)), sum(hashtextextended(p.codigo, 3)::numeric)), 'UTF8')), 'hex')`;
