import { primaryKeyOf, type TablaSubida } from '../../protocol/tenant-config/config.ts';
import { agentError } from '../errors/agent-error.ts';
import { describeResult } from '../sqlserver/read/range-key.ts';
import { type SqlParameter, type SqlServer, SqlServerError } from '../sqlserver/sql-server.ts';

/**
 * Says which columns the key of an upload's rows is (protocol/SPEC.md, R2), said where it is not plainly `codigo`;
 * where the query gave no row (no `columns`) SQL Server is asked which it has.
 * @throws {AgentError} CLAVE_DUDOSA for a query that gives two, SqlServerError
 */
export async function describeKey(
  db: SqlServer,
  tabla: TablaSubida,
  columns: readonly string[],
  { parameters, signal }: { parameters: SqlParameter[]; signal: AbortSignal },
): Promise<string> {
  const key = primaryKeyOf(tabla);
  const [column = 'codigo'] = key;
  if (key.length < 2 && column === 'codigo') return '';
  if (key.length > 1) return `; clave: ${key.join(', ')}`;
  const known = columns.length > 0 ? columns : await columnsOf(db, tabla.process.query, parameters, signal);
  const has = (name: string) => known.some((one) => one.toLowerCase() === name.toLowerCase());
  if (!has('codigo')) return `; clave: ${column}`;
  if (column.toLowerCase() !== 'codigo' && has(column)) {
    throw agentError('CLAVE_DUDOSA', { tabla: tabla.nombre, columna: column });
  }
  return `; clave: codigo, en el lugar de ${column}`;
}

/** None where SQL Server does not describe the query (#temp tables, several statements). */
async function columnsOf(
  db: SqlServer,
  query: string,
  parameters: SqlParameter[],
  signal: AbortSignal,
): Promise<string[]> {
  try {
    const described = await describeResult(db, query, parameters, signal);
    return described.flatMap(({ name, is_hidden }) => (is_hidden || name === null ? [] : [name]));
  } catch (error) {
    if (error instanceof SqlServerError && !error.retryable) return [];
    throw error;
  }
}
