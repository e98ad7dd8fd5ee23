import type { ConfiguracionTablas, TablaBajada, TablaSubida } from '../../protocol/tenant-config/config.ts';
import { assertTableApproved } from '../config/approval.ts';
import { assertPinned } from '../config/sensitive-pins.ts';
import { agentError } from '../errors/agent-error.ts';
import { describeError, endsRun } from '../errors/describe-error.ts';
import type { ExitReason } from '../errors/exit-codes.ts';
import { SqlServerError } from '../sqlserver/errors.ts';
import type { TableRun } from '../state/history.ts';
import {
  type ColumnsWaiting,
  expectedRows,
  type RunContext,
  type SyncContext,
  type TableConnection,
} from './context.ts';
import { downloadTable } from './download/download.ts';
import { ledgerOf } from './download/held.ts';
import { checkGenerations } from './generations.ts';
import { causeOf, PhaseFailure, recordFailure } from './phases.ts';
import { abandon } from './upload/open.ts';
import { dropPending } from './upload/pending.ts';
import { TrackingLooks } from './upload/tracking-looks.ts';
import { uploadTable } from './upload/upload.ts';
import { verifyIfDue } from './verify/scheduled.ts';

export interface RunOptions {
  upload: boolean;
  download: boolean;
  /** Only these; all when empty. */
  tablas: readonly string[];
  /** Uploads start from the beginning: marks and spool of these tables are dropped first. */
  desdeCero?: boolean;
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
 * Runs each table of the configuration, begun in the order of the list: the uploads, and once they are through the downloads,
 * `tablasALaVez` at a time. A table that fails does not stop the next, unless the reason would stop that one too: nobody
 * answers, credentials refused, interrupted; or, for the tables of the same connection, SQL Server does not let the agent in.
 */
export async function runTables(
  context: RunContext,
  config: ConfiguracionTablas,
  options: RunOptions,
): Promise<RunSummary> {
  const tasks = selectTasks(config, options);
  const looks = new TrackingLooks(tasks.flatMap((task) => (task.direccion === 'upload' ? [task.tabla] : [])));
  let columnsWaiting: ColumnsWaiting = {};
  if (options.upload) {
    await forgetOtherTables(context, config);
    const uploads = tasks.filter(({ direccion }) => direccion === 'upload').map(({ tabla }) => tabla.nombre);
    if (options.desdeCero === true) await startAfresh(context, uploads);
    columnsWaiting = await checkGenerations(context, uploads);
  }
  const runs: (TableRun | undefined)[] = [];
  let endedBy: ExitReason | undefined;
  const unusable = new Map<string | undefined, ExitReason>();
  const begin = async (task: Task, index: number) => {
    const { conexion } = task.tabla;
    if (endedBy !== undefined || unusable.has(conexion)) return;
    const { run, failure } = await runTask({ ...context, looks, columnsWaiting }, task);
    runs[index] = run;
    if (failure === undefined) return;
    const { kind } = describeError(failure.error);
    if (context.signal.aborted) endedBy = 'interrumpido';
    else if (endsRun(failure.error)) endedBy ??= kind;
    else if (!failure.connected) unusable.set(conexion, kind);
  };
  for (const direccion of ['upload', 'download']) {
    const waiting = [...tasks.keys()].filter((index) => tasks[index]!.direccion === direccion);
    const inTurn = async () => {
      for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) await begin(tasks[index]!, index);
    };
    await Promise.all(Array.from({ length: config.tablasALaVez ?? 1 }, inTurn));
  }
  const tablas = runs.filter((run) => run !== undefined);
  const failed = tablas.filter(({ estado }) => estado === 'error').length;
  const done = tablas.length - failed;
  const skipped = tasks.length - tablas.length;
  if (skipped > 0) context.log.error(describeSkipped(skipped, endedBy, [...unusable.keys()]));
  const retained = tablas.some(({ bajasRetenidas = 0 }) => bajasRetenidas > 0);
  const pending = tablas.some(({ columnasPendientes = 0 }) => columnasPendientes > 0);
  const estado = failed === 0 ? (retained || pending ? 'parcial' : 'exitoso') : done === 0 ? 'error' : 'parcial';
  const waits = retained ? 'bajasRetenidas' : 'esquemaPendiente';
  const worst = failed === 0 && (retained || pending) ? waits : estado;
  const reason = reasonOf(worst, endedBy, [...unusable.values()]);
  return { estado, reason, done, failed, skipped, tablas };
}

function describeSkipped(skipped: number, endedBy: ExitReason | undefined, unusable: (string | undefined)[]): string {
  if (endedBy !== undefined) return `La ejecución termina aquí: quedan ${skipped} tablas sin empezar`;
  const names = unusable.map((name) => (name === undefined ? 'la conexión a SQL Server' : `la conexión «${name}»`));
  return `Quedan ${skipped} tablas sin empezar: no se puede usar ${names.join(', ni ')}`;
}

