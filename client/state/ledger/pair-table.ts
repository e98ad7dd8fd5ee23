import { PAIR_WORDS } from './ledger-file.ts';

/** Pairs of a ledger by the key's hash, up to a bound, each with a mark; 25 to 41 bytes a pair. */
export class PairTable {
  readonly #max: number;
  #words = new Uint32Array(1024 * PAIR_WORDS);
  #length = 0;
  #slots: Int32Array | undefined;
  #marks = new Uint8Array(0);

  constructor(max: number) {
    this.#max = max;
  }

  get length(): number {
    return this.#length;
  }

  /** Adds the pair at `at` of `words`. Returns false where there is no room. Not to be called after `find`. */
  add(words: Uint32Array, at: number): boolean {
    if (this.#length === this.#max) return false;
    if (this.#length * PAIR_WORDS === this.#words.length) {
      const larger = new Uint32Array(this.#words.length * 2);
      larger.set(this.#words);
      this.#words = larger;
    }
    for (let word = 0; word < PAIR_WORDS; word++) this.#words[this.#length * PAIR_WORDS + word] = words[at + word]!;
    this.#length++;
    return true;
  }

  /** Marks the pair of a key, and says what its row is held against: `again` where it was marked before. */
  find(keyHigh: number, keyLow: number, rowHigh: number, rowLow: number): 'same' | 'changed' | 'unknown' | 'again' {
    const words = this.#words;
    const slots = this.#index();
    const mask = slots.length - 1;
    for (let slot = keyLow & mask; slots[slot]! >= 0; slot = (slot + 1) & mask) {
      const index = slots[slot]!;
      const at = index * PAIR_WORDS;
      if (words[at] !== keyHigh || words[at + 1] !== keyLow) continue;
      if (this.#marks[index] === 1) return 'again';
      this.#marks[index] = 1;
      return words[at + 2] === rowHigh && words[at + 3] === rowLow ? 'same' : 'changed';
    }
    return 'unknown';
  }

  /** Tells the key's hash of each pair that was not marked. */
  forUnmarked(tell: (keyHigh: number, keyLow: number) => void): void {
    this.#index();
    for (let index = 0; index < this.#length; index++) {
      if (this.#marks[index] === 0) tell(this.#words[index * PAIR_WORDS]!, this.#words[index * PAIR_WORDS + 1]!);
    }
  }

  #index(): Int32Array {
    if (this.#slots !== undefined) return this.#slots;
    const size = 2 ** Math.ceil(Math.log2(Math.max(16, this.#length * 2)));
    const slots = new Int32Array(size).fill(-1);
    for (let index = 0; index < this.#length; index++) {
      let slot = this.#words[index * PAIR_WORDS + 1]! & (size - 1);
      while (slots[slot]! >= 0) slot = (slot + 1) & (size - 1);
      slots[slot] = index;
    }
    this.#marks = new Uint8Array(this.#length);
    this.#slots = slots;
    return slots;
  }
}
