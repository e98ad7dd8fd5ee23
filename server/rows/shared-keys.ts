import { SyncError } from '../../protocol/errors.ts';
import type { TablaSubida } from '../../protocol/tenant-config/config.ts';
import type { Connection } from '../postgres/pool.ts';
import { tipoCampoOf } from '../tenants/configurations.ts';
import { cutKey, type ReceivedRows } from './staging.ts';

/**
 * Whose a row is. Of a tipo_campo that one table has for itself, the row of sync_cerrojos says which; of one that several
 * share, each key belongs to the table that brought it first, as long as that table shares it (sync_claves_compartidas).
 */

/**
 * Takes the received keys for `tabla`. `sharing`: the names of all tables of its tipo_campo. Needs the lock of the
 * tipo_campo.
 * @throws {SyncError} CLAVE_DE_OTRA_TABLA with a key that another table has brought
 */
export async function claimKeys(
  connection: Connection,
  tenant: string,
  tabla: TablaSubida,
  sharing: readonly string[],
  received: ReceivedRows,
): Promise<void> {
  const at = [tenant, tipoCampoOf(tabla)];
  const { rows } = await connection.query<{ tabla: string | null }>(
    'SELECT tabla FROM sync_cerrojos WHERE "tenantId" = $1 AND tipo_campo = $2',
    at,
  );
  const alone = rows[0]?.tabla ?? null;
  if (sharing.length === 1) {
    if (alone === tabla.nombre) return;
    await connection.query('DELETE FROM sync_claves_compartidas WHERE "tenantId" = $1 AND tipo_campo = $2', at);
    await setAlone(connection, at, tabla.nombre);
    return;
  }
  if (alone !== null) {
    // It comes to be shared now: what is there is the one's that had it for itself.
    if (sharing.includes(alone)) await claimAll(connection, at, alone);
    await setAlone(connection, at, null);
  }
  const key = `(${received.key}) COLLATE "C"`;
  await connection.query(
    `INSERT INTO sync_claves_compartidas ("tenantId", tipo_campo, codigo, tabla)
     SELECT DISTINCT $1, $2, ${key}, $3 FROM ${received.table}
     ON CONFLICT ("tenantId", tipo_campo, codigo) DO UPDATE SET tabla = excluded.tabla
       WHERE NOT sync_claves_compartidas.tabla = ANY ($4)`,
    [...at, tabla.nombre, sharing],
  );
  const { rows: others } = await connection.query<{ codigo: string; tabla: string }>(
    `SELECT codigo, tabla FROM sync_claves_compartidas c
     WHERE "tenantId" = $1 AND tipo_campo = $2 AND tabla <> $3
       AND EXISTS (SELECT FROM ${received.table} WHERE ${key} = c.codigo)
     ORDER BY codigo LIMIT 1`,
    [...at, tabla.nombre],
  );
  const [other] = others;
  if (other === undefined) return;
  const detail = `La clave «${cutKey(other.codigo)}» es ya de «${other.tabla}», que tiene el mismo tipoCampo «${at[1]}».`;
  throw new SyncError('CLAVE_DE_OTRA_TABLA', detail, { tabla: tabla.nombre, campo: 'primaryKey' });
}

async function setAlone(connection: Connection, at: readonly unknown[], tabla: string | null): Promise<void> {
  await connection.query('UPDATE sync_cerrojos SET tabla = $3 WHERE "tenantId" = $1 AND tipo_campo = $2', [
    ...at,
    tabla,
  ]);
}

async function claimAll(connection: Connection, at: readonly unknown[], tabla: string): Promise<void> {
  await connection.query(
    `INSERT INTO sync_claves_compartidas ("tenantId", tipo_campo, codigo, tabla)
     SELECT "tenantId", tipo_campo, codigo, $3 FROM parametros_maestros WHERE "tenantId" = $1 AND tipo_campo = $2
     ON CONFLICT DO NOTHING`,
    [...at, tabla],
  );
}
