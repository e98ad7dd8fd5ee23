import type { ColumnMetadata } from 'tedious/lib/token/colmetadata-token-parser.js';
import type { SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import type { Codec } from '../tds/codec.ts';
import type { RowIo, ValueWriter } from '../tds/row-io.ts';

/** What is looked at of a column of tedious' COLMETADATA. */
export type Column = Pick<ColumnMetadata, 'colName' | 'userType' | 'dataLength' | 'collation'> & {
  type: { name: string };
  precision?: number | undefined;
  scale?: number | undefined;
};

/** What SQL Server sends in a result. */
export interface ReadableType {
  /** tedious' names of it in COLMETADATA, with the bytes of a value where several types share a name: `Int`, `IntN:4`. */
  tds: readonly string[];
  /** The writer of a column's values, of the column alone; undefined where its code page is not known. */
  transcode(column: Column): ValueWriter | undefined;
  /** The same of the values that tedious' row events have: the reference that the transcoder is held against. */
  writeEvent(column: Column, writeText: (text: string) => string): EventWriter;
}

/** JSON of a value that is not NULL; undefined where tedious has lost part of it. */
export type EventWriter = (value: unknown) => string | undefined;

/** All there is to know of a type that a schema may name. */
export interface SqlTypeDescriptor extends ReadableType {
  family: Family;
  /** The type of a column that exists; undefined of what no value of a download becomes as it is (rowversion). */
  declare(column: Column): SqlTypeSpec | undefined;
  /** How a value is written into a bulk load, or the type that it travels as in the place of its own. */
  load: { codec(type: SqlTypeSpec, codePage: string | undefined): Codec } | { as(type: SqlTypeSpec): SqlTypeSpec };
  /** As a base type of sql_variant. */
  variant: VariantForm | undefined;
  /** Which rule a text breaks that travels as another type and is no value of this one; undefined where every one is. */
  broken: ((text: string, type: SqlTypeSpec) => string | undefined) | undefined;
  /** Whether its characters are of the code page of a collation. */
  hasCodePage: boolean;
  /** T-SQL of `@clave` in the type, for reading in ranges; undefined where values have no order of their own or no exact text. */
  rangeKey: KeySql | undefined;
  /** The style of CONVERT that writes a value as exact text, where it needs one. */
  textStyle: number | undefined;
  /** Digits before the point and behind it, of numbers that are decimal. */
  digits: ((type: SqlTypeSpec) => [whole: number, fraction: number]) | undefined;
  /** Characters of the longest text that SQL Server makes of a value without losing anything; undefined: it may lose. */
  textLength: ((type: SqlTypeSpec) => number) | undefined;
  /** What is lost of a value where SQL Server writes it as text of so many characters; undefined: nothing is, ever. */
  lostAsText: ((text: string, room: number) => string | undefined) | undefined;
  /** Whether SQL Server rounds, in silence, a text that it turns into the type. */
  roundsText: boolean;
}

/** Types whose values are alike. */
export type Family = 'number' | 'text' | 'moment' | 'bytes' | 'guid';

export type KeySql = (type: string, collation: string | undefined) => string;

/** [MS-TDS] 2.2.5.5.4 */
export interface VariantForm {
  token: number;
  /** Of a value; undefined where it has several lengths, or properties. */
  bytes?: number;
  /** `properties`: where those of the value begin. */
  write(io: RowIo, start: number, end: number, properties: number): void;
}

export const plainKey: KeySql = (type) => `CONVERT(${type}, @clave)`;

/** What most types have not got. */
export const noneOfThese = {
  broken: undefined,
  hasCodePage: false,
  textStyle: undefined,
  digits: undefined,
  textLength: undefined,
  lostAsText: undefined,
} as const;

export function quote(text: string): string {
  return `"${text}"`;
}

/** Writes a value as JSON has it: of numbers that tedious gives without loss, of bigint's text, of booleans. */
export function writeLiteral(value: unknown): string {
  return String(value);
}
