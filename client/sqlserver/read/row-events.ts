import type { ColumnMetadata } from 'tedious/lib/token/colmetadata-token-parser.js';
import {
  formatBinary,
  formatDate,
  formatDateTime2,
  formatFloat,
  formatReal,
  formatRowversion,
  formatTime,
  ROWVERSION_USER_TYPE,
  replaceUnstorable,
} from '../../../protocol/rows/values.ts';
import { type SqlServerError, sqlServerError } from '../errors.ts';

/** Writes the rows of one result as JSON objects. */
export interface RowEncoder {
  /** The object of a row, without a line end. `rowNumber`, from 1, is for errors. Throws SqlServerError VALOR_INEXACTO. */
  encode(cells: readonly { value: unknown }[], rowNumber: number): string;
  /** Characters replaced since it was last asked. */
  takeReplaced(): number;
}

/** Throws SqlServerError COLUMNA_SIN_NOMBRE or COLUMNA_REPETIDA where the columns cannot be the keys of an object. */
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
    write: makeWriter(column, text),
  }));
  return {
    encode(cells, rowNumber) {
      let line = '';
      for (let i = 0; i < fields.length; i++) {
        const { key, name, write } = fields[i]!;
        const value = cells[i]!.value;
        const json = value === null || value === undefined ? 'null' : write(value);
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

/** Every column has a name, and no two the same: the keys of the JSON object. Throws SqlServerError. */
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

/** JSON of a value that is not NULL; undefined where tedious has lost part of it. */
type Writer = (value: unknown) => string | undefined;

const DAYS_TO_1970 = 719_162;
const MS_PER_DAY = 86_400_000;

function makeWriter(column: ColumnMetadata, text: (value: string) => string): Writer {
  const { type, dataLength, userType } = column;
  const scale = column.scale ?? 0;
  switch (type.name) {
    case 'FloatN':
      return dataLength === 4 ? (value) => formatReal(value as number) : (value) => formatFloat(value as number);
    case 'Real':
      return (value) => formatReal(value as number);
    case 'Float':
      return (value) => formatFloat(value as number);
    case 'DecimalN':
    case 'NumericN':
      return (value) => decimalOf(value as number, scale);
    case 'MoneyN':
    case 'Money':
    case 'SmallMoney':
      return (value) => decimalOf(value as number, 4);
    case 'DateTimeN':
      return (value) => quote(instantOf(value as Date, dataLength === 4 ? 0 : 3));
    case 'SmallDateTime':
      return (value) => quote(instantOf(value as Date, 0));
    case 'DateTime':
      return (value) => quote(instantOf(value as Date, 3));
    case 'DateTime2':
      return (value) => quote(instantOf(value as Date, scale));
    case 'Date':
      return (value) => quote(formatDate((value as Date).getTime() / MS_PER_DAY + DAYS_TO_1970));
    case 'Time':
      return (value) => quote(formatTime(unitsOf(value as Date, scale), scale));
    case 'Binary':
      if (userType === ROWVERSION_USER_TYPE) return (value) => quote(formatRowversion(value as Buffer));
      return (value) => quote(formatBinary(value as Buffer));
    case 'VarBinary':
    case 'Image':
    case 'UDT':
      return (value) => quote(formatBinary(value as Buffer));
    case 'Char':
    case 'VarChar':
    case 'Text':
      return codePageWriter(column.collation?.codepage, text);
    case 'NChar':
    case 'NVarChar':
    case 'NText':
    case 'Xml':
      return (value) => text(value as string);
    case 'UniqueIdentifier':
      return (value) => quote(value as string);
    case 'Bit':
    case 'BitN':
    case 'TinyInt':
    case 'SmallInt':
    case 'Int':
    case 'IntN':
    case 'BigInt':
      // bigint comes as text.
      return (value) => String(value);
    case 'Null':
      return () => 'null';
    default:
      // DateTimeOffset comes without its offset; Variant without its base type.
      return () => undefined;
  }
}

/** Of a collation that it does not know tedious reads the bytes as UTF-8; of a byte it does not know it makes U+FFFD. */
function codePageWriter(codepage: string | undefined, text: (value: string) => string): Writer {
  if (codepage === undefined) return () => undefined;
  if (codepage === 'utf-8') return (value) => text(value as string);
  return (value) => ((value as string).includes('\uFFFD') ? undefined : text(value as string));
}

/** tedious gives a double; up to 15 digits name it, and those are the column's own. */
function decimalOf(value: number, scale: number): string | undefined {
  return Math.abs(value) * 10 ** scale < 1e15 ? value.toFixed(scale) : undefined;
}

/** tedious keeps what is below a millisecond beside the Date, in seconds. */
function unitsOf(value: Date, scale: number): number {
  const below = (value as Date & { nanosecondsDelta?: number }).nanosecondsDelta ?? 0;
  const ms = value.getTime() - Math.floor(value.getTime() / MS_PER_DAY) * MS_PER_DAY;
  return Math.round((ms * 10_000 + below * 1e7) / 10 ** (7 - scale));
}

function instantOf(value: Date, scale: number): string {
  return formatDateTime2(Math.floor(value.getTime() / MS_PER_DAY) + DAYS_TO_1970, unitsOf(value, scale), scale);
}

function quote(text: string): string {
  return `"${text}"`;
}

function inexact(rowNumber: number, column: string): SqlServerError {
  return sqlServerError('VALOR_INEXACTO', { fila: rowNumber, columna: column });
}
