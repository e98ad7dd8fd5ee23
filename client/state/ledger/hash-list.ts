/** Hashes of 64 bits as two words each, up to a bound. */
export class HashList {
  #words = new Uint32Array(64);
  #length = 0;
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get length(): number {
    return this.#length;
  }

  /** Returns false where there is no room. */
  push(high: number, low: number): boolean {
    if (this.#length === this.#max) return false;
    if (this.#length * 2 === this.#words.length) {
      const larger = new Uint32Array(this.#words.length * 2);
      larger.set(this.#words);
      this.#words = larger;
    }
    this.#words[this.#length * 2] = high;
    this.#words[this.#length * 2 + 1] = low;
    this.#length++;
    return true;
  }

  high(index: number): number {
    return this.#words[index * 2]!;
  }

  low(index: number): number {
    return this.#words[index * 2 + 1]!;
  }
}

/** A set of hashes of 64 bits with a mark each; 12 to 24 bytes a hash. */
export class HashSet {
  readonly #mask: number;
  readonly #slots: Int32Array;
  readonly #marks: Uint8Array;
  readonly #list: HashList;

  constructor(list: HashList) {
    const size = 2 ** Math.ceil(Math.log2(Math.max(16, list.length * 2)));
    this.#mask = size - 1;
    this.#slots = new Int32Array(size).fill(-1);
    this.#marks = new Uint8Array(list.length);
    this.#list = list;
    for (let index = 0; index < list.length; index++) {
      let slot = list.low(index) & this.#mask;
      while (this.#slots[slot]! >= 0) slot = (slot + 1) & this.#mask;
      this.#slots[slot] = index;
    }
  }

  /** Whether it is in the list. `mark`: of all that are it, one bit or several are set. */
  mark(high: number, low: number, mark: number): boolean {
    let found = false;
    for (let slot = low & this.#mask; this.#slots[slot]! >= 0; slot = (slot + 1) & this.#mask) {
      const index = this.#slots[slot]!;
      if (this.#list.high(index) !== high || this.#list.low(index) !== low) continue;
      this.#marks[index] = this.#marks[index]! | mark;
      found = true;
    }
    return found;
  }

  /** How many of the list have exactly these bits. */
  count(mark: number): number {
    let count = 0;
    for (const one of this.#marks) if (one === mark) count++;
    return count;
  }
}
