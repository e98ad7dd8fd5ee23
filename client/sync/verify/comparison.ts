import { limits } from '../../../protocol/constants.ts';
import { setBit } from '../../../protocol/rows/buckets.ts';
import type { VerificationRequests } from '../../http/verification.ts';
import type { Totals } from '../../state/verifications.ts';
import { readFrame } from '../download/frame.ts';
import { makeCollector } from '../memory.ts';
import { Buckets } from './buckets.ts';
import { compareRows, countEqual, type Difference, type HeldRow, join, kindOf } from './compare.ts';
import { type Confirmed, type Look, lookAgain } from './look.ts';
import { PART_BITS, Scratch } from './scratch.ts';
import type { TableSource } from './source.ts';

/**
 * One comparison of a table: both sides fold their rows into buckets at the same time; of buckets that differ the centre lists its rows,
 * which are held against what the reading left in the scratch file; what differs is looked at once more.
 */

/** Differences that are looked at once more; past them they are counted as they are. */
const LOOK_MAX = 50_000;
/** While there are so few, what was compared is settled, and kept, every so often. */
const SETTLE_ROWS = limits.verifyKeysMax;
const SETTLE_MS = 10_000;

export interface ComparisonOf {
  backend: VerificationRequests;
  tabla: string;
  seed: bigint;
  bits: number;
  /** The first bucket that is compared. */
  cubo: number;
  folder: string;
  /** By performance.now; Infinity: none. */
  deadline: number;
  /** Told of what is settled. */
  onSettled(cubo: number, totals: Totals): Promise<void>;
}

export interface Outcome {
  totals: Totals;
  /** The first bucket that was not compared; `size`: all were. */
  cubo: number;
  size: number;
  /** Rows of the source that an upload would refuse. */
  invalidas: number;
  /** Of the first that differ, up to LOOK_MAX. */
  confirmed: Confirmed[];
}

/** Thrown in the middle of a reading. */
export class TimeIsUp extends Error {}

/** Returns totals of nothing. */
export function noTotals(): Totals {
  const none = { filasOrigen: 0, filasDestino: 0, iguales: 0, distintas: 0, faltan: 0, sobran: 0, enVuelo: 0 };
  return { ...none, inactivas: 0, repetidas: 0, sinMirar: 0, muestras: [] };
}

/** Compares from bucket `cubo` on, adding to `before`. Throws what reading, asking and the disk throw, the signal's reason. */
export async function compare(
  of: ComparisonOf,
  source: TableSource,
  before: Totals,
  signal: AbortSignal,
): Promise<Outcome> {
  const { bits, cubo } = of;
  const scratch = new Scratch(of.folder);
  try {
    const origin = new Buckets(bits);
    const target = new Buckets(bits);
    let invalidas = 0;
    try {
      await Promise.all([
        takeSummaries(of, target, signal),
        readRows(of, source, origin, scratch, signal).then((refused) => {
          invalidas = refused;
        }),
      ]);
    } catch (error) {
      if (!(error instanceof TimeIsUp)) throw error;
      return { totals: before, cubo, size: origin.size, invalidas, confirmed: [] };
    }
    const settled = await compareBuckets({ of, source, origin, target, scratch }, before, signal);
    return { ...settled, size: origin.size, invalidas };
  } finally {
    scratch.close();
  }
}

async function takeSummaries(
  { backend, tabla, seed, bits }: ComparisonOf,
  target: Buckets,
  signal: AbortSignal,
): Promise<void> {
  const body = await backend.summarize({ tabla, semilla: String(seed), bits }, signal);
  for await (const line of linesOf(body)) target.take(line);
}

/** Folds the rows of the source; answers how many an upload would refuse. */
async function readRows(
  { cubo, deadline }: ComparisonOf,
  source: TableSource,
  origin: Buckets,
  scratch: Scratch,
  signal: AbortSignal,
): Promise<number> {
  let invalidas = 0;
  for await (const rows of source.readAll(signal)) {
    if (performance.now() > deadline) throw new TimeIsUp();
    while (rows.next()) {
      if (rows.invalid) {
        invalidas++;
        continue;
      }
      const { keyHigh, rowHigh, rowLow } = rows;
      const bucket = origin.bucketOf(keyHigh);
      if (bucket < cubo) continue;
      origin.add(bucket, rowHigh, rowLow);
      scratch.add(rows);
    }
  }
  return invalidas;
}

interface Read {
  of: ComparisonOf;
  source: TableSource;
  origin: Buckets;
  target: Buckets;
  scratch: Scratch;
}

