import pg from 'pg';
import { SyncError } from '../../protocol/errors.ts';
import { type Config, directUrl } from '../config.ts';
import { endBackend, forgetBackend, markPooled, noteBackend } from './backends.ts';
import { isDatabaseError, translateDatabaseError } from './errors.ts';
import { makeFairSemaphore } from './fair-semaphore.ts';

/** What runs queries: a connection in a transaction, or outside one. */
export type Connection = pg.PoolClient;

/**
 * The connections of one process, in two bounded sets: `control` for what is short (keys, configuration, logs) and
 * `transfer` for uploads and downloads, which hold one for as long as a body flows. Both are shared fairly by tenant
 * (fair-semaphore.ts), each with bounded places to wait; past them a request is refused with OCUPADO.
 *
 * A connection counts until its backend in PostgreSQL is gone, also when it was closed in the middle of a query.
 */
export interface Database {
  /** Lends a connection for something short of the server itself. */
  withConnection<T>(fn: (connection: Connection) => Promise<T>): Promise<T>;
  /** Lends a connection for something short of a tenant, or of whoever says to be one. */
  withTenantConnection<T>(owner: string, fn: (connection: Connection) => Promise<T>): Promise<T>;
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

interface Lent {
  connection: Connection;
  /** Resolves once the backend is free or gone. */
  release(broken?: boolean): Promise<void>;
}

/** Seconds that a refused request is told to wait. */
const RETRY_AFTER_SECONDS = 5;

/** Bounds of one statement of a short request, which waits for nobody's long transaction. */
export const SHORT_REQUESTS = { statementMs: 5000, lockMs: 1000 } as const;

/**
 * Makes the pools; connects when first asked. `onError` hears of idle connections that break. `short` bounds the statements of
 * the control connections.
 *
 * With DATABASE_DIRECT_URL there is a pooler between, which lends a connection for a transaction: what belongs to a session is
 * said for each transaction then, and short requests are one, too.
 */
export function openDatabase(
  config: Config,
  onError: (error: Error) => void,
  short?: { statementMs: number; lockMs: number },
): Database {
  const base = {
    connectionString: config.DATABASE_URL,
    connectionTimeoutMillis: config.DATABASE_WAIT_MS,
    application_name: 'ax-sync-server',
    keepAlive: true,
  };
  const closing = new AbortController();
  const isPooled = config.DATABASE_DIRECT_URL !== undefined;
  const control = makePool(new pg.Pool({ ...base, max: config.DATABASE_CONTROL_POOL_MAX }));
  const transfer = makePool(new pg.Pool({ ...base, max: config.DATABASE_POOL_MAX }));
  if (short !== undefined && !isPooled) {
    control.pool.on('connect', (client) => {
      const bounds = `SET statement_timeout = ${short.statementMs}; SET lock_timeout = ${short.lockMs}`;
      client.query(bounds).catch(() => {});
    });
  }
  const transfersOf = new Map<string, number>();

  function makePool(pool: pg.Pool) {
    pool.on('error', onError);
    const semaphore = makeFairSemaphore({
      max: pool.options.max,
      queueMax: config.DATABASE_QUEUE_MAX,
      waitMs: config.DATABASE_WAIT_MS,
      refuse: (reason) =>
        reason === 'full'
          ? busy('El servidor atiende ya todas las peticiones que puede.')
          : busy('Ninguna conexión a la base quedó libre a tiempo.'),
    });
    return { pool, semaphore };
  }

  async function borrow({ pool, semaphore }: ReturnType<typeof makePool>, owner: string | undefined): Promise<Lent> {
    const end = await semaphore.take(owner);
    let connection: Connection;
    try {
      connection = await pool.connect();
    } catch (error) {
      end();
      // The pool's own timeout has no code: PostgreSQL took too long to answer.
      if (error instanceof Error && /timeout exceeded when trying to connect/.test(error.message)) {
        throw busy('Ninguna conexión a la base quedó libre a tiempo.', error);
      }
      throw translateDatabaseError(error);
    }
    // Without a listener a connection that breaks while lent would end the process; the running query reports it.
    const ignore = () => {};
    connection.on('error', ignore);
    if (isPooled) markPooled(connection);
    return {
      connection,
      release: async (broken = false) => {
        if (!broken) connection.off('error', ignore);
        connection.release(broken);
        if (broken) await endBackend(connection, withConnection, closing.signal);
        end();
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
      const borrowed = await borrow(transfer, tenant);
      return {
        connection: borrowed.connection,
        release: (broken) => {
          void borrowed.release(broken).then(leave);
        },
      };
    } catch (error) {
      leave();
      throw error;
    }
  }

  const lendShort = async <T>(owner: string | undefined, fn: (connection: Connection) => Promise<T>) => {
    const bounded = short !== undefined && isPooled ? withinBounds(short, fn) : fn;
    return lend(await borrow(control, owner), bounded).catch(tooLong);
  };
  const withConnection: Database['withConnection'] = (fn) => lendShort(undefined, fn);

  return {
    withConnection,
    withTenantConnection: lendShort,
    withTransfer: async (tenant, fn) => lend(await borrowTransfer(tenant), fn),
    borrowTransfer,
    usage: () => ({ control: control.semaphore.usage(), transfer: transfer.semaphore.usage() }),
    close: async () => {
      closing.abort();
      await Promise.all([control.pool.end(), transfer.pool.end()]);
    },
  };
}

/** A short request that PostgreSQL did not answer in time may succeed later. */
function tooLong(error: unknown): never {
  if (isDatabaseError(error) && error.code === '57014') throw busy('La base de datos no respondió a tiempo.', error);
  throw error;
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
  const bounds = boundsOf.get(connection);
  if (bounds === undefined) await beginTransaction(connection, begin);
  // The short request is a transaction itself: what it has done so far is done, as without a pooler.
  else await connection.query(`COMMIT; ${begin}; ${bounds}`);
  try {
    const result = await fn();
    await endTransaction(connection, 'COMMIT');
    return result;
  } catch (error) {
    // What a tenant's SQL has left in a session would be left to whoever a pooler lends it to next.
    const end = broken.has(connection) ? 'ROLLBACK; SELECT pg_advisory_unlock_all(); DEALLOCATE ALL' : 'ROLLBACK';
    await endTransaction(connection, end).catch(() => broken.add(connection));
    throw error;
  } finally {
    if (bounds !== undefined && isUsable(connection)) {
      await connection.query(`BEGIN; ${bounds}`).catch(() => broken.add(connection));
    }
  }
}

/** Opens a transaction, and notes its backend where a pooler lends one. `endTransaction` has to follow. */
export async function beginTransaction(connection: Connection, begin = 'BEGIN'): Promise<void> {
  await connection.query(begin);
  await noteBackend(connection);
}

/** Ends it with `statements`, the first of which is COMMIT or ROLLBACK. */
export async function endTransaction(connection: Connection, statements: string): Promise<void> {
  await connection.query(statements);
  forgetBackend(connection);
}

/** What bounds a short request's transactions, for the connections that are lent for one through a pooler. */
const boundsOf = new WeakMap<Connection, string>();

/** Runs `fn` in a transaction, in which its bounds hold; what it did stays done when it throws, unless PostgreSQL refused it. */
function withinBounds<T>(
  { statementMs, lockMs }: { statementMs: number; lockMs: number },
  fn: (connection: Connection) => Promise<T>,
): (connection: Connection) => Promise<T> {
  const bounds = `SET LOCAL statement_timeout = ${statementMs}; SET LOCAL lock_timeout = ${lockMs}`;
  return async (connection) => {
    await connection.query(`BEGIN; ${bounds}`);
    boundsOf.set(connection, bounds);
    try {
      return await fn(connection);
    } finally {
      boundsOf.delete(connection);
      // Of a transaction that failed, COMMIT is the rollback.
      if (isUsable(connection)) await connection.query('COMMIT').catch(() => broken.add(connection));
    }
  };
}

/**
 * Lends a connection that leads to PostgreSQL itself, for what needs a session of its own, and closes it.
 * @throws {SyncError} BASE_NO_DISPONIBLE
 */
export async function withDirectConnection<T>(config: Config, fn: (connection: Connection) => Promise<T>): Promise<T> {
  const { DATABASE_DIRECT_URL: _, ...rest } = config;
  const own = { ...rest, DATABASE_URL: directUrl(config), DATABASE_CONTROL_POOL_MAX: 1 };
  const database = openDatabase(own, () => {});
  try {
    return await database.withConnection(fn);
  } finally {
    await database.close();
  }
}

const broken = new WeakSet<Connection>();

/** Closes a connection, so that it is not lent again, when what it was lent for fails. */
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

function busy(detail: string, cause?: unknown): SyncError {
  return new SyncError('OCUPADO', detail, { retryAfter: RETRY_AFTER_SECONDS, cause });
}
