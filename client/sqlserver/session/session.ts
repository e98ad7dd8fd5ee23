import { addAbortListener } from 'node:events';
import { Connection } from 'tedious';
import { defined } from '../../../protocol/defined.ts';
import {
  describeServer,
  type Login,
  parseLogin,
  parseServerName,
} from '../../../protocol/tenant-config/sql-server-name.ts';
import { type SqlServerError, sqlServerError, translateError } from '../errors.ts';
import { canTranscode, type TransactionChange, TranscodingConnection } from '../transcoder/transcoding-connection.ts';
import { IdleWatch } from './idle-watch.ts';
import { findInstancePort } from './instance.ts';
import { type Cancelable, makeRequest, sendRequest } from './request.ts';
import { boundTls } from './tls-pressure.ts';

export interface SqlServerSettings {
  /** `SERVIDOR`, `SERVIDOR\INSTANCIA` or `SERVIDOR,PUERTO` (protocol/tenant-config/sql-server-name.ts). */
  host: string;
  /** 1433 where `host` says it. */
  port: number;
  database: string;
  /** A login of SQL Server, or `DOMINIO\usuario` of Windows. */
  user: string;
  password: string;
  /** Default true. */
  encrypt?: boolean;
  /** Takes a certificate that nobody vouches for. Default false. */
  trustServerCertificate?: boolean;
  /** PEM of the authorities that may vouch for its certificate. Default: the system's. */
  ca?: string;
  /** The name that its certificate has to bear. Default: the server of `host`. */
  certificateName?: string;
  /** Default 15,000. Finding the port of an instance comes before it, and takes at most as long. */
  connectTimeoutMs?: number;
  /** So long without a byte from SQL Server, while rows are read or loaded, is a lost connection. Default 120,000. */
  idleTimeoutMs?: number;
  /** As idleTimeoutMs, for `execute`: a batch may well work in silence. Default 3,600,000. */
  executeTimeoutMs?: number;
  /** TDS packets, in bytes; SQL Server may answer with less. Default 16,384. */
  packetSize?: number;
}

/** One tedious connection that is logged in, and how a request on it waits, stops and fails. */
export class Session {
  readonly connection: Connection;
  readonly idleTimeoutMs: number;
  readonly executeTimeoutMs: number;
  /** Gets what SQL Server says beside its answers: PRINT and warnings. */
  onMessage: ((text: string) => void) | undefined;
  readonly #place: string;
  readonly #answerMs: number;
  #broken: Error | undefined;
  /** SQL has changed the database, and with it what tedious knows of the collation. */
  #moved = false;

  constructor(connection: Connection, settings: SqlServerSettings, onMessage?: (text: string) => void) {
    this.connection = connection;
    this.onMessage = onMessage;
    this.#answerMs = connectTimeoutOf(settings);
    this.idleTimeoutMs = settings.idleTimeoutMs ?? 120_000;
    this.executeTimeoutMs = settings.executeTimeoutMs ?? 3_600_000;
    this.#place = placeOf(settings);
    connection.on('error', (error) => {
      this.#broken ??= error;
    });
    connection.on(
      'infoMessage',
      makeMessageFilter((text) => this.onMessage?.(text)),
    );
    connection.once('connect', () => {
      connection.on('databaseChange', () => {
        this.#moved = true;
      });
    });
  }

