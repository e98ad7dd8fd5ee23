import type { Context } from '../context.ts';
import { compareMigrations } from '../postgres/migrate.ts';
import type { Connection } from '../postgres/pool.ts';
import { readStaging } from '../rows/staging.ts';
import { makeSnapshot } from './snapshot.ts';

/** Milliseconds that what PostgreSQL said is good for, and that somebody waits for it: asking more often asks it nothing. */
const DEEP = { goodForMs: 5000, waitMs: 3000 };

/** Returns a reader of how the database stands: one connection in all, whoever asks and however often. */
export function makeDeepLook(database: Context['database']) {
  return makeSnapshot({ load: () => database.withConnection(lookAtDatabase), ...DEEP });
}

async function lookAtDatabase(connection: Connection) {
  const started = performance.now();
  const { rows } = await connection.query<{ version: string }>(`SELECT current_setting('server_version') AS version`);
  const latenciaMs = Math.round(performance.now() - started);
  const migraciones = await compareMigrations(connection);
  const recibido = await readStaging(connection);
  return { postgres: rows[0]!.version, latenciaMs, migraciones, recibido, calculado: new Date().toISOString() };
}
