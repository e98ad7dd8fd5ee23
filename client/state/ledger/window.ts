import { PAIR_WORDS } from './ledger-file.ts';

/** Pairs that are looked at at once: 24 bytes each, 24 MB. A table of more needs its order to hold by and large. */
export const WINDOW_PAIRS = 2 ** 20;
/** While rows come in the order of the ledger: 17 bytes each, half a megabyte. */
const IN_ORDER_PAIRS = 2 ** 15;
/** Pairs behind the expected one that are tried before the index is asked: a few rows that are gone. */
const AHEAD = 8;
/** So many rows one after the other at another place, and the reading is taken to go on there. */
const FOLLOWS = 64;

/** What the ledger says of a row. */
export type Verdict = 'same' | 'changed' | 'unknown';

/** Pairs of a ledger that no row had. */
export type Unmatched = (keyHigh: number, keyLow: number) => void;

export interface WindowOptions {
  /** Of the whole ledger. */
  pairs: number;
  /** The next block of the ledger; undefined: there is no other. */
  next: () => Uint32Array | undefined;
  /** Told of pairs that have to leave. */
  unmatched: Unmatched;
  /** Of the window. */
  maxPairs?: number;
}

/**
 * The part of a ledger that rows are compared with: pairs come in at one end in the order of the last reading, and leave at the other.
 * A row is expected where the last one of it stood; where it is not, it is looked for in the whole window. So a reading in the old
 * order costs one comparison a row, and one in any other order a look-up, as long as the table fits the window.
 *
 * It is small until a row comes that it has not got.
 */
export class LedgerWindow {
  readonly #maxPairs: number;
  readonly #pairs: number;
  readonly #next: () => Uint32Array | undefined;
  readonly #unmatched: Unmatched;
  #size: number;
  #mask: number;
  #words: Uint32Array;
  #taken: Uint8Array;
  #ended = false;
  /** By the lower half of a key's hash: the newest pair of that bucket; and of each pair, the one before it. -1: none. */
  #heads: Int32Array | undefined;
  #before: Int32Array | undefined;
  /** Places in the ledger: what the window holds, and where the next row is expected. */
  #start = 0;
  #end = 0;
  #expected = 0;
  /** Behind the last row that was found elsewhere, and how many were found there one after the other. */
  #elsewhere = -1;
  #run = 0;
  /** Pairs that are there and were not matched. */
  #left = 0;

  constructor({ pairs, next, unmatched, maxPairs = WINDOW_PAIRS }: WindowOptions) {
    this.#maxPairs = maxPairs;
    this.#pairs = pairs;
    this.#next = next;
    this.#unmatched = unmatched;
    this.#size = Math.min(roundUp(pairs), maxPairs, IN_ORDER_PAIRS);
    this.#mask = this.#size - 1;
    this.#words = new Uint32Array(this.#size * PAIR_WORDS);
    this.#taken = new Uint8Array(this.#size);
  }

  /** The pair of the row that was matched last, at `matchedAt` of these words; valid until the next one. */
  get words(): Uint32Array {
    return this.#words;
  }
  matchedAt = 0;

