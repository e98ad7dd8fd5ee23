import type { UploadResult } from '../../protocol/api.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Direccion } from '../../protocol/tenant-config/config.ts';
import type { Context } from '../context.ts';
import { type Connection, inTransaction } from '../postgres/pool.ts';
import { setTimeouts } from '../postgres/tenant.ts';
import type { Configuration } from '../tenants/configurations.ts';
import { insertLogs } from '../tenants/logs.ts';
import { logEntry, logOwner } from './log-entries.ts';

/** What a transfer is of. */
export interface TransferOf {
  context: Context;
  configuration: Configuration;
  direccion: Direccion;
  /** As sync_logs names it; empty while the table is not known yet. */
  tabla: string;
}

/** A transfer of a tenant's table under way, in the open transaction of `connection`. */
export interface Transfer extends TransferOf {
  connection: Connection;
  /** An upload that this transaction applies; it counts once that is committed. */
  applied?: { result: UploadResult; seconds: number };
}

interface TransferOptions {
  direccion: Direccion;
  tabla: string;
  /** Runs once the transaction is committed, on the same connection. */
  afterCommit?: (connection: Connection) => Promise<void>;
}

/**
 * Runs `fn` in one transaction on a transfer connection of the tenant: committed when it returns, rolled back when it
 * throws. A failure of the tenant's own SQL is in sync_logs then.
 * @throws {SyncError} OCUPADO: no connection is free for the tenant; what `fn` throws
 */
export async function withTenantTransfer<T>(
  context: Context,
  configuration: Configuration,
  { direccion, tabla, afterCommit }: TransferOptions,
  fn: (transfer: Transfer) => Promise<T>,
): Promise<T> {
  const started = new Date();
  const of: TransferOf & Pick<Transfer, 'applied'> = { context, configuration, direccion, tabla };
  const { meters } = context;
  try {
    const result = await context.database.withTransfer(configuration.tenantId, async (connection) => {
      const result = await inTransaction(connection, async () => {
        await setTimeouts(connection, { lockMs: context.config.LOCK_TIMEOUT_MS });
        return fn(Object.assign(of, { connection }));
      });
      await afterCommit?.(connection);
      return result;
    });
    meters.countTransfer(direccion);
    if (of.applied !== undefined) meters.countUpload(of.applied.result, of.applied.seconds);
    return result;
  } catch (error) {
    meters.countTransfer(direccion, error);
    await logFailure(of, started, error);
    throw error;
  }
}

/** Logs what the tenant's SQL failed at, after the rollback; a log that cannot be written is only reported. */
export async function logFailure(
  { context: { database, log }, configuration, direccion, tabla }: TransferOf,
  started: Date,
  error: unknown,
): Promise<void> {
  if (!(error instanceof SyncError) || error.code !== 'SQL_FALLO') return;
  const fase = error.place.fase === 'pre_process' || error.place.fase === 'post_process' ? error.place.fase : 'process';
  const entry = logEntry(direccion, tabla, fase, started, { mensaje: `Falló ${fase} en PostgreSQL` });
  const failed = { ...entry, estado: 'error' as const, errorDetalle: error.detail.slice(0, 20_000) };
  try {
    await database.withTenantConnection(configuration.tenantId, (connection) =>
      insertLogs(connection, logOwner(configuration), [failed]),
    );
  } catch (cause) {
    log.warn({ err: cause, tabla }, 'no se pudo guardar el registro del error');
  }
}
