import { isDeepStrictEqual } from 'node:util';
import { limits } from '../../protocol/constants.ts';
import { defined } from '../../protocol/defined.ts';
import type { ConfiguracionTablas, Direccion } from '../../protocol/tenant-config/config.ts';
import { describeServer } from '../../protocol/tenant-config/sql-server-name.ts';
import { assertConnectionApproved } from '../config/approval.ts';
import { type LocalConfig, readLocalConfig, writeLocalConfig } from '../config/local.ts';
import { readConfigPassword } from '../config/password.ts';
import { sqlServerSettings } from '../config/remote.ts';
import { type SensitivePins, settlePins } from '../config/sensitive-pins.ts';
import { describeError } from '../errors/describe-error.ts';
import type { ExitReason } from '../errors/exit-codes.ts';
import { type RetryPolicy, retryPolicy } from '../errors/retry.ts';
import type { Backend } from '../http/backend.ts';
import { Bandwidth } from '../http/bandwidth.ts';
import { SqlServerPool } from '../sqlserver/pool.ts';
import { type History, lastRetained, lastRows, type RunRecord, readHistory, writeHistory } from '../state/history.ts';
import { Ledgers } from '../state/ledger/ledgers.ts';
import { Outbox } from '../state/outbox.ts';
import { withLock } from '../state/run-lock.ts';
import { Spool, type SpoolOptions } from '../state/spool/spool.ts';
import { makeSpoolKey } from '../state/spool/spool-key.ts';
import { Watermarks } from '../state/watermarks.ts';
import type { RunContext, TableConnection } from '../sync/context.ts';
import { type RunOptions, type RunSummary, runTables } from '../sync/run.ts';
import { type Log, type LogEcho, withLog } from '../ui/log.ts';
import type { Progress } from '../ui/progress.ts';
import { Secrets } from '../ui/secrets.ts';
import { connectBackend, isReadableOnTheWay } from './agent.ts';
import { logSqlChanges } from './log-sql-changes.ts';
import { endQuietly, refreshUnlessQuiet } from './refresh-unless-quiet.ts';
import { renewKey } from './renew-key.ts';
import { describeSummary, recordOf } from './run-record.ts';

export interface SyncOptions extends RunOptions {
  folder: string;
  /** What is done with the tables; defaults to what `sync` does. Of another one's run nothing is kept. */
  work?: (context: RunContext, tables: ConfiguracionTablas, options: RunOptions) => Promise<RunSummary>;
  /** `--sin-spool`: uploads leave nothing on the disk, and one that breaks off is read again. */
  usesSpool: boolean;
  /** `--aprobar-sql`: only SQL that a person has approved on this machine is run; `init --aprobar-sql` says so for all runs. */
  requiresApproval?: boolean;
  /** `--limite-kbps`, in the place of `limiteKbps`; 0: no limit. */
  limiteKbps?: number;
  /** `--ahora`: also in `horasSilencio`. */
  ahora?: boolean;
  echo: LogEcho;
  progress: Progress;
  /** Told how it ended, once there was a log to write to. */
  onEnd?: (record: RunRecord) => void;
  /** Default: retryPolicy. */
  policy?: RetryPolicy;
  signal: AbortSignal;
}

/** The logs of an interrupted run are not worth a long wait: they go with the next one. */
const SHIP_MS = 60_000;

/**
 * Runs `sync` once. Takes the lock, refreshes the configuration, runs the tables, ships the logs. Answers why it ended;
 * throws only what came before there was a log to write to (no password, no configuration file, already running).
 */
export async function runSync(options: SyncOptions): Promise<ExitReason> {
  const { folder, echo } = options;
  const password = await readConfigPassword(folder);
  const local = await readLocalConfig(folder, password);
  const secrets = new Secrets();
  for (const secret of [
    ...[password, local.key, local.nextKey, local.previousKey],
    ...[local.sqlServer.password, local.dataKey],
    ...Object.values(local.conexiones ?? {}).map(({ password }) => password),
  ]) {
    secrets.add(secret);
  }
  return withLog(folder, secrets, echo, async (log) => {
    const startedAt = new Date();
    const failed = (error: unknown): RunSummary => {
      const { text, kind, code } = describeError(error);
      const reason = options.signal.aborted ? 'interrumpido' : kind;
      if (reason === 'ocupado') log.warn(text);
      else log.error(text);
      return { estado: 'error', reason, code, done: 0, failed: 0, skipped: 0, tablas: [] };
    };
    const summary = await withLock(folder, async () => {
      const history = await readHistory(folder);
      const done = await runLocked(options, local, { log, secrets, password, history }).catch(failed);
      // A run that kept quiet leaves the one before it the last one.
      if (options.work === undefined && (done.tablas.length > 0 || done.reason !== 'exitoso')) {
        await writeHistory(folder, history, recordOf(startedAt, done, secrets)).catch((error: Error) =>
          log.warn(`No se puede escribir logs/ejecuciones.json: ${error.message}`),
        );
      }
      return done;
    }).catch(failed);
    options.onEnd?.(recordOf(startedAt, summary, secrets));
    return summary.reason;
  });
}

