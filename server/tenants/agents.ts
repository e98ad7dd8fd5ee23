import { agentIdOf } from '../../protocol/crypto/agent-key.ts';
import { SyncError } from '../../protocol/errors.ts';
import { type Connection, inTransaction } from '../postgres/pool.ts';
import { type Author, setAuthor } from './audit.ts';

/** A row of sync_agents: an agent's public key (X25519, base64url), and whether secrets are told to it. */
export interface Agent {
  tenantId: string;
  id: string;
  clavePublica: string;
  autorizado: boolean;
  createdAt: Date;
  /** What it runs, as it says, and since when; null until it has asked. */
  version: string | null;
  versionDesde: Date | null;
}

/** Agents of one tenant, authorised or not: whoever holds a key must not fill the table. */
const AGENTS_MAX = 50;

/**
 * Registers the public key of an agent; known already, it stays as it is. The first one that a tenant ever had is
 * authorised at once, every other waits for an administrator.
 * @throws {SyncError} AGENTE_NO_AUTORIZADO when the tenant has AGENTS_MAX
 */
export async function registerAgent(
  connection: Connection,
  tenant: string,
  clavePublica: string,
): Promise<Pick<Agent, 'id' | 'autorizado'>> {
  const id = agentIdOf(clavePublica);
  return inTransaction(connection, async () => {
    // Two that register at once are not both the first.
    await connection.query('SELECT FROM sync_configurations WHERE "tenantId" = $1 FOR NO KEY UPDATE', [tenant]);
    const agents = await listAgents(connection, tenant);
    const known = agents.find((agent) => agent.id === id);
    if (known !== undefined) return { id, autorizado: known.autorizado };
    if (agents.length >= AGENTS_MAX) {
      throw new SyncError('AGENTE_NO_AUTORIZADO', `El tenant «${tenant}» tiene ya ${AGENTS_MAX} agentes registrados.`);
    }
    const autorizado = agents.length === 0;
    await connection.query(
      'INSERT INTO sync_agents ("tenantId", id, "clavePublica", autorizado) VALUES ($1, $2, $3, $4)',
      [tenant, id, clavePublica, autorizado],
    );
    return { id, autorizado };
  });
}

/** Returns the agents of a tenant, or of all, oldest first. */
export async function listAgents(connection: Connection, tenant: string | undefined): Promise<Agent[]> {
  const { rows } = await connection.query<Agent>(
    `SELECT "tenantId", id, "clavePublica", autorizado, "createdAt", version, "versionDesde" FROM sync_agents
     WHERE $1::text IS NULL OR "tenantId" = $1 ORDER BY "tenantId", "createdAt", id`,
    [tenant ?? null],
  );
  return rows;
}

/** Keeps which version an agent runs: one write where it is another than before. */
export async function noteVersion(
  connection: Connection,
  tenant: string,
  { id, version, author }: { id: string; version: string; author: Author },
): Promise<void> {
  const agent = [tenant, id, version];
  const { rows } = await connection.query(
    'SELECT FROM sync_agents WHERE "tenantId" = $1 AND id = $2 AND version IS DISTINCT FROM $3',
    agent,
  );
  if (rows.length === 0) return;
  await inTransaction(connection, async () => {
    await setAuthor(connection, author, 'transaction');
    await connection.query(
      `UPDATE sync_agents SET version = $3, "versionDesde" = now()
       WHERE "tenantId" = $1 AND id = $2 AND version IS DISTINCT FROM $3`,
      agent,
    );
  });
}

/** Authorises an agent, or takes that back. Returns whether the tenant has it. */
export async function setAuthorised(
  connection: Connection,
  tenant: string,
  id: string,
  autorizado: boolean,
): Promise<boolean> {
  const { rowCount } = await connection.query(
    'UPDATE sync_agents SET autorizado = $3 WHERE "tenantId" = $1 AND id = $2',
    [tenant, id, autorizado],
  );
  return rowCount === 1;
}
