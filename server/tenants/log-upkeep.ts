import { quoteName } from '../postgres/copy.ts';
import type { Connection } from '../postgres/pool.ts';

/** What becomes of sync_logs in time, within its weeks (postgres/log-weeks.ts drops whole ones). */

/** Rows in one DELETE: its locks are short, and its transaction ends soon. */
const BATCH = 5000;
/** DELETEs in one go; the rest is for the next one. */
const BATCHES_MAX = 200;

/** How long a day is over before it is added up: an entry has the time at which its transaction began. */
const SETTLED_HOURS = 3;
const DIARY_DAYS = 730;

/** Adds up in sync_logs_diario the days that are over and have not been yet, each in a statement of its own; returns how many. */
export async function addUpDays(connection: Connection): Promise<number> {
  const { rows: days } = await connection.query<{ dia: string }>(
    `SELECT dia::date::text AS dia FROM generate_series(
       coalesce((SELECT max(dia) + 1 FROM sync_logs_diario),
                (SELECT (min("createdAt") AT TIME ZONE 'UTC')::date FROM sync_logs))::timestamp,
       (((now() - interval '${SETTLED_HOURS} hours') AT TIME ZONE 'UTC')::date - 1)::timestamp, interval '1 day') AS dia`,
  );
  for (const { dia } of days) {
    await connection.query(
      `INSERT INTO sync_logs_diario ("tenantId", direccion, tabla, dia, ejecuciones, exitosas, parciales, errores, registros,
         "msP50", "msMax", "msTotal")
       SELECT "tenantId", direccion, tabla, $1::date, count(*), count(*) FILTER (WHERE estado = 'exitoso'),
         count(*) FILTER (WHERE estado = 'parcial'), count(*) FILTER (WHERE estado = 'error'),
         coalesce(sum("registrosAfectados"), 0), percentile_disc(0.5) WITHIN GROUP (ORDER BY "duracionMs"),
         max("duracionMs"), sum("duracionMs")
       FROM sync_logs
       WHERE "createdAt" >= $1::timestamp AT TIME ZONE 'UTC' AND "createdAt" < ($1::date + 1)::timestamp AT TIME ZONE 'UTC'
       GROUP BY "tenantId", direccion, tabla ON CONFLICT DO NOTHING`,
      [dia],
    );
  }
  return days.length;
}

/**
 * Deletes the entries of tenants that keep theirs for less time than `days` ("logsDias"), and the days of sync_logs_diario that are
 * two years old. Returns how many rows.
 */
export async function deleteOldLogs(connection: Connection, days: number): Promise<number> {
  const { rows: hurried } = await connection.query<{ tenantId: string; logsDias: number }>(
    'SELECT "tenantId", "logsDias" FROM sync_configurations WHERE "logsDias" < $1 ORDER BY 1',
    [days],
  );
  const diary = `dia < (now() AT TIME ZONE 'UTC')::date - ${DIARY_DAYS}`;
  let deleted = await deleteInBatches(connection, 'sync_logs_diario', diary, []);
  const old = '"tenantId" = $1 AND "createdAt" < now() - make_interval(days => $2)';
  for (const { tenantId, logsDias } of hurried) {
    const { rows: weeks } = await connection.query<{ tabla: string }>(
      'SELECT tabla FROM sync_semanas_logs() WHERE desde < now() - make_interval(days => $1) AND NOT separandose',
      [logsDias],
    );
    for (const { tabla } of weeks) deleted += await deleteInBatches(connection, tabla, old, [tenantId, logsDias]);
  }
  return deleted;
}

async function deleteInBatches(
  connection: Connection,
  table: string,
  where: string,
  values: unknown[],
): Promise<number> {
  const name = quoteName(table);
  let deleted = 0;
  for (let batch = 0; batch < BATCHES_MAX; batch++) {
    const { rowCount } = await connection.query(
      `DELETE FROM ${name} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${name} WHERE ${where} LIMIT ${BATCH}))`,
      values,
    );
    deleted += rowCount ?? 0;
    if ((rowCount ?? 0) < BATCH) break;
  }
  return deleted;
}
