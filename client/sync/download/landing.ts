import { formatSqlType, isCarried, type SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import type { TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { agentError } from '../../errors/agent-error.ts';
import type { BulkColumn } from '../../sqlserver/tables/ddl.ts';
import type { TableColumn, TableColumns } from '../../sqlserver/tables/table-columns.ts';
import { isMultiByte } from '../../sqlserver/tds/code-pages.ts';
import { describeType, familyOf, isLossyConversion } from '../../sqlserver/types/sql-types.ts';
import { keyNames } from './target.ts';

/**
 * How a download's columns lie in `#temp`, so that nothing changes on the last step into a target that exists.
 *
 * For the built-in update, and where the configuration has no schema, they have the target's own types: INSERT … SELECT then has
 * nothing to convert. What a post_process gets has the types of the schema, as documented; where the target has a column of that
 * name whose type is narrower, each value must fit that as well (`also`). Either way the bulk load refuses by row, column and value
 * (bulk-load.ts), before the target is touched.
 */

/**
 * Returns the columns to load. `builtIn`: the update is ours. `target`: undefined where this login may not read it.
 * @throws {AgentError}: DESTINO_SIN_COLUMNAS where the built-in update has nowhere to put a column, TIPO_DE_DESTINO for
 * types that SQL Server would make something else of
 */
export function landingColumns(
  tabla: TablaBajada,
  columns: readonly BulkColumn[],
  target: TableColumns | undefined,
  { builtIn, databasePage }: { builtIn: boolean; databasePage: string | undefined },
): BulkColumn[] {
  const found = ({ name }: BulkColumn) => target?.get(name.toLowerCase());
  const missing = columns.filter((column) => found(column) === undefined).map(({ name }) => name);
  if (builtIn && target !== undefined && missing.length > 0) {
    throw agentError('DESTINO_SIN_COLUMNAS', { tabla: tabla.nombre, columnas: missing.join(', ') });
  }
  const keys = builtIn ? keyNames(tabla, columns) : [];
  return columns.map((column) => {
    const at = found(column);
    if (at === undefined) return withPage(column, describeType(column.type).hasCodePage ? databasePage : undefined);
    if (!builtIn && tabla.schema !== undefined) return checked(column, at);
    const landed = { ...column, ...land(tabla, column, at) };
    if (!builtIn) return withPage(landed, at.codePage);
    const nullable = column.nullable && at.nullable && !keys.includes(column.name);
    const { collation } = at;
    return withPage({ ...landed, nullable, ...(collation !== undefined && { collation }) }, at.codePage);
  });
}

function withPage(column: BulkColumn, codePage: string | undefined): BulkColumn {
  return codePage === undefined ? column : { ...column, codePage };
}

/** As the schema says it, for SQL of the customer's own. */
function checked(column: BulkColumn, { type, codePage }: TableColumn): BulkColumn {
  const isSafe =
    type === undefined ||
    (familyOf(type) === familyOf(column.type)
      ? holds(type, column.type) && !isMultiByte(codePage)
      : !isLossyConversion(column.type, type));
  if (isSafe) return withPage(column, codePage);
  return withPage({ ...column, also: type, target: type }, codePage);
}

/** As the target has it. */
function land(
  tabla: TablaBajada,
  { name, type: from }: BulkColumn,
  { type: to }: TableColumn,
): Pick<BulkColumn, 'type' | 'also' | 'target'> {
  if (to === undefined) return { type: from };
  const [source, target] = [familyOf(from), familyOf(to)];
  const note = formatSqlType(from) === formatSqlType(to) ? {} : { target: to };
  if (source !== target && (source === 'bytes' || target === 'bytes') && source !== 'text') {
    const values = { tabla: tabla.nombre, columna: name, tipo: formatSqlType(from), destino: formatSqlType(to) };
    throw agentError('TIPO_DE_DESTINO', values);
  }
  // SQL Server makes it of text alone.
  if (isCarried(to.name)) return { type: to, ...note };
  // Their text is SQL Server's to write where it is exact and fits: a bit as 1, a decimal with its scale.
  if (target === 'text' && source !== 'text') {
    const { length = 'max' } = to;
    const most = describeType(from).textLength?.(from);
    if (most !== undefined && (length === 'max' || most <= length)) return { type: from };
  }
  if (from.name === 'time' && target === 'moment' && to.name !== 'time') return { type: from, also: to, ...note };
  return { type: to, ...note };
}

/**
 * Returns whether every value of `from`, of the same family, is one of `to`; where that takes thought, no: then each is
 * looked at.
 */
function holds(to: SqlTypeSpec, from: SqlTypeSpec): boolean {
  if (formatSqlType(to) === formatSqlType(from)) return true;
  const family = familyOf(to);
  if (family === 'text' || family === 'bytes') {
    const room = to.length ?? 'max';
    const most = from.length ?? 'max';
    return room === 'max' || (most !== 'max' && most <= room);
  }
  if (to.name === from.name && digitsOf(to) === undefined) return (to.scale ?? 0) >= (from.scale ?? 0);
  // An integer type has not got all numbers of so many digits: a decimal may pass it.
  if (from.precision !== undefined && to.precision === undefined) return false;
  const [has, needs] = [digitsOf(to), digitsOf(from)];
  return has !== undefined && needs !== undefined && has[0] >= needs[0] && has[1] >= needs[1];
}

function digitsOf(type: SqlTypeSpec): [whole: number, fraction: number] | undefined {
  return describeType(type).digits?.(type);
}
