import { isDeepStrictEqual } from 'node:util';
import { limits } from '../../protocol/constants.ts';
import type { ConfigResponse, ConfiguracionTablas, Direccion } from '../../protocol/tenant-config/config.ts';
import { describeServer } from '../../protocol/tenant-config/sql-server-name.ts';
import { registerAgentKey } from '../config/agent-key.ts';
import { assertConnectionApproved, describeChanges, fingerprintOfSql, sqlByPlace } from '../config/approval.ts';
import { type LocalConfig, readLocalConfig, writeLocalConfig } from '../config/local.ts';
import { readConfigPassword } from '../config/password.ts';
import { findQuietHours, type QuietHours } from '../config/quiet-hours.ts';
import { sqlServerEndpoints, sqlServerSettings } from '../config/remote.ts';
import { describeRotation, type Install, refreshWithAnyKey, rotateKey } from '../config/rotation.ts';
import { type SensitivePins, settlePins } from '../config/sensitive-pins.ts';
import { describeError } from '../errors/describe-error.ts';
import type { ExitReason } from '../errors/exit-codes.ts';
import { interactivePolicy, isRetryable, type RetryPolicy, retryPolicy } from '../errors/retry.ts';
import type { Backend, KeyState } from '../http/backend.ts';
import { Bandwidth } from '../http/bandwidth.ts';
import { SqlServerPool } from '../sqlserver/pool.ts';
import { type History, lastRetained, lastRows, type RunRecord, readHistory, writeHistory } from '../state/history.ts';
import { Journal } from '../state/outbox.ts';
import { withLock } from '../state/run-lock.ts';
import { Spool, type SpoolOptions } from '../state/spool/spool.ts';
import { makeSpoolKey } from '../state/spool/spool-key.ts';
import { Marks } from '../state/watermarks.ts';
import type { TableConnection } from '../sync/context.ts';
import { type RunOptions, type RunSummary, runTables } from '../sync/run.ts';
import { type Log, type LogEcho, withLog } from '../ui/log.ts';
import type { Progress } from '../ui/progress.ts';
import { Secrets } from '../ui/secrets.ts';
import { connectBackend, isReadableOnTheWay } from './agent.ts';