  /**
   * Sends what `start` makes and waits until SQL Server has answered it to the end, also where it is cancelled. One
   * request at a time.
   *
   * `watch` bounds the silence of the server; abort of `signal` cancels. Throws `signal.reason` or SqlServerError.
   */
  async perform(
    start: (done: (error?: Error | null) => void) => Cancelable,
    { signal, watch }: { signal: AbortSignal | undefined; watch: IdleWatch },
  ): Promise<void> {
    signal?.throwIfAborted();
    let running: Cancelable | undefined;
    using _ = signal && addAbortListener(signal, () => running?.cancel());
    try {
      await new Promise<void>((resolve, reject) => {
        running = start((error) => (error ? reject(error) : resolve()));
        watch.start(() => this.connection.close());
      });
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      if (watch.isIdle) throw this.#idleError(watch, error);
      throw this.translate(this.#broken ?? error);
    } finally {
      watch.stop();
    }
  }

  /** Whether `sendRowsTo` works on this connection; says so where it does not. */
  canTranscode(): boolean {
    if (this.connection instanceof TranscodingConnection) return true;
    this.notify('La biblioteca tedious no es la versión que el lector rápido conoce: se lee más despacio.');
    return false;
  }

  /** Whom every begin, commit and rollback is told from the next request on. Answers false where nobody can know of them. */
  watchTransaction(onChange: ((change: TransactionChange) => void) | undefined): boolean {
    if (!(this.connection instanceof TranscodingConnection)) return false;
    this.connection.onTransaction = onChange;
    return true;
  }

  /** Says something to the operator. */
  notify(text: string): void {
    this.onMessage?.(text);
  }

  /** A watch over this connection's bytes. */
  watch(limitMs: number): IdleWatch {
    const { connection } = this;
    return new IdleWatch(() => (connection.socket?.bytesRead ?? 0) + (connection.socket?.bytesWritten ?? 0), limitMs);
  }

  translate(error: unknown): SqlServerError {
    return translateError(error, this.#place);
  }

  /** Whether it still answers. Never fails. */
  isAlive(signal: AbortSignal): Promise<boolean> {
    return this.#answers((done) => sendRequest(this.connection, makeRequest('SELECT 1', [], done)), signal);
  }

  /**
   * Makes it what it was after the login: no `#temp` table, SET option or lock is left ([MS-TDS] 2.2.3.1.2, RESETCONNECTION).
   * Answers whether that is so; where it is not, the session is of no more use. Never fails.
   */
  async reset(signal: AbortSignal): Promise<boolean> {
    const { connection } = this;
    // Of a transaction that a reset rolls back, tedious would go on to name the descriptor.
    if (this.#moved || connection.inTransaction) return false;
    let acknowledged = false;
    const onReset = () => {
      acknowledged = true;
    };
    connection.once('resetConnection', onReset);
    const answered = await this.#answers((done) => {
      connection.reset(done);
      return connection;
    }, signal);
    connection.off('resetConnection', onReset);
    return answered && acknowledged && !this.#moved;
  }

  async #answers(start: Parameters<Session['perform']>[0], signal: AbortSignal): Promise<boolean> {
    if (this.#broken !== undefined || this.connection.closed) return false;
    try {
      await this.perform(start, { signal, watch: this.watch(this.#answerMs) });
      return true;
    } catch {
      return false;
    }
  }

  /** Ends the connection; an open transaction rolls back. Never fails. */
  async close(): Promise<void> {
    const { connection } = this;
    if (connection.closed) return;
    await new Promise<void>((resolve) => {
      connection.once('end', resolve);
      connection.close();
    });
  }

  #idleError(watch: IdleWatch, cause: unknown): SqlServerError {
    const seconds = Math.round(watch.limitMs / 1000);
    return sqlServerError(
      'TIEMPO',
      { lugar: this.#place, texto: `no envía nada desde hace ${seconds} s y la conexión se da por perdida.` },
      { cause },
    );
  }
}

/** Logs in. Throws `signal.reason`, SqlServerError, or SqlServerNameError where host or user cannot be read. */
export async function openSession(
  settings: SqlServerSettings,
  { signal, onMessage }: { signal: AbortSignal; onMessage?: ((text: string) => void) | undefined },
): Promise<Session> {
  signal.throwIfAborted();
  const address = parseServerName(settings.host, settings.port);
  const login = parseLogin(settings.user);
  const timeoutMs = settings.connectTimeoutMs ?? 15_000;
  // A database that cannot be opened is told first, and then again as a failed login.
  let refusal: ServerMessage | undefined;
  try {
    const port = 'port' in address ? address.port : await findInstancePort(address, { signal, timeoutMs });
    const connection = makeConnection(settings, { host: address.host, port, timeoutMs, ...login });
    boundTls(connection);
    const onErrorMessage = (token: ServerMessage) => {
      refusal ??= token;
    };
    connection.on('errorMessage', onErrorMessage);
    const session = new Session(connection, settings, onMessage);
    using _ = addAbortListener(signal, () => connection.close());
    await new Promise<void>((resolve, reject) => {
      connection.once('connect', (error?: Error) => (error ? reject(error) : resolve()));
      connection.connect();
    });
    connection.removeListener('errorMessage', onErrorMessage);
    if (signal.aborted) {
      await session.close();
      throw signal.reason;
    }
    return session;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw translateError(error, placeOf(settings), refusal);
  }
}

interface ServerMessage {
  number: number;
  message: string;
}

function connectTimeoutOf({ connectTimeoutMs = 15_000 }: SqlServerSettings): number {
  return connectTimeoutMs;
}

/** The one place where a connection of tedious is made. */
function makeConnection(
  settings: SqlServerSettings,
  { host, port, timeoutMs, user, domain }: { host: string; port: number; timeoutMs: number } & Login,
): Connection {
  const { password } = settings;
  return new (canTranscode() ? TranscodingConnection : Connection)({
    server: host,
    authentication:
      domain === undefined
        ? { type: 'default', options: { userName: user, password } }
        : { type: 'ntlm', options: { userName: user, password, domain } },
    options: {
      port,
      database: settings.database,
      encrypt: settings.encrypt ?? true,
      trustServerCertificate: settings.trustServerCertificate ?? false,
      ...(settings.ca === undefined ? {} : { cryptoCredentialsDetails: { ca: settings.ca } }),
      ...defined({ serverName: settings.certificateName }),
      connectTimeout: timeoutMs,
      // It would bound a whole bulk load, and no read that goes silent: IdleWatch does that.
      requestTimeout: 0,
      packetSize: settings.packetSize ?? 16_384,
      appName: 'ax-sync',
      // Who retries is decided in one place, and not here.
      maxRetriesOnTransientErrors: 0,
      // Dates come as UTC fields whatever the agent's time zone (row-events.ts reads them so).
      useUTC: true,
      textsize: 2_147_483_647,
    },
  });
}

/** PRINT and warnings; not the server's chatter about the database and language that a login sets. */
function makeMessageFilter(onMessage: (text: string) => void) {
  const chatter = new Set([5701, 5703]);
  return (token: ServerMessage) => {
    if (!chatter.has(token.number)) onMessage(token.message);
  };
}

function placeOf({ host, port, database }: SqlServerSettings): string {
  return `${describeServer(host, port)}, base ${database}`;
}
