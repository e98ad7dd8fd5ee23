import type { Direccion } from '../../protocol/config.ts';
import type { Backend } from '../http/backend.ts';
import type { Journal } from '../log/journal.ts';
import type { Log } from '../log/log.ts';
import type { Progress } from '../log/progress.ts';
import type { RetryPolicy } from '../retry.ts';
import type { Spool } from '../spool/spool.ts';
import type { SqlServerSettings } from '../sqlserver/connection.ts';
import type { SqlByPlace } from './approval.ts';
import type { Marks } from './marks.ts';

/** What the flows of one run share. */
export interface SyncContext {
  backend: Backend;
  sqlServer: SqlServerSettings;
  /** Where rows come from and go, as text: marks made with others do not hold (marks.ts). */
  endpoints: readonly string[];
  marks: Marks;
  /** Undefined: it cannot be opened. */
  spool: Spool | undefined;
  /** Whether new uploads go through it (`--sin-spool` says no); what waits in it is finished all the same. */
  usesSpool: boolean;
  /** NDJSON bytes at which a chunk is closed. */
  chunkBytes: number;
  /** The tenant's, for `camposSensibles`. */
  dataKey: string | undefined;
  /** What may be run at SQL Server; undefined: whatever the backend says. */
  approvedSql: SqlByPlace | undefined;
  journal: Journal;
  log: Log;
  progress: Progress;
  /** Rows of the table's last good run, where there was one. */
  lastRows(direccion: Direccion, tabla: string): number | undefined;
  /** How patient this run is. */
  policy: RetryPolicy;
  signal: AbortSignal;
}
