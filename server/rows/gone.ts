import type { Retencion } from '../../protocol/api.ts';
import { bajasOf, type TablaSubida } from '../../protocol/tenant-config/config.ts';
import { enoughRows, GUARDA_BAJAS, isRetained, MUESTRA_MAX } from '../../protocol/tenant-config/guard.ts';
import type { Connection } from '../postgres/pool.ts';
import { tipoCampoOf } from '../tenants/configurations.ts';
import { forgetBajas, type Place, retainBajas } from './bajas.ts';
import type { ReceivedRows } from './staging.ts';

/** Rows that the source no longer has: set inactive or removed, or held back by the guard. */

export interface GoneRows {
  desactivados: number;
  /** With `bajas: "borrar"`, in the place of those. */
  borrados?: number;
  retencion?: Retencion;
  /** Who approved what was done, where the guard had held it back. */
  aprobadasPor?: string;
}

/** Returns the SQL condition on rows `p` of the tipo_campo: those whose key a whole upload has not. */
export function absentFrom(received: ReceivedRows): string {
  return `NOT EXISTS (SELECT FROM ${received.table} WHERE (${received.key}) COLLATE "C" = p.codigo)`;
}

/** What an upload says of rows that are gone. */
export interface Gone {
  /** SQL condition on rows `p` of the tipo_campo. */
  condition: string;
  /** Rows that the reading had. */
  leidas: number;
  /** Rows that the same transaction has inserted. */
  altas: number;
}

/**
 * Sets these rows of this tenant and tipo_campo inactive, or removes them (`bajas` of the table), unless the guard holds them back
 * (guard.ts): then they stay as they are, and wait for an administrator. What he has approved is done, once.
 */
export async function applyGone(
  connection: Connection,
  tenant: string,
  tabla: TablaSubida,
  { condition, leidas, altas }: Gone,
): Promise<GoneRows> {
  const tipoCampo = tipoCampoOf(tabla);
  const place: Place = { tenant, direccion: 'upload', tabla: tabla.nombre };
  const { guarda } = tabla;
  const deletes = bajasOf(tabla) === 'borrar';
  const all = `p."tenantId" = $1 AND p.tipo_campo = $2${deletes ? '' : ' AND p.activo'}`;
  const gone = `${all} AND ${condition}`;
  const values = [tenant, tipoCampo];
  const apply = async (which: string, more: unknown[] = []): Promise<GoneRows> => {
    const sql = deletes
      ? `DELETE FROM parametros_maestros p WHERE ${which}`
      : `UPDATE parametros_maestros p SET activo = false, updated_at = now() WHERE ${which}`;
    return countedAs(deletes, (await connection.query(sql, [...values, ...more])).rowCount ?? 0);
  };
  await connection.query('SET LOCAL enable_nestloop = off');
  try {
    // Few, as ever: found and set without another look at all rows.
    const max = Math.min(GUARDA_BAJAS, guarda?.bajas ?? GUARDA_BAJAS);
    const { rows: some } = await connection.query<{ codigo: string }>(
      `SELECT p.codigo FROM parametros_maestros p WHERE ${gone} ORDER BY p.codigo LIMIT ${Math.max(max, MUESTRA_MAX) + 1}`,
      values,
    );
    const keys = some.map(({ codigo }) => codigo);
    if (leidas > 0 && keys.length <= max) {
      await forgetBajas(connection, place);
      return keys.length === 0 ? countedAs(deletes, 0) : await apply(`${all} AND p.codigo = ANY ($3)`, [keys]);
    }
    const { rows: counts } = await connection.query<{ bajas: number; digest: string }>(
      `SELECT count(*)::integer AS bajas, ${DIGEST} AS digest FROM parametros_maestros p WHERE ${gone}`,
      values,
    );
    const { bajas, digest } = counts[0]!;
    // Where there are more rows than the guard asks for, nobody has to know how many.
    const enough = leidas > 0 ? enoughRows(bajas, guarda) : undefined;
    const { rows: totals } = await connection.query<{ total: number }>(
      `SELECT count(*)::integer AS total FROM (
         SELECT FROM parametros_maestros p WHERE ${all} AND p.created_at <> now() LIMIT ${enough ?? 'ALL'}) filas`,
      values,
    );
    const { total } = totals[0]!;
    if (!isRetained({ bajas, total, recibidas: leidas }, guarda)) {
      await forgetBajas(connection, place);
      return bajas === 0 ? countedAs(deletes, 0) : await apply(gone);
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
      return { ...(await apply(gone)), aprobadasPor: resueltaPor ?? '' };
    }
    const { digest: _, ...told } = found;
    return { ...countedAs(deletes, 0), retencion: { id, estado, nueva, ...told } };
  } finally {
    await connection.query('SET LOCAL enable_nestloop TO DEFAULT').catch(() => {});
  }
}

function countedAs(deletes: boolean, rows: number): GoneRows {
  return deletes ? { desactivados: 0, borrados: rows } : { desactivados: rows };
}

/** Whole days in `7d` or `12h`, rounded up. */
function daysIn(duration = '0d'): number {
  const count = Number.parseInt(duration, 10);
  return duration.endsWith('h') ? Math.ceil(count / 24) : count;
}

/** Of the set of `p.codigo`, in no order and in one pass: 192 bits of hashes that add up, in hexadecimal. */
const DIGEST = `encode(sha256(convert_to(concat_ws(':', count(*), bit_xor(hashtextextended(p.codigo, 1)),
  bit_xor(hashtextextended(p.codigo, 2)), sum(hashtextextended(p.codigo, 3)::numeric)), 'UTF8')), 'hex')`;
