import type { Connection } from '../postgres/pool.ts';
import type { MasterKeys } from './master-keys.ts';

/** Where a tenant's password is: it opens nowhere else. */
export function passwordPlace(tenant: string): string {
  return `sync_configurations.sqlServerPassword|${tenant}`;
}

export interface SealedPasswords {
  /** Found in plain text. */
  sealed: number;
  /** Sealed under an earlier master key. */
  resealed: number;
  /** Tenants whose password no key of this process opens. */
  unreadable: string[];
}

/**
 * Seals under the current master key every password that is plain (an operator's own INSERT or UPDATE) or sealed under
 * another key. Several processes may do so at once, and what an operator changes meanwhile stays. Without a master key
 * only what cannot be opened is answered.
 */
export async function sealStoredPasswords(connection: Connection, keys: MasterKeys): Promise<SealedPasswords> {
  const { rows } = await connection.query<{ tenantId: string; stored: string }>(
    `SELECT "tenantId", "sqlServerPassword" AS stored FROM sync_configurations ORDER BY "tenantId"`,
  );
  const result: SealedPasswords = { sealed: 0, resealed: 0, unreadable: [] };
  for (const { tenantId, stored } of rows) {
    const place = passwordPlace(tenantId);
    let secret: string;
    try {
      secret = keys.open(place, stored);
    } catch {
      result.unreadable.push(tenantId);
      continue;
    }
    if (keys.isCurrent(stored)) continue;
    const { rowCount } = await connection.query(
      `UPDATE sync_configurations SET "sqlServerPassword" = $3 WHERE "tenantId" = $1 AND "sqlServerPassword" = $2`,
      [tenantId, stored, keys.seal(place, secret)],
    );
    if (rowCount === 1) result[keys.isSealed(stored) ? 'resealed' : 'sealed'] += 1;
  }
  return result;
}
