import type { EsquemaPendiente } from '../../protocol/api.ts';
import type { Cambio } from '../../protocol/rows/drift.ts';
import { type Connection, inTransaction } from '../postgres/pool.ts';
import { operatorHere } from '../tenants/audit.ts';
import { needsEveryRow } from './schemas.ts';

/** Descriptions that wait for an administrator, and what he decides. They wait for ever. */

/** In one list of an administrator, and in one answer of GET /status. */
export const LISTED_MAX = 1000;
const TOLD_MAX = 50;
/** Changes of each in an answer. */
const CHANGES_TOLD_MAX = 20;

export type AdministeredSchema = Omit<EsquemaPendiente, 'total'> & {
  tenantId: string;
  agente: string;
  resueltaPor: string | null;
};

/** Returns what waits, of one tenant or of all, what is stopped first. */
export async function findWaitingSchemas(
  connection: Connection,
  tenant: string | undefined,
  limit = LISTED_MAX,
): Promise<AdministeredSchema[]> {
  const { rows } = await connection.query<Omit<AdministeredSchema, 'desde'> & { desde: Date }>(
    `SELECT id, "tenantId", tabla, estado, agente, cambios, desde, "resueltaPor" FROM sync_esquemas
     WHERE estado IN ('pendiente', 'rechazado', 'aprobado') AND ($1::text IS NULL OR "tenantId" = $1)
     ORDER BY estado <> 'rechazado', estado <> 'pendiente', desde, id LIMIT $2`,
    [tenant ?? null, limit],
  );
  return rows.map(({ desde, ...row }) => ({ ...row, desde: desde.toISOString() }));
}

/** Returns the same of a tenant, as its agent is told. */
export async function listWaitingSchemas(connection: Connection, tenant: string): Promise<EsquemaPendiente[]> {
  const rows = await findWaitingSchemas(connection, tenant, TOLD_MAX);
  return rows.map(({ id, tabla, estado, cambios, desde }) => {
    return { id, tabla, estado, total: cambios.length, cambios: cambios.slice(0, CHANGES_TOLD_MAX), desde };
  });
}

/**
 * Returns how many changes wait of each description of these tables, by table and digest: of an agent whose uploads
 * have no rows just now.
 */
export async function countWaitingChanges(
  connection: Connection,
  tenant: string,
  tablas: readonly string[],
): Promise<Record<string, Record<string, number>>> {
  const { rows } = await connection.query<{ tabla: string; huellas: Record<string, number> }>(
    `SELECT tabla, jsonb_object_agg(huella, jsonb_array_length(cambios)) AS huellas FROM sync_esquemas
     WHERE "tenantId" = $1 AND tabla = ANY ($2) AND estado = 'pendiente' GROUP BY tabla`,
    [tenant, tablas],
  );
  return Object.fromEntries(rows.map(({ tabla, huellas }) => [tabla, huellas]));
}

/**
 * Approves what waits under this id: the next upload that describes the table so goes on without asking. Where a column went, the
 * table's generations are forgotten, so that its agents send every row. Returns undefined where nothing waits under it.
 */
export async function approveSchema(
  connection: Connection,
  { tenant, id }: { tenant: string; id: string },
): Promise<{ tabla: string; cambios: Cambio[]; whole: boolean } | undefined> {
  return inTransaction(connection, async () => {
    const { rows } = await connection.query<{ tabla: string; cambios: Cambio[] }>(
      `UPDATE sync_esquemas SET estado = 'aprobado', "resueltaPor" = $3, "resueltaAt" = now()
       WHERE "tenantId" = $1 AND id = $2 AND estado IN ('pendiente', 'rechazado') RETURNING tabla, cambios`,
      [tenant, id, operatorHere().actor],
    );
    if (rows[0] === undefined) return undefined;
    const { tabla, cambios } = rows[0];
    const whole = needsEveryRow(cambios);
    // In a statement of its own: a commit that held the row before has made one more by now.
    if (whole) await connection.query('DELETE FROM sync_commits WHERE "tenantId" = $1 AND tabla = $2', [tenant, tabla]);
    return { tabla, cambios, whole };
  });
}
