import type { Connection } from '../postgres/pool.ts';
import type { ReceivedRows } from './received.ts';

export interface MergeCounts {
  /** Distinct keys received. */
  claves: number;
  insertados: number;
  actualizados: number;
}

/**
 * Only one merge of a tenant's tipo_campo at a time; held to the end of the transaction. A row, because a tenant's SQL can
 * take any advisory lock, but not this one.
 */
export async function lockTipoCampo(connection: Connection, tenant: string, tipoCampo: string): Promise<void> {
  const values = [tenant, tipoCampo];
  await connection.query('INSERT INTO sync_cerrojos VALUES ($1, $2) ON CONFLICT DO NOTHING', values);
  await connection.query('SELECT FROM sync_cerrojos WHERE "tenantId" = $1 AND tipo_campo = $2 FOR UPDATE', values);
}

/** Up to so many lines, their keys are looked up one by one; more are joined with every row of the tipo_campo. */
const LOOKUP_MAX_LINES = 2000;

/**
 * Brings received rows into parametros_maestros: of lines with one key the last wins, rows that are equal stay
 * untouched.
 *
 * UPDATE and INSERT instead of MERGE, because before PostgreSQL 17 MERGE cannot say which it did; into an empty table
 * it is twice as fast besides. Nested loops are off: the statistics know nothing of a tenant that has just been filled,
 * and a loop planned for one row would run over all of them.
 */
export async function mergeReceived(
  connection: Connection,
  tenant: string,
  tipoCampo: string,
  received: ReceivedRows,
): Promise<MergeCounts> {
  const { table } = received;
  const key = `(${received.key}) COLLATE "C"`;
  await connection.query(`SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '32MB'`);
  const { rows } = await connection.query<{ filas: number; claves: number }>(
    `SELECT count(*)::integer AS filas, count(DISTINCT ${key})::integer AS claves FROM ${table}`,
  );
  const { filas, claves } = rows[0]!;
  const latest = `(SELECT DISTINCT ON (${key}) * FROM ${table} ORDER BY ${key}, ${received.latestFirst}) r`;
  const lookup = filas <= LOOKUP_MAX_LINES ? `AND p.codigo = ANY (ARRAY(SELECT ${key} FROM ${table}))` : '';
  const target = `p."tenantId" = $1 AND p.tipo_campo = $2 ${lookup}`;
  const source = `SELECT ${key} AS codigo, coalesce(doc ->> 'nombre', doc ->> 'descripcion', doc ->> 'razon_social') AS nombre,
                         sync_activo(doc -> 'activo') AS activo, doc - '{codigo,nombre,activo}'::text[] AS parametros_json
                  FROM ${claves < filas ? latest : table}`;
  const updated = await connection.query(
    `UPDATE parametros_maestros p
     SET nombre = n.nombre, activo = n.activo, parametros_json = n.parametros_json, updated_at = now()
     FROM (${source}) n
     WHERE ${target} AND p.codigo = n.codigo
       AND (p.activo <> n.activo OR p.nombre IS DISTINCT FROM n.nombre OR p.parametros_json <> n.parametros_json)`,
    [tenant, tipoCampo],
  );
  // In the order of the key: the index then grows at its end instead of everywhere.
  const inserted = await connection.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, activo, parametros_json)
     SELECT $1, $2, n.codigo, n.nombre, n.activo, n.parametros_json FROM (${source}) n
     WHERE NOT EXISTS (SELECT FROM parametros_maestros p WHERE ${target} AND p.codigo = n.codigo)
     ORDER BY n.codigo`,
    [tenant, tipoCampo],
  );
  await connection.query('SET LOCAL enable_nestloop TO DEFAULT; SET LOCAL work_mem TO DEFAULT');
  return { claves, insertados: inserted.rowCount ?? 0, actualizados: updated.rowCount ?? 0 };
}

/** Sets rows of this tenant and tipo_campo inactive whose key was not received; how many. */
export async function deactivateAbsent(
  connection: Connection,
  tenant: string,
  tipoCampo: string,
  received: ReceivedRows,
): Promise<number> {
  await connection.query('SET LOCAL enable_nestloop = off');
  const { rowCount } = await connection.query(
    `UPDATE parametros_maestros p SET activo = false, updated_at = now()
     WHERE p."tenantId" = $1 AND p.tipo_campo = $2 AND p.activo
       AND NOT EXISTS (SELECT FROM ${received.table} WHERE (${received.key}) COLLATE "C" = p.codigo)`,
    [tenant, tipoCampo],
  );
  await connection.query('SET LOCAL enable_nestloop TO DEFAULT');
  return rowCount ?? 0;
}
