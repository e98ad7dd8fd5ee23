import type { ColumnMetadata } from 'tedious/lib/token/colmetadata-token-parser.js';
import type { SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import { ROWVERSION_USER_TYPE } from '../../../protocol/rows/values.ts';

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
const MAX_LENGTH = 0xffff;

export function describeColumn(metadata: ColumnMetadata, collation: string | undefined): TableColumn {
  const hasCodePage = /^(Char|VarChar|Text)$/.test(metadata.type.name);
  return {
    type: typeOf(metadata),
    nullable: (metadata.flags & NULLABLE) !== 0,
    codePage: hasCodePage ? metadata.collation?.codepage : undefined,
    collation,
  };
}

function typeOf({ type, dataLength, precision, scale, userType }: ColumnMetadata): SqlTypeSpec | undefined {
  const sized = (name: 'char' | 'varchar' | 'nchar' | 'nvarchar' | 'binary' | 'varbinary', unit = 1): SqlTypeSpec => ({
    name,
    length: dataLength === MAX_LENGTH ? 'max' : (dataLength ?? unit) / unit,
  });
  const bytes = dataLength ?? 0;
  switch (type.name) {
    case 'Bit':
    case 'BitN':
      return { name: 'bit' };
    case 'TinyInt':
      return { name: 'tinyint' };
    case 'SmallInt':
      return { name: 'smallint' };
    case 'Int':
      return { name: 'int' };
    case 'BigInt':
      return { name: 'bigint' };
    case 'IntN':
      return { name: bytes === 1 ? 'tinyint' : bytes === 2 ? 'smallint' : bytes === 4 ? 'int' : 'bigint' };
    case 'Decimal':
    case 'DecimalN':
      return { name: 'decimal', precision: precision ?? 18, scale: scale ?? 0 };
    case 'Numeric':
    case 'NumericN':
      return { name: 'numeric', precision: precision ?? 18, scale: scale ?? 0 };
    case 'Real':
      return { name: 'real' };
    case 'Float':
      return { name: 'float' };
    case 'FloatN':
      return { name: bytes === 4 ? 'real' : 'float' };
    case 'SmallMoney':
      return { name: 'smallmoney' };
    case 'Money':
      return { name: 'money' };
    case 'MoneyN':
      return { name: bytes === 4 ? 'smallmoney' : 'money' };
    case 'SmallDateTime':
      return { name: 'smalldatetime' };
    case 'DateTime':
      return { name: 'datetime' };
    case 'DateTimeN':
      return { name: bytes === 4 ? 'smalldatetime' : 'datetime' };
    case 'Date':
      return { name: 'date' };
    case 'Time':
      return { name: 'time', scale: scale ?? 7 };
    case 'DateTime2':
      return { name: 'datetime2', scale: scale ?? 7 };
    case 'DateTimeOffset':
      return { name: 'datetimeoffset', scale: scale ?? 7 };
    case 'UniqueIdentifier':
      return { name: 'uniqueidentifier' };
    case 'Char':
      return sized('char');
    case 'VarChar':
      return sized('varchar');
    case 'NChar':
      return sized('nchar', 2);
    case 'NVarChar':
      return sized('nvarchar', 2);
    case 'Binary':
      return userType === ROWVERSION_USER_TYPE ? undefined : sized('binary');
    case 'VarBinary':
      return sized('varbinary');
    case 'Text':
      return { name: 'text' };
    case 'NText':
      return { name: 'ntext' };
    case 'Image':
      return { name: 'image' };
    case 'Xml':
      return { name: 'xml' };
    default:
      return undefined;
  }
}
