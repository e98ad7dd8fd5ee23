import { defined } from '../../../protocol/defined.ts';
import { isSqlTypeName } from '../../../protocol/rows/sql-types.ts';
import { SqlServerError, sqlServerError } from '../errors.ts';
import type { Queryable } from '../session/queryable.ts';
import type { SqlParameter } from '../session/request.ts';
import { quoteName } from '../tables/ddl.ts';
import type { KeySql } from '../types/descriptor.ts';
import { describeType } from '../types/sql-types.ts';

/** Whether a table can be read in ranges of a column (ranges.ts), and what there is to know of it. */

/** The column of a result that its rows are read in ranges of. */
export interface RangeKey {
  /** As the result spells it. */
  name: string;
  /** As SQL Server writes it: `decimal(38,10)`. */
  type: string;
  /** Of char and varchar. */
  collation?: string;
}

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
 * @throws {SqlServerError} PARTICION_COLUMNA where rows cannot be read in ranges of it: it is not in the result,
 * computed, may be NULL, of a type without order or exact text, or without a unique index on it alone;
 * PARTICION_PERMISO where the login does not see its table; PARTICION_CONSULTA where the query is not one plain SELECT
 */
export async function findRangeKey(
  db: Queryable,
  query: string,
  parameters: readonly SqlParameter[],
  columna: string,
  signal: AbortSignal,
): Promise<RangeKey> {
  // As it will be read, which says whether it can be; and as it stands, which says where its columns come from.
  await describeResult(db, `SELECT * FROM ${wrapQuery(query)} AS q`, parameters, signal);
  const columns = (await describeResult(db, query, parameters, signal)).filter((column) => !column.is_hidden);
  const alike = columns.filter(({ name }) => name?.toLowerCase() === columna.toLowerCase());
  const column = alike.find(({ name }) => name === columna) ?? alike[0];
  if (column === undefined) {
    throw refused(`la consulta no devuelve la columna «${columna}»`, 'Añádala al SELECT');
  }
  const name = column.name!;
  const { source_table: table, source_column: source } = column;
  if (table === null || source === null) {
    const why = 'es calculada: no viene tal cual de una columna de una tabla, y no puede tener un índice único';
    throw refused(`la columna «${name}» de la consulta ${why}`, 'Ponga en la consulta una columna de tabla');
  }
  const place = `${column.source_schema ?? 'dbo'}.${table}`;
  const where = `la columna «${name}» de la consulta (${place}, columna ${source})`;
  if (column.source_server !== null) {
    throw refused(
      `${where} es de un servidor vinculado (${column.source_server})`,
      'Lea esa tabla en su propio servidor',
    );
  }
  const type = column.system_type_name ?? 'CLR';
  if (keySqlOf(type) === undefined) {
    const why = `es de tipo ${type}, que no se puede ordenar y escribir con exactitud`;
    throw refused(`${where} ${why}`, 'Use una columna de enteros, decimales, fechas, texto o uniqueidentifier');
  }
  if (column.is_nullable) {
    throw refused(`${where} admite NULL, y esas filas se saltarían`, 'Haga la columna NOT NULL');
  }
  await assertUnique(db, column, { where, place, table, source }, signal);
  const { collation_name: collation } = column;
  return { name, type, ...(collation !== null && /^\w+$/.test(collation) ? { collation } : {}) };
}

/**
 * Returns what `@clave` is converted by for a key of `type`, as SQL Server writes it; undefined where there are no
 * ranges of such a type.
 */
export function keySqlOf(type: string): KeySql | undefined {
  const [base] = type.split('(') as [string];
  return isSqlTypeName(base) ? describeType({ name: base }).rangeKey : undefined;
}

/**
 * Returns the columns of the result of `sql`, and where each comes from.
 * @throws {SqlServerError}
 */
