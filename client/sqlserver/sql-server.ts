import type { ColumnMetadata } from 'tedious/lib/token/colmetadata-token-parser.js';
import { notToBeRepeated, sqlServerError } from './errors.ts';
import { type BulkLoadOptions, bulkLoad } from './load/bulk-load.ts';
import { type ReadRowsOptions, readRows } from './read/read-rows.ts';
import { OwnTransaction } from './session/own-transaction.ts';
import type { ExecuteOptions, Queryable, QueryOptions } from './session/queryable.ts';
import { makeRequest, sendRequest } from './session/request.ts';
import { openSession, type Session, type SqlServerSettings } from './session/session.ts';
import { type BulkColumn, catalogView, quoteTable } from './tables/ddl.ts';
import { type CatalogColumn, describeColumn, type TableColumn, type TableColumns } from './tables/table-columns.ts';
import type { NdjsonBlock } from './transcoder/ndjson-block.ts';

export { notToBeRepeated, SqlServerError, type SqlServerErrorCode } from './errors.ts';
export type { BulkLoadOptions } from './load/bulk-load.ts';
export { DEFAULT_BLOCK_BYTES, type ReadRowsOptions } from './read/read-rows.ts';
export type { SqlParameter } from './session/request.ts';
export type { SqlServerSettings } from './session/session.ts';
export { type BulkColumn, createTableSql, createTempTableSql, quoteName, quoteTable } from './tables/ddl.ts';
export type { NdjsonBlock } from './transcoder/ndjson-block.ts';
export type { RowFilter } from './transcoder/row-filter.ts';

const QUERY_MAX_ROWS = 10_000;

/**
 * Lends a connection to `use` and ends it on every path; an open transaction rolls back.
 *
 * `onMessage` gets what PRINT and RAISERROR below severity 11 say. Throws `signal.reason`, SqlServerError, or what
 * `use` threw.
 */
export async function withSqlServer<T>(
  settings: SqlServerSettings,
  options: { signal: AbortSignal; onMessage?: (text: string) => void },
  use: (db: SqlServer) => Promise<T>,
): Promise<T> {
  const session = await openSession(settings, options);
  try {
    return await use(new SqlServer(session));
  } finally {
    await session.close();
  }
}

/** A session with SQL Server: one statement, read or load at a time. Every method throws SqlServerError. */
export class SqlServer implements Queryable {
  readonly #session: Session;
  /** That of `transaction`, while it runs. */
  #own: OwnTransaction | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Runs a batch and drops its result sets. `rowsAffected` adds up those of its statements. */
  async execute(sql: string, { parameters = [], signal }: ExecuteOptions = {}): Promise<{ rowsAffected: number }> {
    const session = this.#session;
    let rowsAffected = 0;
    const start = (done: (error?: Error | null) => void) => {
      const request = makeRequest(sql, parameters, done);
      // Counts of SELECTs are of rows read, not affected; a statement that returns rows says its columns first.
      let reading = false;
      const onDone = (count: number | undefined) => {
        if (!reading) rowsAffected += count ?? 0;
        reading = false;
        this.#own?.statementDone();
      };
      request.on('columnMetadata', () => {
        reading = true;
      });
      request.on('done', onDone);
      request.on('doneInProc', onDone);
      return sendRequest(session.connection, request);
    };
    await session.perform(start, { signal, watch: session.watch(session.executeTimeoutMs) });
    return { rowsAffected };
  }

  /**
   * The rows of a small result, as tedious gives their values: no use for decimals, dates or anything that must be
   * exact. Of several result sets all rows. Over 10,000 rows it throws RESULTADO_GRANDE.
   */
  async query(
    sql: string,
    { parameters = [], signal, isLong = false }: QueryOptions = {},
  ): Promise<Record<string, unknown>[]> {
    const session = this.#session;
    const rows: Record<string, unknown>[] = [];
    let tooMany = false;
    const start = (done: (error?: Error | null) => void) => {
      const request = makeRequest(sql, parameters, done);
      request.on('row', (cells: readonly { metadata: { colName: string }; value: unknown }[]) => {
        if (tooMany) return;
        tooMany = rows.length === QUERY_MAX_ROWS;
        if (tooMany) request.cancel();
        else rows.push(Object.fromEntries(cells.map(({ metadata, value }) => [metadata.colName, value])));
      });
      return sendRequest(session.connection, request);
    };
    try {
      await session.perform(start, {
        signal,
        watch: session.watch(isLong ? session.executeTimeoutMs : session.idleTimeoutMs),
      });
    } catch (error) {
      if (!tooMany) throw error;
      throw sqlServerError('RESULTADO_GRANDE', { filas: QUERY_MAX_ROWS });
    }
    return rows;
  }

