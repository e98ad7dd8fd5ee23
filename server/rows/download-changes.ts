import { createHash } from 'node:crypto';
import type { ChangesRequest } from '../../protocol/api.ts';
import { valueHashSql } from '../../protocol/rows/row-hash.ts';
import type { DownloadQuery } from './download-query.ts';
import { bucketSql } from './verify.ts';

/**
 * Which rows of a download its agent does not hold (protocol/SPEC.md, D9). The query runs twice in one snapshot: once for the hashes of its
 * rows, by leading bits of the key's hash, and once for the rows of the buckets that differ. The server keeps nothing of either agent or
 * download, so nothing can be out of step.
 */

/** Where the hashes of what an agent holds stand in a request. */
const SIGNATURE_BYTES = 8;

/** The digest of what is hashed: with another query, schema or key no row is compared. */
export function digestOfQuery({ keyed, schema }: DownloadQuery): string {
  return createHash('sha256')
    .update(JSON.stringify([keyed, schema]))
    .digest('hex')
    .slice(0, 32);
}

/** SQL of the rows with the hashes of key and row; the key is the seed of the row, so that contents are never exchanged unseen. */
function hashed(keyed: string, { semilla }: Pick<ChangesRequest, 'semilla'>): string {
  const key = valueHashSql('clave', `'${BigInt.asIntN(64, BigInt(semilla))}'::bigint`);
  return `(SELECT fila, clave, ${key} AS h FROM (${keyed}) q) k`;
}

/** SELECT of one column `fila`: a line for each bucket that has rows, `"bucket,rows,signature"`. */
export function signaturesSql(keyed: string, request: ChangesRequest, bits: number): string {
  return `SELECT '"' || cubo || ',' || n || ',' || (x # n) || '"' AS fila FROM (
    SELECT ${bucketSql('h', bits)} AS cubo, count(*) AS n, bit_xor(${valueHashSql('fila', 'h')}) AS x
    FROM ${hashed(keyed, request)} GROUP BY 1) s`;
}

/** SELECT of one column `fila`: the rows of the buckets whose bit is set. */
export function changedSql(keyed: string, request: ChangesRequest, bits: number, distintos: Buffer): string {
  return `SELECT fila FROM ${hashed(keyed, request)}
    WHERE get_bit('\\x${distintos.toString('hex')}'::bytea, ${bucketSql('h', bits)}) = 1`;
}

/** Buckets of the centre's rows against those that an agent holds. */
export class BucketComparison {
  /** Rows at the centre. */
  filas = 0;
  readonly #signatures: BigInt64Array;
  #rest = '';

  /** `firmas`: those of the agent; what is missing at its end is of empty buckets. */
  constructor(bits: number, firmas: Buffer) {
    const known = Math.floor(firmas.length / SIGNATURE_BYTES);
    this.#signatures = new BigInt64Array(2 ** bits).map((_, bucket) =>
      bucket < known ? firmas.readBigInt64BE(bucket * SIGNATURE_BYTES) : 0n,
    );
  }

  /** Takes lines of `signaturesSql`, cut anywhere. */
  take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) {
      const [cubo, filas, firma] = line.slice(1, -1).split(',') as [string, string, string];
      // Those that agree are zero.
      this.#signatures[Number(cubo)]! ^= BigInt(firma);
      this.filas += Number(filas);
    }
  }

  /** A bit for each bucket that differs, the lowest of a byte first. */
  get distintos(): Buffer {
    const bits = Buffer.alloc(Math.ceil(this.#signatures.length / 8));
    for (const [bucket, left] of this.#signatures.entries()) {
      if (left !== 0n) bits[bucket >> 3]! |= 1 << (bucket & 7);
    }
    return bits;
  }
}
