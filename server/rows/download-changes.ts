import { createHash } from 'node:crypto';
import type { ChangesRequest } from '../../protocol/api.ts';
import { hasBit, setBit } from '../../protocol/rows/buckets.ts';
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

/** SELECT of one column `fila`, which has no rows. */
export const NO_ROWS_SQL = `SELECT ''::text AS fila LIMIT 0`;

/** Returns the digest of what is hashed: with another query, schema or key no row is compared. */
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

/** Returns the SELECT of one column `fila`: a line for each bucket that has rows, `"bucket,rows,signature"`. */
export function signaturesSql(keyed: string, request: ChangesRequest, bits: number): string {
  return `SELECT '"' || cubo || ',' || n || ',' || (x # n) || '"' AS fila FROM (
    SELECT ${bucketSql('h', bits)} AS cubo, count(*) AS n, bit_xor(${valueHashSql('fila', 'h')}) AS x
    FROM ${hashed(keyed, request)} GROUP BY 1) s`;
}

/**
 * Returns the SELECT of one column `fila`: the rows of the buckets whose bit is set. Where none is, the tenant's query
 * does not run.
 */
export function changedSql(
  keyed: string,
  request: Pick<ChangesRequest, 'semilla'>,
  bits: number,
  distintos: Buffer,
): string {
  if (distintos.every((byte) => byte === 0)) return NO_ROWS_SQL;
  return `SELECT fila FROM ${hashed(keyed, request)}
    WHERE get_bit('\\x${distintos.toString('hex')}'::bytea, ${bucketSql('h', bits)}) = 1`;
}

/**
 * Returns the same for a comparison with the target, as a line of `verify`: `"bucket,rows,xor,0,0"`, hexadecimal;
 * hashes have their lowest bit set.
 */
export function comparedSql(keyed: string, request: Pick<ChangesRequest, 'semilla'>, bits: number): string {
  return `SELECT '"' || to_hex(cubo) || ',' || to_hex(n) || ',' || to_hex(x) || ',0,0"' AS fila FROM (
    SELECT ${bucketSql('h', bits)} AS cubo, count(*) AS n, bit_xor(${valueHashSql('fila', 'h')} | 1) AS x
    FROM ${hashed(keyed, request)} GROUP BY 1) s`;
}

/**
 * Buckets of the centre's rows against those that an agent holds. What it says of buckets with more bits (`dentro`) stands for what it says
 * of all; where the others differ, so do all buckets within them.
 */
export class BucketComparison {
  /** Leading bits of the buckets that are compared. */
  readonly bits: number;
  /** Rows at the centre. */
  filas = 0;
  /** What the agent holds, by buckets of `bits`; those that are not said more of are left to `#around`. */
  readonly #signatures: BigInt64Array;
  /** What it holds by buckets of fewer bits, and those rows at the centre; zero where nothing is left. */
  readonly #around: BigInt64Array;
  readonly #rows: BigInt64Array;
  readonly #isWithin: (bucket: number) => boolean;
  readonly #finer: number;
  #rest = '';

  /** What is missing at the end of `firmas` is of empty buckets. */
  constructor({ bits, firmas, dentro }: NonNullable<ChangesRequest['libro']>) {
    this.bits = Math.max(bits, dentro?.bits ?? 0);
    this.#finer = this.bits - bits;
    const around = Buffer.from(firmas, 'base64');
    const isSaid = Buffer.from(dentro?.cubos ?? '', 'base64');
    this.#isWithin = (bucket) => dentro === undefined || hasBit(isSaid, bucket >> this.#finer);
    const within = dentro === undefined ? around : Buffer.from(dentro.firmas, 'base64');
    let next = 0;
    this.#signatures = new BigInt64Array(2 ** this.bits).map((_, bucket) =>
      this.#isWithin(bucket) ? signatureAt(within, next++) : 0n,
    );
    this.#around = new BigInt64Array(2 ** bits).map((_, bucket) =>
      this.#isWithin(bucket << this.#finer) ? 0n : signatureAt(around, bucket),
    );
    this.#rows = new BigInt64Array(2 ** bits);
  }

  /** Takes lines of `signaturesSql`, cut anywhere. */
  take(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) {
      const [cubo, filas, firma] = line.slice(1, -1).split(',') as [string, string, string];
      const bucket = Number(cubo);
      const rows = BigInt(filas);
      // Those that agree become zero.
      if (this.#isWithin(bucket)) this.#signatures[bucket]! ^= BigInt(firma);
      else {
        this.#around[bucket >> this.#finer]! ^= BigInt(firma) ^ rows;
        this.#rows[bucket >> this.#finer]! += rows;
      }
      this.filas += Number(filas);
    }
  }

  /** A bit for each bucket that differs, the lowest of a byte first. */
  get distintos(): Buffer {
    const bits = Buffer.alloc(Math.ceil(this.#signatures.length / 8));
    for (const [bucket, left] of this.#signatures.entries()) {
      const around = bucket >> this.#finer;
      if (left !== 0n || this.#around[around] !== this.#rows[around]) setBit(bits, bucket);
    }
    return bits;
  }
}

function signatureAt(signatures: Buffer, index: number): bigint {
  const at = index * SIGNATURE_BYTES;
  return at + SIGNATURE_BYTES <= signatures.length ? signatures.readBigInt64BE(at) : 0n;
}