  /** Has what the next rows are compared with. Throws what `next` throws. */
  fill(): void {
    while (!this.#ended && this.#wantsMore()) this.#pull();
  }

  /**
   * Whether the row that has just been read is as the expected one was: by the row's hash alone, in which its key is. Then its pair is
   * not matched again. Throws what `next` throws.
   */
  isNext(rowHigh: number, rowLow: number): boolean {
    this.#reach();
    const slot = this.#expected & this.#mask;
    const at = slot * PAIR_WORDS;
    if (this.#expected === this.#end) return false;
    if (this.#words[at + 3] !== rowLow || this.#words[at + 2] !== rowHigh) return false;
    this.#take(slot);
    this.#expected++;
    this.#run = 0;
    this.inOrder = true;
    return true;
  }

  /** What the ledger says of a row with these hashes; its pair is not matched again. Throws what `next` throws. */
  match(keyHigh: number, keyLow: number, rowHigh: number, rowLow: number): Verdict {
    const place = this.#find(keyHigh, keyLow);
    if (place < 0) return 'unknown';
    const slot = place & this.#mask;
    this.#take(slot);
    const at = slot * PAIR_WORDS;
    return this.#words[at + 2] === rowHigh && this.#words[at + 3] === rowLow ? 'same' : 'changed';
  }

  /** Whether the last row that was matched stood where it was expected: nothing had gone, come or moved before it. */
  inOrder = true;

  /** Tells all pairs that were not matched, those too that have not come in. Throws what `next` throws. */
  drain(): void {
    while (!this.#ended) this.#pull();
    while (this.#start < this.#end) this.#leave();
  }

  #take(slot: number): void {
    this.#taken[slot] = 1;
    this.#left--;
    this.matchedAt = slot * PAIR_WORDS;
  }

  #wantsMore(): boolean {
    return this.#end - this.#expected < this.#size / 2 || this.#end - this.#start < this.#size - 4096;
  }

  /** Goes to the next pair that was not matched, if there is one. */
  #reach(): void {
    for (;;) {
      while (this.#expected < this.#end && this.#taken[this.#expected & this.#mask] === 1) this.#expected++;
      if (this.#expected < this.#end || this.#ended) return;
      this.fill();
    }
  }

  #pull(): void {
    const words = this.#next();
    if (words === undefined) this.#ended = true;
    else this.#push(words);
  }

  #push(words: Uint32Array): void {
    let left = words.length / PAIR_WORDS;
    for (let from = 0; left > 0; ) {
      const slot = this.#end & this.#mask;
      const count = Math.min(left, this.#size - slot);
      while (this.#end + count - this.#start > this.#size) this.#leave();
      this.#words.set(words.subarray(from, from + count * PAIR_WORDS), slot * PAIR_WORDS);
      this.#taken.fill(0, slot, slot + count);
      this.#left += count;
      if (this.#heads !== undefined) for (let place = this.#end; place < this.#end + count; place++) this.#index(place);
      this.#end += count;
      from += count * PAIR_WORDS;
      left -= count;
    }
  }

  #find(keyHigh: number, keyLow: number): number {
    this.inOrder = false;
    this.#reach();
    if (this.#isAt(this.#expected, keyHigh, keyLow)) {
      this.inOrder = true;
      this.#run = 0;
      return this.#expected++;
    }
    if (this.#isAt(this.#elsewhere, keyHigh, keyLow)) return this.#follow(this.#elsewhere);
    for (let place = this.#expected + 1; place <= this.#expected + AHEAD; place++) {
      if (!this.#isAt(place, keyHigh, keyLow)) continue;
      this.#expected = place + 1;
      return place;
    }
    let place = this.#left === 0 ? -1 : this.#lookUp(keyHigh, keyLow);
    if (place < 0 && this.#grow()) place = this.#lookUp(keyHigh, keyLow);
    return place < 0 ? -1 : this.#follow(place);
  }

  /** A row was found at `place`; once many follow each other there, the reading goes on from it. */
  #follow(place: number): number {
    this.#run = place === this.#elsewhere ? this.#run + 1 : 1;
    this.#elsewhere = place + 1;
    if (this.#run < FOLLOWS) return place;
    this.#expected = place + 1;
    this.#run = 0;
    this.#elsewhere = -1;
    return place;
  }

  #isAt(place: number, keyHigh: number, keyLow: number): boolean {
    if (place < this.#start || place >= this.#end) return false;
    const slot = place & this.#mask;
    const at = slot * PAIR_WORDS;
    return this.#taken[slot] === 0 && this.#words[at] === keyHigh && this.#words[at + 1] === keyLow;
  }

  /** Takes in as much of the ledger as it ever does. Returns whether there is more now than before. */
  #grow(): boolean {
    const size = Math.min(roundUp(this.#pairs), this.#maxPairs);
    if (this.#ended || size === this.#size) return false;
    const words = new Uint32Array(size * PAIR_WORDS);
    const taken = new Uint8Array(size);
    for (let place = this.#start; place < this.#end; place++) {
      const from = (place & this.#mask) * PAIR_WORDS;
      const to = place & (size - 1);
      for (let word = 0; word < PAIR_WORDS; word++) words[to * PAIR_WORDS + word] = this.#words[from + word]!;
      taken[to] = this.#taken[place & this.#mask]!;
    }
    this.#size = size;
    this.#mask = size - 1;
    this.#words = words;
    this.#taken = taken;
    this.#heads = undefined;
    this.fill();
    return true;
  }

  #lookUp(keyHigh: number, keyLow: number): number {
    if (this.#heads === undefined) {
      this.#heads = new Int32Array(this.#size).fill(-1);
      this.#before = new Int32Array(this.#size);
      for (let place = this.#start; place < this.#end; place++) this.#index(place);
    }
    for (let slot = this.#heads[keyLow & this.#mask]!; slot >= 0; slot = this.#before![slot]!) {
      const place = this.#placeOf(slot);
      if (this.#isAt(place, keyHigh, keyLow)) return place;
    }
    return -1;
  }

  /** The place in the ledger of what lies in a slot of the window. */
  #placeOf(slot: number): number {
    const offset = (slot - this.#start) & this.#mask;
    return this.#start + offset;
  }

  #index(place: number): void {
    const slot = place & this.#mask;
    const bucket = this.#words[slot * PAIR_WORDS + 1]! & this.#mask;
    this.#before![slot] = this.#heads![bucket]!;
    this.#heads![bucket] = slot;
  }

  /** The oldest pair leaves. */
  #leave(): void {
    const slot = this.#start & this.#mask;
    if (this.#heads !== undefined) this.#unindex(slot);
    this.#start++;
    if (this.#expected < this.#start) this.#expected = this.#start;
    if (this.#taken[slot] === 1) return;
    this.#left--;
    const at = slot * PAIR_WORDS;
    this.#unmatched(this.#words[at]!, this.#words[at + 1]!);
  }

  /** It is the oldest of its bucket: the last of the chain. */
  #unindex(slot: number): void {
    const bucket = this.#words[slot * PAIR_WORDS + 1]! & this.#mask;
    if (this.#heads![bucket] === slot) {
      this.#heads![bucket] = -1;
      return;
    }
    let at = this.#heads![bucket]!;
    while (this.#before![at] !== slot) at = this.#before![at]!;
    this.#before![at] = -1;
  }
}

/** A power of two, 2 or more. */
function roundUp(pairs: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(2, pairs)));
}
