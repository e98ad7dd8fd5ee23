import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientBase, PoolClient } from 'pg';
import { OperatorError } from '../operator-error.ts';

/** How often PostgreSQL is asked, at first and at last. */
const FIRST_POLL_MS = 20;
const LAST_POLL_MS = 2000;

/**
 * Resolves once the backend of a connection that was closed is gone. A closed socket does not end it: PostgreSQL looks at the
 * socket now and then, and inside some functions (strpos, replace, LIKE on long texts) at nothing at all, neither at a request
 * to terminate. Until then it uses processor and memory, and counts as a connection of whoever had it.
 *
 * `withConnection` lends another connection. Gives up when `signal` is aborted. Behind a pooler the backend is the one of the
 * transaction that was under way, and is gone, for us, once it has another.
 */
export async function endBackend(
  connection: PoolClient,
  withConnection: <T>(fn: (other: PoolClient) => Promise<T>) => Promise<T>,
  signal: AbortSignal,
): Promise<void> {
  const { pid, transaction } = lentBackends.get(connection) ?? ownBackend(connection);
  if (pid === null) return;
  // A later backend may have the same number.
  let begun: string | undefined;
  for (let waitMs = FIRST_POLL_MS; !signal.aborted; waitMs = Math.min(waitMs * 2, LAST_POLL_MS)) {
    const found = await withConnection(async (other) => {
      const { rows } = await other.query<{ begun: string }>(
        `SELECT backend_start::text AS begun, pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE pid = $1 AND usename = current_user AND ($2::text IS NULL OR backend_start::text = $2)
           AND ($3::timestamptz IS NULL OR xact_start = $3)`,
        [pid, begun ?? null, transaction],
      );
      return rows[0];
      // A database that does not answer now is asked again: nobody waits for this but the next turn.
    }).catch(() => ({ begun }));
    if (found === undefined) return;
    begun = found.begun;
    await sleep(waitMs, undefined, { signal, ref: false }).catch(() => {});
  }
}

interface Backend {
  /** null: there is none that we know of. */
  pid: number | null;
  /** When its transaction began; null: whichever it has. */
  transaction: string | null;
}

/** The backends that a pooler has lent to connections, each for the transaction under way. */
const lentBackends = new WeakMap<PoolClient, Backend>();

const NONE: Backend = { pid: null, transaction: null };

function ownBackend(connection: PoolClient): Backend {
  return { pid: (connection as unknown as { processID: number | null }).processID, transaction: null };
}

/** Says that `connection` leads to a pooler, which has lent it no backend yet. */
export function markPooled(connection: PoolClient): void {
  if (!lentBackends.has(connection)) lentBackends.set(connection, NONE);
}

/** Notes which backend a pooler has lent for the transaction that has begun. Nothing is asked of a connection of its own. */
export async function noteBackend(connection: PoolClient): Promise<void> {
  if (!lentBackends.has(connection)) return;
  const { rows } = await connection.query<{ pid: number; transaction: string }>(
    'SELECT pg_backend_pid() AS pid, now()::text AS transaction',
  );
  lentBackends.set(connection, rows[0]!);
}

/** Says that the transaction is over: a pooler may have lent its backend to somebody else. */
export function forgetBackend(connection: PoolClient): void {
  if (lentBackends.has(connection)) lentBackends.set(connection, NONE);
}

/** What a pooler keeps for nobody in particular, a session. */
export class PoolerError extends OperatorError {
  override readonly name = 'PoolerError';
}

/**
 * Asserts that the connection is PostgreSQL's own, and no pooler's between whose transactions the session may change.
 * @throws {PoolerError} with what to configure
 */
export async function assertOwnSession(client: ClientBase): Promise<void> {
  const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  if (rows[0]!.pid === ownBackend(client as PoolClient).pid) return;
  throw new PoolerError(
    'La conexión no lleva a PostgreSQL sino a un pooler (PgBouncer). Indique en DATABASE_DIRECT_URL la dirección del propio PostgreSQL.',
  );
}
