import { connectBackend } from '../agent.ts';
import { readConfigPassword } from '../config/environment.ts';
import { type LocalConfig, readLocalConfig, writeLocalConfig } from '../config/local.ts';
import { refreshConfig, sqlServerSettings } from '../config/remote.ts';
import { describeError } from '../describe-error.ts';
import type { ExitReason } from '../exit-codes.ts';
import type { Backend } from '../http/backend.ts';
import { Journal } from '../log/journal.ts';
import { type Log, withLog } from '../log/log.ts';
import type { Progress } from '../log/progress.ts';
import { Secrets } from '../log/secrets.ts';
import { withLock } from '../sync/lock.ts';
import { Marks } from '../sync/marks.ts';
import { type RunOptions, type RunSummary, runTables } from '../sync/run.ts';

export interface SyncOptions extends RunOptions {
  folder: string;
  echo: (line: string, level: 'info' | 'warn' | 'error') => void;
  progress: Progress;
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
    try {
      return await withLock(folder, () => runLocked(options, local, { log, secrets, password }));
    } catch (error) {
      const { text, kind } = describeError(error);
      const reason = options.signal.aborted ? 'interrumpido' : kind;
      if (reason === 'ocupado') log.warn(text);
      else log.error(text);
      return reason;
    }
  });
}

async function runLocked(
  options: SyncOptions,
  local: LocalConfig,
  { log, secrets, password }: { log: Log; secrets: Secrets; password: string },
): Promise<ExitReason> {
  const { folder, progress, signal } = options;
  const startedAt = performance.now();
  const backend = connectBackend(local, { onRetry: log.warn });
  const current = await refreshConfig(backend, local, signal);
  if (current.changed) {
    log.info(`Configuración nueva del backend: versión ${current.config.version}`);
    await writeLocalConfig(folder, password, current.local);
  }
  const sqlServer = sqlServerSettings(current.local, current.config);
  secrets.add(sqlServer.password);
  const marks = await Marks.open(folder, (aside) =>
    log.warn(`last-sync.json estaba dañado: se guardó como ${aside} y se sube todo desde el principio`),
  );
  const journal = new Journal(folder, secrets);
  const endpoints = [local.url, local.tenant, sqlServer.host.toLowerCase(), sqlServer.database.toLowerCase()];
  const context = { backend, sqlServer, endpoints, marks, journal, log, progress, signal };
  const summary = await runTables(context, current.config.configuracionTablas, options);
  await shipJournal(journal, backend, log, signal);
  log.info(`${describeSummary(summary)} en ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  return summary.reason;
}

async function shipJournal(journal: Journal, backend: Backend, log: Log, signal: AbortSignal): Promise<void> {
  try {
    await journal.ship(backend, AbortSignal.any([signal, AbortSignal.timeout(SHIP_MS)]));
  } catch (error) {
    log.warn(`Los registros no se pudieron enviar y quedan para la próxima ejecución: ${describeError(error).message}`);
  }
}

function describeSummary({ estado, done, failed, skipped }: RunSummary): string {
  const parts = [`${done} tablas bien`, `${failed} con error`];
  if (skipped > 0) parts.push(`${skipped} sin empezar`);
  return `Sincronización ${estado}: ${parts.join(', ')}`;
}