async function compareBuckets(
  { of, source, origin, target, scratch }: Read,
  before: Totals,
  signal: AbortSignal,
): Promise<Pick<Outcome, 'totals' | 'cubo' | 'confirmed'>> {
  const { backend, tabla, seed, bits, cubo: first } = of;
  const perPart = origin.size >> PART_BITS;
  const differs = (bucket: number) => bucket >= first && !target.agreesWith(origin, bucket);
  const pairs = new PairsByPart(perPart, differs, (cubos) =>
    backend.listPairs({ tabla, semilla: String(seed), bits, cubos }, signal),
  );
  const confirmed: Confirmed[] = [];
  const totals = structuredClone(before);
  let waiting: Difference[] = [];
  let lastSettled = performance.now();
  const settle = async () => {
    // Nobody reads meanwhile: an answer that waits would be cut.
    await pairs.pause();
    if (waiting.length > 0) {
      const look = await lookAgain({ backend, source, tabla, seed }, waiting, signal);
      addLook(totals, look);
      confirmed.push(...look.confirmed);
    }
    waiting = [];
    lastSettled = performance.now();
  };
  const compareBucketsOf = (part: number, held: readonly HeldRow[] | undefined) => {
    for (let bucket = part * perPart; bucket < (part + 1) * perPart; bucket++) {
      if (bucket >= first && !differs(bucket)) countEqual(totals, origin, target, bucket);
    }
    if (held === undefined) return;
    const seen = seenIn(scratch, part, (keyHigh) => differs(origin.bucketOf(keyHigh)));
    for (const difference of compareRows(totals, seen, held)) {
      if (waiting.length + confirmed.length < LOOK_MAX) waiting.push(difference);
      else countUnlooked(totals, difference);
    }
  };
  let part = Math.floor(first / perPart);
  try {
    for (; part < scratch.parts && performance.now() <= of.deadline; part++) {
      signal.throwIfAborted();
      compareBucketsOf(part, await pairs.of(part));
      const isDue = waiting.length <= SETTLE_ROWS && performance.now() - lastSettled > SETTLE_MS;
      if (!isDue || part + 1 === scratch.parts) continue;
      await settle();
      await of.onSettled((part + 1) * perPart, totals);
    }
    await settle();
  } finally {
    await pairs.pause();
  }
  return { totals, cubo: Math.max(first, part * perPart), confirmed };
}

function* seenIn(scratch: Scratch, part: number, isWanted: (keyHigh: number) => boolean) {
  for (const row of scratch.read(part)) if (isWanted(row.keyHigh)) yield row;
}

function addLook(totals: Totals, { confirmed, enVuelo }: Look): void {
  totals.enVuelo += enVuelo;
  for (const { kind, codigo, columnas = [] } of confirmed) {
    countKind(totals, kind);
    if (codigo === undefined) continue;
    if (totals.muestras.filter(({ diferencia }) => diferencia === kind).length >= limits.verifySamples) continue;
    totals.muestras.push({ diferencia: kind, clave: codigo.slice(0, 1000), columnas });
  }
}

function countUnlooked(totals: Totals, difference: Difference): void {
  totals.sinMirar++;
  countKind(totals, kindOf(difference)!);
}

function countKind(totals: Totals, kind: 'distinta' | 'falta' | 'sobra'): void {
  if (kind === 'distinta') totals.distintas++;
  else if (kind === 'falta') totals.faltan++;
  else totals.sobran++;
}

/** The rows that the centre lists, which come in the order of their buckets, a part at a time. Nothing is asked where nothing differs. */
class PairsByPart {
  readonly #perPart: number;
  readonly #differs: (bucket: number) => boolean;
  readonly #ask: (cubos: string) => Promise<AsyncGenerator<Uint8Array>>;
  #lines: AsyncGenerator<string> | undefined;
  #next: HeldRow | undefined;

  constructor(
    perPart: number,
    differs: (bucket: number) => boolean,
    ask: (cubos: string) => Promise<AsyncGenerator<Uint8Array>>,
  ) {
    this.#perPart = perPart;
    this.#differs = differs;
    this.#ask = ask;
  }

  /** Undefined: no bucket of the part differs. */
  async of(part: number): Promise<HeldRow[] | undefined> {
    let any = false;
    for (let bucket = part * this.#perPart; bucket < (part + 1) * this.#perPart && !any; bucket++) {
      any = this.#differs(bucket);
    }
    if (!any) return undefined;
    if (this.#lines === undefined) {
      this.#lines = linesOf(await this.#ask(this.#bitmapFrom(part * this.#perPart)));
      await this.#advance();
    }
    const held: HeldRow[] = [];
    for (; this.#next !== undefined && partOf(this.#next) === part; await this.#advance()) held.push(this.#next);
    return held;
  }

  /** Gives up what is under way; `of` asks again for what is left. */
  async pause(): Promise<void> {
    await this.#lines?.return(undefined);
    this.#lines = undefined;
    this.#next = undefined;
  }

  /** A bit for each bucket, the lowest of a byte first, as base64. */
  #bitmapFrom(first: number): string {
    const size = this.#perPart << PART_BITS;
    const bytes = Buffer.alloc(Math.ceil(size / 8));
    for (let bucket = first; bucket < size; bucket++) {
      if (this.#differs(bucket)) setBit(bytes, bucket);
    }
    return bytes.toString('base64');
  }

  async #advance(): Promise<void> {
    const step = await this.#lines!.next();
    if (step.done === true) {
      this.#next = undefined;
      return;
    }
    const line = step.value;
    // A backend of before tells no key.
    const key = line[34] === ',' ? line.slice(35) : undefined;
    this.#next = [hashOf(line.slice(1, 17)), hashOf(line.slice(18, 34)), key];
  }
}

function partOf([clave]: HeldRow): number {
  return Number(clave >> BigInt(64 - PART_BITS));
}

function hashOf(hex: string): bigint {
  const [high, low] = [Number.parseInt(hex.slice(0, 8), 16), Number.parseInt(hex.slice(8), 16)];
  if (Number.isNaN(high) || Number.isNaN(low)) throw new SyntaxError('not a row of a bucket');
  return join(high, low);
}

/** The lines between the first and the last of a framed answer. */
async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  yield* textLinesOf((await readFrame(body)).rows);
}

/** Lines of ASCII, as text. */
export async function* textLinesOf(rows: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const collect = makeCollector('comparison');
  for await (const piece of rows) {
    // A line becomes some ten objects.
    collect(10 * piece.length);
    const text = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).toString('latin1');
    for (const line of text.split('\n')) if (line !== '') yield line;
  }
}
