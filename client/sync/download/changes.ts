import type { DownloadStart } from '../../../protocol/api.ts';
import { limits } from '../../../protocol/constants.ts';
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
import { type FramedDownload, readFrame } from './frame.ts';
import { bucketOf, countTarget, damaged, fingerprintOf, GoesWhole, type Held, ledgerOf, openHeld } from './held.ts';

/**
 * A download with `cambios: "huellas"` (protocol/SPEC.md, D9 to D12): the rows that arrive are compared with the ledger of what the target
 * holds, and the next ledger is written beside it. It takes the place of the one before once the target is updated.
 */

/** Pairs of the buckets that differ: 41 bytes each. Where they are more, the table comes down whole. */
const COMPARED_MAX = 2 ** 20;

/** Opens a download with `huellas`. `compare`: false has every row sent. Throws GoesWhole, and as openDownload does. */
export async function openChanges(
  context: SyncContext,
  db: SqlServer,
  tabla: TablaBajada,
  compare: boolean,
): Promise<FramedDownload & { changes: DownloadChanges }> {
  const { backend, ledgers, signal } = context;
  const seed = ledgers.seedsOf(ledgerOf(tabla.nombre)).key;
  const held = compare ? await openHeld(context, db, tabla) : undefined;
  try {
    const libro = held === undefined ? {} : { libro: held.libro };
    const body = await backend.openChanges({ tabla: tabla.nombre, semilla: String(seed), ...libro }, signal);
    const frame = await readFrame(body);
    try {
      if (held !== undefined && frame.start.huellas?.cubos === undefined) {
        throw new GoesWhole('La consulta del backend o sus columnas son otras');
      }
      return { ...frame, changes: await DownloadChanges.begin({ context, db, tabla, seed }, frame.start, held) };
    } catch (error) {
      await frame.rows.return(undefined);
      throw error;
    }
  } finally {
    await held?.reader.close();
  }
}

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
  #targetRows: number | undefined;

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
  static async begin(job: Job, start: DownloadStart['$inicio'], held: Held | undefined): Promise<DownloadChanges> {
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
   * Counts the target, in the transaction that has updated it. Throws GoesWhole where it has not as many rows as the centre although
   * the update is ours: keys that SQL Server takes for one, or rows that came from elsewhere.
   */
  async countTarget(builtIn: boolean): Promise<void> {
    const { context, db, tabla } = this.#job;
    this.#targetRows = await countTarget(db, tabla, context.signal);
    if (!builtIn || this.#known === undefined || tabla.bajas === 'ignorar') return;
    if (this.#targetRows !== this.filas) {
      throw new GoesWhole(`El destino tiene ${this.#targetRows} filas y el backend ${this.filas}`);
    }
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
    const [libro, filas, consulta] = [this.#next, this.#targetRows, this.#start.huellas?.consulta];
    if (libro === undefined || filas === undefined || consulta === undefined) return;
    if (!(await ledgers.adopt(ledgerOf(tabla.nombre), libro.id))) return;
    await heldDownloads.keep(folder, tabla.nombre, { libro, huella: fingerprintOf(context, tabla), consulta, filas });
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

const NEWLINE = 0x0a;

/** Writes what is held of the buckets that agree, and returns that of the others. Throws LedgerDamaged, GoesWhole. */
async function takeOver(
  { reader, libro }: Held,
  { huellas }: DownloadStart['$inicio'],
  writer: LedgerWriter,
): Promise<PairTable> {
  const known = new PairTable(COMPARED_MAX);
  const different = Buffer.from(huellas?.cubos?.distintos ?? '', 'base64');
  const same = new Uint32Array(BLOCK_PAIRS * PAIR_WORDS);
  for await (const block of reader.blocks()) {
    let used = 0;
    for (let at = 0; at < block.length; at += PAIR_WORDS) {
      const bucket = bucketOf(block[at]!, libro.bits);
      if (((different[bucket >> 3] ?? 0) & (1 << (bucket & 7))) === 0) {
        same.set(block.subarray(at, at + PAIR_WORDS), used);
        used += PAIR_WORDS;
      } else if (!known.add(block, at)) throw new GoesWhole('Cambió demasiado para compararlo');
    }
    await writer.add(same, used / PAIR_WORDS);
  }
  return known;
}

/** Throws GoesWhole where they are too many. */
function listGone(known: PairTable): HashList {
  const gone = new HashList(limits.bajasMaxCount);
  let isFull = false;
  known.forUnmarked((high, low) => {
    isFull ||= !gone.push(high, low);
  });
  if (isFull) throw new GoesWhole(`Más de ${limits.bajasMaxCount} claves ya no están`);
  return gone;
}
