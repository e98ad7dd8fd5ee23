import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';
import { copyLinesFrom } from '../postgres/copy.ts';
import { translateSqlError } from '../postgres/errors.ts';
import { beginTransaction, endTransaction } from '../postgres/pool.ts';
import { setTimeouts } from '../postgres/tenant.ts';
import type { VerifiedTable } from '../rows/verify.ts';
import { collecting } from './memory.ts';

/**
 * Hashes of a table on their way to an agent: one statement of the server's own, in one snapshot, as a framed body. It takes a transfer
 * connection of the tenant, and no longer than a tenant's SQL may.
 */

/**
 * Runs a SELECT of one column and returns the body, which throws when it fails midway.
 * @throws {SyncError} OCUPADO, SQL_FALLO; the signal's reason
 */
export async function openHashes(
  { database, config }: Context,
  { configuration, tabla }: VerifiedTable,
  signal: AbortSignal,
  select: string,
): Promise<AsyncIterable<string | Buffer>> {
  const { connection, release } = await database.borrowTransfer(configuration.tenantId);
  let released = false;
  const end = (broken: boolean) => {
    if (released) return;
    released = true;
    release(broken);
  };
  signal.addEventListener('abort', () => end(true), { once: true });
  const place = { tabla: tabla.nombre, fase: 'process' as const };
  try {
    signal.throwIfAborted();
    await beginTransaction(connection, 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await setTimeouts(connection, { statementMs: config.SQL_TIMEOUT_MS, lockMs: config.LOCK_TIMEOUT_MS });
    // Sums by sorting would write every document to the disk: 1 M rows cost 4.0 CPU s so, 2.6 by hashing.
    await connection.query(
      `SET LOCAL client_connection_check_interval = '5s'; SET LOCAL jit = off;
       SET LOCAL enable_sort = off; SET LOCAL work_mem = '32MB'`,
    );
    const source = copyLinesFrom(connection, select);
    const rows = collecting(source)[Symbol.asyncIterator]();
    // What fails at once fails here.
    const first = await rows.next();
    return frame();

    async function* frame(): AsyncGenerator<string | Buffer> {
      try {
        yield `${JSON.stringify({ $inicio: { tabla: tabla.nombre } })}\n`;
        for (let step = first; step.done !== true; step = await rows.next()) yield step.value;
        await endTransaction(connection, 'COMMIT');
        end(false);
        yield `${JSON.stringify({ $fin: { filas: source.rowCount } })}\n`;
      } catch (error) {
        throw translateSqlError(error, place);
      } finally {
        // Left in the middle of a COPY it can only be closed.
        end(true);
      }
    }
  } catch (error) {
    end(true);
    if (signal.aborted) throw signal.reason ?? error;
    throw error instanceof SyncError ? error : translateSqlError(error, place);
  }
}
