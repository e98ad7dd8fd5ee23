import type { Bajas } from '../../protocol/api.ts';
import { limits } from '../../protocol/constants.ts';
import { HASH_BYTES } from '../../protocol/endpoints/uploads.ts';
import { SyncError } from '../../protocol/errors.ts';
import { hashText } from '../../protocol/rows/hash.ts';
import type { Connection } from '../postgres/pool.ts';
import type { ReceivedRows } from './staging.ts';

/** Bajas that a partial upload brings: the keys' hashes alone, which the agent has kept. */

export interface HashedBajas {
  semilla: string;
  /** Bigints, as PostgreSQL reads them. */
  huellas: readonly string[];
  leidas: number;
}

/**
 * @throws {SyncError} CUERPO_INVALIDO: no bigint, no base64 of whole hashes, too many, or not in ascending order;
 * GENERACION_DESCONOCIDA: a hash comes twice
 */
export function readBajas({ semilla, huellas, leidas }: Bajas): HashedBajas {
  if (BigInt.asIntN(64, BigInt(semilla)) !== BigInt(semilla)) throw invalid('semilla', 'no es un bigint');
  const bytes = Buffer.from(huellas, 'base64');
  if (bytes.toString('base64') !== huellas) throw invalid('huellas', 'no es base64');
  if (bytes.length % HASH_BYTES !== 0) throw invalid('huellas', `no son huellas enteras de ${HASH_BYTES} bytes`);
  const count = bytes.length / HASH_BYTES;
  if (count > limits.bajasMaxCount) throw invalid('huellas', `son ${count}, y caben ${limits.bajasMaxCount}`);
  const hashes: string[] = [];
  let last = -1n;
  for (let at = 0; at < bytes.length; at += HASH_BYTES) {
    const hash = bytes.readBigUInt64BE(at);
    if (hash < last) throw invalid('huellas', 'no están en orden ascendente');
    // Two keys of the ledger: as bad as two rows.
    if (hash === last)
      throw new SyncError('GENERACION_DESCONOCIDA', 'Dos de las claves que faltan tienen la misma huella.');
    last = hash;
    hashes.push(BigInt.asIntN(64, hash).toString());
  }
  return { semilla, huellas: hashes, leidas };
}

function invalid(campo: string, what: string): SyncError {
  return new SyncError('CUERPO_INVALIDO', `bajas.${campo} ${what}.`, { campo: `bajas.${campo}` });
}

const TABLE = 'pg_temp.sync_bajas';

/** SQL condition on rows `p` of the tipo_campo: those of findHashed. */
export const HASHED = `p.codigo = ANY (ARRAY(SELECT b.codigo FROM ${TABLE} b))`;

/** What the agent's hash and hashtextextended are compared by; neither is meant to be the same everywhere. */
const PROBE = { text: 'Straße 12|ñandú', semilla: -6148914691236517206n };

/**
 * Finds the rows of the tipo_campo that hashed bajas name, whatever their state, but for those that were received now;
 * they are HASHED for the rest of the transaction. A hash without a row is passed over. Reads every key of the
 * tipo_campo once: 1 M keys, 0.4 s for one hash, 0.7 s for 50,000.
 * @throws {SyncError} GENERACION_DESCONOCIDA: two rows have one hash, of which one may still be there; or this
 * PostgreSQL hashes otherwise
 */
export async function findHashed(
  connection: Connection,
  at: { tenant: string; tipoCampo: string; tabla: string },
  { semilla, huellas }: HashedBajas,
  received: ReceivedRows,
): Promise<void> {
  const { tenant, tipoCampo, tabla } = at;
  const refuse = (detail: string) => new SyncError('GENERACION_DESCONOCIDA', detail, { tabla });
  await connection.query(`
    SET LOCAL client_min_messages = warning;
    CREATE TEMP TABLE IF NOT EXISTS sync_bajas (codigo text COLLATE "C" NOT NULL, huella bigint NOT NULL) ON COMMIT DELETE ROWS;
  `);
  const { rows } = await connection.query<{ igual: boolean }>(
    'SELECT hashtextextended($1::text COLLATE "C", $2) = $3 AS igual',
    [PROBE.text, PROBE.semilla, hashText(PROBE.text, PROBE.semilla)],
  );
  if (rows[0]?.igual !== true) throw refuse('Este PostgreSQL calcula otras huellas que el agente.');
  if (huellas.length === 0) return;
  // A list, and no join: for that PostgreSQL sorts all keys by their hash, on the disk.
  await connection.query(
    `INSERT INTO ${TABLE} SELECT p.codigo, hashtextextended(p.codigo, $4) FROM parametros_maestros p
     WHERE p."tenantId" = $1 AND p.tipo_campo = $2 AND hashtextextended(p.codigo, $4) = ANY ($3::bigint[])`,
    [tenant, tipoCampo, huellas, semilla],
  );
  const { rowCount: shared } = await connection.query(
    `SELECT FROM ${TABLE} GROUP BY huella HAVING count(*) > 1 LIMIT 1`,
  );
  if (shared !== 0) throw refuse(`Dos claves de «${tabla}» tienen la misma huella: no se sabe cuál falta.`);
  const key = `(${received.key}) COLLATE "C"`;
  await connection.query('SET LOCAL enable_nestloop = off');
  await connection.query(`DELETE FROM ${TABLE} b WHERE EXISTS (SELECT FROM ${received.table} WHERE ${key} = b.codigo)`);
  await connection.query('SET LOCAL enable_nestloop TO DEFAULT');
}
