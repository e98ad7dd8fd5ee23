import pg from 'pg';
import { SyncError } from '../../protocol/errors.ts';
import type { Config } from '../config.ts';
import { translateDatabaseError } from './errors.ts';

/** What runs queries: a connection in a transaction, or outside one. */
export type Connection = pg.PoolClient;

/**
 * The connections of one process, in two bounded sets: `control` for what is short (keys, configuration, logs) and
 * `transfer` for uploads and downloads, which hold one for as long as a body flows. Each has a bounded queue; past it
 * a request is refused at once with OCUPADO. No tenant holds more than its share of the transfers.
 */
export interface Database {
  /** Lends a connection for something short. */
  withConnection<T>(fn: (connection: Connection) => Promise<T>): Promise<T>;
  /** Lends a connection for a transfer of `tenant`. Errors are translated; a broken connection is not reused. */
  withTransfer<T>(tenant: string, fn: (connection: Connection) => Promise<T>): Promise<T>;
  /** The same without a callback, for a transfer that outlives its handler. `release` must be called exactly once. */
  borrowTransfer(tenant: string): Promise<Borrowed>;
  /** Connections in use and requests waiting, for the metrics. */
  usage(): { control: PoolUsage; transfer: PoolUsage };
  close(): Promise<void>;
}

export interface Borrowed {
  connection: Connection;
  /** Gives the connection back; with `broken`, closes it instead. */
  release(broken?: boolean): void;
}

export interface PoolUsage {
  busy: number;
  waiting: number;
  max: number;
}

/** Seconds that a refused request is told to wait. */
const RETRY_AFTER_SECONDS = 5;

/** Makes the pools; connects when first asked. `onError` hears of idle connections that break. */
export function openDatabase(config: Config, onError: (error: Error) => void): Database {
  const base = {
    connectionString: config.DATABASE_URL,
    connectionTimeoutMillis: config.DATABASE_WAIT_MS,
    application_name: 'ax-sync-server',
    keepAlive: true,
  };
  const control = new pg.Pool({ ...base, max: config.DATABASE_CONTROL_POOL_MAX });
  const transfer = new pg.Pool({ ...base, max: config.DATABASE_POOL_MAX });
  control.on('error', onError);
  transfer.on('error', onError);
  const transfersOf = new Map<string, number>();

  async function borrow(pool: pg.Pool): Promise<Borrowed> {
    if (pool.waitingCount >= config.DATABASE_QUEUE_MAX && pool.idleCount === 0 && pool.totalCount >= pool.options.max) {
      throw busy('El servidor atiende ya todas las peticiones que puede.');
    }
    let connection: Connection;
    try {
      connection = await pool.connect();
    } catch (error) {
      // The pool's own timeout has no code: every connection stayed in use.
      if (error instanceof Error && /timeout exceeded when trying to connect/.test(error.message)) {
        throw busy('Ninguna conexión a la base quedó libre a tiempo.', error);
      }
      throw translateDatabaseError(error);
    }
    // Without a listener a connection that breaks while lent would end the process; the running query reports it.
    const ignore = () => {};
    connection.on('error', ignore);
    return {
      connection,
      release: (broken = false) => {
        connection.off('error', ignore);
        connection.release(broken);
      },
    };
  }

  async function borrowTransfer(tenant: string): Promise<Borrowed> {
    const running = transfersOf.get(tenant) ?? 0;
    if (running >= config.TENANT_TRANSFERS_MAX) {
      throw busy(`El tenant tiene ya ${running} transferencias en curso en este servidor.`);
    }
    transfersOf.set(tenant, running + 1);
    const leave = () => {
      const left = (transfersOf.get(tenant) ?? 1) - 1;
      if (left === 0) transfersOf.delete(tenant);
      else transfersOf.set(tenant, left);
    };
    try {
      const borrowed = await borrow(transfer);
      return {
        connection: borrowed.connection,
        release: (broken) => {
          leave();
          borrowed.release(broken);
        },
      };
    } catch (error) {
      leave();
      throw error;
    }
  }

  return {
    withConnection: async (fn) => lend(await borrow(control), fn),
    withTransfer: async (tenant, fn) => lend(await borrowTransfer(tenant), fn),
    borrowTransfer,
    usage: () => ({ control: usageOf(control), transfer: usageOf(transfer) }),
    close: async () => {
      await Promise.all([control.end(), transfer.end()]);
    },
  };
}

async function lend<T>({ connection, release }: Borrowed, fn: (connection: Connection) => Promise<T>): Promise<T> {
  try {
    const result = await fn(connection);
    release();
    return result;
  } catch (error) {
    release(!isUsable(connection) || isConnectionLoss(error));
    throw translateDatabaseError(error);
  }
}

/**
 * Runs `fn` in a transaction: committed when it returns, rolled back when it throws. `begin` opens it (isolation,
 * read only). A connection whose rollback fails is left to be closed (`isUsable` says no).
 */
export async function inTransaction<T>(connection: Connection, fn: () => Promise<T>, begin = 'BEGIN'): Promise<T> {
  await connection.query(begin);
  try {
    const result = await fn();
    await connection.query('COMMIT');
    return result;
  } catch (error) {
    await connection.query('ROLLBACK').catch(() => broken.add(connection));
    throw error;
  }
}

const broken = new WeakSet<Connection>();

/** The connection is closed, not lent again, when what it was lent for fails. */
export function doNotReuse(connection: Connection): void {
  broken.add(connection);
}

function isUsable(connection: Connection): boolean {
  return !broken.has(connection);
}

function isConnectionLoss(error: unknown): boolean {
  if (!(error instanceof Error)) return true;
  const code = (error as { code?: unknown }).code;
  // An error that PostgreSQL sent leaves the connection in order, except when it ends the session.
  if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return /^(57P|08)/.test(code);
  return !(error instanceof SyncError);
}

function usageOf(pool: pg.Pool): PoolUsage {
  return { busy: pool.totalCount - pool.idleCount, waiting: pool.waitingCount, max: pool.options.max };
}

function busy(detail: string, cause?: unknown): SyncError {
  return new SyncError('OCUPADO', detail, { retryAfter: RETRY_AFTER_SECONDS, cause });
}
