import type { SqlTypeName, SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';

/** Types whose values are alike. */
export type Family = 'number' | 'text' | 'moment' | 'bytes' | 'guid';

const families: Record<SqlTypeName, Family> = {
  bit: 'number',
  tinyint: 'number',
  smallint: 'number',
  int: 'number',
  bigint: 'number',
  decimal: 'number',
  numeric: 'number',
  money: 'number',
  smallmoney: 'number',
  float: 'number',
  real: 'number',
  char: 'text',
  varchar: 'text',
  text: 'text',
  nchar: 'text',
  nvarchar: 'text',
  ntext: 'text',
  xml: 'text',
  binary: 'bytes',
  varbinary: 'bytes',
  image: 'bytes',
  uniqueidentifier: 'guid',
  date: 'moment',
  time: 'moment',
  smalldatetime: 'moment',
  datetime: 'moment',
  datetime2: 'moment',
  datetimeoffset: 'moment',
};

export function familyOf({ name }: SqlTypeSpec): Family {
  return families[name];
}

/**
 * Whether SQL Server, which turns a value of `from` into one of `to`, of another family, by itself, may lose a part of it in silence:
 * text that is a number or an instant is rounded; a float, money or an old date becomes a short text; an integer too long, `*`.
 */
export function isLossyConversion(from: SqlTypeSpec, to: SqlTypeSpec): boolean {
  if (familyOf(from) === 'text') return to.name !== 'bit' && (familyOf(to) === 'number' || familyOf(to) === 'moment');
  return familyOf(to) === 'text' && from.name in writers;
}

/** What is lost where SQL Server writes a value of the type as text; undefined: nothing. */
export function lostAsText(from: SqlTypeSpec, to: SqlTypeSpec, text: string): string | undefined {
  return writers[from.name]?.(text, typeof to.length === 'number' ? to.length : Number.POSITIVE_INFINITY);
}

type Writer = (text: string, room: number) => string | undefined;

const asFloat: Writer = (text) => {
  const digits = text
    .replace(/e.*$/i, '')
    .replace(/\D/g, '')
    .replace(/^0+|0+$/g, '');
  return digits.length > 6 ? 'SQL Server la escribiría en texto con 6 cifras' : undefined;
};
const asMoney: Writer = (text) =>
  /\.\d\d0*[1-9]/.test(text) ? 'SQL Server la escribiría en texto con 2 decimales' : undefined;
const asInteger: Writer = (text, room) =>
  text.length > room ? `tiene ${text.length} caracteres y caben ${room}` : undefined;
const asOldDate: Writer = (text) =>
  /:\d\d:(?:0[1-9]|[1-9]\d|\d\d\.\d*[1-9])/.test(text)
    ? 'SQL Server la escribiría en texto sin los segundos'
    : undefined;

const writers: Partial<Record<SqlTypeName, Writer>> = {
  float: asFloat,
  real: asFloat,
  money: asMoney,
  smallmoney: asMoney,
  tinyint: asInteger,
  smallint: asInteger,
  int: asInteger,
  bigint: asInteger,
  datetime: asOldDate,
  smalldatetime: asOldDate,
};
