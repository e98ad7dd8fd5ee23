import type { LogEntry } from '../../protocol/api.ts';
import type { Connection } from '../postgres/pool.ts';

/** Stores entries of sync_logs in one statement; how many. */
export async function insertLogs(
  connection: Connection,
  { tenantId, configId }: { tenantId: string; configId: string },
  entries: readonly LogEntry[],
): Promise<number> {
  if (entries.length === 0) return 0;
  const { rowCount } = await connection.query(
    `INSERT INTO sync_logs ("tenantId", "configId", direccion, tabla, fase, "ejecutadoEn", estado, "registrosAfectados",
       mensaje, "errorDetalle", "duracionMs", metadatos, "fechaInicio", "fechaFin")
     SELECT $1, $2, e.* FROM jsonb_to_recordset($3) AS e (direccion text, tabla text, fase text, "ejecutadoEn" text,
       estado text, "registrosAfectados" integer, mensaje text, "errorDetalle" text, "duracionMs" integer,
       metadatos jsonb, "fechaInicio" timestamptz, "fechaFin" timestamptz)`,
    [tenantId, configId, JSON.stringify(entries)],
  );
  return rowCount ?? 0;
}
