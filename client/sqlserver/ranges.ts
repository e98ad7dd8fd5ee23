import { replaceUnstorable } from '../../protocol/values.ts';
import type { NdjsonBlock, SqlServer } from './connection.ts';
import { quoteName } from './ddl.ts';
import { SqlServerError } from './errors.ts';
import type { SqlParameter } from './request.ts';

/**
 * A table of many millions of rows is read by bounded statements, each of which starts behind the last key of the one
 * before, so that a reading that breaks goes on from there:
 *
 *     SELECT TOP (n) WITH TIES * FROM (<query>) AS q WHERE q.[clave] > <last key> ORDER BY q.[clave]
 *
 * The key is unique in its table; a join in the query may repeat it all the same. WITH TIES then takes the rest of the
 * repeated ones into their range, where `>` would skip them; of a key that does not repeat it changes nothing.
 */

/** The column of a result that its rows are read in ranges of. */
export interface RangeKey {
  /** As the result spells it. */
  name: string;
  /** As SQL Server writes it: `decimal(38,10)`. */
  type: string;
  /** Of char and varchar. */
  collation?: string;
}

/** A range is whole: `ultima` is the key of its last row as exact text, and what `after` takes. */
export interface RangeEnd {
  ultima: string;
}

export interface RangeOptions {
  parameters: readonly SqlParameter[];
  key: RangeKey;
  /** Rows of a range, 1 or more; ties of its last key come on top. */
  filas: number;
  /** Starts behind this key; default: at the beginning. */
  after?: string;
  /** As of ReadRowsOptions. */
  names?: readonly string[];
  /** As of ReadRowsOptions. */
  blockBytes?: number;
  signal: AbortSignal;
}

/**
 * The rows of `query` in the order of its key: the blocks of one range after the other, and a RangeEnd behind each range
 * that has rows. Ends after the first range with fewer than `filas`.
 *
 * Throws `signal.reason`, what SqlServer.readRows throws, or SqlServerError VALOR for a key whose text is not exact or
 * that SQL Server finds behind itself.
 */
export async function* readRanges(
  db: SqlServer,
  query: string,
  { parameters, key, filas, after, names = [], blockBytes, signal }: RangeOptions,
): AsyncGenerator<NdjsonBlock | RangeEnd> {
  if (!Number.isSafeInteger(filas) || filas < 1) throw new RangeError(`filas: ${filas}`);
  const spelling = names.findLast((name) => name.toLowerCase() === key.name.toLowerCase()) ?? key.name;
  const column = `q.${quoteName(key.name)}`;
  const head = `SELECT TOP (${filas}) WITH TIES * FROM ${wrapQuery(query)} AS q`;
  const options = { names, signal, ...(blockBytes === undefined ? {} : { blockBytes }) };
  let ultima = after;
  for (let rows = filas; rows >= filas; ) {
    rows = 0;
    const where = ultima === undefined ? '' : ` WHERE ${column} > ${keySql(key)}`;
    const position: SqlParameter[] = ultima === undefined ? [] : [{ name: 'clave', type: 'nvarchar', value: ultima }];
    const range = db.readRows(`${head}${where} ORDER BY ${column}`, {
      ...options,
      parameters: [...parameters, ...position],
    });
    let last: string | undefined;
    for await (const block of range) {
      rows += block.rows;
      if (block.rows > 0) last = lastValue(block.bytes, spelling);
      yield block;
    }
    if (last === undefined) return;
    const reached = readKey(last, spelling);
    // What is read again would be read for ever.
    if (reached === ultima) throw unusableKey(spelling, 'vuelve a salir detrás de sí mismo');
    ultima = reached;
    yield { ultima };
  }
}

/**
 * `@clave` in the type of the column, so that the comparison neither rounds nor keeps SQL Server from seeking in the
 * index. Text of a code page is converted by the column's own collation; that of the database may have another one.
 */
function keySql({ type, collation }: RangeKey): string {
  const [base] = type.split('(') as [string];
  switch (base) {
    case 'char':
    case 'varchar':
      return `CONVERT(${type}, @clave${collation === undefined ? '' : ` COLLATE ${collation}`})`;
    case 'date':
    case 'datetime':
    case 'smalldatetime':
    case 'datetime2':
      return `CONVERT(${type}, @clave, 126)`;
    default:
      // ISO text of time and datetimeoffset reads the same in every language, and style 126 knows neither.
      return `CONVERT(${type}, @clave)`;
  }
}

/** The value of `name` in the last of some NDJSON lines, as it is written there. */
function lastValue(bytes: Uint8Array, name: string): string {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = lines.lastIndexOf(10, -2) + 1;
  const value = rawValueOf(lines.toString('utf8', start, lines.length - 1), replaceUnstorable(name).text);
  if (value === undefined) throw new Error(`no «${name}» in a row of the range`);
  return value;
}

