/** The type of a column as the specification's `schema.columns` states it: `VARCHAR(20)`, `decimal (18, 4)`, `BIT`. */

/** What stands in parentheses behind the name of a type. */
type Parameters =
  | 'none'
  | 'precision and scale'
  | 'bits'
  | 'scale'
  | { maxLength: number; max: boolean }
  | { maxDimensions: number };

interface Declaration {
  parameters: Parameters;
  /**
   * The type that stands for it wherever a client is concerned that has not negotiated it at login ([MS-TDS] 2.2.6.4, FeatureExt), as
   * tedious does not: SQL Server sends its values, and takes them, as this one's. Most types are sent as themselves.
   */
  carrier?: Carrier;
}

interface Carrier {
  name: 'nvarchar' | 'varchar';
  length: 'max';
  /** Which rule a text of the carrier breaks that is no value of the type, Spanish. SQL Server would refuse all rows for it. */
  broken(text: string, dimensions: number | undefined): string | undefined;
}

/**
 * Every type that a schema may name. How the values are read and loaded of those without a carrier is in client/sqlserver/types,
 * which does not compile while one is missing there.
 */
const declarations = {
  bit: { parameters: 'none' },
  tinyint: { parameters: 'none' },
  smallint: { parameters: 'none' },
  int: { parameters: 'none' },
  bigint: { parameters: 'none' },
  decimal: { parameters: 'precision and scale' },
  numeric: { parameters: 'precision and scale' },
  money: { parameters: 'none' },
  smallmoney: { parameters: 'none' },
  float: { parameters: 'bits' },
  real: { parameters: 'none' },
  char: { parameters: { maxLength: 8000, max: false } },
  varchar: { parameters: { maxLength: 8000, max: true } },
  text: { parameters: 'none' },
  nchar: { parameters: { maxLength: 4000, max: false } },
  nvarchar: { parameters: { maxLength: 4000, max: true } },
  ntext: { parameters: 'none' },
  xml: { parameters: 'none' },
  binary: { parameters: { maxLength: 8000, max: false } },
  varbinary: { parameters: { maxLength: 8000, max: true } },
  image: { parameters: 'none' },
  uniqueidentifier: { parameters: 'none' },
  date: { parameters: 'none' },
  time: { parameters: 'scale' },
  smalldatetime: { parameters: 'none' },
  datetime: { parameters: 'none' },
  datetime2: { parameters: 'scale' },
  datetimeoffset: { parameters: 'scale' },
  // SQL Server 2025.
  json: { parameters: 'none', carrier: { name: 'nvarchar', length: 'max', broken: findJsonFault } },
  vector: { parameters: { maxDimensions: 1998 }, carrier: { name: 'varchar', length: 'max', broken: findVectorFault } },
} as const satisfies Record<string, Declaration>;

export type SqlTypeName = keyof typeof declarations;
/** Those that are sent as another type. */
export type CarriedTypeName = {
  [Name in SqlTypeName]: (typeof declarations)[Name] extends { carrier: Carrier } ? Name : never;
}[SqlTypeName];

export interface SqlTypeSpec {
  name: SqlTypeName;
  /** char, varchar, binary, varbinary: bytes; nchar, nvarchar: UTF-16 code units; `'max'` where SQL Server has it. */
  length?: number | 'max';
  /** decimal, numeric: 1 to 38. */
  precision?: number;
  /** decimal, numeric: 0 to precision; time, datetime2, datetimeoffset: 0 to 7. */
  scale?: number;
  /** vector. */
  dimensions?: number;
}

const synonyms: Record<string, SqlTypeName> = { integer: 'int', dec: 'decimal', character: 'char', boolean: 'bit' };

/**
 * Reads a column type, in any case and with blanks anywhere between its parts. What SQL Server fills in is filled in:
 * `DECIMAL` is (18,0), `VARCHAR` is (1), `DATETIME2` is (7), `FLOAT(24)` is real.
 *
 * Throws an Error whose Spanish message names the text and the rule that it breaks.
 */
