import type { ColumnMetadata } from 'tedious/lib/token/colmetadata-token-parser.js';
import { replaceUnstorable } from '../../../protocol/rows/values.ts';
import { type SqlServerError, sqlServerError } from '../errors.ts';
import { findReadable } from '../types/sql-types.ts';

/** Writes the rows of one result as JSON objects. */
export interface RowEncoder {
  /** The object of a row, without a line end. `rowNumber`, from 1, is for errors. Throws SqlServerError VALOR_INEXACTO. */
  encode(cells: readonly { value: unknown }[], rowNumber: number): string;
  /** Characters replaced since it was last asked. */
  takeReplaced(): number;
}

/**
 * @throws {SqlServerError} COLUMNA_SIN_NOMBRE or COLUMNA_REPETIDA where the columns cannot be the keys of an object
 */
export function makeRowEncoder(columns: readonly ColumnMetadata[]): RowEncoder {
  assertUsableNames(columns.map(({ colName }) => colName));
  let replaced = 0;
  const text = (value: string): string => {
    const clean = replaceUnstorable(value);
    replaced += clean.replaced;
    return JSON.stringify(clean.text);
  };
  const fields = columns.map((column, index) => ({
    name: column.colName,
    key: `${index === 0 ? '{' : ','}${JSON.stringify(replaceUnstorable(column.colName).text)}:`,
    write: findReadable(column)?.writeEvent(column, text),
  }));
  return {
    encode(cells, rowNumber) {
      let line = '';
      for (let i = 0; i < fields.length; i++) {
        const { key, name, write } = fields[i]!;
        const value = cells[i]!.value;
        const json = value === null || value === undefined ? 'null' : write?.(value);
        if (json === undefined) throw inexact(rowNumber, name);
        line += key + json;
      }
      return `${line}}`;
    },
    takeReplaced() {
      const count = replaced;
      replaced = 0;
      return count;
    },
  };
}

/**
 * Checks that every column has a name, and no two the same: the keys of the JSON object.
 * @throws {SqlServerError}
 */
export function assertUsableNames(names: readonly string[]): void {
  const seen = new Set<string>();
  names.forEach((name, index) => {
    if (name === '') {
      throw sqlServerError('COLUMNA_SIN_NOMBRE', { numero: index + 1 });
    }
    if (seen.has(name)) {
      throw sqlServerError('COLUMNA_REPETIDA', { columna: name });
    }
    seen.add(name);
  });
}

function inexact(rowNumber: number, column: string): SqlServerError {
  return sqlServerError('VALOR_INEXACTO', { fila: rowNumber, columna: column });
}
