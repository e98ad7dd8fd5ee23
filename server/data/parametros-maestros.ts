import type { Connection } from '../postgres/pool.ts';
import type { ReceivedRows } from './received.ts';

export interface MergeCounts {
  /** Distinct keys received. */
  claves: number;
  insertados: number;
  actualizados: number;
}

/** Only one merge of a tenant's tipo_campo at a time; held to the end of the transaction. */
export async function lockTipoCampo(connection: Connection, tenant: string, tipoCampo: string): Promise<void> {
  await connection.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [
    `ax-sync ${JSON.stringify([tenant, tipoCampo])}`,
  ]);
}

/**
 * Brings received rows into parametros_maestros: of lines with one key the last wins, rows that are equal stay
 * untouched. UPDATE and INSERT instead of MERGE, because before PostgreSQL 17 MERGE cannot say which it did.
 */
export async function mergeReceived(
  connection: Connection,
  tenant: string,
  tipoCampo: string,
  received: ReceivedRows,
): Promise<MergeCounts> {
  const { rows } = await connection.query<MergeCounts>(
    `WITH ultimas AS MATERIALIZED (
       SELECT DISTINCT ON (codigo) codigo, doc
       FROM (SELECT (${received.key}) COLLATE "C" AS codigo, doc, ${received.latestFirst.replaceAll(' DESC', '')}
             FROM ${received.table}) r
       ORDER BY codigo, ${received.latestFirst}
     ), nuevas AS (
       SELECT codigo, coalesce(doc ->> 'nombre', doc ->> 'descripcion', doc ->> 'razon_social') AS nombre,
              sync_activo(doc -> 'activo') AS activo, doc - '{codigo,nombre,activo}'::text[] AS parametros_json
       FROM ultimas
     ), actualizadas AS (
       UPDATE parametros_maestros p
       SET nombre = n.nombre, activo = n.activo, parametros_json = n.parametros_json, updated_at = now()
       FROM nuevas n
       WHERE p."tenantId" = $1 AND p.tipo_campo = $2 AND p.codigo = n.codigo
         AND (p.activo <> n.activo OR p.nombre IS DISTINCT FROM n.nombre OR p.parametros_json <> n.parametros_json)
       RETURNING 1
     ), insertadas AS (
       INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, activo, parametros_json)
       SELECT $1, $2, n.codigo, n.nombre, n.activo, n.parametros_json FROM nuevas n
       WHERE NOT EXISTS (SELECT FROM parametros_maestros p
                         WHERE p."tenantId" = $1 AND p.tipo_campo = $2 AND p.codigo = n.codigo)
       RETURNING 1
     )
     SELECT (SELECT count(*) FROM ultimas)::integer AS claves,
            (SELECT count(*) FROM insertadas)::integer AS insertados,
            (SELECT count(*) FROM actualizadas)::integer AS actualizados`,
    [tenant, tipoCampo],
  );
  return rows[0]!;
}

/** Sets rows of this tenant and tipo_campo inactive whose key was not received; how many. */
export async function deactivateAbsent(
  connection: Connection,
  tenant: string,
  tipoCampo: string,
  received: ReceivedRows,
): Promise<number> {
  const { rowCount } = await connection.query(
    `UPDATE parametros_maestros p SET activo = false, updated_at = now()
     WHERE p."tenantId" = $1 AND p.tipo_campo = $2 AND p.activo
       AND NOT EXISTS (SELECT FROM ${received.table} WHERE (${received.key}) COLLATE "C" = p.codigo)`,
    [tenant, tipoCampo],
  );
  return rowCount ?? 0;
}
