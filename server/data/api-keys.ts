import { createHash, randomBytes } from 'node:crypto';
import type { Connection } from '../postgres/pool.ts';
import { type Configuration, configurationColumns } from './configurations.ts';

const columnList = configurationColumns.map((name) => `c."${name}"`).join(', ');

/** SHA-256: the key itself is 24 random bytes, so nothing slower is needed, and it is never stored. */
function hashOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

/** Makes a key `sk_live_…` for a tenant. It is returned this once; only its hash is kept. */
export async function createApiKey(connection: Connection, tenant: string, nombre: string | null): Promise<string> {
  const key = `sk_live_${randomBytes(24).toString('base64url')}`;
  await connection.query('INSERT INTO sync_api_keys ("tenantId", nombre, hash) VALUES ($1, $2, $3)', [
    tenant,
    nombre,
    hashOf(key),
  ]);
  return key;
}

/**
 * The configuration of the tenant that `key` belongs to, if the key is in force. One indexed query whatever is wrong,
 * so that an answer's time tells nothing. Notes the use, at most once a minute.
 */
export async function findTenantByKey(connection: Connection, key: string): Promise<Configuration | undefined> {
  const { rows } = await connection.query<Configuration & { keyId: string; usado: boolean }>(
    `SELECT ${columnList}, k.id AS "keyId",
            coalesce(k."lastUsedAt" > now() - interval '1 minute', false) AS usado
     FROM sync_api_keys k JOIN sync_configurations c ON c."tenantId" = k."tenantId"
     WHERE k.hash = $1 AND k."revokedAt" IS NULL AND (k."expiresAt" IS NULL OR k."expiresAt" > now())`,
    [hashOf(key)],
  );
  const [found] = rows;
  if (found === undefined) return undefined;
  const { keyId, usado, ...configuration } = found;
  if (!usado) {
    await connection.query(
      `UPDATE sync_api_keys SET "lastUsedAt" = now()
       WHERE id = $1 AND ("lastUsedAt" IS NULL OR "lastUsedAt" <= now() - interval '1 minute')`,
      [keyId],
    );
  }
  return configuration;
}
