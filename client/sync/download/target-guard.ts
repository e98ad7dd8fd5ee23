import { createHash } from 'node:crypto';
import type { ReportBajas } from '../../../protocol/api.ts';
import type { TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { type Guarda, isRetained, MUESTRA_MAX } from '../../../protocol/tenant-config/guard.ts';
import { type BulkColumn, quoteName, quoteTable, type SqlServer, SqlServerError } from '../../sqlserver/sql-server.ts';
import type { TableColumns } from '../../sqlserver/tables/table-columns.ts';
import type { KeyColumn } from './equal-keys.ts';
import { sameKey } from './gone-keys.ts';

/**
 * The guard before an update that would empty or thin out a target (protocol/tenant-config/guard.ts). Only the update itself, which may be SQL of the
 * customer's own, knows what it does: it runs in a transaction, the rows are counted before and after, and where too many are gone, or
 * no longer active, it is rolled back.
 *
 * Counts see no exchange: a change of key makes every row a baja and as many others an alta. So rows of the target that the download
 * has not got are counted too, before, and, where they are many, after.
 */

/** What the update was given, and where it goes. */
export interface GuardedUpdate {
  tabla: TablaBajada;
  temp: string;
  /** Rows of the download: of `temp`, and with `bajas` those that stayed as they were. */
  received: number;
  /** The `#temp` of keys that are gone, where `temp` has only what changed. */
  bajas: string | undefined;
  columns: readonly BulkColumn[];
  keys: readonly KeyColumn[];
  /** Of the target; undefined where this login may not read it: nothing is guarded then. */
  target: TableColumns | undefined;
  /** The update is ours: with a key it takes no row away, without one all of them. */
  builtIn: boolean;
}

/** Rows of the target that count (the active ones, where it says which are), and how many an update takes away. */
export interface Thinning {
  bajas: number;
  total: number;
}

/** Thrown within the transaction, which it rolls back. */
export class RetainedBajas extends Error {
  readonly found: Thinning;
  constructor(found: Thinning) {
    super('the update takes too many rows away');
    this.name = 'RetainedBajas';
    this.found = found;
  }
}

interface Counts {
  total: number;
  active: number;
}

export class TargetGuard {
  readonly #db: SqlServer;
  readonly #update: GuardedUpdate;
  readonly #signal: AbortSignal;
  readonly #table: string;
  readonly #guarda: Guarda;
  /** The condition on a row `t` of the target that counts: every one, or the active ones. */
  readonly #active: string | undefined;
  /**
   * The condition on a row `t` that the download has not got as an active one (that it says is inactive, where the update is ours);
   * undefined where there is no key to tell.
   */
  #absent: string | undefined;
  #absentBefore = 0;
  #before: Counts | undefined;

  private constructor(db: SqlServer, update: GuardedUpdate, signal: AbortSignal) {
    this.#db = db;
    this.#update = update;
    this.#signal = signal;
    this.#table = quoteTable(update.tabla.nombre);
    this.#guarda = update.tabla.guarda ?? {};
    const isBit = update.target?.get('activo')?.type?.name === 'bit';
    this.#active = isBit ? 't.[activo] = 1' : undefined;
  }

  /** Looks at the target before the update. Throws SqlServerError. */
  static async open(db: SqlServer, update: GuardedUpdate, signal: AbortSignal): Promise<TargetGuard> {
    const guard = new TargetGuard(db, update, signal);
    const { keys, target } = update;
    if (target === undefined || keys.length === 0 || guard.#onlyAdds()) return guard;
    if (!keys.every(({ name }) => target.has(name.toLowerCase()))) return guard;
    try {
      const absent = guard.#absentCondition();
      guard.#absentBefore = await guard.#countAbsent(absent);
      guard.#absent = absent;
    } catch (error) {
      // Keys of two types that SQL Server does not compare: counts alone have to do.
      if (!(error instanceof SqlServerError) || error.retryable) throw error;
    }
    return guard;
  }

  /**
   * Runs `update`, in a transaction that the caller rolls back where this throws. Throws RetainedBajas where it takes too many rows
   * away, unless just so many are `approved`.
   */
  async watch<T>(update: () => Promise<T>, approved?: number): Promise<T> {
    if (this.#update.target === undefined || this.#onlyAdds()) return update();
    const before = await this.#count();
    this.#before = before;
    const done = await update();
    const after = await this.#count();
    const { active: total } = before;
    const isMuch = (bajas: number) => isRetained({ bajas, total, recibidas: this.#update.received }, this.#guarda);
    let bajas = Math.max(before.total - after.total, before.active - after.active, 0);
    if (this.#absent !== undefined && isMuch(this.#absentBefore)) {
      bajas = Math.max(bajas, this.#absentBefore - (await this.#countAbsent(this.#absent)));
    }
    if (bajas !== approved && isMuch(bajas)) throw new RetainedBajas({ bajas, total });
    return done;
  }

  /** The built-in update of a table with a key, where nothing in it says what is active. */
  #onlyAdds(): boolean {
    const { bajas, builtIn, keys, columns } = this.#update;
    const activates = this.#active !== undefined && columns.some(({ name }) => name.toLowerCase() === 'activo');
    return builtIn && bajas === undefined && keys.length > 0 && !activates;
  }

  /** Whether the target is as it was before the update: SQL that commits by itself cannot be taken back. */
  async isAsBefore(): Promise<boolean> {
    const now = await this.#count();
    return now.total === this.#before?.total && now.active === this.#before.active;
  }

  /**
   * What an administrator decides of. The digest is of the keys that are gone, in no order; without a key, of the rows of the download
   * and those of the target: the same in the next run, as long as nothing changed.
   */
  async describe({ bajas, total }: Thinning): Promise<ReportBajas> {
    const { tabla, temp, keys } = this.#update;
    const report = { direccion: 'download' as const, tabla: tabla.nombre, bajas, total };
    const digestOf = (...parts: (string | number)[]) =>
      createHash('sha256').update(JSON.stringify(parts)).digest('hex');
    if (this.#absent === undefined) {
      const { sum, rows } = await this.#fold(`SELECT * FROM ${temp}`);
      return { ...report, digest: digestOf('filas', tabla.nombre, total, bajas, rows, sum), muestra: [] };
    }
    const named = (alias: string) => keys.map(({ name }) => `${alias}.${quoteName(name)}`).join(', ');
    const gone = await this.#fold(`SELECT ${named('t')} FROM ${this.#table} AS t WHERE ${this.#absent}`);
    const isNew = `NOT EXISTS (SELECT 1 FROM ${this.#table} AS t WHERE ${this.#sameKey()})`;
    const added = await this.#fold(`SELECT ${named('s')} FROM ${temp} AS s WHERE ${isNew}`);
    return {
      ...report,
      digest: digestOf('claves', tabla.nombre, gone.rows, gone.sum),
      muestra: gone.first,
      altas: added.rows,
      muestraAltas: added.first,
    };
  }

  async #count(): Promise<Counts> {
    const active = this.#active === undefined ? '*' : `CASE WHEN ${this.#active} THEN 1 END`;
    const sql = `SELECT COUNT_BIG(*) AS total, COUNT_BIG(${active}) AS activas FROM ${this.#table} AS t`;
    const [row] = await this.#db.query(sql, { signal: this.#signal, isLong: true });
    return { total: Number(row?.total), active: Number(row?.activas) };
  }

  async #countAbsent(absent: string): Promise<number> {
    const sql = `SELECT COUNT_BIG(*) AS n FROM ${this.#table} AS t WHERE ${absent}`;
    const [row] = await this.#db.query(sql, { signal: this.#signal, isLong: true });
    return Number(row?.n);
  }

  #absentCondition(): string {
    const { temp, bajas, columns, builtIn } = this.#update;
    const given = columns.find(({ name, type }) => name.toLowerCase() === 'activo' && type.name === 'bit');
    const activeToo = this.#active !== undefined && given !== undefined ? ' AND s.[activo] = 1' : '';
    const inactive = `EXISTS (SELECT 1 FROM ${temp} AS s WHERE ${this.#sameKey()} AND s.[activo] = 0)`;
    const gone = `EXISTS (SELECT 1 FROM ${bajas} AS s WHERE ${this.#sameKey()})`;
    const notCome = `NOT EXISTS (SELECT 1 FROM ${temp} AS s WHERE ${this.#sameKey()}${activeToo})`;
    const absent =
      bajas !== undefined ? (activeToo === '' ? gone : `(${gone} OR ${inactive})`) : builtIn ? inactive : notCome;
    return this.#active === undefined ? absent : `${this.#active} AND ${absent}`;
  }

  #sameKey(): string {
    return sameKey(this.#update.keys);
  }

  /** Goes through rows without holding them: how many, a sum that knows no order, and the first ones' values. */
  async #fold(sql: string): Promise<{ rows: number; sum: string; first: string[] }> {
    let rows = 0;
    let sum = 0n;
    const first: string[] = [];
    for await (const block of this.#db.readRows(sql, { signal: this.#signal })) {
      for (const line of Buffer.from(block.bytes).toString('utf8').split('\n')) {
        if (line === '') continue;
        rows += 1;
        const hash = createHash('sha256').update(line).digest();
        sum = (sum + hash.readBigUInt64LE(0) + (hash.readBigUInt64LE(8) << 64n)) & MASK;
        if (first.length < MUESTRA_MAX)
          first.push(
            Object.values(JSON.parse(line) as object)
              .join(' | ')
              .slice(0, 1000),
          );
      }
    }
    return { rows, sum: sum.toString(16), first };
  }
}

const MASK = (1n << 128n) - 1n;
