import { SyncError } from '../../protocol/errors.ts';
import type { Connection } from '../postgres/pool.ts';
import type { Configuration } from './configurations.ts';
import { connectionPlace, mapPasswords, readConnections } from './connections.ts';
import type { MasterKeys } from './master-keys.ts';

/** Returns where a tenant's password is: it opens nowhere else. */
export function passwordPlace(tenant: string): string {
  return `sync_configurations.sqlServerPassword|${tenant}`;
}

export interface SealedPasswords {
  /** Found in plain text. */
  sealed: number;
  /** Sealed under an earlier master key. */
  resealed: number;
  /** Tenants with a password that no key of this process opens, or with connections that make no sense. */
  unreadable: string[];
}

/**
 * Seals under the current master key every password that is plain (an operator's own INSERT or UPDATE) or sealed under
 * another key. Several processes may do so at once, and what an operator changes meanwhile stays. Without a master key
 * only what cannot be opened is answered.
 */
export async function sealStoredPasswords(connection: Connection, keys: MasterKeys): Promise<SealedPasswords> {
  const { rows } = await connection.query<Stored>(
    `SELECT "tenantId", "sqlServerPassword", "sqlServerConexiones" FROM sync_configurations ORDER BY "tenantId"`,
  );
  const result: SealedPasswords = { sealed: 0, resealed: 0, unreadable: [] };
  for (const row of rows) await sealRow(connection, keys, row, result);
  return result;
}

type Stored = Pick<Configuration, 'tenantId' | 'sqlServerPassword' | 'sqlServerConexiones'>;

/** Adds to `result` what became of one row: what cannot be sealed keeps nothing else from it. */
async function sealRow(connection: Connection, keys: MasterKeys, row: Stored, result: SealedPasswords): Promise<void> {
  const { tenantId, sqlServerPassword, sqlServerConexiones } = row;
  const change = { sealed: 0, resealed: 0 };
  let readable = true;
  const attempt = <T>(stored: T, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof SyncError)) throw error;
      readable = false;
      return stored;
    }
  };
  const seal = (stored: string, place: string) =>
    attempt(stored, () => {
      const secret = keys.open(place, stored);
      if (keys.isCurrent(stored)) return stored;
      change[keys.isSealed(stored) ? 'resealed' : 'sealed'] += 1;
      return keys.seal(place, secret);
    });
  const password = seal(sqlServerPassword, passwordPlace(tenantId));
  const connections = attempt(sqlServerConexiones, () =>
    mapPasswords(readConnections(row), (stored, name) => seal(stored, connectionPlace(tenantId, name))),
  );
  if (!readable) result.unreadable.push(tenantId);
  if (change.sealed + change.resealed === 0) return;
  const { rowCount } = await connection.query(
    `UPDATE sync_configurations SET "sqlServerPassword" = $2, "sqlServerConexiones" = $3
     WHERE "tenantId" = $1 AND "sqlServerPassword" = $4 AND "sqlServerConexiones" = $5`,
    [tenantId, password, JSON.stringify(connections), sqlServerPassword, JSON.stringify(sqlServerConexiones)],
  );
  if (rowCount !== 1) return;
  result.sealed += change.sealed;
  result.resealed += change.resealed;
}
