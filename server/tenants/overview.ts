import type { Connection } from '../postgres/pool.ts';

/** How the active tenants stand, from what PostgreSQL holds: for the administrator's metrics, never for a tenant. */

/** Log entries of a tenant that are looked at, its newest: two runs of ten tables and more. */
const NEWEST = 40;
/** Tenants that a list of the worst names. */
export const WORST = 20;
/** Seconds without a success after which a tenant counts as late. */
export const LATE_SECONDS = 24 * 3600;

export interface TenantState {
  tenantId: string;
  /** Of its newest entries, how many are errors, and how many there are. */
  fallos: number;
  registros: number;
  /** ISO 8601; null: never, as far as is known. */
  ultimoExito: string | null;
  ultimoRegistro: string | null;
  /** Rows of its newest entries. */
  filas: number;
  bajasRetenidas: number;
  esquemasPendientes: number;
}

/** What a list of the worst goes by. */
export const orders = {
  fallos: (tenant: TenantState) => (tenant.registros === 0 ? 0 : tenant.fallos / tenant.registros),
  // Longest ago first; one that has never succeeded before all.
  antiguedad: ({ ultimoExito }: TenantState) => (ultimoExito === null ? Infinity : -Date.parse(ultimoExito)),
  bajas: (tenant: TenantState) => tenant.bajasRetenidas,
  volumen: (tenant: TenantState) => tenant.filas,
} as const;

export type Order = keyof typeof orders;

export interface Overview {
  tenants: number;
  /** With an error among their newest entries. */
  conFallos: number;
  /** Without a success for LATE_SECONDS, or ever. */
  atrasados: number;
  bajasRetenidas: number;
  esquemasPendientes: number;
  /** Seconds since the last success, of tenants that have had one: half have less, 99 in 100 have less, the most. */
  retraso: { '0.5': number; '0.99': number; '1': number };
  peores: Record<Order, TenantState[]>;
}

/** A row for each active tenant. */
export const OVERVIEW = `SELECT c."tenantId", coalesce(l.fallos, 0)::integer AS fallos, coalesce(l.registros, 0)::integer AS registros,
       coalesce(l.exito, (SELECT max(k."createdAt") FROM sync_commits k WHERE k."tenantId" = c."tenantId"),
         -- Of who was last heard of before the entries that are still kept.
         (SELECT max(d.dia)::timestamp AT TIME ZONE 'UTC' FROM sync_logs_diario d WHERE d."tenantId" = c."tenantId" AND d.exitosas > 0)) AS exito,
       l.ultimo, coalesce(l.filas, 0)::float8 AS filas, coalesce(b.bajas, 0)::float8 AS bajas, coalesce(e.esquemas, 0)::integer AS esquemas
     FROM sync_configurations c
     LEFT JOIN LATERAL (
       SELECT count(*) FILTER (WHERE estado = 'error') AS fallos, count(*) AS registros, max("createdAt") AS ultimo,
         max("createdAt") FILTER (WHERE estado <> 'error' AND fase = 'process') AS exito,
         sum("registrosAfectados") FILTER (WHERE fase = 'process') AS filas
       FROM (SELECT estado, fase, "registrosAfectados", "createdAt" FROM sync_logs
             WHERE "tenantId" = c."tenantId" ORDER BY "createdAt" DESC LIMIT ${NEWEST}) AS newest
     ) l ON true
     LEFT JOIN (SELECT "tenantId", sum(bajas) AS bajas FROM sync_bajas_retenidas WHERE estado = 'pendiente' GROUP BY 1) b
       USING ("tenantId")
     LEFT JOIN (SELECT "tenantId", count(*) AS esquemas FROM sync_esquemas WHERE estado = 'pendiente' GROUP BY 1) e
       USING ("tenantId")
     WHERE c.activo`;

/** Looks at every active tenant: of 10,000, some 400,000 entries by their index. The caller bounds how often. */
export async function readOverview(connection: Connection, now = new Date()): Promise<Overview> {
  const { rows } = await connection.query<TenantRow>(OVERVIEW);
  const states = rows.map(toState);
  const sum = (of: (tenant: TenantState) => number) => states.reduce((total, tenant) => total + of(tenant), 0);
  const delays = states
    .flatMap(({ ultimoExito }) => (ultimoExito === null ? [] : [(now.getTime() - Date.parse(ultimoExito)) / 1000]))
    .sort((a, b) => a - b);
  const worst = (order: Order) => findWorst(states, orders[order]);
  return {
    tenants: states.length,
    conFallos: sum(({ fallos }) => Math.min(1, fallos)),
    atrasados: states.length - delays.filter((seconds) => seconds <= LATE_SECONDS).length,
    bajasRetenidas: sum(({ bajasRetenidas }) => bajasRetenidas),
    esquemasPendientes: sum(({ esquemasPendientes }) => esquemasPendientes),
    retraso: { '0.5': quantile(delays, 0.5), '0.99': quantile(delays, 0.99), '1': quantile(delays, 1) },
    peores: {
      fallos: worst('fallos'),
      antiguedad: worst('antiguedad'),
      bajas: worst('bajas'),
      volumen: worst('volumen'),
    },
  };
}

/** Of ascending values; 0 where there are none. */
function quantile(values: readonly number[], part: number): number {
  return values[Math.max(0, Math.ceil(part * values.length) - 1)] ?? 0;
}

interface TenantRow {
  tenantId: string;
  fallos: number;
  registros: number;
  exito: Date | null;
  ultimo: Date | null;
  filas: number;
  bajas: number;
  esquemas: number;
}

function toState({ exito, ultimo, bajas, esquemas, ...row }: TenantRow): TenantState {
  return {
    ...row,
    ultimoExito: exito?.toISOString() ?? null,
    ultimoRegistro: ultimo?.toISOString() ?? null,
    bajasRetenidas: bajas,
    esquemasPendientes: esquemas,
  };
}

/** The WORST with the highest measure; of measures that are 0 nobody is bad. */
function findWorst(states: readonly TenantState[], measure: (tenant: TenantState) => number): TenantState[] {
  return states
    .map((tenant) => ({ tenant, by: measure(tenant) }))
    .filter(({ by }) => by !== 0)
    .sort((a, b) => (a.by === b.by ? (a.tenant.tenantId < b.tenant.tenantId ? -1 : 1) : b.by > a.by ? 1 : -1))
    .slice(0, WORST)
    .map(({ tenant }) => tenant);
}
