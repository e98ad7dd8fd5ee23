import type { ConfiguracionTablas, TablaBajada, TablaSubida } from '../../protocol/config.ts';
import { agentError } from '../agent-error.ts';
import { describeError, endsRun } from '../describe-error.ts';
import type { ExitReason } from '../exit-codes.ts';
import type { TableRun } from '../log/history.ts';
import { SqlServerError } from '../sqlserver/errors.ts';
import { assertTableApproved } from './approval.ts';
import type { SyncContext } from './context.ts';
import { downloadTable } from './download.ts';
import { causeOf, PhaseFailure, recordFailure } from './phases.ts';
import { abandon } from './send.ts';
import { uploadTable } from './upload.ts';

export interface RunOptions {
  upload: boolean;
  download: boolean;
  /** Only these; all when empty. */
  tablas: readonly string[];
}

export interface RunSummary {
  estado: 'exitoso' | 'parcial' | 'error';
  reason: ExitReason;
  /** Of the error that ended the run before any table. */
  code?: string;
  done: number;
  failed: number;
  /** Tables not begun, because the run had ended. */
  skipped: number;
  tablas: TableRun[];
}

type Task = { direccion: 'upload'; tabla: TablaSubida } | { direccion: 'download'; tabla: TablaBajada };

/**
 * Runs each table of the configuration, uploads first, one after the other. A table that fails does not stop the next,
 * unless the reason would stop that one too (nobody answers, credentials refused, interrupted).
 */
export async function runTables(
  context: SyncContext,
  config: ConfiguracionTablas,
  options: RunOptions,
): Promise<RunSummary> {
  const tasks = selectTasks(config, options);
  if (options.upload) await forgetOtherTables(context, config);
  let done = 0;
  let failed = 0;
  let lastKind: ExitReason = 'error';
  let ended = false;
  const runs: TableRun[] = [];
  for (const task of tasks) {
    const { run, failure } = await runTask(context, task);
    runs.push(run);
    if (failure === undefined) {
      done++;
      continue;
    }
    failed++;
    lastKind = describeError(failure.error).kind;
    if (context.signal.aborted) lastKind = 'interrumpido';
    ended = context.signal.aborted || !failure.connected || endsRun(failure.error);
    if (ended) break;
  }
  const skipped = tasks.length - done - failed;
  if (skipped > 0) context.log.error(`La ejecución termina aquí: quedan ${skipped} tablas sin empezar`);
  const estado = failed === 0 ? 'exitoso' : done === 0 ? 'error' : 'parcial';
  return { estado, reason: reasonOf(estado, ended, lastKind), done, failed, skipped, tablas: runs };
}

/** What waits in the spool for tables that the configuration no longer has. */
async function forgetOtherTables({ backend, log, spool }: SyncContext, config: ConfiguracionTablas): Promise<void> {
  const names = (config.tablasSubida ?? []).map(({ nombre }) => nombre);
  try {
    const onKept = (error: unknown) => log.warn(describeError(error).text);
    for (const id of (await spool?.prune(names, onKept)) ?? []) await abandon(backend, id);
  } catch (error) {
    log.warn(`No se puede limpiar spool/: ${describeError(error).message}`);
  }
}

function reasonOf(estado: RunSummary['estado'], ended: boolean, lastKind: ExitReason): ExitReason {
  if (lastKind === 'interrumpido' && ended) return 'interrumpido';
  if (estado !== 'error') return estado;
  return ended ? lastKind : 'error';
}

interface TaskFailure {
  error: unknown;
  /** Whether SQL Server had let the agent in: where it does not, the next table cannot fare better. */
  connected: boolean;
}

async function runTask(context: SyncContext, task: Task): Promise<{ run: TableRun; failure?: TaskFailure }> {
  const { progress } = context;
  const { direccion, tabla } = task;
  const startedAt = new Date();
  const runOf = (rest: Pick<TableRun, 'estado' | 'filas' | 'mensaje' | 'codigo'>): TableRun => {
    const times = { inicio: startedAt.toISOString(), fin: new Date().toISOString() };
    return { direccion, tabla: tabla.nombre, ...times, ...rest };
  };
  progress.start(direccion, tabla.nombre);
  try {
    if (context.approvedSql !== undefined) assertTableApproved(context.approvedSql, direccion, tabla);
    expectAsLastTime(context, task);
    const filas = await (direccion === 'upload' ? uploadTable(context, tabla) : downloadTable(context, tabla));
    return { run: runOf({ estado: 'exitoso', filas, mensaje: null }) };
  } catch (error) {
    const inPhase = error instanceof PhaseFailure;
    // What belongs to no phase (the connection) is recorded with `fase` null.
    const place = { direccion, tabla: tabla.nombre, fase: null, ejecutadoEn: null };
    recordFailure(context, inPhase ? error : new PhaseFailure(error, place, { startedAt }));
    const { text, code } = describeError(causeOf(error));
    const run = runOf({ estado: 'error', filas: 0, mensaje: text, codigo: code });
    const connected = inPhase || !(error instanceof SqlServerError);
    return { run, failure: { error: causeOf(error), connected } };
  } finally {
    progress.stop();
  }
}

/** A table that goes over whole has about as many rows as last time; what changed since then nobody knows. */
function expectAsLastTime({ lastRows, progress }: SyncContext, { direccion, tabla }: Task): void {
  if (direccion === 'upload' && tabla.incremental === true) return;
  const filas = lastRows(direccion, tabla.nombre);
  if (filas !== undefined) progress.expect({ filas, exacto: false });
}

/** Throws AgentError `configuracion` for a name of `--tabla` that the configuration has not got. */
function selectTasks(config: ConfiguracionTablas, { upload, download, tablas }: RunOptions): Task[] {
  const all: Task[] = [
    ...(upload ? (config.tablasSubida ?? []).map((tabla) => ({ direccion: 'upload' as const, tabla })) : []),
    ...(download ? (config.tablasBajada ?? []).map((tabla) => ({ direccion: 'download' as const, tabla })) : []),
  ];
  if (tablas.length === 0) return all;
  const names = new Set(all.map(({ tabla }) => tabla.nombre));
  const unknown = tablas.filter((nombre) => !names.has(nombre));
  if (unknown.length > 0) {
    throw agentError('TABLA_NO_CONFIGURADA', {
      tablas: unknown.join('», «'),
      hay: names.size === 0 ? 'ninguna en esta dirección' : [...names].join(', '),
    });
  }
  return all.filter(({ tabla }) => tablas.includes(tabla.nombre));
}
