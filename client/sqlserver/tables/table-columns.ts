import type { ColumnMetadata } from 'tedious/lib/token/colmetadata-token-parser.js';
import { carriedTypes, type SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import { declareColumn, describeType } from '../types/sql-types.ts';

/** A column of a table that exists, as SQL Server describes the result of a SELECT of it. */
export interface TableColumn {
  /** Undefined of what no value of a download becomes as it is: sql_variant, CLR types, rowversion. */
  type: SqlTypeSpec | undefined;
  nullable: boolean;
  /** Of char, varchar and text, as tedious names it. */
  codePage: string | undefined;
  /** Of characters, as SQL Server names it; undefined where it is that of the database, or is not shown. */
  collation: string | undefined;
}

/** By name in lower case: SQL Server's names know no case. */
export type TableColumns = ReadonlyMap<string, TableColumn>;

/** [MS-TDS] 2.2.7.4, COLMETADATA: fNullable. */
const NULLABLE = 0x01;

/** What the catalog says besides. */
export interface CatalogColumn {
  /** Of sys.types: where a type is sent as another, the result does not name it. */
  typeName: string;
  /** As TableColumn has it. */
  collation: string | undefined;
}

/** Returns a target's column from what the wire and the catalogue say of it. */
export function describeColumn(metadata: ColumnMetadata, catalog: CatalogColumn | undefined): TableColumn {
  const type = carriedTypes.find((name) => name === catalog?.typeName);
  const sent = declareColumn(metadata);
  return {
    type: type === undefined ? sent : { name: type },
    nullable: (metadata.flags & NULLABLE) !== 0,
    codePage:
      type === undefined && sent !== undefined && describeType(sent).hasCodePage
        ? metadata.collation?.codepage
        : undefined,
    collation: catalog?.collation,
  };
}
