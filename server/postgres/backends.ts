import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolClient } from 'pg';

/** How often PostgreSQL is asked, at first and at last. */
const FIRST_POLL_MS = 20;
const LAST_POLL_MS = 2000;

/**
 * Resolves once the backend of a connection that was closed is gone. A closed socket does not end it: PostgreSQL looks at the
 * socket now and then, and inside some functions (strpos, replace, LIKE on long texts) at nothing at all, neither at a request
 * to terminate. Until then it uses processor and memory, and counts as a connection of whoever had it.
 *
 * `withConnection` lends another connection. Gives up when `signal` is aborted.
 */
export async function endBackend(
  connection: PoolClient,
  withConnection: <T>(fn: (other: PoolClient) => Promise<T>) => Promise<T>,
  signal: AbortSignal,
): Promise<void> {
  const { processID: pid } = connection as unknown as { processID: number | null };
  if (pid === null) return;
  // A later backend may have the same number.
  let begun: string | undefined;
  for (let waitMs = FIRST_POLL_MS; !signal.aborted; waitMs = Math.min(waitMs * 2, LAST_POLL_MS)) {
    const found = await withConnection(async (other) => {
      const { rows } = await other.query<{ begun: string }>(
        `SELECT backend_start::text AS begun, pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE pid = $1 AND usename = current_user AND ($2::text IS NULL OR backend_start::text = $2)`,
        [pid, begun ?? null],
      );
      return rows[0];
      // A database that does not answer now is asked again: nobody waits for this but the next turn.
    }).catch(() => ({ begun }));
    if (found === undefined) return;
    begun = found.begun;
    await sleep(waitMs, undefined, { signal, ref: false }).catch(() => {});
  }
}
