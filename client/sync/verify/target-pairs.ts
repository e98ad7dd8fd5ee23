import { limits } from '../../../protocol/constants.ts';
import { TextHash } from '../../../protocol/rows/hash.ts';
import { formatSqlType } from '../../../protocol/rows/sql-types.ts';
import { isPhaseAt, type TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { Origins } from '../../config/sensitive-pins.ts';
import { decryptRows, sensitiveColumnsOf } from '../../rows/field-encryption.ts';
import { LineValues } from '../../rows/line-values.ts';
import { type BulkColumn, quoteName, quoteTable, type SqlServer } from '../../sqlserver/sql-server.ts';
import { createTempTableSql } from '../../sqlserver/tables/ddl.ts';
import type { TableColumns } from '../../sqlserver/tables/table-columns.ts';
import type { SyncContext } from '../context.ts';
import { findEqualKeys, type KeyColumn } from '../download/equal-keys.ts';
import { sameKey } from '../download/gone-keys.ts';
import { landingColumns } from '../download/landing.ts';
import { keyColumnsOf } from '../download/load.ts';
import { columnsOf, makeTempName } from '../download/target.ts';
import { makeCollector } from '../memory.ts';
import type { Kind } from './compare.ts';

/**
 * Rows of the centre against those of the target, by the values that the download would load: they go into a `#temp` as they would there,
 * SQL Server says which keys are one, and both sides of each row are read from it.
 */

export interface LoadedTable {
  temp: string;
  /** Of `#temp`. */
  columns: readonly BulkColumn[];
  keys: readonly KeyColumn[];
  rows: number;
}

/** Loads lines into a new `#temp`, which the caller drops. Throws what the download would: CLAVES_IGUALES, values that do not fit. */
export async function loadToCompare(
  { dataKey, progress, sensitivePins, signal }: SyncContext,
  db: SqlServer,
  { tabla, target, offered }: { tabla: TablaBajada; target: TableColumns; offered: NonNullable<TablaBajada['schema']> },
  lines: AsyncIterable<Uint8Array>,
): Promise<LoadedTable> {
  const builtIn = !isPhaseAt(tabla.post_process, 'download', 'destino');
  const wanted = columnsOf({ ...tabla, schema: offered }, offered);
  const columns = landingColumns(tabla, wanted, target, { builtIn, databasePage: db.databasePage });
  const keys = keyColumnsOf(tabla, columns, target, { builtIn });
  const temp = makeTempName(tabla.nombre);
  await db.execute(createTempTableSql(temp, columns), { signal });
  const sensitive = sensitiveColumnsOf(tabla, dataKey);
  const plain = sensitive === undefined ? lines : decryptRows(lines, sensitive, new Origins(sensitivePins, tabla));
  let seen = 0;
  const onRows = (total: number) => {
    progress.rows(total - seen);
    seen = total;
  };
  const rows = await db.bulkLoad(temp, columns, plain, { signal, onRows });
  const equal = await findEqualKeys(db, { tabla: tabla.nombre, temp, keys }, { signal });
  if (equal !== undefined) throw equal;
  return { temp, columns, keys, rows };
}

/** A row that is not the same on both sides. */
export interface TargetDifference {
  kind: Kind;
  /** Of the key's values, as SQL Server writes them. */
  clave: string;
  columnas: string[];
}

/** Rows of `#temp` and of the target, paired by SQL Server. */
export class TargetPairs {
  readonly #db: SqlServer;
  readonly #loaded: LoadedTable;
  readonly #seed: bigint;
  readonly #signal: AbortSignal;
  readonly #table: string;
  readonly #rest: readonly { name: string; here: string }[];
  readonly #keys: string;
  /** Rows of the target with a key of `#temp`, and those of them that are equal. */
  paired = 0;
  equal = 0;

  constructor(
    db: SqlServer,
    tabla: TablaBajada,
    loaded: LoadedTable,
    { target, seed, signal }: { target: TableColumns; seed: bigint; signal: AbortSignal },
  ) {
    this.#db = db;
    this.#loaded = loaded;
    this.#seed = seed;
    this.#signal = signal;
    this.#table = quoteTable(tabla.nombre);
    const { columns, keys } = loaded;
    this.#keys = keys.map(({ name }, i) => `t.${quoteName(name)} AS k${i}`).join(', ');
    this.#rest = columns
      .filter(({ name }) => !keys.some((key) => key.name === name))
      .map(({ name, type }) => {
        const there = target.get(name.toLowerCase())?.type;
        const isSame = there === undefined || formatSqlType(there) === formatSqlType(type);
        const value = `s.${quoteName(name)}`;
        // SQL Server's own conversion, as the update leaves it to it.
        return { name, here: isSame ? value : `CONVERT(${formatSqlType(there)}, ${value})` };
      });
  }

  /**
   * Goes through what differs. `isWanted`: whether rows of the target with this hash of the key are compared; `wanted`: how many there
   * are. A key that differs in case alone is the same, as it is for the update.
   */
  async *differences(isWanted: (keyHigh: number) => boolean, wanted: number): AsyncGenerator<TargetDifference> {
    const { temp, keys } = this.#loaded;
    const rest = this.#rest.map(({ name, here }, i) => `${here} AS o${i}, t.${quoteName(name)} AS d${i}`);
    const pairs = `SELECT ${[this.#keys, ...rest].join(', ')} FROM ${temp} AS s INNER JOIN ${this.#table} AS t ON ${sameKey(keys)}`;
    let found = 0;
    for await (const line of this.#read(pairs, 2 * rest.length)) {
      this.paired++;
      if (isWanted(line.keyHigh)) found++;
      const columnas = this.#rest.filter((_, i) => !line.areEqual(keys.length + 2 * i)).map(({ name }) => name);
      if (columnas.length === 0) this.equal++;
      else yield { kind: 'distinta', clave: line.clave, columnas: columnas.slice(0, limits.verifyColumnsMax) };
    }
    const named = keys.map(({ name }, i) => `s.${quoteName(name)} AS k${i}`).join(', ');
    const missing = `SELECT ${named} FROM ${temp} AS s WHERE NOT EXISTS (SELECT 1 FROM ${this.#table} AS t WHERE ${sameKey(keys)})`;
    for await (const { clave } of this.#read(missing, 0)) yield { kind: 'falta', clave, columnas: [] };
    // All that are wanted have been seen: none is too many.
    if (found === wanted) return;
    const extra = `SELECT ${this.#keys} FROM ${this.#table} AS t WHERE NOT EXISTS (SELECT 1 FROM ${temp} AS s WHERE ${sameKey(keys)})`;
    for await (const { keyHigh, clave } of this.#read(extra, 0)) {
      if (isWanted(keyHigh)) yield { kind: 'sobra', clave, columnas: [] };
    }
  }

  /** Lines of a SELECT of the key and `values` more. */
  async *#read(sql: string, values: number): AsyncGenerator<PairLine> {
    const line = new PairLine(this.#loaded.keys.length, values, this.#seed);
    const collect = makeCollector('comparison');
    for await (const { bytes } of this.#db.readRows(sql, { signal: this.#signal })) {
      collect(bytes.length);
      let start = 0;
      for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
        line.take(bytes, start, end);
        yield line;
        start = end + 1;
      }
    }
  }
}

/** What a line says, until the next one is taken. */
class PairLine {
  keyHigh = 0;
  readonly #keys: number;
  readonly #values: LineValues;
  readonly #hash: TextHash;

  constructor(keys: number, values: number, seed: bigint) {
    this.#keys = keys;
    this.#values = new LineValues(keys + values);
    this.#hash = new TextHash(seed);
  }

  take(bytes: Uint8Array, start: number, end: number): void {
    this.#values.read(bytes, start, end);
    const key = Buffer.from(this.#values.textOf(0, this.#keys));
    this.#hash.update(key, 0, key.length);
    this.keyHigh = this.#hash.high;
  }

  /** Of the value at `index`, and the one behind it. */
  areEqual(index: number): boolean {
    return this.#values.areEqual(index, index + 1);
  }

  get clave(): string {
    const parts = JSON.parse(`[${this.#values.textOf(0, this.#keys)}]`) as unknown[];
    // A number with every digit that it has.
    const texts = parts.map((part, i) => (typeof part === 'string' ? part : this.#values.textOf(i, i + 1)));
    return texts.join('|').slice(0, 1000);
  }
}

const NEWLINE = 0x0a;
