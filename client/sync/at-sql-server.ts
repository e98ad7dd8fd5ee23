import type { SqlServer } from '../sqlserver/sql-server.ts';
import type { SyncContext } from './context.ts';

/** Runs the flow of a table on a connection to its SQL Server, whose messages go to the log. */
export function atSqlServer<T>(
  { log, progress, signal, withSqlServer }: SyncContext,
  { nombre }: { nombre: string },
  use: (db: SqlServer) => Promise<T>,
): Promise<T> {
  progress.waiting(() => 'la conexión a SQL Server');
  return withSqlServer({ signal, onMessage: (text) => log.info(`SQL Server: ${text}`, nombre) }, use);
}
