import { SqlServerError } from '../errors.ts';
import type { Queryable } from './queryable.ts';

/** `desde`: when the oldest began, on SQL Server's local clock; undefined: there is none. */
export type OldestWriter = { seVe: true; desde: string | undefined } | { seVe: false; motivo: string };

/** What the login needs, by the edition of SQL Server: for whoever grants it. */
export const RIGHT_TO_SEE =
  'VIEW SERVER STATE (desde SQL Server 2022 basta VIEW SERVER PERFORMANCE STATE; en Azure SQL Database, VIEW DATABASE STATE)';

/**
 * Finds the oldest transaction of the database that has written and is still open: rows that it has stamped may be
 * committed after a reading that did not see them. Readers and SQL Server's own work do not count. A login without the
 * right to look, and a server without these views, is an answer and no error.
 * @throws {SqlServerError} for a connection that breaks
 */
export async function findOldestWriter(db: Queryable, signal: AbortSignal): Promise<OldestWriter> {
  // Not by session: a distributed transaction may have none.
  const sql = `SELECT CONVERT(varchar(33), MIN(a.transaction_begin_time), 126) AS desde
    FROM sys.dm_tran_active_transactions AS a
    JOIN sys.dm_tran_database_transactions AS d ON d.transaction_id = a.transaction_id
    WHERE d.database_id = DB_ID() AND d.database_transaction_begin_time IS NOT NULL AND a.transaction_type <> 3`;
  try {
    const [row] = await db.query(sql, { signal });
    return { seVe: true, desde: typeof row?.desde === 'string' ? row.desde : undefined };
  } catch (error) {
    if (!(error instanceof SqlServerError) || error.number === undefined || error.retryable) throw error;
    return { seVe: false, motivo: `error ${error.number}` };
  }
}

/** Returns whose the oldest transaction of the database is that has written and is open, for whoever is to end it. Throws as findOldestWriter. */
export async function findOldestSession(
  db: Queryable,
  signal: AbortSignal,
): Promise<{ seVe: true; quien: string } | { seVe: false; motivo: string }> {
  const sql = `SELECT TOP (1) s.session_id, s.login_name, s.host_name, s.program_name
    FROM sys.dm_tran_active_transactions AS a
    JOIN sys.dm_tran_database_transactions AS d ON d.transaction_id = a.transaction_id
    JOIN sys.dm_tran_session_transactions AS t ON t.transaction_id = a.transaction_id
    JOIN sys.dm_exec_sessions AS s ON s.session_id = t.session_id
    WHERE d.database_id = DB_ID() AND d.database_transaction_begin_time IS NOT NULL AND a.transaction_type <> 3
    ORDER BY a.transaction_begin_time`;
  try {
    const [row] = await db.query(sql, { signal });
    if (row === undefined) return { seVe: true, quien: 'no es de ninguna sesión (transacción distribuida)' };
    const { session_id, login_name, host_name, program_name } = row;
    return { seVe: true, quien: `sesión ${session_id}, ${login_name} en ${host_name} (${program_name})` };
  } catch (error) {
    if (!(error instanceof SqlServerError) || error.number === undefined || error.retryable) throw error;
    return { seVe: false, motivo: `error ${error.number}` };
  }
}
