import { hostname, userInfo } from 'node:os';
import QueryStream from 'pg-query-stream';
import type { Connection } from '../postgres/pool.ts';

/** Who changes something, and from where, as sync_audit will say. */
export interface Author {
  actor: string;
  origen: string;
}

/** Returns the person at this machine's command line. */
export function operatorHere(): Author {
  return { actor: `${userName()}@${hostname()}`, origen: hostname() };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // A container's user may have no name.
    return `uid ${process.getuid?.() ?? '?'}`;
  }
}

/** Names the author of what follows: in the open transaction, or for as long as the connection lives. */
export async function setAuthor(
  connection: Connection,
  { actor, origen }: Author,
  lifetime: 'transaction' | 'session',
): Promise<void> {
  await connection.query(`SELECT set_config('app.audit_actor', $1, $3), set_config('app.audit_origen', $2, $3)`, [
    actor,
    origen,
    lifetime === 'transaction',
  ]);
}

/** A row of sync_audit. `antes` and `despues` are null where there was, or is, nothing. */
export interface AuditEntry extends Author {
  id: string;
  createdAt: Date;
  login: string;
  direccion: string | null;
  aplicacion: string;
  operacion: 'INSERT' | 'UPDATE' | 'DELETE' | 'TRUNCATE';
  tabla: string;
  registro: string;
  tenantId: string | null;
  cambios: { campo: string; antes: unknown; despues: unknown }[];
}

/**
 * Reads the newest `limit` entries, oldest first: of one tenant, or of all; not older than `since`. An entry may hold a
 * configuration twice.
 */
export function readAuditEntries(
  connection: Connection,
  { tenant, since, limit }: { tenant?: string | undefined; since?: Date | undefined; limit: number },
): AsyncIterable<AuditEntry> {
  const query = new QueryStream(
    `SELECT * FROM (SELECT id, "createdAt", actor, origen, login, host(direccion) AS direccion, aplicacion, operacion, tabla, registro,
            "tenantId", cambios
     FROM sync_audit
     WHERE ($1::text IS NULL OR "tenantId" = $1) AND ($2::timestamptz IS NULL OR "createdAt" >= $2)
     ORDER BY id DESC LIMIT $3) AS newest ORDER BY id`,
    [tenant ?? null, since ?? null, limit],
    { batchSize: 10, highWaterMark: 10 },
  );
  return connection.query(query);
}

/** Finds where changes would go unnoticed, or could be removed: tables whose trigger is missing or switched off. */
export async function findAuditGaps(connection: Connection): Promise<string[]> {
  const { rows } = await connection.query<{ tabla: string }>(
    `SELECT DISTINCT e.tabla
     FROM (VALUES ('sync_configurations', 'sync_auditar'), ('sync_configurations', 'sync_auditar_vaciado'),
                  ('sync_api_keys', 'sync_auditar'), ('sync_api_keys', 'sync_auditar_vaciado'),
                  ('sync_agents', 'sync_auditar'), ('sync_agents', 'sync_auditar_vaciado'),
                  ('sync_secretos', 'sync_auditar'), ('sync_secretos', 'sync_auditar_vaciado'),
                  ('sync_audit', 'sync_audit_inmutable')) AS e (tabla, disparador)
     WHERE NOT EXISTS (SELECT FROM pg_trigger t
                       WHERE t.tgrelid = to_regclass(e.tabla) AND t.tgname = e.disparador AND t.tgenabled = 'A')
     ORDER BY 1`,
  );
  return rows.map(({ tabla }) => tabla);
}
