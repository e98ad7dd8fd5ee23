import type { SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import { quoteName, quoteTable, type SqlServer, SqlServerError } from '../../sqlserver/sql-server.ts';
import type { TableColumn, TableColumns } from '../../sqlserver/tables/table-columns.ts';

/**
 * What a target holds, as far as SQL Server can tell without sending its rows (protocol/SPEC.md, D11): how many they are, and two sums over
 * the checksums of the columns that come down.
 *
 * A checksum of 32 bits is not much, and that of an UPDATE which sets one column of several rows is easily made up for: BINARY_CHECKSUM is
 * linear, and CHECKSUM_AGG an XOR, in which two equal differences leave nothing behind. Hence a sum, and a sum of squares modulo a prime.
 * Sums can also be carried on from the rows that an update is given, without another reading of the whole.
 */
export interface Totals {
  filas: number;
  /** Undefined where SQL Server does not compute them. */
  sumas: readonly [bigint, bigint] | undefined;
}

const PRIME = 2 ** 31 - 1;

export class TargetSum {
  /** Those that are summed, as the download names them; empty where SQL Server sums nothing. */
  readonly columns: readonly string[];
  readonly #db: SqlServer;
  readonly #table: string;
  readonly #checksum: string | undefined;
  readonly #signal: AbortSignal;

  private constructor(
    db: SqlServer,
    tabla: string,
    columns: readonly string[],
    target: TableColumns,
    signal: AbortSignal,
  ) {
    this.columns = columns;
    this.#db = db;
    this.#table = quoteTable(tabla);
    const values = columns.map((name) => valueSql(name, target.get(name.toLowerCase())!));
    this.#checksum = values.length === 0 ? undefined : `BINARY_CHECKSUM(${values.join(', ')})`;
    this.#signal = signal;
  }

  /** Of those of `names` that the target has; of none where this SQL Server refuses it, or where the target may not be looked at. */
  static async open(
    db: SqlServer,
    tabla: string,
    names: readonly string[],
    target: TableColumns | undefined,
    signal: AbortSignal,
  ): Promise<TargetSum> {
    const known: TableColumns = target ?? new Map();
    const columns = names.filter((name) => known.has(name.toLowerCase()));
    const sum = new TargetSum(db, tabla, columns, known, signal);
    try {
      // Not within a transaction that is to be committed: an error would undo it.
      if (columns.length > 0) await sum.read('WHERE 1 = 0');
      return sum;
    } catch (error) {
      const isRefused = error instanceof SqlServerError && error.number !== undefined && !error.retryable;
      if (!isRefused) throw error;
      return new TargetSum(db, tabla, [], known, signal);
    }
  }

  /** Reads the target, or the rows `t` of it that `where` leaves. Throws SqlServerError. */
  async read(where = ''): Promise<Totals> {
    const [one, two] = ['CAST(x.c AS BIGINT)', `CAST(x.c AS BIGINT) * x.c % ${PRIME}`];
    const sql =
      this.#checksum === undefined
        ? `SELECT COUNT_BIG(*) AS n FROM ${this.#table} AS t ${where}`
        : `SELECT COUNT_BIG(*) AS n, SUM(${one}) AS una, SUM(${two}) AS otra FROM
             (SELECT ${this.#checksum} AS c FROM ${this.#table} AS t ${where}) AS x`;
    const [row] = await this.#db.query(sql, { signal: this.#signal, isLong: true });
    const sumas = [BigInt(String(row?.una ?? 0)), BigInt(String(row?.otra ?? 0))] as const;
    return { filas: Number(row?.n), sumas: this.#checksum === undefined ? undefined : sumas };
  }
}

/** `a + sign × b`. */
export function addTotals(a: Totals, b: Totals, sign: 1 | -1 = 1): Totals {
  const sumas =
    a.sumas === undefined || b.sumas === undefined
      ? undefined
      : ([a.sumas[0] + BigInt(sign) * b.sumas[0], a.sumas[1] + BigInt(sign) * b.sumas[1]] as const);
  return { filas: a.filas + sign * b.filas, sumas };
}

/** SQL of a column of a row `t`. BINARY_CHECKSUM leaves out text, ntext, image and xml, and of long text takes 255 characters. */
function valueSql(name: string, { type }: TableColumn): string {
  const column = `t.${quoteName(name)}`;
  if (type?.name === 'image') return `CONVERT(VARBINARY(MAX), ${column})`;
  if (type === undefined || !isLongText(type)) return column;
  return `CONVERT(VARBINARY(MAX), CONVERT(NVARCHAR(MAX), ${column}))`;
}

function isLongText({ name, length }: SqlTypeSpec): boolean {
  if (name === 'varchar' || name === 'nvarchar') return length === 'max';
  return LONG_TEXT.has(name);
}

const LONG_TEXT = new Set<SqlTypeSpec['name']>(['text', 'ntext', 'xml', 'json', 'vector']);
