import { primaryKeyOf, type TablaSubida } from '../../protocol/tenant-config/config.ts';
import type { Connection } from '../postgres/pool.ts';

/**
 * sync_claves_anteriores: upload tables that had rows when codigo still won over any other primaryKey. They keep
 * that key while their primaryKey is the same, so that an upgrade makes no row another one.
 */

/** Whether the key of these columns is codigo by either rule. */
export function isCodigo(columns: readonly string[]): boolean {
  return columns.length === 0 || (columns.length === 1 && columns[0] === 'codigo');
}

export async function keepsFormerKey(connection: Connection, tenant: string, tabla: TablaSubida): Promise<boolean> {
  if (isCodigo(primaryKeyOf(tabla))) return false;
  return (await findFormerKeys(connection, tenant, [tabla])).length > 0;
}

/** Those of `tablas` that keep it. */
export async function findFormerKeys(
  connection: Connection,
  tenant: string,
  tablas: readonly TablaSubida[],
): Promise<string[]> {
  const { rows } = await connection.query<{ tabla: string; primaryKey: unknown }>(
    'SELECT tabla, "primaryKey" FROM sync_claves_anteriores WHERE "tenantId" = $1',
    [tenant],
  );
  const keys = new Map(rows.map(({ tabla, primaryKey }) => [tabla, JSON.stringify(primaryKey)]));
  return tablas
    .filter(({ nombre, primaryKey }) => keys.get(nombre) === JSON.stringify(primaryKey) && primaryKey !== undefined)
    .map(({ nombre }) => nombre);
}

/** `tenant: tabla` of each one that has such an entry. */
export async function listFormerKeys(connection: Connection): Promise<string[]> {
  const { rows } = await connection.query<{ cual: string }>(
    `SELECT "tenantId" || ': ' || tabla AS cual FROM sync_claves_anteriores ORDER BY 1 LIMIT 100`,
  );
  return rows.map(({ cual }) => cual);
}

/**
 * Keeps the former key of `kept` alone. A table that loses it has other keys from now on: what agents know of it is forgotten, so
 * that they send it from the beginning.
 */
export async function keepFormerKeys(
  connection: Connection,
  tenant: string,
  kept: readonly string[],
  rekeyed: readonly string[],
): Promise<void> {
  await connection.query('DELETE FROM sync_claves_anteriores WHERE "tenantId" = $1 AND NOT tabla = ANY ($2)', [
    tenant,
    kept,
  ]);
  await connection.query('DELETE FROM sync_commits WHERE "tenantId" = $1 AND tabla = ANY ($2)', [tenant, rekeyed]);
}
