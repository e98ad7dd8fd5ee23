import { SqlServerError } from '../errors.ts';
import type { Queryable } from './queryable.ts';

/** `desde`: when the oldest began, on SQL Server's local clock; undefined: there is none. */
export type OldestWriter = { seVe: true; desde: string | undefined } | { seVe: false; motivo: string };

/** What the login needs, by the edition of SQL Server: for whoever grants it. */
export const RIGHT_TO_SEE =
  'VIEW SERVER STATE (desde SQL Server 2022 basta VIEW SERVER PERFORMANCE STATE; en Azure SQL Database, VIEW DATABASE STATE)';

/**
 * The oldest transaction of the database that has written and is still open: rows that it has stamped may be committed after
 * a reading that did not see them. Readers and SQL Server's own work do not count. A login without the right to look, and a
 * server without these views, is an answer and no error. Throws SqlServerError for a connection that breaks.
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
