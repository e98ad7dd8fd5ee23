import type { LogEntry, StatusResponse } from '../../protocol/api.ts';
import type { Connection } from '../postgres/pool.ts';

/** Entries that lastByTable looks at: more than a day of a tenant with ten tables and a run every five minutes. */
const NEWEST = 10_000;

/** Tables that lastByTable tells of, and characters of a message: whoever writes logs names what he likes. */
const TABLES_MAX = 500;
const MESSAGE_MAX_LENGTH = 500;

/**
 * Returns, of each table and direction, the newest entry that says how its rows fared: their phase, or a failure of
 * another. The TABLES_MAX that ran last.
 */
export async function lastByTable(connection: Connection, tenantId: string): Promise<StatusResponse['tablas']> {
  const { rows } = await connection.query<StatusRow>(
    `SELECT direccion, tabla, fase, estado, "registrosAfectados", left(mensaje, ${MESSAGE_MAX_LENGTH}) AS mensaje,
       "fechaInicio", "fechaFin"
     FROM (SELECT * FROM (
         SELECT DISTINCT ON (direccion, tabla) direccion, tabla, fase, estado, "registrosAfectados", mensaje,
           "fechaInicio", "fechaFin"
         FROM (SELECT * FROM sync_logs WHERE "tenantId" = $1 ORDER BY "createdAt" DESC LIMIT ${NEWEST}) AS newest
         WHERE fase = 'process' OR estado <> 'exitoso'
         ORDER BY direccion, tabla, "fechaInicio" DESC, "createdAt" DESC) AS each
       ORDER BY "fechaInicio" DESC LIMIT ${TABLES_MAX}) AS latest
     ORDER BY direccion, tabla`,
    [tenantId],
  );
  return rows.map(({ fechaInicio, fechaFin, ...row }) => ({
    ...row,
    fechaInicio: fechaInicio.toISOString(),
    fechaFin: fechaFin?.toISOString() ?? null,
  }));
}

type StatusRow = Omit<StatusResponse['tablas'][number], 'fechaInicio' | 'fechaFin'> & {
  fechaInicio: Date;
  fechaFin: Date | null;
};

/** Stores entries of sync_logs in one statement, but those that are there already; how many. */
export async function insertLogs(
  connection: Connection,
  { tenantId, configId }: { tenantId: string; configId: string },
  entries: readonly LogEntry[],
): Promise<number> {
  if (entries.length === 0) return 0;
  const { rows } = await connection.query<{ guardadas: number }>('SELECT sync_guardar_logs($1, $2, $3) AS guardadas', [
    tenantId,
    configId,
    JSON.stringify(entries),
  ]);
  return rows[0]!.guardadas;
}
