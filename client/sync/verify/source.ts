import { primaryKeyOf, type TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { CanonicalRows } from '../../rows/canonical.ts';
import { sensitiveColumnsOf } from '../../rows/field-encryption.ts';
import { wrapQuery } from '../../sqlserver/read/range-key.ts';
import { readClocks } from '../../sqlserver/session/clock.ts';
import { quoteName, type SqlServer } from '../../sqlserver/sql-server.ts';
import { boundMark } from '../../state/watermarks.ts';
import type { SyncContext } from '../context.ts';
import { makeCollector } from '../memory.ts';
import { runPhaseAtSqlServer } from '../phases.ts';
import { parametersOf, readLeaving } from '../upload/extract.ts';
import { queryOf } from '../upload/reading.ts';

/** What is compared: a table's whole query, with its rows as they would leave this machine. */

/** Keys of one statement. SQL Server's parser takes many more; the plan of so long a list does not. */
const KEYS_AT_ONCE = 1000;

/** Of a whole reading they do not count (upload/rowversion.ts). */
const ALL_VERSIONS = { desde: '0x0000000000000000', hasta: '0xFFFFFFFFFFFFFFFF' };

interface Job {
  context: SyncContext;
  tabla: TablaSubida;
  db: SqlServer;
}

interface ReadAsWhole {
  ultimaSync: string | null;
  entera: boolean;
  versiones: typeof ALL_VERSIONS;
}

export class TableSource {
  readonly #context: SyncContext;
  readonly #tabla: TablaSubida;
  readonly #db: SqlServer;
  readonly seed: bigint;
  readonly #head: ReadAsWhole;

  private constructor(job: Job, seed: bigint, head: ReadAsWhole) {
    this.#context = job.context;
    this.#tabla = job.tabla;
    this.#db = job.db;
    this.seed = seed;
    this.#head = head;
  }

  /**
   * Prepares to read as a whole upload does: `@ultimaSync` is from before everything, and pre_process has run, which the query may
   * stand on (a #temporary table).
   */
  static async open(job: Job, seed: bigint): Promise<TableSource> {
    const { context, tabla, db } = job;
    const ultimaSync = boundMark(tabla, undefined, await readClocks(db, context.signal));
    const head = { ultimaSync, entera: true, versiones: ALL_VERSIONS };
    const bound = (sql: string) => ({ sql, ...parametersOf(sql, head) });
    await runPhaseAtSqlServer(context, db, { direccion: 'upload', tabla, fase: 'pre_process' }, bound);
    return new TableSource(job, seed, head);
  }

  /** All rows, some at a time, each time to be read to their end. Throws what reading throws. */
  readAll(signal: AbortSignal): AsyncGenerator<CanonicalRows> {
    return this.#read(this.#context, this.#tabla, signal);
  }

  /**
   * Rows of these keys, as the centre has them, and maybe others that SQL Server takes for the same. Throws where it does not take the
   * keys so: its query cannot stand in another one, or a key is no text of the column's type. Of a type whose text SQL Server reads
   * otherwise, rows may be missing.
   */
  async *readKeys(keys: readonly string[], signal: AbortSignal): AsyncGenerator<CanonicalRows> {
    const columns = primaryKeyOf(this.#tabla);
    const own = columns.length === 0 ? ['codigo'] : columns;
    // It says itself which rows it wants.
    const { particion: _, cambios: __, incremental: ___, ...rest } = this.#tabla;
    const query = wrapQuery(queryOf(this.#tabla, true));
    // What is learnt of a query is learnt of the table's own.
    const context = { ...this.#context, learn: () => {} };
    for (let from = 0; from < keys.length; from += KEYS_AT_ONCE) {
      const condition = conditionOf(own, keys.slice(from, from + KEYS_AT_ONCE));
      const wrapped = `SELECT * FROM ${query} AS q WHERE ${condition}`;
      yield* this.#read(context, { ...rest, process: { ...rest.process, query: wrapped } }, signal);
    }
  }

  async *#read(context: SyncContext, tabla: TablaSubida, signal: AbortSignal): AsyncGenerator<CanonicalRows> {
    const rows = new CanonicalRows(primaryKeyOf(tabla), this.seed);
    const source = { context, tabla, db: this.#db, from: undefined, bases: [] };
    const onRead = ({ rows: read, bytes }: { rows: number; bytes: number }) => {
      context.progress.rows(read);
      context.progress.bytes(bytes);
    };
    const sensitive = sensitiveColumnsOf(tabla, context.dataKey);
    const collect = makeCollector('comparison');
    const watch = { comparison: undefined, sensitive, onRead, onColumns: () => {}, signal };
    for await (const block of readLeaving(source, this.#head, watch)) {
      if ('ultima' in block) continue;
      collect(block.bytes.length);
      rows.begin(block.bytes);
      yield rows;
    }
  }
}

function conditionOf(columns: readonly string[], keys: readonly string[]): string {
  const names = columns.map((column) => `q.${quoteName(column)}`);
  if (names.length === 1) return `${names[0]} IN (${keys.map(literal).join(', ')})`;
  const equal = (key: string) => {
    const parts = splitKey(key);
    return `(${names.map((name, i) => `${name} = ${literal(parts[i] ?? '')}`).join(' AND ')})`;
  };
  return keys.map(equal).join(' OR ');
}

/** The parts of a key of several columns (server/rows/staging.ts, rowKeyOf). */
function splitKey(key: string): string[] {
  const parts = [''];
  for (let at = 0; at < key.length; at++) {
    if (key[at] === '|') parts.push('');
    else parts[parts.length - 1] += key[at] === '\\' ? key[++at]! : key[at]!;
  }
  return parts;
}

function literal(text: string): string {
  return `N'${text.replaceAll("'", "''")}'`;
}