export function parseSqlType(text: string): SqlTypeSpec {
  const match = /^\s*\[?\s*([a-z][a-z0-9]*)\s*\]?\s*(?:\(\s*(\d{1,5}|max)\s*(?:,\s*(\d{1,5})\s*)?\))?\s*$/i.exec(text);
  if (match === null)
    throw new Error(`«${text.slice(0, 64)}» no es un tipo de SQL Server: se espera, por ejemplo, VARCHAR(20)`);
  const word = match[1]!.toLowerCase();
  const name = synonyms[word] ?? word;
  if (!isSqlTypeName(name)) throw new Error(`«${text}»: el tipo ${word.toUpperCase()} no se admite`);
  const first = match[2]?.toLowerCase();
  const second = match[3];
  return read({ text, name, first, second });
}

/** Returns whether `name`, in lower case, is that of a type that a schema may name; synonyms are not. */
export function isSqlTypeName(name: string): name is SqlTypeName {
  return Object.hasOwn(declarations, name);
}

export const carriedTypes = (Object.keys(declarations) as SqlTypeName[]).filter(isCarried);

export function isCarried(name: SqlTypeName): name is CarriedTypeName {
  return 'carrier' in declarations[name];
}

/** Returns the type that a carried one is sent as. */
export function carrierOf(name: CarriedTypeName): SqlTypeSpec & Carrier {
  return declarations[name].carrier;
}

/** Returns the type in the form that T-SQL and the specification write: `DECIMAL(18,4)`, `NVARCHAR(MAX)`. */
export function formatSqlType({ name, length, precision, scale, dimensions }: SqlTypeSpec): string {
  const word = name.toUpperCase();
  if (length !== undefined) return `${word}(${length === 'max' ? 'MAX' : length})`;
  if (precision !== undefined) return `${word}(${precision},${scale ?? 0})`;
  if (scale !== undefined) return `${word}(${scale})`;
  if (dimensions !== undefined) return `${word}(${dimensions})`;
  return word;
}

/** The numbers between a type's parentheses, as far as they are there. */
interface Given {
  text: string;
  name: SqlTypeName;
  first: string | undefined;
  second: string | undefined;
}

function read({ text, name, first, second }: Given): SqlTypeSpec {
  const parameters: Parameters = declarations[name].parameters;
  const refuse = (rule: string) => new Error(`«${text}»: ${rule}`);
  const within = makeBound(refuse);
  if (parameters === 'none') {
    if (first !== undefined) throw refuse(`${name.toUpperCase()} no lleva paréntesis`);
    return { name };
  }
  if (parameters === 'precision and scale') {
    const precision = within(first ?? '18', 1, 38, 'la precisión');
    return { name, precision, scale: within(second ?? '0', 0, precision, 'la escala') };
  }
  if (second !== undefined) throw refuse(`${name.toUpperCase()} lleva un solo número`);
  if (parameters === 'scale') return { name, scale: within(first ?? '7', 0, 7, 'la escala') };
  if (parameters === 'bits') return { name: within(first ?? '53', 1, 53, 'la precisión') <= 24 ? 'real' : 'float' };
  if ('maxDimensions' in parameters) {
    const { maxDimensions } = parameters;
    if (first === undefined) throw refuse(`${name.toUpperCase()} lleva sus dimensiones: ${name.toUpperCase()}(1536)`);
    return { name, dimensions: within(first, 1, maxDimensions, 'el número de dimensiones') };
  }
  if (first === 'max') {
    if (!parameters.max) throw refuse(`${name.toUpperCase()} no admite MAX`);
    return { name, length: 'max' };
  }
  return { name, length: within(first ?? '1', 1, parameters.maxLength, 'la longitud') };
}

/** Makes what reads a number that has to lie between two others. */
function makeBound(refuse: (rule: string) => Error) {
  return (digits: string, low: number, high: number, what: string): number => {
    const value = Number(digits);
    if (!(value >= low && value <= high)) throw refuse(`${what} debe estar entre ${low} y ${high}`);
    return value;
  };
}

function findJsonFault(text: string): string | undefined {
  return parseJson(text) === undefined ? 'no es JSON' : undefined;
}

/** SQL Server writes a vector as a JSON array of its numbers, and takes it so; it keeps each as a real. */
function findVectorFault(text: string, dimensions: number | undefined): string | undefined {
  const value = parseJson(text);
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'number'))
    return 'no es una lista JSON de números';
  if (dimensions === undefined || value.length === dimensions) return undefined;
  return `tiene ${value.length} números y la columna ${dimensions} dimensiones`;
}

/** Undefined where it is none. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
