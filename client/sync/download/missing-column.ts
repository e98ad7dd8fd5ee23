import type { TablaBajada } from '../../../protocol/tenant-config/config.ts';
import { agentError } from '../../errors/agent-error.ts';
import { SqlServerError } from '../../sqlserver/sql-server.ts';
import type { LoadedRows } from './load.ts';

/** "Invalid column name". */
const INVALID_COLUMN = 207;

/**
 * Returns what to throw for `cause`: of a column that SQL of the customer's own asks for, which side has it not. SQL Server names the
 * column and neither table. Before the SQL runs nobody knows which columns it wants of whom: it may map them as it likes.
 */
export function nameMissingColumn(
  { nombre }: Pick<TablaBajada, 'nombre'>,
  { columns, target }: Pick<LoadedRows, 'columns' | 'target'>,
  cause: unknown,
): unknown {
  if (!(cause instanceof SqlServerError) || cause.number !== INVALID_COLUMN) return cause;
  const name = /'([^']+)'/.exec(cause.message)?.[1];
  if (name === undefined || target === undefined) return cause;
  const isLoaded = columns.some((column) => column.name.toLowerCase() === name.toLowerCase());
  const isInTarget = target.has(name.toLowerCase());
  if (isLoaded === isInTarget) return cause;
  const lugar = isLoaded ? `la tabla ${nombre}` : 'la descarga ({temp_table})';
  return agentError('COLUMNA_AUSENTE', { columna: name, lugar, texto: cause.message }, cause);
}
