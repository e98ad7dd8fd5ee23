import type { ConfiguracionTablas, TablaBajada, TablaSubida } from '../../protocol/config.ts';
import { describeError, endsRun } from '../describe-error.ts';
import { AgentError, type ExitReason } from '../exit-codes.ts';
import { SqlServerError } from '../sqlserver/errors.ts';
import { assertTableApproved } from './approval.ts';
import type { SyncContext } from './context.ts';
import { downloadTable } from './download.ts';
import { PhaseFailure, recordFailure } from './phases.ts';
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
  done: number;
  failed: number;
  /** Tables not begun, because the run had ended. */
  skipped: number;
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
  for (const task of tasks) {
    const failure = await runTask(context, task);
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
  return { estado, reason: reasonOf(estado, ended, lastKind), done, failed, skipped };
}

/** What waits in the spool for tables that the configuration no longer has. */
async function forgetOtherTables({ backend, log, spool }: SyncContext, config: ConfiguracionTablas): Promise<void> {
  const names = (config.tablasSubida ?? []).map(({ nombre }) => nombre);
  try {
    for (const id of (await spool?.prune(names)) ?? []) await abandon(backend, id);
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

async function runTask(context: SyncContext, task: Task): Promise<TaskFailure | undefined> {
  const { direccion, tabla } = task;
  const startedAt = new Date();
  try {
    if (context.approvedSql !== undefined) assertTableApproved(context.approvedSql, direccion, tabla);
    if (direccion === 'upload') await uploadTable(context, tabla);
    else await downloadTable(context, tabla);
    return undefined;
  } catch (error) {
    const inPhase = error instanceof PhaseFailure;
    // What belongs to no phase (the connection) is recorded with `fase` null.
    const place = { direccion, tabla: tabla.nombre, fase: null, ejecutadoEn: null };
    recordFailure(context, inPhase ? error : new PhaseFailure(error, place, { startedAt }));
    return inPhase ? { error: error.cause, connected: true } : { error, connected: !(error instanceof SqlServerError) };
  }
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
    throw new AgentError(
      'configuracion',
      `No hay tabla «${unknown.join('», «')}» que sincronizar.`,
      names.size === 0
        ? 'La configuración no tiene tablas en esta dirección.'
        : `Las que hay: ${[...names].join(', ')}.`,
    );
  }
  return all.filter(({ tabla }) => tablas.includes(tabla.nombre));
}
