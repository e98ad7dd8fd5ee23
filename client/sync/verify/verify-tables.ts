import type { Verificacion } from '../../../protocol/api.ts';
import type { ConfiguracionTablas, TablaBajada, TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { assertTableApproved } from '../../config/approval.ts';
import { assertPinned } from '../../config/sensitive-pins.ts';
import { agentError } from '../../errors/agent-error.ts';
import { describeError, endsRun } from '../../errors/describe-error.ts';
import type { ExitReason } from '../../errors/exit-codes.ts';
import type { RunContext } from '../context.ts';
import { causeOf } from '../phases.ts';
import { TrackingLooks } from '../upload/tracking-looks.ts';
import { verifyDownload } from './verify-download.ts';
import { type VerifyOptions, verifyTable } from './verify-table.ts';

/** The tables of one `verify`, one after the other. */

type Task = { direccion: 'upload'; tabla: TablaSubida } | { direccion: 'download'; tabla: TablaBajada };

export interface VerifiedTables {
  tablas: Verificacion[];
  errores: { tabla: string; codigo: string; mensaje: string }[];
  reason: ExitReason;
}

/**
 * Verifies the tables. One that fails does not stop the next, unless the reason would stop that one too.
 * @throws {AgentError} TABLA_NO_CONFIGURADA
 */
export async function verifyTables(
  context: RunContext,
  config: ConfiguracionTablas,
  options: VerifyOptions & { tablas: readonly string[] },
): Promise<VerifiedTables> {
  const { log, signal } = context;
  const found: VerifiedTables = { tablas: [], errores: [], reason: 'exitoso' };
  let reason: ExitReason | undefined;
  const deadline = options.maxSegundos === undefined ? undefined : performance.now() + options.maxSegundos * 1000;
  for (const task of selectTables(config, options.tablas)) {
    const { tabla } = task;
    const maxSegundos = deadline && Math.max(0, (deadline - performance.now()) / 1000);
    try {
      found.tablas.push(await verifyOne(context, task, { ...options, maxSegundos }));
    } catch (error) {
      const { text, kind, code } = describeError(causeOf(error));
      reason = signal.aborted ? 'interrumpido' : (reason ?? kind);
      log.error(text, tabla.nombre);
      found.errores.push({ tabla: tabla.nombre, codigo: code, mensaje: text });
      if (signal.aborted || endsRun(causeOf(error))) break;
    }
  }
  return { ...found, reason: reason ?? reasonOf(found.tablas) };
}

/** Compares one table, with all that stands before a table's SQL is run. */
async function verifyOne(shared: RunContext, task: Task, options: VerifyOptions): Promise<Verificacion> {
  const { direccion, tabla } = task;
  const progress = shared.progress.start(direccion, tabla.nombre);
  try {
    const context = {
      ...{ ...shared, ...shared.connectionOf(tabla.conexion), progress },
      // Of a repair: what it is told of is in the log.
      ...{ onRetained: () => {}, onColumnsPending: () => {}, looks: new TrackingLooks([]), columnsWaiting: {} },
    };
    if (context.approvedSql !== undefined) assertTableApproved(context.approvedSql, direccion, tabla);
    assertPinned(context.sensitivePins, direccion, tabla, context.approvedSql !== undefined);
    return direccion === 'upload'
      ? await verifyTable(context, tabla, options)
      : await verifyDownload(context, tabla, options);
  } finally {
    progress.stop();
  }
}

function reasonOf(tablas: readonly Verificacion[]): ExitReason {
  if (tablas.some(({ estado }) => estado === 'diferencias')) return 'diferencias';
  const isUnfinished = ({ estado, distintas, faltan }: Verificacion) =>
    estado === 'incompleta' && (distintas > 0 || faltan > 0);
  if (tablas.some(isUnfinished)) return 'diferencias';
  return tablas.some(({ estado }) => estado === 'incompleta') ? 'incompleta' : 'exitoso';
}

function selectTables(
  { tablasSubida = [], tablasBajada = [] }: ConfiguracionTablas,
  tablas: readonly string[],
): Task[] {
  const all: Task[] = [
    ...tablasSubida.map((tabla) => ({ direccion: 'upload' as const, tabla })),
    ...tablasBajada.map((tabla) => ({ direccion: 'download' as const, tabla })),
  ];
  const names = new Set(all.map(({ tabla }) => tabla.nombre));
  const unknown = tablas.filter((nombre) => !names.has(nombre));
  if (unknown.length > 0) {
    throw agentError('TABLA_NO_CONFIGURADA', {
      tablas: unknown.join('», «'),
      hay: names.size === 0 ? 'ninguna' : [...names].join(', '),
    });
  }
  return tablas.length === 0 ? all : all.filter(({ tabla }) => tablas.includes(tabla.nombre));
}
