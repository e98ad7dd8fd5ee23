import type { BajasRetenidas, EstadoBajas } from '../../protocol/api.ts';
import { MUESTRA_MAX } from '../../protocol/tenant-config/guard.ts';
import type { Connection } from '../postgres/pool.ts';
import { operatorHere } from '../tenants/audit.ts';

/** sync_bajas_retenidas: bajas that wait for an administrator, one set for each table (and agent, of a download). */

/** Whose bajas. `agente` is '' for an upload, and where the agent does not say who it is. */
export interface Place {
  tenant: string;
  direccion: 'upload' | 'download';
  tabla: string;
  agente?: string;
}

/** A set of bajas. `digest` is of its keys, in no order. */
export interface BajasFound {
  tipoCampo?: string;
  digest: string;
  bajas: number;
  total: number;
  muestra: readonly string[];
  altas: number;
  muestraAltas: readonly string[];
}

/** Days that bajas wait for a decision, and that an approval holds; beyond the next reading that would find them again. */
const WAIT_DAYS = 7;
/** Once an agent was told of an approval: it applies it now, or it is asked for again. */
const HANDED_OVER_HOURS = 24;
/** In one answer of GET /status: at 8 KB of samples each. */
const TOLD_MAX = 50;
/** In one list of an administrator. */
export const LISTED_MAX = 1000;

/**
 * Has `found` wait in the place of whatever waited there before, whose approval is void; the same set again goes on waiting.
 * What was decided of this very set, and whether nobody has been told of it yet. Needs a transaction.
 */
export async function retainBajas(
  connection: Connection,
  place: Place,
  found: BajasFound,
  nextInDays = 0,
): Promise<{ id: string; estado: EstadoBajas; nueva: boolean; resueltaPor: string | null }> {
  const { rows } = await connection.query<KnownBajas>(
    `SELECT id, estado, digest, "resueltaPor", coalesce("expiresAt" <= now(), false) AS caducada FROM sync_bajas_retenidas WHERE ${AT} FOR UPDATE`,
    valuesOf(place),
  );
  const [known] = rows;
  if (known !== undefined && known.digest === found.digest && !known.caducada) {
    return { id: known.id, estado: known.estado, nueva: false, resueltaPor: known.resueltaPor };
  }
  await forgetBajas(connection, place);
  const { rows: made } = await connection.query<{ id: string }>(
    `INSERT INTO sync_bajas_retenidas ("tenantId", direccion, tabla, agente, tipo_campo, digest, bajas, total, muestra,
       altas, "muestraAltas", "expiresAt")
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now() + make_interval(days => $12)) RETURNING id`,
    [
      ...valuesOf(place),
      found.tipoCampo ?? null,
      found.digest,
      found.bajas,
      found.total,
      sampleOf(found.muestra),
      found.altas,
      sampleOf(found.muestraAltas),
      WAIT_DAYS + nextInDays,
    ],
  );
  return { id: made[0]!.id, estado: 'pendiente', nueva: true, resueltaPor: null };
}

interface KnownBajas {
  id: string;
  estado: EstadoBajas;
  digest: string;
  resueltaPor: string | null;
  caducada: boolean;
}

/** Forgets what waited there: it was applied, or the rows are back. */
export async function forgetBajas(connection: Connection, place: Place): Promise<void> {
  await connection.query(`DELETE FROM sync_bajas_retenidas WHERE ${AT}`, valuesOf(place));
}

/** Has an approval that an agent is told of end soon: whether it could apply it, nobody else sees. */
export async function shortenApproval(connection: Connection, id: string): Promise<void> {
  await connection.query(
    `UPDATE sync_bajas_retenidas SET "expiresAt" = least("expiresAt", now() + make_interval(hours => $2)) WHERE id = $1`,
    [id, HANDED_OVER_HOURS],
  );
}

const AT = '"tenantId" = $1 AND direccion = $2 AND tabla = $3 AND agente = $4';

function valuesOf({ tenant, direccion, tabla, agente = '' }: Place): string[] {
  return [tenant, direccion, tabla, agente];
}

/** As PostgreSQL can keep it: no NUL, no half of a character. */
function sampleOf(keys: readonly string[]): string {
  const clean = (key: string) => Buffer.from(key.slice(0, 200)).toString('utf8').replaceAll('\0', '\ufffd');
  return JSON.stringify(keys.slice(0, MUESTRA_MAX).map(clean));
}

/** Lists what waits or was decided, of a tenant: what nobody has decided first, most bajas first. */
export async function listBajas(connection: Connection, tenant: string): Promise<BajasRetenidas[]> {
  const rows = await findBajas(connection, '"tenantId" = $1', [tenant], TOLD_MAX);
  return rows.map(({ tenantId: _, resueltaPor: __, ...row }) => row);
}

/** As an administrator sees them. */
export type AdministeredBajas = BajasRetenidas & { tenantId: string; resueltaPor: string | null };

/** Lists the same of one tenant, or of all. */
export async function findAllBajas(connection: Connection, tenant: string | undefined): Promise<AdministeredBajas[]> {
  return findBajas(connection, '$1::text IS NULL OR "tenantId" = $1', [tenant ?? null]);
}

async function findBajas(
  connection: Connection,
  condition: string,
  values: (string | null)[],
  limit = LISTED_MAX,
): Promise<AdministeredBajas[]> {
  const { rows } = await connection.query<
    Omit<AdministeredBajas, 'desde' | 'hasta'> & { desde: Date; hasta: Date | null }
  >(
    `SELECT id, "tenantId", direccion, tabla, agente, bajas, total, muestra, altas, "muestraAltas", estado, "resueltaPor",
       "createdAt" AS desde, "expiresAt" AS hasta
     FROM sync_bajas_retenidas WHERE (${condition}) AND ("expiresAt" IS NULL OR "expiresAt" > now())
     ORDER BY estado <> 'pendiente', bajas DESC, id LIMIT ${limit}`,
    values,
  );
  return rows.map(({ desde, hasta, ...row }) => ({
    ...row,
    desde: desde.toISOString(),
    hasta: hasta?.toISOString() ?? null,
  }));
}

/**
 * Decides, by the id that `bajas list` shows: of the set that stood there when it was looked at and of no other. Whether it
 * waits still. A discarded set is not asked for again.
 */
export async function resolveBajas(
  connection: Connection,
  { tenant, id, estado }: { tenant: string; id: string; estado: 'aprobada' | 'descartada' },
): Promise<AdministeredBajas | undefined> {
  const { rowCount } = await connection.query(
    `UPDATE sync_bajas_retenidas SET estado = $3, "resueltaPor" = $4, "resueltaAt" = now(),
       "expiresAt" = CASE WHEN $3 = 'descartada' THEN NULL ELSE coalesce("expiresAt", now() + make_interval(days => $5)) END
     WHERE "tenantId" = $1 AND id = $2 AND ("expiresAt" IS NULL OR "expiresAt" > now())`,
    [tenant, id, estado, operatorHere().actor, WAIT_DAYS],
  );
  if (rowCount !== 1) return undefined;
  return (await findBajas(connection, '"tenantId" = $1 AND id = $2', [tenant, id]))[0];
}

/** Forgets what nobody decided in time; how many. */
export async function deleteExpiredBajas(connection: Connection): Promise<number> {
  const { rowCount } = await connection.query('DELETE FROM sync_bajas_retenidas WHERE "expiresAt" <= now()');
  return rowCount ?? 0;
}
