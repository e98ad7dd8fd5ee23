import { formatSqlType, type SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import { familyOf, loadType } from '../types/sql-types.ts';

/** A column of a table that rows are loaded into. */
export interface BulkColumn {
  name: string;
  type: SqlTypeSpec;
  nullable: boolean;
  /** Of the char, varchar or text column that the value is for, as tedious names it: what it lacks is refused. */
  codePage?: string;
  /** In `#temp`, of characters; the database's own without it. */
  collation?: string;
  /** A type that each value must fit besides, for it will be converted to it. */
  also?: SqlTypeSpec;
  /** The type of the target's column where it is another than the configuration's: told of a value that does not fit. */
  target?: SqlTypeSpec;
}

/** Returns one part of a name in brackets, whatever it holds: `a]b` → `[a]]b]`. */
export function quoteName(name: string): string {
  return `[${name.replaceAll(']', ']]')}]`;
}

/**
 * Quotes a table's name, part by part: `dbo.clientes` → `[dbo].[clientes]`; `[a.b].c` → `[a.b].[c]`; `base..t` as it is
 * read.
 */
export function quoteTable(name: string): string {
  return tableParts(name).join('.');
}

/** Returns `sys.columns`, say, of the database that the table's name says, or of the session's. */
export function catalogView(view: string, table: string): string {
  const database = tableParts(table).at(-3) ?? '';
  return database === '' ? `sys.${view}` : `${database}.sys.${view}`;
}

/**
 * Returns the parts of a table's name, each in brackets, or empty: server, database, schema and table, from the right.
 */
export function tableParts(name: string): string[] {
  const parts: string[] = [];
  let rest = name.trim();
  while (rest !== '') {
    const bracketed = /^\[((?:[^\]]|\]\])*)\]\s*(?:\.|$)/.exec(rest);
    const match = bracketed ?? /^([^.]*)(?:\.|$)/.exec(rest);
    const part = bracketed ? match![1]!.replaceAll(']]', ']') : match![1]!.trim();
    parts.push(part === '' ? '' : quoteName(part));
    rest = rest.slice(match![0].length);
  }
  return parts;
}

/**
 * Returns `CREATE TABLE #x (…)` for rows of `columns`. Strings take their own or the database's collation, not
 * tempdb's.
 */
export function createTempTableSql(name: string, columns: readonly BulkColumn[]): string {
  const list = columns.map(({ name, type, nullable, collation = 'DATABASE_DEFAULT' }) => {
    const loaded = loadType(type);
    const collate = familyOf(loaded) === 'text' ? ` COLLATE ${collation}` : '';
    return `${quoteName(name)} ${formatSqlType(loaded)}${collate} ${nullable ? 'NULL' : 'NOT NULL'}`;
  });
  return `CREATE TABLE ${name} (${list.join(', ')})`;
}

/**
 * Returns `CREATE TABLE` of a target that is missing; the columns of `primaryKey`, if any, become its key and NOT NULL.
 */
export function createTableSql(name: string, columns: readonly BulkColumn[], primaryKey: readonly string[]): string {
  const list = columns.map((column) => {
    const required = !column.nullable || primaryKey.includes(column.name);
    return `${quoteName(column.name)} ${formatSqlType(column.type)} ${required ? 'NOT NULL' : 'NULL'}`;
  });
  if (primaryKey.length > 0) list.push(`PRIMARY KEY (${primaryKey.map(quoteName).join(', ')})`);
  return `CREATE TABLE ${quoteTable(name)} (${list.join(', ')})`;
}
