import { limits } from '../../../protocol/constants.ts';
import { hashText } from '../../../protocol/rows/hash.ts';
import type { VerificationRequests } from '../../http/verification.ts';
import type { CanonicalRows } from '../../rows/canonical.ts';
import { SqlServerError } from '../../sqlserver/sql-server.ts';
import { type Difference, join, type Kind, kindOf } from './compare.ts';
import type { TableSource } from './source.ts';

/**
 * The second look: a row may have changed, or its change have been on its way, while the first one was taken. What differed is read
 * again at both sides; what agrees now, or is another one at the source than it was, was in flight.
 */

/** More are not asked for by their keys: all rows are read again. */
const KEYS_MAX = limits.verifyKeysMax;

/** A difference that is still there. */
export interface Confirmed extends Difference {
  kind: Kind;
  /** Which columns differ; undefined: not looked at. */
  columnas?: string[];
}

export interface Look {
  confirmed: Confirmed[];
  enVuelo: number;
}

interface Sides {
  backend: VerificationRequests;
  source: TableSource;
  tabla: string;
  seed: bigint;
}

/** A row of the source as it is now. */
interface Now {
  fila: bigint;
  /** Hash of each column, where it was wanted. */
  columnas?: Map<string, string>;
}

/** Takes a second look at rows. Of the first that differ it says in which columns. Throws what reading and asking throw. */
export async function lookAgain(sides: Sides, differences: readonly Difference[], signal: AbortSignal): Promise<Look> {
  const named = await nameExtra(sides, differences, signal);
  const wanted = new Map(named.map((difference) => [difference.clave, difference]));
  const described = named.filter((one) => kindOf(one) === 'distinta').slice(0, limits.verifySamples);
  const columnsOf = new Set(described.map(({ clave }) => clave));
  const origin = await readAgain(sides, wanted, columnsOf, signal);
  const { filas, columnas } = await askAgain(sides, [...wanted.keys()], [...columnsOf], signal);
  const look: Look = { confirmed: [], enVuelo: 0 };
  for (const difference of named) {
    const now = origin.get(difference.clave);
    const destino = filas.get(difference.clave);
    const kind = kindOf({ origen: now?.fila, destino });
    if (kind === undefined || now?.fila !== difference.origen) look.enVuelo++;
    else {
      const there = columnas.get(difference.clave);
      const differing = now?.columnas && there && differingColumns(now.columnas, there);
      look.confirmed.push({
        ...difference,
        destino,
        kind,
        ...(differing === undefined ? {} : { columnas: differing }),
      });
    }
  }
  return look;
}

/** The keys of rows that only the centre has, as far as they are few. */
async function nameExtra(
  { backend, tabla, seed }: Sides,
  differences: readonly Difference[],
  signal: AbortSignal,
): Promise<Difference[]> {
  const nameless = differences.filter(({ codigo, origen }) => codigo === undefined && origen === undefined);
  const claves = bytesOf(nameless.slice(0, KEYS_MAX).map(({ clave }) => clave));
  if (nameless.length === 0) return [...differences];
  const answer = await backend.findDetails({ ...of(tabla, seed), huellas: '', claves, columnas: '' }, signal);
  const keys = new Map(answer.claves.map(({ huella, codigo }) => [BigInt(`0x${huella}`), codigo]));
  return differences.map((one) => ({ ...one, codigo: one.codigo ?? keys.get(one.clave) }));
}

/** Reads the rows of the source that are `wanted`, as they are now. */
export async function readAgain(
  { source }: Pick<Sides, 'source'>,
  wanted: ReadonlyMap<bigint, Difference>,
  columnsOf: ReadonlySet<bigint>,
  signal: AbortSignal,
): Promise<Map<bigint, Now>> {
  const keys = keysOf(wanted);
  if (keys !== undefined) {
    const found = await collect(source.readKeys(keys, signal), wanted, columnsOf).catch((error: unknown) => {
      signal.throwIfAborted();
      if (error instanceof SqlServerError && !error.retryable) return undefined;
      throw error;
    });
    const isWhole = [...wanted.values()].every(
      ({ clave, origen }) => origen === undefined || found?.has(clave) === true,
    );
    // One that went meanwhile, or a key whose text SQL Server reads otherwise: only all rows tell.
    if (found !== undefined && isWhole) return found;
  }
  return collect(source.readAll(signal), wanted, columnsOf);
}

