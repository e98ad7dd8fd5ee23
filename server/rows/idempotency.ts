import type { UploadResult } from '../../protocol/api.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Connection } from '../postgres/pool.ts';

/** What a one-shot upload answered. */
export interface StoredAnswer {
  /** With the name that an envelope gave its table. */
  resultado: UploadResult & { tablaNombrada?: string };
  /** SHA-256 of the body, base64; null: kept by a version that did not look at it. */
  digest: string | null;
}

/**
 * Takes `key` for the transaction that is open, or gives back what the request of the same key answered, here or in
 * sync_commits (however long ago). While another transaction holds the key, this waits for its end.
 * @throws {SyncError} PETICION_DISTINTA when the key came with another request
 */
export async function claimIdempotencyKey(
  connection: Connection,
  tenant: string,
  key: string,
  peticion: string,
): Promise<StoredAnswer | undefined> {
  const { rows: claimed } = await connection.query<Partial<StoredAnswer> & { peticion: string | null; hecho: boolean }>(
    `WITH nueva AS (
       INSERT INTO sync_idempotency ("tenantId", clave, peticion) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING 1
     )
     SELECT c.peticion, c.digest, c.resultado, c.id IS NOT NULL AS hecho
     FROM nueva LEFT JOIN sync_commits c ON c."tenantId" = $1 AND c.id = $2`,
    [tenant, key, peticion],
  );
  if (claimed[0]?.hecho === false) return undefined;
  const stored = claimed[0] ?? (await findAnswer(connection, tenant, key));
  if (stored?.peticion !== peticion) throw otherRequest();
  const { digest, resultado } = stored as StoredAnswer;
  if (claimed[0] !== undefined) await storeIdempotentResult(connection, tenant, key, { digest, resultado });
  return { digest, resultado };
}

async function findAnswer(connection: Connection, tenant: string, key: string) {
  const { rows } = await connection.query<StoredAnswer & { peticion: string }>(
    'SELECT peticion, digest, resultado FROM sync_idempotency WHERE "tenantId" = $1 AND clave = $2',
    [tenant, key],
  );
  return rows[0];
}

/** Returns PETICION_DISTINTA. */
export function otherRequest(): SyncError {
  return new SyncError('PETICION_DISTINTA', 'Esa Idempotency-Key ya se usó para otra petición.', {
    campo: 'Idempotency-Key',
  });
}

/** Keeps the answer beside its key. */
export async function storeIdempotentResult(
  connection: Connection,
  tenant: string,
  key: string,
  { resultado, digest }: StoredAnswer,
): Promise<void> {
  await connection.query(
    'UPDATE sync_idempotency SET resultado = $3, digest = $4 WHERE "tenantId" = $1 AND clave = $2',
    [tenant, key, JSON.stringify(resultado), digest],
  );
}

/** Forgets keys older than `hours`; how many. */
export async function deleteOldIdempotencyKeys(connection: Connection, hours: number): Promise<number> {
  const { rowCount } = await connection.query(
    `DELETE FROM sync_idempotency WHERE "createdAt" < now() - make_interval(hours => $1)`,
    [hours],
  );
  return rowCount ?? 0;
}
