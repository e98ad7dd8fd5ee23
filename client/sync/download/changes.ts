import type { DownloadStart } from '../../../protocol/api.ts';
import { limits } from '../../../protocol/constants.ts';
import { bucketOf, hasBit } from '../../../protocol/rows/buckets.ts';
import { TextHash } from '../../../protocol/rows/hash.ts';
import { primaryKeyOf, type TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { LineKeys } from '../../rows/line-keys.ts';
import type { SqlServer } from '../../sqlserver/sql-server.ts';
import { heldDownloads } from '../../state/download-ledgers.ts';
import { HashList } from '../../state/ledger/hash-list.ts';
import { BLOCK_PAIRS, LedgerDamaged, type LedgerWriter, PAIR_WORDS } from '../../state/ledger/ledger-file.ts';
import type { LedgerName } from '../../state/ledger/ledgers.ts';
import { PairTable } from '../../state/ledger/pair-table.ts';
import type { SyncContext } from '../context.ts';
import { askChanges } from './ask-changes.ts';
import { type FramedDownload, readFrame } from './frame.ts';
import { sameKey } from './gone-keys.ts';
import { damaged, fingerprintOf, GoesWhole, type Held, ledgerOf, openHeld, totalsOf } from './held.ts';
import type { GuardedUpdate } from './target-guard.ts';
import { addTotals, TargetSum, type Totals } from './target-sum.ts';

/**
 * A download with `cambios: "huellas"` (protocol/SPEC.md, D9 to D12): the rows that arrive are compared with the ledger of what the target
 * holds, and the next ledger is written beside it. It takes the place of the one before once the target is updated.
 */

/** Pairs of the buckets that differ: 41 bytes each. Where they are more, the table comes down whole. */
const COMPARED_MAX = 2 ** 20;

/**
 * Opens a download with `huellas`. `compare`: false has every row sent.
 * @throws {GoesWhole}, and as openDownload does
 */
export async function openChanges(
  context: SyncContext,
  db: SqlServer,
  tabla: TablaBajada,
  compare: boolean,
): Promise<FramedDownload & { changes: DownloadChanges }> {
  const { backend, ledgers, signal } = context;
  const seed = ledgers.seedsOf(ledgerOf(tabla.nombre)).key;
  const job = { context, db, tabla, seed };
  const table = { tabla: tabla.nombre, semilla: String(seed) };
  if (!compare) return begin(job, await readFrame(await backend.openChanges(table, signal)), undefined);
  const held = await openHeld(context, db, tabla);
  try {
    const { bits, ...frame } = await askChanges(context, table, held);
    return await begin(job, frame, { ...held, bits });
  } finally {
    await held.reader.close();
  }
}

async function begin(job: Job, frame: FramedDownload, held: Compared | undefined) {
  try {
    return { ...frame, changes: await DownloadChanges.begin(job, frame.start, held) };
  } catch (error) {
    await frame.rows.return(undefined);
    throw error;
  }
}

/** What is held, and by how many bits the backend has compared it. */
type Compared = Held & { bits: number };

interface Job {
  context: SyncContext;
  db: SqlServer;
  tabla: TablaBajada;
  seed: bigint;
}

export class DownloadChanges {
  /** Keys that are gone, once all rows are through; undefined where every row came. */
  gone: HashList | undefined;
  /** Rows to load. */
  changed = 0;
  readonly seed: bigint;
  readonly #job: Job;
  readonly #held: Held | undefined;
  readonly #start: DownloadStart['$inicio'];
  readonly #writer: LedgerWriter;
  readonly #known: PairTable | undefined;
  readonly #keys: LineKeys;
  readonly #hash: TextHash;
  readonly #pairs = new Uint32Array(BLOCK_PAIRS * PAIR_WORDS);
  #inPairs = 0;
  #next: LedgerName | undefined;
  #sum: TargetSum | undefined;
  /** Of the target before the update, less the rows that it was given; undefined: all are read after it. */
  #untouched: Totals | undefined;
  #target: Totals | undefined;

  private constructor(
    job: Job,
    { start, held }: { start: DownloadStart['$inicio']; held: Held | undefined },
    writer: LedgerWriter,
    known: PairTable | undefined,
  ) {
    this.#job = job;
    this.seed = job.seed;
    this.#start = start;
    this.#held = held;
    this.#writer = writer;
    this.#known = known;
    this.#keys = new LineKeys(primaryKeyOf(job.tabla));
    this.#hash = new TextHash(job.seed);
  }

  /** Begins the next ledger: what is held of the buckets that agree is in it at once. Throws GoesWhole, and what the disk says. */
  static async begin(job: Job, start: DownloadStart['$inicio'], held: Compared | undefined): Promise<DownloadChanges> {
    const writer = await job.context.ledgers.begin(ledgerOf(job.tabla.nombre));
    try {
      const known = held === undefined ? undefined : await takeOver(held, start, writer);
      return new DownloadChanges(job, { start, held }, writer, known);
    } catch (error) {
      await writer.remove();
      throw error instanceof LedgerDamaged ? damaged() : error;
    }
  }

  /** Rows at the centre; undefined where every row came, and is counted as it comes. */
  get filas(): number | undefined {
    return this.#start.huellas?.cubos?.filas;
  }

  /** Passes on the lines of rows that the target does not hold so. Throws GoesWhole for a key that comes twice. */
  async *filter(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of pieces) {
      let from = 0;
      let start = 0;
      for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, start)) {
        const isNews = this.#compare(piece, start, end);
        if (this.#inPairs === BLOCK_PAIRS) await this.#write();
        if (!isNews) {
          if (from < start) yield piece.subarray(from, start);
          from = end + 1;
        }
        start = end + 1;
      }
      if (from < piece.length) yield piece.subarray(from);
    }
    await this.#write();
    this.#next = { id: this.#writer.id, ...(await this.#writer.flush()) };
    await this.#writer.close();
    if (this.#known !== undefined) this.gone = listGone(this.#known);
  }

  /** Whether there is anything to do at the target. */
  get isNews(): boolean {
    return this.#known === undefined || this.changed > 0 || (this.gone?.length ?? 0) > 0;
  }

  /**
   * What is held is no longer believed, whatever ends this process: between the commit at SQL Server and the next ledger nobody knows
   * what the target holds. Throws what the disk says.
   */
  async forget(): Promise<void> {
    const { context, tabla } = this.#job;
    await heldDownloads.keep(context.folder, tabla.nombre, undefined);
  }

  /**
   * Looks at the target before the update. Where that is ours and given only what changed, no other row of the target is looked at
   * again: what others do to it meanwhile is not taken for the download's. Throws SqlServerError.
   */
  async beforeUpdate({ columns, target, builtIn, ...given }: GivenRows): Promise<void> {
    const { context, db, tabla } = this.#job;
    const names = columns.map(({ name }) => name);
    this.#sum = await TargetSum.open(db, tabla.nombre, names, target, context.signal);
    const held = this.#held?.state;
    const isAsHeld = held?.suma !== undefined && held.suma.columnas.join() === this.#sum.columns.join();
    this.#untouched =
      builtIn && held !== undefined && isAsHeld
        ? addTotals(totalsOf(held), await readGiven(this.#sum, given), -1)
        : undefined;
  }

  /**
   * Looks at the target in the transaction that has updated it. Throws GoesWhole where it has not as many rows as the centre although
   * the update is ours: keys that SQL Server takes for one, or rows that came from elsewhere.
   */
  async afterUpdate({ builtIn, ...given }: GivenRows): Promise<void> {
    const sum = this.#sum!;
    const untouched = this.#untouched;
    this.#target = untouched === undefined ? await sum.read() : addTotals(untouched, await readGiven(sum, given));
    if (!builtIn || this.#known === undefined || this.#job.tabla.bajas === 'ignorar') return;
    const { filas } = this.#target;
    if (filas !== this.filas) throw new GoesWhole(`El destino tiene ${filas} filas y el backend ${this.filas}`);
  }

  /** Puts the next ledger in its place, once the target is updated; where it was left as it was, the one before is believed again. */
  async settle(isUpdated: boolean): Promise<void> {
    const { context, tabla } = this.#job;
    const { folder, ledgers } = context;
    if (!isUpdated) {
      await ledgers.dropNew(ledgerOf(tabla.nombre));
      await heldDownloads.keep(folder, tabla.nombre, this.#held?.state);
      return;
    }
    const [libro, target, consulta] = [this.#next, this.#target, this.#start.huellas?.consulta];
    if (libro === undefined || target === undefined || consulta === undefined) return;
    if (!(await ledgers.adopt(ledgerOf(tabla.nombre), libro.id))) return;
    const { filas, sumas } = target;
    const suma = sumas === undefined ? {} : { suma: { columnas: [...this.#sum!.columns], valores: sumas.join(' ') } };
    const huella = fingerprintOf(context, tabla);
    await heldDownloads.keep(folder, tabla.nombre, { libro, huella, consulta, filas, ...suma });
  }

  /** Takes the next ledger away: nothing came of it. */
  async drop(): Promise<void> {
    await this.#writer.close().catch(() => {
      // It is closed already.
    });
    await this.#job.context.ledgers.dropNew(ledgerOf(this.#job.tabla.nombre));
  }

  /** Hashes a row; returns whether the target does not hold it so. */
  #compare(bytes: Uint8Array, start: number, end: number): boolean {
    const hash = this.#hash;
    this.#keys.hash(bytes, start, end, hash);
    const { high, low } = hash;
    hash.update(bytes, start, end, high | 0, low | 0);
    const at = this.#inPairs * PAIR_WORDS;
    this.#pairs[at] = high;
    this.#pairs[at + 1] = low;
    this.#pairs[at + 2] = hash.high;
    this.#pairs[at + 3] = hash.low;
    this.#inPairs++;
    const verdict = this.#known?.find(high, low, hash.high, hash.low) ?? 'unknown';
    if (verdict === 'again') throw new GoesWhole('Una clave viene dos veces');
    if (verdict !== 'same') this.changed++;
    return verdict !== 'same';
  }

  async #write(): Promise<void> {
    await this.#writer.add(this.#pairs, this.#inPairs);
    this.#inPairs = 0;
  }
}

/** What an update is given (LoadedRows). */
type GivenRows = Pick<GuardedUpdate, 'temp' | 'bajas' | 'columns' | 'keys' | 'target' | 'builtIn'>;

/** Totals of the target's rows that came, and of those that are gone: no row is both. */
async function readGiven(
  sum: TargetSum,
  { temp, bajas, keys }: Pick<GivenRows, 'temp' | 'bajas' | 'keys'>,
): Promise<Totals> {
  const isIn = (rows: string) => `WHERE EXISTS (SELECT 1 FROM ${rows} AS s WHERE ${sameKey(keys)})`;
  const came = await sum.read(isIn(temp));
  return bajas === undefined ? came : addTotals(came, await sum.read(isIn(bajas)));
}

const NEWLINE = 0x0a;

/**
 * Writes what is held of the buckets that agree, and returns that of the others.
 * @throws {LedgerDamaged}, GoesWhole
 */
async function takeOver(
  { reader, bits }: Compared,
  { huellas }: DownloadStart['$inicio'],
  writer: LedgerWriter,
): Promise<PairTable> {
  const known = new PairTable(COMPARED_MAX);
  const different = Buffer.from(huellas?.cubos?.distintos ?? '', 'base64');
  const same = new Uint32Array(BLOCK_PAIRS * PAIR_WORDS);
  for await (const block of reader.blocks()) {
    let used = 0;
    for (let at = 0; at < block.length; at += PAIR_WORDS) {
      if (!hasBit(different, bucketOf(block[at]!, bits))) {
        same.set(block.subarray(at, at + PAIR_WORDS), used);
        used += PAIR_WORDS;
      } else if (!known.add(block, at)) throw new GoesWhole('Cambió demasiado para compararlo');
    }
    await writer.add(same, used / PAIR_WORDS);
  }
  return known;
}

/** @throws {GoesWhole} where they are too many */
function listGone(known: PairTable): HashList {
  const gone = new HashList(limits.bajasMaxCount);
  let isFull = false;
  known.forUnmarked((high, low) => {
    isFull ||= !gone.push(high, low);
  });
  if (isFull) throw new GoesWhole(`Más de ${limits.bajasMaxCount} claves ya no están`);
  return gone;
}