/** A number keeps its digits, which a double might lose. Throws SqlServerError VALOR. */
function readKey(json: string, name: string): string {
  if (json === 'null') throw unusableKey(name, 'es NULL');
  if (!json.startsWith('"')) return json;
  const text = JSON.parse(json) as string;
  if (text.includes('\uFFFD')) throw unusableKey(name, 'tiene un carácter que no se puede escribir (U+FFFD)');
  return text;
}

/** The value of a key of a JSON object without nested ones, as it is written; undefined when it has no such key. */
function rawValueOf(object: string, name: string): string | undefined {
  let at = 1;
  while (at < object.length) {
    const colon = endOfString(object, at);
    const start = colon + 1;
    const end = object[start] === '"' ? endOfString(object, start) : endOfLiteral(object, start);
    if (JSON.parse(object.slice(at, colon)) === name) return object.slice(start, end);
    at = end + 1;
  }
  return undefined;
}

/** Behind the quote that closes the string that opens at `from`. */
function endOfString(text: string, from: number): number {
  for (let at = from + 1; ; at++) {
    at = text.indexOf('"', at);
    if (at < 0) throw new Error('a JSON string without an end');
    let escapes = 0;
    while (text[at - 1 - escapes] === '\\') escapes++;
    if (escapes % 2 === 0) return at + 1;
  }
}

function endOfLiteral(text: string, from: number): number {
  const comma = text.indexOf(',', from);
  return comma < 0 ? text.length - 1 : comma;
}

function unusableKey(name: string, why: string): SqlServerError {
  return new SqlServerError(
    'VALOR',
    `Columna «${name}», en la última fila de un rango de particion: el valor ${why} y no sirve para seguir detrás de él. ` +
      'Corrija esa fila o elija otra columna en particion.columna.',
  );
}

/** Types whose values have an order of their own and an exact text. */
const KEY_TYPES = new Set(
  `tinyint smallint int bigint decimal numeric money smallmoney date time datetime smalldatetime datetime2
  datetimeoffset char varchar nchar nvarchar uniqueidentifier`.split(/\s+/),
);

/** What of sp_describe_first_result_set is looked at, where it looks through views (mode 1). */
interface DescribedColumn {
  is_hidden: boolean;
  name: string | null;
  is_nullable: boolean;
  system_type_name: string | null;
  collation_name: string | null;
  source_server: string | null;
  source_database: string | null;
  source_schema: string | null;
  source_table: string | null;
  source_column: string | null;
}

/**
 * Finds out what `columna` of the result of `query` is. `parameters` are those that the query may mention; their values
 * do not matter.
 *
 * Throws SqlServerError RESULTADO where rows cannot be read in ranges of it: it is not in the result, computed, may be
 * NULL, of a type without order or exact text, or without a unique index on it alone; PERMISOS where the login does not
 * see its table; CONSULTA where the query is not one plain SELECT.
 */