  /**
   * The columns of a table or view, which exists. Those of a synonym are not in sys.columns: they are told without a collation,
   * and a type that is sent as another as that one.
   * Throws SqlServerError, PERMISOS where this login may not read it.
   */
  async describeTable(table: string, signal: AbortSignal): Promise<TableColumns> {
    const session = this.#session;
    const parameters = [{ name: 'nombre', type: 'nvarchar' as const, value: quoteTable(table) }];
    const sql = `SELECT c.name, t.name AS tipo, c.collation_name AS suya,
        CONVERT(NVARCHAR(128), DATABASEPROPERTYEX(DB_NAME(), 'Collation')) AS general
      FROM ${catalogView('columns', table)} AS c
      LEFT JOIN ${catalogView('types', table)} AS t ON t.user_type_id = c.user_type_id AND t.is_user_defined = 0
      WHERE c.object_id = OBJECT_ID(@nombre)`;
    const catalog = new Map<string, CatalogColumn>();
    for (const { name, tipo, suya, general } of await this.query(sql, { parameters, signal })) {
      const collation = String(suya ?? '');
      const isOwn = /^\w+$/.test(collation) && collation.toLowerCase() !== String(general ?? '').toLowerCase();
      catalog.set(String(name).toLowerCase(), { typeName: String(tipo), collation: isOwn ? collation : undefined });
    }
    const columns = new Map<string, TableColumn>();
    const start = (done: (error?: Error | null) => void) => {
      const request = makeRequest(`SELECT * FROM ${quoteTable(table)} WHERE 1 = 0`, [], done);
      request.on('columnMetadata', (described: ColumnMetadata[] | { [name: string]: ColumnMetadata }) => {
        for (const metadata of Object.values(described)) {
          const key = metadata.colName.toLowerCase();
          columns.set(key, describeColumn(metadata, catalog.get(key)));
        }
      });
      return sendRequest(session.connection, request);
    };
    await session.perform(start, { signal, watch: session.watch(session.idleTimeoutMs) });
    return columns;
  }

  /** The code page of the database, as tedious names it. */
  get databasePage(): string | undefined {
    return this.#session.connection.databaseCollation?.codepage;
  }

  /** The rows of the one result set of `sql` as NDJSON, at the consumer's pace; leaving the loop cancels the request. */
  readRows(sql: string, options: ReadRowsOptions): AsyncIterable<NdjsonBlock> {
    return readRows(this.#session, sql, options);
  }

  /** Loads NDJSON bytes, cut anywhere, into `table`, made by createTempTableSql of the same columns. Answers its rows. */
  bulkLoad(
    table: string,
    columns: readonly BulkColumn[],
    rows: AsyncIterable<Uint8Array>,
    options: BulkLoadOptions,
  ): Promise<number> {
    return bulkLoad(this.#session, table, columns, rows, options);
  }

  /**
   * Commits what `run` did, or rolls it back where `run` throws. Not to be nested.
   *
   * Of a deadlock (1205) it throws BLOQUEO_1205 where all that `run` did is undone, and BLOQUEO_SIN_REPETIR where its SQL had
   * ended the transaction itself, so that something may be left.
   */
  async transaction<T>(run: () => Promise<T>): Promise<T> {
    await this.execute('BEGIN TRANSACTION');
    const own = OwnTransaction.begin(this.#session);
    this.#own = own;
    try {
      const result = await run();
      await this.execute('COMMIT TRANSACTION');
      return result;
    } catch (error) {
      own.end();
      this.#own = undefined;
      // SQL Server may have rolled back already, or the connection may be gone: neither hides the first error.
      await this.execute('IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION').catch(() => {});
      throw own.isWhole ? error : notToBeRepeated(error);
    } finally {
      own.end();
      this.#own = undefined;
    }
  }
}
