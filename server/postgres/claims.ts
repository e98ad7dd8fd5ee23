import type { ClientBase } from 'pg';

/**
 * Claims a task for all processes on one database: true once in `seconds`, for whoever asks first, and to be done by it now. What fails,
 * or whose process ends, is claimed again when they are over.
 */
export async function claimTask(
  connection: Pick<ClientBase, 'query'>,
  name: string,
  seconds: number,
): Promise<boolean> {
  const { rowCount } = await connection.query(
    `INSERT INTO sync_tareas AS t (nombre, proxima) VALUES ($1, now() + make_interval(secs => $2))
     ON CONFLICT (nombre) DO UPDATE SET proxima = excluded.proxima WHERE t.proxima <= now()`,
    [name, seconds],
  );
  return rowCount === 1;
}
