import { cambiosOf, type Direccion, type TablaSubida } from '../../protocol/tenant-config/config.ts';
import type { SqlByPlace } from '../config/approval.ts';
import type { SensitivePins } from '../config/sensitive-pins.ts';
import type { RetryPolicy } from '../errors/retry.ts';
import type { Backend } from '../http/backend.ts';
import type { Unchanged } from '../sqlserver/read/change-tracking.ts';
import type { SqlServer } from '../sqlserver/sql-server.ts';
import type { Ledgers } from '../state/ledger/ledgers.ts';
import type { Outbox } from '../state/outbox.ts';
import type { Spool } from '../state/spool/spool.ts';
import type { Fingerprints, Watermarks } from '../state/watermarks.ts';
import type { Log } from '../ui/log.ts';
import type { Progress, ProgressState, TableProgress } from '../ui/progress.ts';

/** The SQL Server of a table. */
export interface TableConnection {
  /** Where rows come from and go, as text: marks made with others do not hold (state/watermarks.ts). */
  endpoints: readonly string[];
  /** Which SQL Server that is, with its port or instance, and the login: the same. */
  servidor: readonly string[];
  /** As SqlServerPool.use. */
  withSqlServer<T>(
    options: { signal: AbortSignal; onMessage: (text: string) => void },
    work: (db: SqlServer) => Promise<T>,
  ): Promise<T>;
}

/** What the tables of one run share. */
export interface RunContext {
  /** The install folder. */
  folder: string;
  backend: Backend;
  /**
   * The connection of this name; undefined: the one without. Throws AgentError where it does not exist or may not be used
   * on this machine.
   */
  connectionOf(name: string | undefined): TableConnection;
  watermarks: Watermarks;
  /** Undefined: it cannot be opened. */
  spool: Spool | undefined;
  /** Of tables with `cambios: "huellas"`. */
  ledgers: Ledgers;
  /** Whether new uploads go through it (`--sin-spool` says no); what waits in it is finished all the same. */
  usesSpool: boolean;
  /** NDJSON bytes at which a chunk is closed. */
  chunkBytes: number;
  /** The tenant's, for `camposSensibles`. */
  dataKey: string | undefined;
  /** What was encrypted and decrypted so far. */
  sensitivePins: SensitivePins;
  /** What the next run is to know beside them. */
  learn(change: (pins: SensitivePins) => SensitivePins): void;
  /** What may be run at SQL Server; undefined: whatever the backend says. */
  approvedSql: SqlByPlace | undefined;
  /** What has been said in this run and is not to be said again for each table. */
  said: Set<string>;
  outbox: Outbox;
  log: Log;
  progress: Progress;
  /** Rows of the table's last good run, where there was one. */
  lastRows(direccion: Direccion, tabla: string): number | undefined;
  /** Whether the table's last run left bajas retenidas. */
  lastRetained(direccion: Direccion, tabla: string): boolean;
  /** How patient this run is. */
  policy: RetryPolicy;
  signal: AbortSignal;
}

/** What the flow of one table is given. */
export interface SyncContext extends Omit<RunContext, 'connectionOf' | 'progress'>, TableConnection {
  progress: TableProgress;
  /** Which tables have no news; of the whole run. */
  looks: Looks;
  /** What waits of the tables' columns; of the whole run. */
  columnsWaiting: ColumnsWaiting;
  /** Told of bajas that the guard holds back, at either side: the run is then `parcial`. */
  onRetained(bajas: number): void;
  /** Told how many changes of columns wait for an administrator: the run is then `parcial`. */
  onColumnsPending(changes: number): void;
}

/** How many changes of columns wait for an administrator, by table and digest of the columns. */
export type ColumnsWaiting = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** What is known in a run of tables whose changes SQL Server tracks, before their turn comes. */
export interface Looks {
  /** Answers what was seen of a table that has no news since its mark; undefined where it may have some, or has to be read. */
  find(context: SyncContext, tabla: TablaSubida, fingerprints: Fingerprints): Promise<Unchanged | undefined>;
  /** SQL of the configuration has run: what was seen before it may not be so any more. */
  forget(): void;
}

/**
 * Estimates the rows of a table: one that goes over whole has about as many rows as last time; what changed since then
 * nobody knows.
 */
export function expectedRows(
  { lastRows }: Pick<RunContext, 'lastRows'>,
  direccion: Direccion,
  tabla: Pick<TablaSubida, 'nombre' | 'cambios' | 'incremental'>,
): ProgressState['total'] {
  if (!['completo', 'huellas'].includes(cambiosOf(tabla))) return undefined;
  if (direccion === 'download' && tabla.cambios === 'huellas') return undefined;
  const filas = lastRows(direccion, tabla.nombre);
  return filas === undefined ? undefined : { filas, exacto: false };
}