/** What waits in the spool for tables that the configuration no longer has. */
async function forgetOtherTables(
  { backend, ledgers, log, spool }: RunContext,
  config: ConfiguracionTablas,
): Promise<void> {
  const names = (config.tablasSubida ?? []).map(({ nombre }) => nombre);
  try {
    const onKept = (error: unknown) => log.warn(describeError(error).text);
    const down = (config.tablasBajada ?? []).filter(({ cambios }) => cambios === 'huellas');
    await ledgers.prune([...names, ...down.map(({ nombre }) => ledgerOf(nombre))]);
    for (const id of (await spool?.prune(names, onKept)) ?? []) await abandon(backend, id);
  } catch (error) {
    log.warn(`No se puede limpiar spool/: ${describeError(error).message}`);
  }
}

/** Before the first table: should the run end early, the next ones still begin there. */
async function startAfresh(context: RunContext, tablas: readonly string[]): Promise<void> {
  for (const tabla of tablas) {
    await context.watermarks.forget(tabla);
    await dropPending(context, tabla);
    context.log.info('Se sube desde el principio (--desde-cero)', tabla);
  }
}

function reasonOf(
  estado: RunSummary['estado'] | 'bajasRetenidas' | 'esquemaPendiente',
  endedBy: ExitReason | undefined,
  [unusable]: readonly ExitReason[],
): ExitReason {
  if (endedBy === 'interrumpido') return endedBy;
  if (estado !== 'error') return estado;
  return endedBy ?? unusable ?? 'error';
}

interface TaskFailure {
  error: unknown;
  /** Whether SQL Server had let the agent in: where it does not, the next table of this connection cannot fare better. */
  connected: boolean;
}

async function runTask(
  shared: RunContext & Pick<SyncContext, 'looks' | 'columnsWaiting'>,
  task: Task,
): Promise<{ run: TableRun; failure?: TaskFailure }> {
  const { direccion, tabla } = task;
  const startedAt = new Date();
  const runOf = (
    rest: Pick<
      TableRun,
      'estado' | 'filas' | 'leidas' | 'mensaje' | 'codigo' | 'bajasRetenidas' | 'columnasPendientes'
    >,
  ): TableRun => {
    const times = { inicio: startedAt.toISOString(), fin: new Date().toISOString() };
    return { direccion, tabla: tabla.nombre, ...times, ...rest };
  };
  const progress = shared.progress.start(direccion, tabla.nombre);
  let connection: TableConnection | undefined;
  /** Whether SQL Server let the agent in, at the last attempt. */
  let isIn = false;
  const withSqlServer: TableConnection['withSqlServer'] = (options, work) => {
    isIn = false;
    return connection!.withSqlServer(options, (db) => {
      isIn = true;
      return work(db);
    });
  };
  let retained = 0;
  const onRetained = (bajas: number) => {
    retained = bajas;
  };
  let columns = 0;
  const onColumnsPending = (changes: number) => {
    columns = changes;
  };
  try {
    connection = shared.connectionOf(tabla.conexion);
    const context: SyncContext = {
      ...{ ...shared, ...connection, withSqlServer },
      ...{ progress, onRetained, onColumnsPending },
    };
    if (context.approvedSql !== undefined) assertTableApproved(context.approvedSql, direccion, tabla);
    assertPinned(context.sensitivePins, direccion, tabla, context.approvedSql !== undefined);
    progress.expect(expectedRows(context, direccion, tabla));
    const sent =
      direccion === 'upload' ? await uploadTable(context, tabla) : { filas: await downloadTable(context, tabla) };
    const held = {
      ...(retained > 0 ? { bajasRetenidas: retained } : {}),
      ...(columns > 0 ? { columnasPendientes: columns } : {}),
    };
    await verifyIfDue(context, task);
    return { run: runOf({ estado: 'exitoso', ...sent, mensaje: null, ...held }) };
  } catch (error) {
    const inPhase = error instanceof PhaseFailure;
    // What belongs to no phase (the connection) is recorded with `fase` null.
    const place = { direccion, tabla: tabla.nombre, fase: null, ejecutadoEn: null };
    recordFailure(shared, inPhase ? error : new PhaseFailure(error, place, { startedAt }));
    const { text, code } = describeError(causeOf(error));
    const run = runOf({ estado: 'error', filas: 0, mensaje: text, codigo: code });
    const isOfConnection = !inPhase && error instanceof SqlServerError && (!isIn || isOfItsServer(error));
    const connected = connection !== undefined && !isOfConnection;
    return { run, failure: { error: causeOf(error), connected } };
  } finally {
    progress.stop();
  }
}

/**
 * Returns whether an error that belongs to no phase would meet every table of its SQL Server: what it asks of this
 * table's own is not among them.
 */
function isOfItsServer({ code, retryable }: SqlServerError): boolean {
  return retryable || code === 'RELOJ_ILEGIBLE';
}

/** @throws {AgentError} `configuracion` for a name of `--tabla` that the configuration has not got */
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
