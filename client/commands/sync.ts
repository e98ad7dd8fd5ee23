import type { ConfiguracionTablas, Direccion } from '../../protocol/config.ts';
import { limits } from '../../protocol/constants.ts';
import { connectBackend } from '../agent.ts';
import { readConfigPassword } from '../config/environment.ts';
import { type LocalConfig, readLocalConfig, writeLocalConfig } from '../config/local.ts';
import { refreshConfig, sqlServerSettings } from '../config/remote.ts';
import { describeError } from '../describe-error.ts';
import type { ExitReason } from '../exit-codes.ts';
import type { Backend } from '../http/backend.ts';
import { Bandwidth } from '../http/bandwidth.ts';
import { type History, lastRows, type RunRecord, readHistory, writeHistory } from '../log/history.ts';
import { Journal } from '../log/journal.ts';
import { type Log, type LogEcho, withLog } from '../log/log.ts';
import type { Progress } from '../log/progress.ts';
import { Secrets } from '../log/secrets.ts';
import { isRetryable, type RetryPolicy, retryPolicy } from '../retry.ts';
import { makeSpoolKey } from '../spool/sealed.ts';
import { Spool, type SpoolOptions } from '../spool/spool.ts';
import { withLock } from '../sync/lock.ts';
import { Marks } from '../sync/marks.ts';
import { findQuietHours, type QuietHours } from '../sync/quiet-hours.ts';
import { type RunOptions, type RunSummary, runTables } from '../sync/run.ts';