/** The keys by which rows are asked for; undefined where they are too many, or one has none. */
function keysOf(wanted: ReadonlyMap<bigint, Difference>): string[] | undefined {
  if (wanted.size > KEYS_MAX) return undefined;
  const keys: string[] = [];
  for (const { codigo } of wanted.values()) {
    if (codigo === undefined) return undefined;
    keys.push(codigo);
  }
  return keys;
}

async function collect(
  blocks: AsyncIterable<CanonicalRows>,
  wanted: ReadonlyMap<bigint, Difference>,
  columnsOf: ReadonlySet<bigint>,
): Promise<Map<bigint, Now>> {
  const found = new Map<bigint, Now>();
  for await (const row of rowsWanted(blocks, wanted)) {
    const clave = join(row.keyHigh, row.keyLow);
    const fila = join(row.rowHigh, row.rowLow);
    found.set(clave, columnsOf.has(clave) ? { fila, columnas: columnHashes(row) } : { fila });
  }
  return found;
}

/** Goes through rows, and stops at those whose key is wanted. */
export async function* rowsWanted(
  blocks: AsyncIterable<CanonicalRows>,
  wanted: { has(clave: bigint): boolean; keys(): Iterable<bigint> },
): AsyncGenerator<CanonicalRows> {
  // A number a row costs less than a bigint.
  const lows = new Set(Array.from(wanted.keys(), (clave) => Number(clave & 0xffffffffn)));
  for await (const rows of blocks) {
    while (rows.next()) {
      if (!rows.invalid && lows.has(rows.keyLow) && wanted.has(join(rows.keyHigh, rows.keyLow))) yield rows;
    }
  }
}

function columnHashes(row: CanonicalRows): Map<string, string> {
  const { seed } = row;
  const texts = [
    ...row.members,
    ['nombre', row.nombre ?? ''] as const,
    ['activo', (row.rowLow & 1) === 1 ? 'true' : 'false'] as const,
  ];
  return new Map(texts.map(([name, text]) => [name, String(hashText(text, seed))]));
}

function differingColumns(here: ReadonlyMap<string, string>, there: Readonly<Record<string, string>>): string[] {
  const names = new Set([...here.keys(), ...Object.keys(there)]);
  const differing = [...names].filter((name) => here.get(name) !== there[name]);
  return differing.slice(0, limits.verifyColumnsMax).map((name) => name.slice(0, 256));
}

/** What the centre has now. */
async function askAgain(
  { backend, tabla, seed }: Sides,
  claves: readonly bigint[],
  columnsOf: readonly bigint[],
  signal: AbortSignal,
): Promise<{ filas: Map<bigint, bigint>; columnas: Map<bigint, Record<string, string>> }> {
  const filas = new Map<bigint, bigint>();
  const columnas = new Map<bigint, Record<string, string>>();
  for (let from = 0; from < claves.length; from += limits.verifyLookMax) {
    const huellas = bytesOf(claves.slice(from, from + limits.verifyLookMax));
    const wanted = from === 0 ? bytesOf(columnsOf) : '';
    const answer = await backend.findDetails({ ...of(tabla, seed), huellas, claves: '', columnas: wanted }, signal);
    const bytes = Buffer.from(answer.filas, 'base64');
    for (let at = 0; at + 16 <= bytes.length; at += 16) {
      filas.set(bytes.readBigUInt64BE(at), bytes.readBigUInt64BE(at + 8));
    }
    for (const { huella, valores } of answer.columnas) columnas.set(BigInt(`0x${huella}`), valores);
  }
  return { filas, columnas };
}

const of = (tabla: string, seed: bigint) => ({ tabla, semilla: String(seed) });

function bytesOf(hashes: readonly bigint[]): string {
  const bytes = Buffer.alloc(8 * hashes.length);
  hashes.forEach((hash, i) => {
    bytes.writeBigUInt64BE(hash, 8 * i);
  });
  return bytes.toString('base64');
}
