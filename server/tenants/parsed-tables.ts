/**
 * `configuracionTablas` of the tenants that asked last, parsed once for each version of their row: with 200 tables it is a
 * megabyte, and a request of a chunk needs none of it.
 *
 * PostgreSQL says with each request whether what is held is of the row as it is now (`ROW_STAMP`), so nothing here is believed for
 * longer than that, and another process needs nothing of it. What is in it is frozen: many requests share it.
 */
export class ParsedTables {
  readonly #entriesMax: number;
  readonly #textMax: number;
  /** By tenant; who asked last is last. */
  readonly #held = new Map<string, Held & { length: number }>();
  #length = 0;

  constructor({ entriesMax = ENTRIES_MAX, textMax = TEXT_MAX } = {}) {
    this.#entriesMax = entriesMax;
    this.#textMax = textMax;
  }

  /** Returns what is held of a tenant, and makes it the last to go. */
  find(tenant: string): Held | undefined {
    const held = this.#held.get(tenant);
    if (held === undefined) return undefined;
    this.#held.delete(tenant);
    this.#held.set(tenant, held);
    return held;
  }

  /** Parses the text, holds the result as that of the row with this stamp, and returns it. */
  parse(tenant: string, stamp: string, text: string): unknown {
    const tables: unknown = deepFreeze(JSON.parse(text));
    this.#drop(tenant);
    if (text.length > this.#textMax) return tables;
    this.#held.set(tenant, { stamp, tables, length: text.length });
    this.#length += text.length;
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= this.#entriesMax && this.#length <= this.#textMax) break;
      this.#drop(oldest);
    }
    return tables;
  }

  /** Tenants that are held, and the characters of their texts. */
  get usage(): { entries: number; length: number } {
    return { entries: this.#held.size, length: this.#length };
  }

  #drop(tenant: string): void {
    this.#length -= this.#held.get(tenant)?.length ?? 0;
    this.#held.delete(tenant);
  }
}

interface Held {
  stamp: string;
  tables: unknown;
}

const ENTRIES_MAX = 1000;
/** Characters; parsed, they take about twice as many bytes. */
const TEXT_MAX = 32 * 1024 * 1024;

/**
 * SQL of what tells one version of the row `c` from every other, 64 characters: its version and time, and where and by which
 * transaction PostgreSQL wrote it. Those alone change where triggers are off, and where a database that was restored comes to have the
 * same version again.
 */
export const ROW_STAMP = `encode(sha256(convert_to(concat_ws(' ', c.xmin, c.ctid, c.version, c."ultimaModificacion"), 'UTF8')), 'hex')`;

/** As long as a stamp, and none. */
export const NO_STAMP = '0'.repeat(64);

function deepFreeze(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  for (const member of Object.values(value)) deepFreeze(member);
  return Object.freeze(value);
}