export async function findRangeKey(
  db: SqlServer,
  query: string,
  parameters: readonly SqlParameter[],
  columna: string,
  signal: AbortSignal,
): Promise<RangeKey> {
  const columns = (await describe(db, query, parameters, signal)).filter((column) => !column.is_hidden);
  const alike = columns.filter(({ name }) => name?.toLowerCase() === columna.toLowerCase());
  const column = alike.find(({ name }) => name === columna) ?? alike[0];
  if (column === undefined) {
    throw refused(`la consulta no devuelve la columna «${columna}»: añádala al SELECT`);
  }
  const name = column.name!;
  const { source_table: table, source_column: source } = column;
  if (table === null || source === null) {
    const why = 'es calculada: no viene tal cual de una columna de una tabla, y no puede tener un índice único';
    throw refused(`la columna «${name}» de la consulta ${why}. Ponga en la consulta una columna de tabla`);
  }
  const place = `${column.source_schema ?? 'dbo'}.${table}`;
  const where = `la columna «${name}» de la consulta (${place}, columna ${source})`;
  if (column.source_server !== null) {
    throw refused(
      `${where} es de un servidor vinculado (${column.source_server}): lea esa tabla en su propio servidor`,
    );
  }
  const type = column.system_type_name ?? 'CLR';
  if (!KEY_TYPES.has(type.replace(/\(.*/, ''))) {
    const why = `es de tipo ${type}, que no se puede ordenar y escribir con exactitud`;
    throw refused(`${where} ${why}. Use una columna de enteros, decimales, fechas, texto o uniqueidentifier`);
  }
  if (column.is_nullable) {
    throw refused(`${where} admite NULL, y esas filas se saltarían: haga la columna NOT NULL`);
  }
  await assertUnique(db, column, { where, place, table, source }, signal);
  const { collation_name: collation } = column;
  return { name, type, ...(collation !== null && /^\w+$/.test(collation) ? { collation } : {}) };
}

async function describe(
  db: SqlServer,
  query: string,
  parameters: readonly SqlParameter[],
  signal: AbortSignal,
): Promise<DescribedColumn[]> {
  const types = { datetime2: 'datetime2(7)', nvarchar: 'nvarchar(4000)', bigint: 'bigint', int: 'int' };
  const declared = parameters.map(({ name, type }) => `@${name} ${types[type]}`).join(', ');
  try {
    const columns = await db.query('EXEC sys.sp_describe_first_result_set @tsql, @params, 1', {
      parameters: [
        { name: 'tsql', type: 'nvarchar', value: `SELECT * FROM ${wrapQuery(query)} AS q` },
        { name: 'params', type: 'nvarchar', value: declared === '' ? null : declared },
      ],
      signal,
    });
    return columns as unknown as DescribedColumn[];
  } catch (error) {
    throw error instanceof SqlServerError ? explain(error) : error;
  }
}

/** As a derived table without its alias. The line end is for a query that closes with a comment. */
function wrapQuery(query: string): string {
  return `(${query.replace(/[;\s]+$/, '')}\n)`;
}

/** What SQL Server says of a query that does not stand in parentheses: sys.messages. */
const NOT_DERIVABLE = new Set([102, 105, 113, 156, 319, 1033, 8155, 8156]);
const USES_TEMP_TABLE = 11526;

function explain(error: SqlServerError): SqlServerError {
  const rule =
    error.number === USES_TEMP_TABLE
      ? 'particion no admite tablas #temporales en process.query: use una tabla o una vista'
      : 'particion pide que process.query sea un solo SELECT, sin ORDER BY, sin WITH (CTE) ni otras sentencias, y con un ' +
        'nombre distinto en cada columna';
  if (error.number !== USES_TEMP_TABLE && !NOT_DERIVABLE.has(error.number ?? 0)) return error;
  return new SqlServerError('CONSULTA', `La consulta no se puede leer por rangos: ${rule}. ${error.message}`, {
    number: error.number!,
    ...(error.line === undefined ? {} : { line: error.line }),
    cause: error,
  });
}

/** Indexes in rows (not columnstore, XML, …) whose one key column it is; a row without a name when there is none. */
function indexesSql(database: string | null): string {
  const sys = database === null ? 'sys' : `${quoteName(database)}.sys`;
  return `SELECT i.name, i.is_unique, i.is_disabled, i.has_filter
    FROM ${sys}.schemas AS s
    JOIN ${sys}.objects AS o ON o.schema_id = s.schema_id AND o.name = @tabla
    LEFT JOIN ${sys}.columns AS c ON c.object_id = o.object_id AND c.name = @columna
    LEFT JOIN ${sys}.index_columns AS k ON k.object_id = o.object_id AND k.column_id = c.column_id AND k.key_ordinal = 1
      AND NOT EXISTS (SELECT 1 FROM ${sys}.index_columns AS x
        WHERE x.object_id = k.object_id AND x.index_id = k.index_id AND x.key_ordinal > 1)
    LEFT JOIN ${sys}.indexes AS i ON i.object_id = k.object_id AND i.index_id = k.index_id AND i.type IN (1, 2)
    WHERE s.name = @esquema`;
}

interface Index {
  name: string | null;
  is_unique: boolean;
  is_disabled: boolean;
  has_filter: boolean;
}

async function assertUnique(
  db: SqlServer,
  { source_database: database, source_schema: schema }: DescribedColumn,
  { where, place, table, source }: { where: string; place: string; table: string; source: string },
  signal: AbortSignal,
): Promise<void> {
  const values = { esquema: schema ?? 'dbo', tabla: table, columna: source };
  const parameters = Object.entries(values).map(([name, value]) => ({ name, type: 'nvarchar' as const, value }));
  const found = (await db.query(indexesSql(database), { parameters, signal })) as unknown as Index[];
  if (found.length === 0) {
    const what = `particion: el usuario de SQL Server no ve la tabla ${place}, y no se sabe si ${where} es única`;
    throw new SqlServerError('PERMISOS', `${what}. Dele permiso: GRANT VIEW DEFINITION ON ${place} TO su_usuario.`);
  }
  if (found.some((index) => index.is_unique && !index.is_disabled && !index.has_filter)) return;
  const index =
    found.find(({ name, is_unique }) => name !== null && is_unique) ?? found.find(({ name }) => name !== null);
  const create = `CREATE UNIQUE INDEX ${quoteName(`UX_${table}_${source}`)} ON ${quoteName(values.esquema)}.${quoteName(table)} (${quoteName(source)})`;
  if (index === undefined) {
    throw refused(`${where} no es única: no hay un índice sobre ella sola. Si no se repite, créelo: ${create}`);
  }
  const why = !index.is_unique ? 'no es UNIQUE' : index.is_disabled ? 'está deshabilitado' : 'tiene un filtro (WHERE)';
  throw refused(`${where} no es única: su índice «${index.name}» ${why}. Si no se repite, cree otro: ${create}`);
}

function refused(what: string): SqlServerError {
  return new SqlServerError('RESULTADO', `particion: ${what}, o elija otra columna en particion.columna.`);
}
