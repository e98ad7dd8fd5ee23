import type { ClientBase } from 'pg';
import { quoteName } from './copy.ts';
import { isDatabaseError } from './errors.ts';
import { type Connection, inTransaction } from './pool.ts';

/** The weeks of sync_logs, a partition each: made ahead, and retired when nobody keeps their entries any longer. */

/** Weeks that are there before they are needed. */
const WEEKS_AHEAD = 4;

/** How long a change of the partitions may keep others waiting; it is tried again an hour later. */
const LOCK_MS = 2000;

type Client = Pick<ClientBase, 'query'>;

/** Makes the partitions of this week, the one before (a clock may be set back) and the WEEKS_AHEAD after it; returns how many were missing. */
export async function makeWeeks(client: Client): Promise<number> {
  const { rows } = await client.query<{ hechas: number }>(
    `SELECT count(*) FILTER (WHERE sync_semana_logs(now() + n * interval '168 hours'))::integer AS hechas
     FROM generate_series(-1, ${WEEKS_AHEAD}) AS n`,
  );
  return rows[0]!.hechas;
}

/** Returns how many whole weeks ahead there is a partition. */
export async function countWeeksAhead(client: Client): Promise<number> {
  const { rows } = await client.query<{ semanas: number }>(
    'SELECT count(*)::integer AS semanas FROM sync_semanas_logs() WHERE desde > now() AND NOT separandose',
  );
  return rows[0]!.semanas;
}

/**
 * Drops the weeks that are over for longer than `days`: DETACH CONCURRENTLY, which stops nobody, and then DROP. Entries
 * of a tenant that keeps its own for longer ("logsDias") are put back before, into a partition of their week that holds
 * nothing else. What cannot have its lock within LOCK_MS, or was broken off, is gone on with the next time. Outside a
 * transaction.
 * @returns names of the partitions that are gone
 */
export async function retireWeeks(client: Connection, days: number): Promise<string[]> {
  const retired: string[] = [];
  await client.query(`SET lock_timeout = ${LOCK_MS}`);
  for (const { tabla, separandose } of await findOverWeeks(client, days)) {
    const how = separandose ? 'FINALIZE' : 'CONCURRENTLY';
    await unlessLocked(() => client.query(`ALTER TABLE sync_logs DETACH PARTITION ${quoteName(tabla)} ${how}`));
  }
  for (const tabla of await findDetached(client)) {
    if (await unlessLocked(() => drop(client, tabla, days))) retired.push(tabla);
  }
  return retired;
}

/** Weeks with nothing to keep, or with something that nobody keeps. */
async function findOverWeeks(client: Client, days: number): Promise<{ tabla: string; separandose: boolean }[]> {
  const { rows } = await client.query<{ tabla: string; separandose: boolean }>(
    `SELECT tabla, separandose FROM sync_semanas_logs()
     WHERE separandose OR hasta <= now() - make_interval(days => $1)`,
    [days],
  );
  const over: typeof rows = [];
  for (const week of rows) {
    if (week.separandose || (await holdsUnkept(client, week.tabla, days))) over.push(week);
  }
  return over;
}

/** Who keeps an entry of a week for longer than others: `l` is the entry, `$1` LOGS_DIAS. */
const KEPT = `EXISTS (SELECT FROM sync_configurations c WHERE c."tenantId" = l."tenantId" AND c."logsDias" > $1
  AND date_trunc('week', l."createdAt", 'UTC') + interval '168 hours' > now() - make_interval(days => c."logsDias"))`;

async function holdsUnkept(client: Client, tabla: string, days: number): Promise<boolean> {
  const { rows } = await client.query<{ sobra: boolean }>(
    `SELECT NOT EXISTS (SELECT FROM ${quoteName(tabla)})
       OR EXISTS (SELECT FROM ${quoteName(tabla)} l WHERE NOT ${KEPT}) AS sobra`,
    [days],
  );
  return rows[0]!.sobra;
}

async function findDetached(client: Client): Promise<string[]> {
  const { rows } = await client.query<{ tabla: string }>(
    `SELECT relname AS tabla FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
       AND NOT relispartition AND relname ~ '^sync_logs_(anterior$|[0-9]{8})' ORDER BY 1`,
  );
  return rows.map(({ tabla }) => tabla);
}

async function drop(connection: Connection, tabla: string, days: number): Promise<void> {
  await inTransaction(connection, async () => {
    // Its name is that of the week.
    await connection.query(`ALTER TABLE ${quoteName(tabla)} RENAME TO sync_logs_retirada`);
    await connection.query(
      `SELECT sync_semana_logs(semana) FROM (
         SELECT DISTINCT date_trunc('week', "createdAt", 'UTC') AS semana FROM sync_logs_retirada l WHERE ${KEPT}) s`,
      [days],
    );
    await connection.query(`INSERT INTO sync_logs SELECT * FROM sync_logs_retirada l WHERE ${KEPT}`, [days]);
    await connection.query('DROP TABLE sync_logs_retirada');
  });
}

/** Runs it; false where a lock was not to be had in time. */
async function unlessLocked(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (isDatabaseError(error) && error.code === '55P03') return false;
    throw error;
  }
}