export interface SyncOptions extends RunOptions {
  folder: string;
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
/** Of one statement that changed: the rest is shown by `approve`. */
const LOGGED_LINES = 40;

/**
 * `sync`: one run. Takes the lock, refreshes the configuration, runs the tables, ships the logs. Answers why it ended;
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
  const { reason: resultado, code: codigo, done: bien, failed: conError, skipped: sinEmpezar } = summary;
  const times = { inicio: startedAt.toISOString(), fin: new Date().toISOString() };
  const tablas = summary.tablas.map((table) => ({ ...table, mensaje: table.mensaje && secrets.scrub(table.mensaje) }));
  return { ...times, resultado, ...(codigo === undefined ? {} : { codigo }), bien, conError, sinEmpezar, tablas };
}

async function runLocked(
  options: SyncOptions,
  local: LocalConfig,
  { log, secrets, password, history }: { log: Log; secrets: Secrets; password: string; history: History },
): Promise<RunSummary> {
  const { folder, progress, signal, usesSpool, requiresApproval = false, policy = retryPolicy } = options;
  const startedAt = performance.now();
  // Before anything is asked or written: they refuse a folder in which a newer agent has worked.
  const marks = await Marks.open(folder, (aside) =>
    log.warn(`last-sync.json estaba dañado: se guardó como ${aside} y se sube todo desde el principio`),
  );
  const journal = await Journal.open(folder, secrets);
  if (journal.torn > 0) log.warn(`logs/pendientes.ndjson: ${journal.torn} registros cortados a medias no se enviarán`);
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
    { policy, onRetry: log.warn, ...(bandwidth === undefined ? {} : { bandwidth }) },
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
    ...{ backend, connectionOf, marks, spool, usesSpool, chunkBytes, approvedSql },
    dataKey: local.dataKey,
    sensitivePins,
    learn: (change: (pins: SensitivePins) => SensitivePins) => {
      sensitivePins = change(sensitivePins);
    },
    said: new Set<string>(),
    ...{ journal, log, progress, policy, signal },
    lastRows: (direccion: Direccion, tabla: string) => lastRows(history, direccion, tabla),
    lastRetained: (direccion: Direccion, tabla: string) => lastRetained(history, direccion, tabla),
  };
  const summary = await runTables(context, tables, options).finally(() => pool.close());
  await keepPins({ folder, password }, context.sensitivePins, sensitivePins, log);
  await shipJournal(journal, backend, log, signal);
  log.info(`${describeSummary(summary)} en ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
  return summary;
}

/**
 * The configuration, or the quiet hours that it is now. Those that the copy has may have been lifted: the backend is asked,
 * but once, and where it does not answer they hold.
 */
async function refreshUnlessQuiet(
  options: SyncOptions,
  local: LocalConfig,
  { log, password }: { log: Log; password: string },
) {
  const { folder, ahora = false, signal, policy = retryPolicy } = options;
  const quietBy = (tables: ConfiguracionTablas | undefined) =>
    ahora || tables === undefined ? undefined : findQuietHours(tables, new Date());
  const known = quietBy(local.remote?.config.configuracionTablas);
  const patience = known === undefined ? policy : { ...policy, attempts: 1 };
  const connect = (key: string) => connectBackend({ ...local, key }, { policy: patience, onRetry: log.warn });
  try {
    // First: without a key pair the backend would tell the password in plain, or refuse an agent that another came before.
    const keyed = await ensureAgentKey(await connect(local.key), local, { folder, password, log, signal });
    const current = await refreshWithAnyKey({ folder, password, connect }, keyed, signal);
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

/** When a key ends that the agent cannot renew by itself, the operator is told from so many days before. */
const WARN_DAYS = 14;

/**
 * The key to go on with. Rotates it when the backend says that it is time, or when an earlier run began to; where that fails
 * the old one stays in force, and the next run tries again.
 */
async function renewKey(
  { folder, password }: Omit<Install, 'connect'>,
  { local, key: { end, renew } }: { local: LocalConfig; key: KeyState },
  { log, secrets, signal }: { log: Log; secrets: Secrets; signal: AbortSignal },
): Promise<string> {
  const until = end === undefined ? '' : ` (caduca el ${end.toISOString()})`;
  if (!renew && local.nextKey === undefined) {
    if (end !== undefined && end.getTime() - Date.now() < WARN_DAYS * 86_400_000) {
      log.warn(`La clave de API se termina${until}: pida otra al administrador y ejecute init con ella`);
    }
    return local.key;
  }
  try {
    const connect = (key: string) => connectBackend({ ...local, key }, { policy: interactivePolicy });
    const { key, answer } = await rotateKey({ folder, password, connect }, signal);
    secrets.add(key);
    log.info(`Clave de API renovada: ${describeRotation(answer)}`);
    return key;
  } catch (error) {
    signal.throwIfAborted();
    log.warn(`No se pudo renovar la clave de API${until}: ${describeError(error).text}`);
    return local.key;
  }
}

/** The SQL comes from the backend: what of it is another since the last run is told. */
function logSqlChanges(
  log: Log,
  before: LocalConfig,
  { local, config }: { local: LocalConfig; config: ConfigResponse },
) {
  const sqlOf = (from: LocalConfig, with_: ConfigResponse) =>
    sqlByPlace(sqlServerEndpoints(from, with_), with_.configuracionTablas);
  const now = sqlOf(local, config);
  const earlier = before.remote === undefined ? {} : sqlOf(before, before.remote.config);
  const changes = describeChanges(earlier, now, LOGGED_LINES);
  if (changes.length === 0) return;
  log.warn(`Cambió el SQL que el backend hace ejecutar en SQL Server (huella ${fingerprintOfSql(now)}):`);
  for (const line of changes) log.warn(line);
}

/** An install folder of an earlier version has no key pair yet: it is made and written before it is used. */
async function ensureAgentKey(
  backend: Backend,
  local: LocalConfig,
  { folder, password, log, signal }: { folder: string; password: string; log: Log; signal: AbortSignal },
): Promise<LocalConfig> {
  if (local.agentKey !== undefined) return local;
  const registered = await registerAgentKey(backend, local, signal);
  if (registered.note !== undefined) log.warn(registered.note);
  if (registered.local.agentKey !== undefined) await writeLocalConfig(folder, password, registered.local);
  return registered.local;
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

async function shipJournal(journal: Journal, backend: Backend, log: Log, signal: AbortSignal): Promise<void> {
  try {
    const { refused } = await journal.ship(backend, AbortSignal.any([signal, AbortSignal.timeout(SHIP_MS)]));
    if (refused > 0) log.warn(`El backend no admite ${refused} registros: se descartan`);
  } catch (error) {
    log.warn(`Los registros no se pudieron enviar y quedan para la próxima ejecución: ${describeError(error).message}`);
  }
}

function describeSummary({ estado, done, failed, skipped, tablas }: RunSummary): string {
  const parts = [`${done} tablas bien`, `${failed} con error`];
  if (skipped > 0) parts.push(`${skipped} sin empezar`);
  const retained = tablas.reduce((sum, { bajasRetenidas = 0 }) => sum + bajasRetenidas, 0);
  if (retained > 0) parts.push(`${retained} bajas retenidas`);
  return `Sincronización ${estado}: ${parts.join(', ')}`;
}
