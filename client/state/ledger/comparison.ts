import { limits } from '../../../protocol/constants.ts';
import { TextHash } from '../../../protocol/rows/hash.ts';
import { isSpoolUnusable } from '../../files/disk.ts';
import { WholeUploadNeeded } from '../whole-upload-needed.ts';
import type { ComparisonResult, Gone } from './comparison-result.ts';
import { HashList } from './hash-list.ts';
import { type LedgerExtent, type LedgerReader, type LedgerWriter, PAIR_WORDS } from './ledger-file.ts';
import type { LedgerName, Ledgers } from './ledgers.ts';
import { RowHash } from './row-hash.ts';
import { asUseless, findMoved, nextOf } from './useful.ts';
import { LedgerWindow, WINDOW_PAIRS } from './window.ts';

/** Keys that are new, and pairs that leave the window unmatched: past it the table goes whole, which costs no more. */
const LIST_MAX = 2 ** 20;

export interface ComparisonOptions {
  ledgers: Ledgers;
  tabla: string;
  /** Undefined: nothing is known, and every row is new. */
  old: LedgerReader | undefined;
  /** Whether keys that are gone are told. */
  tellsGone: boolean;
  /** Whether keys that were gone still wait for a decision: that none is gone any more is told, too. */
  someWait?: boolean;
  /** Pairs of the window. */
  windowPairs?: number;
}

/**
 * One reading of a table against the ledger of the last one that was committed. What it says is right whatever the order of the rows;
 * how much is sent again for nothing depends on it (window.ts).
 *
 * The new ledger is begun where the reading first differs from the old one, so that a table without news writes nothing.
 */
export class Comparison {
  readonly keyHash: TextHash;
  /** Of the bytes of a row's line; after `begin`, of those it came in. */
  rowHash: RowHash;
  readonly #options: ComparisonOptions;
  readonly #semilla: bigint;
  readonly #window: LedgerWindow | undefined;
  readonly #fresh = new HashList(LIST_MAX);
  readonly #gone = new HashList(LIST_MAX);
  #writer: LedgerWriter | undefined;
  /** Rows so far that stood as they did in the old ledger, in its order; counted while there is no writer. */
  #prefix = 0;
  #read = 0;
  #unwritable = false;
  /** Pairs of the rows of the block under way. */
  #pairs = new Uint32Array(1024 * PAIR_WORDS);
  #inBlock = 0;
  /** Whether all rows so far stood as they did in the old ledger, in its order. */
  #isPrefix: boolean;
  /** Blocks that have been cut and not settled. */
  readonly #cut: CutBlock[] = [];
  readonly #spare: Uint32Array<ArrayBuffer>[] = [];

