import type { UploadResult } from '../../protocol/api.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Connection } from '../postgres/pool.ts';

/**
 * Takes `key` for the transaction that is open, or gives back what the request of the same key answered. While another
 * transaction holds the key, this waits for its end. Throws CUERPO_INVALIDO when the key came with another request.
 */
export async function claimIdempotencyKey(
  connection: Connection,
  tenant: string,
  key: string,
  request: string,
): Promise<UploadResult | undefined> {
  const { rowCount } = await connection.query(
    `INSERT INTO sync_idempotency ("tenantId", clave, peticion) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
    [tenant, key, request],
  );
  if (rowCount === 1) return undefined;
  const { rows } = await connection.query<{ peticion: string; resultado: UploadResult }>(
    'SELECT peticion, resultado FROM sync_idempotency WHERE "tenantId" = $1 AND clave = $2',
    [tenant, key],
  );
  const [stored] = rows;
  if (stored?.peticion !== request) {
    throw new SyncError('CUERPO_INVALIDO', 'Esa Idempotency-Key ya se usó para otra petición.', {
      campo: 'Idempotency-Key',
    });
  }
  return stored.resultado;
}

/** Keeps the answer beside its key. */
export async function storeIdempotentResult(
  connection: Connection,
  tenant: string,
  key: string,
  result: UploadResult,
): Promise<void> {
  await connection.query('UPDATE sync_idempotency SET resultado = $3 WHERE "tenantId" = $1 AND clave = $2', [
    tenant,
    key,
    JSON.stringify(result),
  ]);
}

/** Forgets keys older than `hours`; how many. */
export async function deleteOldIdempotencyKeys(connection: Connection, hours: number): Promise<number> {
  const { rowCount } = await connection.query(
    `DELETE FROM sync_idempotency WHERE "createdAt" < now() - make_interval(hours => $1)`,
    [hours],
  );
  return rowCount ?? 0;
}