async function runLocked(
  options: SyncOptions,
  local: LocalConfig,
  { log, secrets, password, history }: { log: Log; secrets: Secrets; password: string; history: History },
): Promise<RunSummary> {
  const { folder, progress, signal, usesSpool, requiresApproval = false, policy = retryPolicy } = options;
  const startedAt = performance.now();
  // Before anything is asked or written: they refuse a folder in which a newer agent has worked.
  const watermarks = await Watermarks.open(folder, (aside) =>
    log.warn(`last-sync.json estaba dañado: se guardó como ${aside} y se sube todo desde el principio`),
  );
  const outbox = await Outbox.open(folder, secrets);
  if (outbox.torn > 0) log.warn(`logs/pendientes.ndjson: ${outbox.torn} registros cortados a medias no se enviarán`);
  if (isReadableOnTheWay(local.url) && local.allowsHttp !== true) {
    log.warn(`${local.url} no es https: la clave y los datos viajan sin cifrar. Ejecute init con la dirección https.`);
  }
  const current = await refreshUnlessQuiet(options, local, { log, password });
  if ('hasta' in current) return endQuietly(current, log);
  if (current.changed) {
    log.info(`Configuración nueva del backend: versión ${current.config.version}`);
    logSqlChanges(log, local, current);
  }
  const tables = current.config.configuracionTablas;
  const limiteKbps = options.limiteKbps ?? tables.limiteKbps ?? 0;
  const bandwidth = limiteKbps > 0 ? new Bandwidth(limiteKbps) : undefined;
  const approvedSql = requiresApproval || local.requiresApproval === true ? (local.approvedSql ?? {}) : undefined;
  let sensitivePins = settlePins(local, current.config, approvedSql !== undefined);
  // An install folder of an earlier version has no key for its spool yet.
  const spoolKey = local.spoolKey ?? makeSpoolKey();
  const isNew =
    current.changed || local.spoolKey === undefined || !isDeepStrictEqual(sensitivePins, local.sensitivePins);
  // Before a row leaves: what was encrypted once must not leave in plain after a run that was killed.
  if (isNew) await writeLocalConfig(folder, password, { ...current.local, spoolKey, sensitivePins });
  const key = await renewKey({ folder, password }, current, { log, secrets, signal });
  const backend = await connectBackend(
    { ...current.local, key },
    { policy, onRetry: log.warn, ...defined({ bandwidth }) },
  );
  const pool = new SqlServerPool();
  const connectionOf = (name: string | undefined): TableConnection => {
    const settings = sqlServerSettings(current.local, current.config, name);
    secrets.add(settings.password);
    if (approvedSql !== undefined) assertConnectionApproved(approvedSql, name, settings);
    return {
      endpoints: [local.url, local.tenant, settings.host.toLowerCase(), settings.database.toLowerCase()],
      servidor: [describeServer(settings.host, settings.port), settings.user].map((part) => part.toLowerCase()),
      withSqlServer: (options, work) => pool.use({ name: name ?? '', settings }, options, work),
    };
  };
  const spool = await openSpool(
    { folder, key: spoolKey, maxBytes: (tables.spoolMaxMb ?? limits.spoolMaxMb) * 1e6 },
    log,
  );
  const chunkBytes = tables.trozoKb === undefined ? limits.chunkTargetBytes : tables.trozoKb * 1024;
  const context = {
    ...{ folder, backend, connectionOf, watermarks, spool, usesSpool, chunkBytes, approvedSql },
    ledgers: new Ledgers(folder, spoolKey),
    dataKey: local.dataKey,
    sensitivePins,
    learn: (change: (pins: SensitivePins) => SensitivePins) => {
      sensitivePins = change(sensitivePins);
    },
    said: new Set<string>(),
    ...{ outbox, log, progress, policy, signal },
    lastRows: (direccion: Direccion, tabla: string) => lastRows(history, direccion, tabla),
    lastRetained: (direccion: Direccion, tabla: string) => lastRetained(history, direccion, tabla),
  };
  const { work = runTables } = options;
  const summary = await work(context, tables, options).finally(() => pool.close());
  await keepPins({ folder, password }, context.sensitivePins, sensitivePins, log);
  await shipOutbox(outbox, backend, log, signal);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  if (options.work === undefined) log.info(`${describeSummary(summary)} en ${seconds} s`);
  return summary;
}

/** What downloads taught, for the next run; beside what a person may have approved meanwhile. */
async function keepPins(
  { folder, password }: { folder: string; password: string },
  before: SensitivePins,
  now: SensitivePins,
  log: Log,
): Promise<void> {
  if (isDeepStrictEqual(before, now)) return;
  try {
    const local = await readLocalConfig(folder, password);
    if (!isDeepStrictEqual(local.sensitivePins, before)) return;
    await writeLocalConfig(folder, password, { ...local, sensitivePins: now });
  } catch (error) {
    log.warn(describeError(error).text);
  }
}

async function openSpool(options: SpoolOptions, log: Log): Promise<Spool | undefined> {
  try {
    return await Spool.open(options);
  } catch (error) {
    log.warn(`No se puede abrir spool/: ${(error as Error).message}. Se sigue sin él.`);
    return undefined;
  }
}

async function shipOutbox(outbox: Outbox, backend: Backend, log: Log, signal: AbortSignal): Promise<void> {
  try {
    const { refused } = await outbox.ship(backend, AbortSignal.any([signal, AbortSignal.timeout(SHIP_MS)]));
    if (refused > 0) log.warn(`El backend no admite ${refused} registros: se descartan`);
  } catch (error) {
    log.warn(`Los registros no se pudieron enviar y quedan para la próxima ejecución: ${describeError(error).message}`);
  }
}
