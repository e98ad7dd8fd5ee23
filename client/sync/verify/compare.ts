import type { Buckets } from './buckets.ts';
import type { SeenRow } from './scratch.ts';

/** Rows of the buckets that differ, of both sides, against each other. */

/** A row that is not the same on both sides. Hashes of 64 bits, unsigned. */
export interface Difference {
  clave: bigint;
  /** Undefined: not there. */
  origen: bigint | undefined;
  destino: bigint | undefined;
  /** As the centre has it; undefined: nobody has told. */
  codigo: string | undefined;
}

export type Kind = 'distinta' | 'falta' | 'sobra';

export interface Tally {
  filasOrigen: number;
  filasDestino: number;
  iguales: number;
  /** Not active at the centre, and not at the source: equal. */
  inactivas: number;
  /** Rows of the source whose key came before. */
  repetidas: number;
}

/**
 * Returns what a pair of hashes is; undefined where the sides agree. A row that is not active and that the source has
 * not is no difference.
 */
export function kindOf({ origen, destino }: Pick<Difference, 'origen' | 'destino'>): Kind | undefined {
  if (origen === destino) return undefined;
  if (origen === undefined) return (destino! & 1n) === 1n ? 'sobra' : undefined;
  return destino === undefined ? 'falta' : 'distinta';
}

/** Counts the rows of a bucket that both sides have alike. */
export function countEqual(tally: Tally, source: Buckets, target: Buckets, bucket: number): void {
  const rows = source.counts[2 * bucket]! + source.counts[2 * bucket + 1]!;
  tally.filasOrigen += rows;
  tally.filasDestino += rows;
  tally.iguales += rows;
  if (source.counts[2 * bucket + 1] === 0) tally.inactivas += target.counts[2 * bucket + 1]!;
}

export const join = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low);

/** A row of the centre; `key`: as the end of a line of JSON, from behind its quote. */
export type HeldRow = readonly [clave: bigint, fila: bigint, key: string | undefined];

/**
 * Compares the rows of some buckets: `seen` those of the source, of which the last one of a key counts, `held` those of the centre, as
 * pairs. Adds to `tally`, and yields what differs.
 */
export function* compareRows(tally: Tally, seen: Iterable<SeenRow>, held: Iterable<HeldRow>): Generator<Difference> {
  const source = new Map<bigint, { fila: bigint; key: Buffer | undefined }>();
  for (const { keyHigh, keyLow, rowHigh, rowLow, key } of seen) {
    const clave = join(keyHigh, keyLow);
    if (source.has(clave)) tally.repetidas++;
    source.set(clave, { fila: join(rowHigh, rowLow), key });
  }
  tally.filasOrigen += source.size;
  for (const [clave, destino, key] of held) {
    const row = source.get(clave);
    source.delete(clave);
    const origen = row?.fila;
    if (kindOf({ origen, destino }) !== undefined) {
      tally.filasDestino++;
      yield { clave, origen, destino, codigo: row?.key?.toString('utf8') ?? codigoIn(key) };
    } else if (origen === undefined) tally.inactivas++;
    else {
      tally.filasDestino++;
      tally.iguales++;
    }
  }
  for (const [clave, { fila, key }] of source) {
    yield { clave, origen: fila, destino: undefined, codigo: key?.toString('utf8') };
  }
}

/**
 * The key in UTF-8 that was read as single bytes.
 * @throws {SyntaxError} where it is no JSON
 */
function codigoIn(key: string | undefined): string | undefined {
  if (key === undefined) return undefined;
  return JSON.parse(`"${Buffer.from(key, 'latin1').toString('utf8')}`) as string;
}
