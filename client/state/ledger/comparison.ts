import { limits } from '../../../protocol/constants.ts';
import { TextHash } from '../../../protocol/rows/hash.ts';
import { isSpoolUnusable } from '../../files/disk.ts';
import { type ComparisonResult, type Gone, LedgerUseless } from './comparison-result.ts';
import { HashList, HashSet } from './hash-list.ts';
import {
  BLOCK_PAIRS,
  LedgerDamaged,
  type LedgerExtent,
  type LedgerReader,
  type LedgerWriter,
  PAIR_WORDS,
} from './ledger-file.ts';
import type { LedgerName, Ledgers } from './ledgers.ts';
import { RowHash } from './row-hash.ts';
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
  readonly rowHash: RowHash;
  readonly #options: ComparisonOptions;
  readonly #semilla: bigint;
  readonly #window: LedgerWindow | undefined;
  #blocks: AsyncGenerator<Uint32Array> | undefined;
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
  #isPrefix = true;

  constructor(options: ComparisonOptions) {
    const { ledgers, tabla, old, windowPairs = WINDOW_PAIRS } = options;
    this.#options = options;
    const seeds = ledgers.seedsOf(tabla);
    this.#semilla = seeds.key;
    this.keyHash = new TextHash(seeds.key);
    this.rowHash = new RowHash(seeds.row);
    if (old === undefined) return;
    this.#window = new LedgerWindow(old.pairs, windowPairs);
    this.#blocks = old.blocks();
  }

  /** Has what the next rows are compared with, before each block of rows. Returns the bytes read for that. Throws LedgerUseless. */
  async prepare(): Promise<number> {
    this.#inBlock = 0;
    this.#isPrefix = this.#writer === undefined && !this.#unwritable;
    let bytes = 0;
    while (this.#blocks !== undefined && this.#window!.wantsMore) {
      await this.#load();
      bytes += BLOCK_PAIRS * PAIR_WORDS * 4;
    }
    return bytes;
  }

  /**
   * Whether the row has to be sent whose key and line `keyHash` and `rowHash` have just hashed.
   *
   * @throws LedgerUseless desordenado
   */
  take(): boolean {
    const { high: keyHigh, low: keyLow } = this.keyHash;
    const { high: rowHigh, low: rowLow } = this.rowHash;
    if (this.#inBlock * PAIR_WORDS === this.#pairs.length) {
      const larger = new Uint32Array(this.#pairs.length * 2);
      larger.set(this.#pairs);
      this.#pairs = larger;
    }
    const at = this.#inBlock++ * PAIR_WORDS;
    this.#pairs[at] = keyHigh;
    this.#pairs[at + 1] = keyLow;
    this.#pairs[at + 2] = rowHigh;
    this.#pairs[at + 3] = rowLow;
    const window = this.#window;
    if (window === undefined) return true;
    const verdict = window.match(keyHigh, keyLow, rowHigh, rowLow);
    if (verdict !== 'same' || !window.inOrder) this.#isPrefix = false;
    if (verdict === 'unknown' && !this.#fresh.push(keyHigh, keyLow)) throw new LedgerUseless('desordenado');
    return verdict !== 'same';
  }

  /** The rows of a block have been taken. Throws what the disk says but for a disk that takes nothing: then no ledger is kept. */
  async settle(): Promise<void> {
    this.#read += this.#inBlock;
    if (this.#unwritable) return;
    if (this.#writer === undefined && this.#window !== undefined && this.#isPrefix) {
      this.#prefix += this.#inBlock;
      return;
    }
    await this.#writing(async () => (await this.#begin()).add(this.#pairs, this.#inBlock));
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

  /** Takes again what an earlier run took up to a checkpoint. Throws LedgerUseless where that is no longer there. */
  async resume(place: LedgerName): Promise<void> {
    const { ledgers, tabla, old } = this.#options;
    const isOld = place.id === '';
    const reader = isOld ? old : await ledgers.findNew(tabla, place);
    if (reader === undefined) throw new LedgerUseless('danado');
    const writer = isOld ? undefined : await ledgers.resume(tabla, place);
    if (!isOld && writer === undefined) throw new LedgerUseless('danado');
    let left = place.pares;
    try {
      for await (const words of reader.blocks()) {
        const count = Math.min(left, words.length / PAIR_WORDS);
        await this.prepare();
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
    this.#read = place.pares;
    if (isOld) this.#prefix = place.pares;
  }

  /** All rows have been taken: what is new, what is gone. `sent`: rows that go up. Throws LedgerUseless. */
  async finish(sent: number): Promise<ComparisonResult> {
    const leidas = this.#read;
    const bajas = (await this.#findGone(leidas)) ?? this.#noneGone(sent, leidas);
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
    await this.#blocks?.return(undefined);
    await this.#options.old?.close();
    await this.#writer?.close();
    this.#writer = undefined;
  }

  #replay(words: Uint32Array, at: number): void {
    const [keyHigh, keyLow] = [words[at]!, words[at + 1]!];
    if (this.#window?.match(keyHigh, keyLow, words[at + 2]!, words[at + 3]!) !== 'unknown') return;
    if (!this.#fresh.push(keyHigh, keyLow)) throw new LedgerUseless('desordenado');
  }

  async #load(): Promise<void> {
    try {
      const next = await this.#blocks!.next();
      if (next.done === true) this.#blocks = undefined;
      else this.#window!.push(next.value, this.#leave);
    } catch (error) {
      throw asUseless(error);
    }
  }

  readonly #leave = (keyHigh: number, keyLow: number) => {
    if (!this.#gone.push(keyHigh, keyLow)) throw new LedgerUseless('desordenado');
  };

  /**
   * The keys that no row had. A row that was sent as new may have been in the ledger, far from where it is now: then its key is not
   * gone. In the ledger and matched besides, it is there twice.
   */
  async #findGone(leidas: number): Promise<Gone | undefined> {
    if (this.#window === undefined) return undefined;
    while (this.#blocks !== undefined) await this.#load();
    this.#window.drain(this.#leave);
    const gone = this.#gone;
    const moved = await this.#findMoved(gone);
    if (!this.#options.tellsGone || gone.length === moved.size) return undefined;
    if (gone.length - moved.size > limits.bajasMaxCount) throw new LedgerUseless('muchasBajas');
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

  /** Which of `gone` were sent as new. Throws LedgerUseless repetidas. */
  async #findMoved(gone: HashList): Promise<Set<number>> {
    const moved = new Set<number>();
    if (this.#fresh.length === 0) return moved;
    const IN_LEDGER = 1;
    const MOVED = 2;
    const fresh = new HashSet(this.#fresh);
    try {
      for await (const words of this.#options.old!.blocks()) {
        for (let at = 0; at < words.length; at += PAIR_WORDS) fresh.mark(words[at]!, words[at + 1]!, IN_LEDGER);
      }
    } catch (error) {
      throw asUseless(error);
    }
    for (let index = 0; index < gone.length; index++) {
      if (fresh.mark(gone.high(index), gone.low(index), MOVED)) moved.add(index);
    }
    if (fresh.count(IN_LEDGER) > 0) throw new LedgerUseless('repetidas');
    return moved;
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
      for await (const words of old!.blocks()) {
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

function asUseless(error: unknown): unknown {
  return error instanceof LedgerDamaged ? new LedgerUseless('danado') : error;
}
