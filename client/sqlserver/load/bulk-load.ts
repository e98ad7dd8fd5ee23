import type { DataType } from 'tedious/lib/data-type.js';
import { formatSqlType } from '../../../protocol/rows/sql-types.ts';
import { type SqlServerError, sqlServerError } from '../errors.ts';
import type { Session } from '../session/session.ts';
import { type BulkColumn, quoteTable } from '../tables/ddl.ts';
import type { Cell } from '../tds/row-scanner.ts';
import { familyOf, loadType } from '../types/sql-types.ts';
import { exactType } from '../types/tedious-type.ts';
import { columnCodec } from './column-codec.ts';
import { RowSource } from './row-source.ts';

export interface BulkLoadOptions {
  signal: AbortSignal;
  /** Told the rows sent so far, now and then. */
  onRows?: (rows: number) => void;
}

/**
 * Loads NDJSON into `table`, whose columns are those that createTempTableSql makes of `columns`. All rows or none.
 * Bytes are pulled as SQL Server takes them. Answers the rows loaded; no rows is no error.
 *
 * Throws `signal.reason`, what `pieces` threw, or SqlServerError: VALOR_NO_CABE names row, column, value and rule.
 */
export async function bulkLoad(
  session: Session,
  table: string,
  columns: readonly BulkColumn[],
  pieces: AsyncIterable<Uint8Array>,
  { signal, onRows }: BulkLoadOptions,
): Promise<number> {
  const { connection } = session;
  const watch = session.watch(session.idleTimeoutMs);
  const refuse = (value: string, rule: string, index: number | undefined) =>
    unfit(source.rows, columns, value, rule, index);
  const onPull = (pulling: boolean) => {
    if (pulling) watch.hold();
    else watch.release();
    onRows?.(source.rows);
  };
  const wanted = columns.map((column) => {
    const { name, type, nullable } = column;
    return { name, numbers: familyOf(type) !== 'bytes', nullable, codec: columnCodec(column) };
  });
  const source = new RowSource(pieces, wanted, { refuse, onPull });
  try {
    signal.throwIfAborted();
    // SQL Server refuses a bulk load of no rows.
    if (!(await source.prime())) return 0;
    let loaded: number | undefined;
    const start = (done: (error?: Error | null) => void) => {
      const load = connection.newBulkLoad(quoteTable(table), { keepNulls: true }, (error, rowCount) => {
        loaded = rowCount;
        done(error);
      });
      columns.forEach(({ name, type, nullable }, index) => {
        const exact = exactType(loadType(type), {
          nullable,
          codec: wanted[index]!.codec,
          refuse: (value, rule) => refuse(value, rule, index),
        });
        // tedious puts the name between brackets as it is.
        load.addColumn(name.replaceAll(']', ']]'), takingBatches(exact), { nullable });
      });
      connection.execBulkLoad(load, source);
      return load;
    };
    await session.perform(start, { signal, watch });
    onRows?.(source.rows);
    if (loaded !== source.rows) throw miscounted(source.rows, loaded);
    return source.rows;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw source.failure === undefined ? error : source.failure.error;
  } finally {
    source.return();
  }
}

/**
 * A column's type that takes what RowSource hands out: the batch, all of it, as the first column's value, and nothing for the
 * others; else a value.
 */
function takingBatches(type: DataType): DataType {
  return {
    ...type,
    writeValue(out, parameter, options) {
      const value = parameter.value as Cell | Buffer | undefined;
      if (value instanceof Uint8Array) out.writeBuffer(value);
      else if (value !== undefined) type.writeValue(out, parameter, options);
    },
  };
}

const VALUE_SHOWN = 80;

function unfit(
  row: number,
  columns: readonly BulkColumn[],
  value: string,
  rule: string,
  index: number | undefined,
): SqlServerError {
  if (index === undefined) return sqlServerError('VALOR_NO_CABE', { lugar: `Fila ${row} de la descarga`, regla: rule });
  const { name, target } = columns[index]!;
  const shown = value.length > VALUE_SHOWN ? `${value.slice(0, VALUE_SHOWN)}…` : value;
  return sqlServerError('VALOR_NO_CABE', {
    lugar: `Fila ${row} de la descarga, columna «${name}», valor «${shown}»`,
    regla: target === undefined ? rule : `${rule} (la columna del destino es ${formatSqlType(target)})`,
  });
}

function miscounted(sent: number, loaded: number | undefined): SqlServerError {
  return sqlServerError('CARGA_INCOMPLETA', { enviadas: sent, cargadas: loaded ?? 0 });
}
