import type { DataType } from 'tedious/lib/data-type.js';
import { formatSqlType, type SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import type { SqlServerError } from '../errors.ts';
import { type Codec, writeNil } from '../tds/codec.ts';
import type { Cell } from '../tds/row-scanner.ts';
import { UnfitValue } from '../tds/unfit.ts';
import { codecOf } from './sql-types.ts';

/**
 * Types for tedious that send a value exactly as its text says it. tedious' own take doubles and Dates: they lose
 * digits of decimals, of money and of fractions of a second, and read zone-less text in the agent's time zone.
 *
 * Layouts: [MS-TDS] 2.2.5.4 (type ids, TYPE_INFO) and 2.2.5.5 (values).
 */

export interface ExactTypeOptions {
  nullable: boolean;
  /** In the place of the type's own (column-codec.ts). */
  codec?: Codec;
  /** What to throw for a value that does not fit; `rule` is Spanish, without a full stop. */
  refuse: (value: string, rule: string) => SqlServerError;
}

/** The rule that a NULL breaks. */
export const NOT_NULLABLE = 'la columna no admite NULL';

/** Returns the type object of a column or parameter of `type`, which is one that `loadType` answers. */
export function exactType(type: SqlTypeSpec, { nullable, codec = codecOf(type), refuse }: ExactTypeOptions): DataType {
  const declaration = formatSqlType(type).toLowerCase();
  return {
    id: codec.id,
    type: type.name.toUpperCase(),
    name: `Exact ${declaration}`,
    declaration: () => declaration,
    validate: (value: unknown) => value,
    writeTypeInfo: (out, { collation }) => codec.typeInfo(out, collation),
    writeValue(out, parameter) {
      const value = parameter.value as Cell;
      if (value === null) {
        if (!nullable) throw refuse('NULL', NOT_NULLABLE);
        writeNil(codec, out);
        return;
      }
      try {
        codec.write(out, value);
      } catch (error) {
        throw error instanceof UnfitValue ? refuse(String(value), error.rule) : error;
      }
    },
  };
}
