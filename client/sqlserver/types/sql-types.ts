import {
  type CarriedTypeName,
  carriedTypes,
  carrierOf,
  type SqlTypeName,
  type SqlTypeSpec,
} from '../../../protocol/rows/sql-types.ts';
import type { Codec } from '../tds/codec.ts';
import { writeNull } from '../tds/piece-writer.ts';
import { binary, clr, image, varbinary } from './binaries.ts';
import { bit } from './bit.ts';
import { char, nchar, ntext, nvarchar, text, varchar, xml } from './characters.ts';
import { date, datetime, datetime2, datetimeoffset, smalldatetime, time } from './dates.ts';
import { decimal, numeric } from './decimals.ts';
import { type Column, type Family, noneOfThese, type ReadableType, type SqlTypeDescriptor } from './descriptor.ts';
import { float, real } from './floats.ts';
import { uniqueidentifier } from './guid.ts';
import { bigint, int, smallint, tinyint } from './integers.ts';
import { money, smallmoney } from './money.ts';
import { makeVariantWriter } from './sql-variant.ts';

/** The types that SQL Server sends as themselves. */
const ownTypes: Readonly<Record<Exclude<SqlTypeName, CarriedTypeName>, SqlTypeDescriptor>> = {
  bit,
  tinyint,
  smallint,
  int,
  bigint,
  decimal,
  numeric,
  money,
  smallmoney,
  float,
  real,
  char,
  varchar,
  text,
  nchar,
  nvarchar,
  ntext,
  xml,
  binary,
  varbinary,
  image,
  uniqueidentifier,
  date,
  time,
  smalldatetime,
  datetime,
  datetime2,
  datetimeoffset,
};

/** Of a type that is sent as another: what is to be known of it was declared with its name. */
function describeCarried(name: CarriedTypeName): SqlTypeDescriptor {
  const { broken, ...carrier } = carrierOf(name);
  return {
    ...noneOfThese,
    family: ownTypes[carrier.name].family,
    tds: [],
    declare: () => ({ name }),
    transcode: () => undefined,
    writeEvent: () => () => undefined,
    variant: undefined,
    // As characters travel, whatever the code page.
    load: { as: () => loadType(carrier) },
    broken: (text, { dimensions }) => broken(text, dimensions),
    rangeKey: undefined,
    roundsText: false,
  };
}

/** Every SQL type, by its name: who wants to know something of one asks here. */
const sqlTypes: Readonly<Record<SqlTypeName, SqlTypeDescriptor>> = {
  ...ownTypes,
  ...(Object.fromEntries(carriedTypes.map((name) => [name, describeCarried(name)])) as Record<
    CarriedTypeName,
    SqlTypeDescriptor
  >),
};

const writeVariant = makeVariantWriter(Object.values(sqlTypes).flatMap(({ variant }) => variant ?? []));

/** What no schema may name. */
const readOnlyTypes: readonly ReadableType[] = [
  clr,
  {
    tds: ['Variant'],
    transcode: () => writeVariant,
    // It comes without its base type.
    writeEvent: () => () => undefined,
  },
  {
    tds: ['Null'],
    transcode: () => (io, position) => {
      writeNull(io);
      return position;
    },
    writeEvent: () => () => 'null',
  },
];

const byTdsName = indexByTdsName<ReadableType>([...Object.values(sqlTypes), ...readOnlyTypes]);
const declarableByTdsName = indexByTdsName(Object.values(sqlTypes));

function indexByTdsName<T extends ReadableType>(types: readonly T[]): ReadonlyMap<string, T> {
  return new Map(types.flatMap((type) => type.tds.map((name) => [name, type] as const)));
}

function find<T>(map: ReadonlyMap<string, T>, { type, dataLength }: Column): T | undefined {
  return map.get(type.name) ?? map.get(`${type.name}:${dataLength}`);
}

export function describeType({ name }: Pick<SqlTypeSpec, 'name'>): SqlTypeDescriptor {
  return sqlTypes[name];
}

/** Returns how the values of a column of a result are read; undefined where its type is not known. */
export function findReadable(column: Column): ReadableType | undefined {
  return find(byTdsName, column);
}

/**
 * Returns the type of a column of a table; undefined of what no value of a download becomes as it is: sql_variant, CLR
 * types, rowversion.
 */
export function declareColumn(column: Column): SqlTypeSpec | undefined {
  return find(declarableByTdsName, column)?.declare(column);
}

export function familyOf(type: SqlTypeSpec): Family {
  return describeType(type).family;
}

/**
 * Returns the type that a value of `type` has on the wire and in `#temp`. tedious encodes varchar in the connection's
 * collation, which need not be the column's, so characters travel as NVARCHAR, and SQL Server converts them when they
 * reach the target. It puts `?` for what the column's code page lacks: see `BulkColumn.codePage`.
 */
export function loadType(type: SqlTypeSpec): SqlTypeSpec {
  const { load } = describeType(type);
  return 'as' in load ? load.as(type) : type;
}

/**
 * Returns how a value of `type` is written, as what it travels as. Of characters, those that `codePage`, as tedious
 * names it, lacks are refused.
 */
export function codecOf(type: SqlTypeSpec, codePage?: string): Codec {
  const { load } = describeType(type);
  return 'as' in load ? codecOf(load.as(type), codePage) : load.codec(type, codePage);
}

/**
 * Returns whether SQL Server, which turns a value of `from` into one of `to`, of another family, by itself, may lose a
 * part of it in silence: text that is a number or an instant is rounded; a float, money or an old date becomes a short
 * text; an integer too long, `*`.
 */
export function isLossyConversion(from: SqlTypeSpec, to: SqlTypeSpec): boolean {
  if (familyOf(from) === 'text') return describeType(to).roundsText;
  return familyOf(to) === 'text' && describeType(from).lostAsText !== undefined;
}

/** Returns what is lost where SQL Server writes a value of the type as text; undefined: nothing. */
export function lostAsText(from: SqlTypeSpec, to: SqlTypeSpec, text: string): string | undefined {
  return describeType(from).lostAsText?.(text, typeof to.length === 'number' ? to.length : Number.POSITIVE_INFINITY);
}