export async function describeResult(
  db: Queryable,
  sql: string,
  parameters: readonly SqlParameter[],
  signal: AbortSignal,
): Promise<DescribedColumn[]> {
  const types = {
    datetime2: 'datetime2(7)',
    nvarchar: 'nvarchar(4000)',
    bigint: 'bigint',
    int: 'int',
    'binary(8)': 'binary(8)',
  };
  const declared = parameters.map(({ name, type }) => `@${name} ${types[type]}`).join(', ');
  try {
    const columns = await db.query('EXEC sys.sp_describe_first_result_set @tsql, @params, 1', {
      parameters: [
        { name: 'tsql', type: 'nvarchar', value: sql },
        { name: 'params', type: 'nvarchar', value: declared === '' ? null : declared },
      ],
      signal,
    });
    return columns as unknown as DescribedColumn[];
  } catch (error) {
    throw error instanceof SqlServerError ? explain(error) : error;
  }
}

/** Returns a query as a derived table, without its alias. The line end is for a query that closes with a comment. */
export function wrapQuery(query: string): string {
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
  return sqlServerError(
    'PARTICION_CONSULTA',
    { regla: rule, texto: error.message },
    { number: error.number!, ...defined({ line: error.line }), cause: error },
  );
}

/**
 * Indexes in rows (not columnstore, XML, …) whose first key column it is, and the only one where it has to be `alone`; a
 * row without a name when there is none. Parameters: `@esquema`, `@tabla`, `@columna`.
 */
export function indexesSql(database: string | null, { alone }: { alone: boolean }): string {
  const sys = database === null ? 'sys' : `${quoteName(database)}.sys`;
  const only = `AND NOT EXISTS (SELECT 1 FROM ${sys}.index_columns AS x
        WHERE x.object_id = k.object_id AND x.index_id = k.index_id AND x.key_ordinal > 1)`;
  return `SELECT i.name, i.is_unique, i.is_disabled, i.has_filter
    FROM ${sys}.schemas AS s
    JOIN ${sys}.objects AS o ON o.schema_id = s.schema_id AND o.name = @tabla
    LEFT JOIN ${sys}.columns AS c ON c.object_id = o.object_id AND c.name = @columna
    LEFT JOIN ${sys}.index_columns AS k ON k.object_id = o.object_id AND k.column_id = c.column_id AND k.key_ordinal = 1
      ${alone ? only : ''}
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
  db: Queryable,
  { source_database: database, source_schema: schema }: DescribedColumn,
  { where, place, table, source }: { where: string; place: string; table: string; source: string },
  signal: AbortSignal,
): Promise<void> {
  const values = { esquema: schema ?? 'dbo', tabla: table, columna: source };
  const parameters = Object.entries(values).map(([name, value]) => ({ name, type: 'nvarchar' as const, value }));
  const found = (await db.query(indexesSql(database, { alone: true }), { parameters, signal })) as unknown as Index[];
  if (found.length === 0) {
    throw sqlServerError('PARTICION_PERMISO', { tabla: place, columna: where });
  }
  if (found.some((index) => index.is_unique && !index.is_disabled && !index.has_filter)) return;
  const index =
    found.find(({ name, is_unique }) => name !== null && is_unique) ?? found.find(({ name }) => name !== null);
  const create = `CREATE UNIQUE INDEX ${quoteName(`UX_${table}_${source}`)} ON ${quoteName(values.esquema)}.${quoteName(table)} (${quoteName(source)})`;
  if (index === undefined) {
    throw refused(`${where} no es única: no hay un índice sobre ella sola`, `Si no se repite, créelo: ${create}`);
  }
  const why = !index.is_unique ? 'no es UNIQUE' : index.is_disabled ? 'está deshabilitado' : 'tiene un filtro (WHERE)';
  throw refused(`${where} no es única: su índice «${index.name}» ${why}`, `Si no se repite, cree otro: ${create}`);
}

/** `remedy` begins the sentence that says what to do. */
function refused(why: string, remedy: string): SqlServerError {
  return sqlServerError('PARTICION_COLUMNA', { motivo: why, remedio: remedy });
}