  constructor(options: ComparisonOptions) {
    const { ledgers, tabla, old, windowPairs = WINDOW_PAIRS } = options;
    this.#options = options;
    const seeds = ledgers.seedsOf(tabla);
    this.#semilla = seeds.key;
    this.keyHash = new TextHash(seeds.key);
    this.rowHash = new RowHash(seeds.row);
    this.#isPrefix = old !== undefined;
    if (old === undefined) return;
    const blocks = old.blocks();
    this.#window = new LedgerWindow({
      pairs: old.pairs,
      next: () => nextOf(blocks),
      unmatched: (keyHigh, keyLow) => {
        if (!this.#gone.push(keyHigh, keyLow)) throw new WholeUploadNeeded('desordenado');
      },
      maxPairs: windowPairs,
    });
  }

  /** Rows are hashed as they come, not as lines: `kind` says what their bytes are. */
  begin(kind: string): RowHash {
    this.rowHash = new RowHash(this.#options.ledgers.seedsOf(this.#options.tabla, kind).row);
    return this.rowHash;
  }

  /** Whether the row that `rowHash` has just hashed is the one that the ledger expects here: it is taken then. Throws WholeUploadNeeded. */
  isNext(): boolean {
    const window = this.#window;
    if (window === undefined || !window.isNext(this.rowHash.high, this.rowHash.low)) return false;
    const { matchedAt, words } = window;
    this.#add(words[matchedAt]!, words[matchedAt + 1]!);
    return true;
  }

  /** Whether the row has to be sent whose key and line `keyHash` and `rowHash` have just hashed. Throws WholeUploadNeeded. */
  take(): boolean {
    const { high: keyHigh, low: keyLow } = this.keyHash;
    const { high: rowHigh, low: rowLow } = this.rowHash;
    this.#add(keyHigh, keyLow);
    const window = this.#window;
    if (window === undefined) return true;
    const verdict = window.match(keyHigh, keyLow, rowHigh, rowLow);
    if (verdict !== 'same' || !window.inOrder) this.#isPrefix = false;
    if (verdict === 'unknown' && !this.#fresh.push(keyHigh, keyLow)) throw new WholeUploadNeeded('desordenado');
    return verdict !== 'same';
  }

  /** A block of rows ends: what is taken from here on is of the next one. Throws WholeUploadNeeded. */
  cut(): void {
    this.#cut.push({ pairs: this.#pairs, count: this.#inBlock, isPrefix: this.#isPrefix });
    this.#pairs = this.#spare.pop() ?? new Uint32Array(this.#pairs.length);
    this.#inBlock = 0;
    this.#window?.fill();
  }

  /** Keeps the pairs of the block that was cut first. Throws what the disk says but for a disk that takes nothing: then no ledger is kept. */
  async settle(): Promise<void> {
    const { pairs, count, isPrefix } = this.#cut.shift()!;
    this.#read += count;
    if (isPrefix) this.#prefix += count;
    else if (!this.#unwritable) await this.#writing(async () => (await this.#begin()).add(pairs, count));
    this.#spare.push(pairs);
  }

  /** What was taken so far can be gone on with behind this place. */
  async checkpoint(): Promise<LedgerName | undefined> {
    if (this.#unwritable) return undefined;
    if (this.#writer === undefined) return { id: '', pares: this.#prefix, bytes: 0 };
    const writer = this.#writer;
    let extent: LedgerExtent | undefined;
    await this.#writing(async () => {
      extent = await writer.flush();
    });
    return extent && { id: writer.id, ...extent };
  }

  /** Takes again what an earlier run took up to a checkpoint. Throws WholeUploadNeeded where that is no longer there. */
  async resume(place: LedgerName): Promise<void> {
    const { ledgers, tabla, old } = this.#options;
    const isOld = place.id === '';
    const reader = isOld ? old : await ledgers.findNew(tabla, place);
    if (reader === undefined) throw new WholeUploadNeeded('danado');
    const writer = isOld ? undefined : await ledgers.resume(tabla, place);
    if (!isOld && writer === undefined) throw new WholeUploadNeeded('danado');
    let left = place.pares;
    try {
      for (const words of reader.blocks()) {
        const count = Math.min(left, words.length / PAIR_WORDS);
        for (let at = 0; at < count * PAIR_WORDS; at += PAIR_WORDS) this.#replay(words, at);
        left -= count;
        if (left === 0) break;
      }
    } catch (error) {
      await writer?.close();
      throw asUseless(error);
    } finally {
      if (!isOld) await reader.close();
    }
    this.#writer = writer;
    this.#isPrefix = isOld;
    this.#read = place.pares;
    if (isOld) this.#prefix = place.pares;
  }

  /** All rows have been taken: what is new, what is gone. `sent`: rows that go up. Throws WholeUploadNeeded. */
  async finish(sent: number): Promise<ComparisonResult> {
    const leidas = this.#read;
    const bajas = this.#findGone(leidas) ?? this.#noneGone(sent, leidas);
    const news = sent > 0 || bajas !== undefined || this.#window === undefined;
    if (!news || this.#unwritable) {
      await this.#abandonWriter();
      return bajas === undefined ? { leidas } : { leidas, bajas };
    }
    let nuevo: LedgerName | undefined;
    await this.#writing(async () => {
      const writer = await this.#begin();
      nuevo = { id: writer.id, ...(await writer.flush()) };
      await writer.close();
      this.#writer = undefined;
    });
    return { leidas, ...(nuevo === undefined ? {} : { nuevo }), ...(bajas === undefined ? {} : { bajas }) };
  }

  /** Releases its files. What was written stays, for a later run that goes on behind a checkpoint. */
  async close(): Promise<void> {
    await this.#options.old?.close();
    await this.#writer?.close();
    this.#writer = undefined;
  }

  #replay(words: Uint32Array, at: number): void {
    const [keyHigh, keyLow] = [words[at]!, words[at + 1]!];
    if (this.#window?.match(keyHigh, keyLow, words[at + 2]!, words[at + 3]!) !== 'unknown') return;
    if (!this.#fresh.push(keyHigh, keyLow)) throw new WholeUploadNeeded('desordenado');
  }

  /** Adds the pair of the row that was hashed last. */
  #add(keyHigh: number, keyLow: number): void {
    if (this.#inBlock * PAIR_WORDS === this.#pairs.length) {
      const larger = new Uint32Array(this.#pairs.length * 2);
      larger.set(this.#pairs);
      this.#pairs = larger;
    }
    const at = this.#inBlock++ * PAIR_WORDS;
    this.#pairs[at] = keyHigh;
    this.#pairs[at + 1] = keyLow;
    this.#pairs[at + 2] = this.rowHash.high;
    this.#pairs[at + 3] = this.rowHash.low;
  }

  /**
   * The keys that no row had. A row that was sent as new may have been in the ledger, far from where it is now: then its key is not
   * gone. In the ledger and matched besides, it is there twice.
   */
  #findGone(leidas: number): Gone | undefined {
    if (this.#window === undefined) return undefined;
    this.#window.drain();
    const gone = this.#gone;
    const moved = findMoved(this.#options.old!, this.#fresh, gone);
    if (!this.#options.tellsGone || gone.length === moved.size) return undefined;
    if (gone.length - moved.size > limits.bajasMaxCount) throw new WholeUploadNeeded('muchasBajas');
    const hashes: bigint[] = [];
    for (let index = 0; index < gone.length; index++) {
      if (!moved.has(index)) hashes.push((BigInt(gone.high(index)) << 32n) | BigInt(gone.low(index)));
    }
    hashes.sort((a, b) => (a < b ? -1 : 1));
    const bytes = Buffer.alloc(hashes.length * 8);
    for (const [index, hash] of hashes.entries()) bytes.writeBigUInt64BE(hash, index * 8);
    return { semilla: String(this.#semilla), huellas: bytes.toString('base64'), leidas };
  }

  /** What waited is back: said with an upload that there is anyhow. */
  #noneGone(sent: number, leidas: number): Gone | undefined {
    const { old, someWait = false, tellsGone } = this.#options;
    if (old === undefined || !tellsGone || !someWait || sent === 0) return undefined;
    return { semilla: String(this.#semilla), huellas: '', leidas };
  }

  /** The new ledger, begun with what the old one has in common with it. */
  async #begin(): Promise<LedgerWriter> {
    if (this.#writer !== undefined) return this.#writer;
    const { ledgers, tabla, old } = this.#options;
    const writer = await ledgers.begin(tabla);
    this.#writer = writer;
    let left = this.#prefix;
    if (left === 0) return writer;
    try {
      for (const words of old!.blocks()) {
        const count = Math.min(left, words.length / PAIR_WORDS);
        await writer.add(words, count);
        left -= count;
        if (left === 0) break;
      }
    } catch (error) {
      throw asUseless(error);
    }
    return writer;
  }

  /** Without a disk for it there is no ledger: the next run sends the table whole. */
  async #writing(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isSpoolUnusable(error)) throw error;
      this.#unwritable = true;
      await this.#abandonWriter();
    }
  }

  async #abandonWriter(): Promise<void> {
    const writer = this.#writer;
    this.#writer = undefined;
    await writer?.remove().catch(() => {});
  }
}

/** Pairs of a block of rows. */
interface CutBlock {
  pairs: Uint32Array<ArrayBuffer>;
  count: number;
  /** They are in the old ledger behind those of the blocks before, and those from its beginning on. */
  isPrefix: boolean;
}