export interface SyncOptions extends RunOptions {
  folder: string;
  /** `--sin-spool`: uploads leave nothing on the disk, and one that breaks off is read again. */
  usesSpool: boolean;
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
 * `sync`: one run. Takes the lock, refreshes the configuration, runs the tables, ships the logs. Answers why it ended;
 * throws only what came before there was a log to write to (no password, no configuration file, already running).
 */
export async function runSync(options: SyncOptions): Promise<ExitReason> {
  const { folder, echo } = options;
  const password = readConfigPassword();
  const local = await readLocalConfig(folder, password);
  const secrets = new Secrets();
  for (const secret of [password, local.key, local.sqlServer.password]) secrets.add(secret);
  return withLog(folder, secrets, echo, async (log) => {
    const startedAt = new Date();
    const failed = (error: unknown): RunSummary => {
      const { text, kind } = describeError(error);
      const reason = options.signal.aborted ? 'interrumpido' : kind;
      if (reason === 'ocupado') log.warn(text);
      else log.error(text);
      return { estado: 'error', reason, done: 0, failed: 0, skipped: 0, tablas: [] };
    };
    const summary = await withLock(folder, async () => {
      const history = await readHistory(folder);
      const done = await runLocked(options, local, { log, secrets, password, history }).catch(failed);
      // A run that kept quiet leaves the one before it the last one.
      if (done.tablas.length > 0 || done.reason !== 'exitoso') {
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

function recordOf(startedAt: Date, summary: RunSummary, secrets: Secrets): RunRecord {
  const { reason: resultado, done: bien, failed: conError, skipped: sinEmpezar } = summary;
  const times = { inicio: startedAt.toISOString(), fin: new Date().toISOString() };
  const tablas = summary.tablas.map((table) => ({ ...table, mensaje: table.mensaje && secrets.scrub(table.mensaje) }));
  return { ...times, resultado, bien, conError, sinEmpezar, tablas };
}

async function runLocked(
  options: SyncOptions,
  local: LocalConfig,
  { log, secrets, password, history }: { log: Log; secrets: Secrets; password: string; history: History },
): Promise<RunSummary> {
  const { folder, progress, signal, usesSpool, policy = retryPolicy } = options;
  const startedAt = performance.now();
  const current = await refreshUnlessQuiet(options, local, log);
  if ('hasta' in current) return endQuietly(current, log);
  const tables = current.config.configuracionTablas;
  const limiteKbps = options.limiteKbps ?? tables.limiteKbps ?? 0;
  const bandwidth = limiteKbps > 0 ? new Bandwidth(limiteKbps) : undefined;
  const backend = await connectBackend(local, {
    policy,
    onRetry: log.warn,
    ...(bandwidth === undefined ? {} : { bandwidth }),
  });
  if (current.changed) log.info(`Configuración nueva del backend: versión ${current.config.version}`);
  // An install folder of an earlier version has no key for its spool yet.
  const spoolKey = local.spoolKey ?? makeSpoolKey();
  if (current.changed || local.spoolKey === undefined) {
    await writeLocalConfig(folder, password, { ...current.local, spoolKey });
  }
  const sqlServer = sqlServerSettings(current.local, current.config);
  secrets.add(sqlServer.password);
  const marks = await Marks.open(folder, (aside) =>
    log.warn(`last-sync.json estaba dañado: se guardó como ${aside} y se sube todo desde el principio`),
  );
  const journal = new Journal(folder, secrets);
  const endpoints = [local.url, local.tenant, sqlServer.host.toLowerCase(), sqlServer.database.toLowerCase()];
  const spool = await openSpool(
    { folder, key: spoolKey, maxBytes: (tables.spoolMaxMb ?? limits.spoolMaxMb) * 1e6 },
    log,
  );
  const chunkBytes = tables.trozoKb === undefined ? limits.chunkTargetBytes : tables.trozoKb * 1024;
  const context = {
    ...{ backend, sqlServer, endpoints, marks, spool, usesSpool, chunkBytes },
    ...{ journal, log, progress, policy, signal },
    lastRows: (direccion: Direccion, tabla: string) => lastRows(history, direccion, tabla),
  };
  const summary = await runTables(context, tables, options);
  await shipJournal(journal, backend, log, signal);
  log.info(`${describeSummary(summary)} en ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  return summary;
}

/**
 * The configuration, or the quiet hours that it is now. Those that the copy has may have been lifted: the backend is asked,
 * but once, and where it does not answer they hold.
 */
async function refreshUnlessQuiet(options: SyncOptions, local: LocalConfig, log: Log) {
  const { ahora = false, signal, policy = retryPolicy } = options;
  const quietBy = (tables: ConfiguracionTablas | undefined) =>
    ahora || tables === undefined ? undefined : findQuietHours(tables, new Date());
  const known = quietBy(local.remote?.config.configuracionTablas);
  const patience = known === undefined ? policy : { ...policy, attempts: 1 };
  const backend = await connectBackend(local, { policy: patience, onRetry: log.warn });
  try {
    const current = await refreshConfig(backend, local, signal);
    return quietBy(current.config.configuracionTablas) ?? current;
  } catch (error) {
    if (known !== undefined && isRetryable(error)) return known;
    throw error;
  }
}

function endQuietly({ desde, hasta }: QuietHours, log: Log): RunSummary {
  log.info(
    `Horas de silencio, de ${desde} a ${hasta} de este equipo: no se sincroniza. Para hacerlo igual: sync --ahora`,
  );
  return { estado: 'exitoso', reason: 'exitoso', done: 0, failed: 0, skipped: 0, tablas: [] };
}

async function openSpool(options: SpoolOptions, log: Log): Promise<Spool | undefined> {
  try {
    return await Spool.open(options);
  } catch (error) {
    log.warn(`No se puede abrir spool/: ${(error as Error).message}. Se sigue sin él.`);
    return undefined;
  }
}

async function shipJournal(journal: Journal, backend: Backend, log: Log, signal: AbortSignal): Promise<void> {
  try {
    const { refused } = await journal.ship(backend, AbortSignal.any([signal, AbortSignal.timeout(SHIP_MS)]));
    if (refused > 0) log.warn(`El backend no admite ${refused} registros: se descartan`);
  } catch (error) {
    log.warn(`Los registros no se pudieron enviar y quedan para la próxima ejecución: ${describeError(error).message}`);
  }
}

function describeSummary({ estado, done, failed, skipped }: RunSummary): string {
  const parts = [`${done} tablas bien`, `${failed} con error`];
  if (skipped > 0) parts.push(`${skipped} sin empezar`);
  return `Sincronización ${estado}: ${parts.join(', ')}`;
}
