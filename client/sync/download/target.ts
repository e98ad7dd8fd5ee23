import { parseSqlType } from '../../../protocol/rows/sql-types.ts';
import { type Esquema, primaryKeyOf, type TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { agentError } from '../../errors/agent-error.ts';
import { type BulkColumn, quoteName, quoteTable } from '../../sqlserver/tables/ddl.ts';

/** SQL of a download's target table. */

/** Returns the columns of the bulk load, from the configuration's schema or the download's own. */
export function columnsOf(tabla: TablaBajada, offered: Esquema): BulkColumn[] {
  const { columns } = tabla.schema ?? offered;
  return columns.map(({ name, type, nullable }) => ({ name, type: parseSqlType(type), nullable: nullable ?? true }));
}

let tempTables = 10_000 + Math.floor(Math.random() * 90_000);

/**
 * Makes `#temp_<tabla>_<n>`, or `#bajas_<tabla>_<n>`: a name that T-SQL takes without brackets, and that no other
 * download of this process has.
 */
export function makeTempName(nombre: string, kind: 'temp' | 'bajas' = 'temp'): string {
  const plain = nombre.replace(/[^A-Za-z0-9_]/g, '_').slice(0, 80);
  tempTables += 1;
  return `#${kind}_${plain}_${tempTables}`;
}

/**
 * Returns `sql` with each `{name}` of `names` in its place, once: what a name holds is text, also `$&` or `{tabla}`.
 */
export function fillNames(sql: string, names: Readonly<Record<string, string>>): string {
  return sql.replace(/\{(\w+)\}/g, (found, name: string) => (Object.hasOwn(names, name) ? names[name]! : found));
}

/**
 * Returns what brings the target up to date when the configuration has no post_process at `destino`:
 * - with a primaryKey: rows of known keys are updated, others inserted; none is deleted;
 * - with `bajas`, the `#temp` of keys that are gone, their rows are deleted before that;
 * - without primaryKey: the target becomes a copy of the download (all rows out, all rows in).
 * Statements without MERGE, for SQL Server 2014 and later. They belong in one transaction.
 */
export function builtInUpdate(
  tabla: TablaBajada,
  columns: readonly BulkColumn[],
  { temp, bajas }: { temp: string; bajas: string | undefined },
): string[] {
  const target = quoteTable(tabla.nombre);
  const names = columns.map(({ name }) => quoteName(name));
  const list = names.join(', ');
  const keys = keyColumns(tabla, columns);
  if (keys.length === 0) {
    return [`DELETE FROM ${target}`, `INSERT INTO ${target} (${list}) SELECT ${list} FROM ${temp}`];
  }
  const same = keys.map((key) => `t.${key} = s.${key}`).join(' AND ');
  const rest = names.filter((name) => !keys.includes(name));
  const source = names.map((name) => `s.${name}`).join(', ');
  const assignments = rest.map((name) => `${name} = s.${name}`).join(', ');
  const insert =
    `INSERT INTO ${target} (${list}) SELECT ${source} FROM ${temp} AS s ` +
    `WHERE NOT EXISTS (SELECT 1 FROM ${target} AS t WHERE ${same})`;
  const gone = `DELETE t FROM ${target} AS t WHERE EXISTS (SELECT 1 FROM ${bajas} AS s WHERE ${same})`;
  const before = bajas === undefined ? [] : [gone];
  if (rest.length === 0) return [...before, insert];
  return [...before, `UPDATE t SET ${assignments} FROM ${target} AS t INNER JOIN ${temp} AS s ON ${same}`, insert];
}

/**
 * Returns the key's columns as the schema spells them, without quotes.
 * @throws {AgentError} when the schema has not got one
 */
export function keyNames(tabla: TablaBajada, columns: readonly BulkColumn[]): string[] {
  return primaryKeyOf(tabla).map((key) => {
    const column = columns.find(({ name }) => name.toLowerCase() === key.toLowerCase());
    if (column !== undefined) return column.name;
    throw agentError('CLAVE_SIN_COLUMNA', { clave: key, tabla: tabla.nombre });
  });
}

function keyColumns(tabla: TablaBajada, columns: readonly BulkColumn[]): string[] {
  return keyNames(tabla, columns).map(quoteName);
}
