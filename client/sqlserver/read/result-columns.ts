import type { ColumnMetadata } from 'tedious/lib/token/colmetadata-token-parser.js';
import { replaceUnstorable } from '../../../protocol/rows/values.ts';
import { declareColumn } from '../types/sql-types.ts';

/** A column of a query's result as SQL Server describes it (COLMETADATA), in the order of the result. */
export interface ResultColumn {
  /** As it is in the rows. */
  name: string;
  /** In lower case: `int`, `nvarchar`, `rowversion`, `sql_variant`, `clr`. */
  type: string;
  length?: number | 'max';
  precision?: number;
  scale?: number;
  nullable: boolean;
  /** Of characters, as `lcid/flags/sortId`: a result does not name it. */
  collation?: string;
}

/** [MS-TDS] 2.2.7.4: fNullable. */
const NULLABLE = 0x01;

/** What has no declaration that a schema could name, by tedious' name. */
const UNDECLARABLE: Readonly<Record<string, string>> = { Variant: 'sql_variant', UDT: 'clr', Binary: 'rowversion' };

export function describeResult(columns: readonly ColumnMetadata[]): ResultColumn[] {
  return columns.map((column) => {
    const declared = declareColumn(column);
    const { length, precision, scale } = declared ?? {};
    const { collation } = column;
    return {
      name: replaceUnstorable(column.colName).text,
      type: declared?.name ?? UNDECLARABLE[column.type.name] ?? 'otro',
      ...(length === undefined ? {} : { length }),
      ...(precision === undefined ? {} : { precision }),
      ...(scale === undefined ? {} : { scale }),
      nullable: (column.flags & NULLABLE) !== 0,
      ...(collation === undefined ? {} : { collation: `${collation.lcid}/${collation.flags}/${collation.sortId}` }),
    };
  });
}
