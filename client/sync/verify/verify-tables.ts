import type { Verificacion } from '../../../protocol/api.ts';
import type { ConfiguracionTablas, TablaSubida } from '../../../protocol/tenant-config/config.ts';
import { assertTableApproved } from '../../config/approval.ts';
import { assertPinned } from '../../config/sensitive-pins.ts';
import { agentError } from '../../errors/agent-error.ts';
import { describeError, endsRun } from '../../errors/describe-error.ts';
import type { ExitReason } from '../../errors/exit-codes.ts';
import type { RunContext } from '../context.ts';
import { causeOf } from '../phases.ts';
import { TrackingLooks } from '../upload/tracking-looks.ts';
import { type VerifyOptions, verifyTable } from './verify-table.ts';

/** The tables of one `verify`, one after the other. */

export interface VerifiedTables {
  tablas: Verificacion[];
  errores: { tabla: string; codigo: string; mensaje: string }[];
  reason: ExitReason;
}

/** A table that fails does not stop the next, unless the reason would stop that one too. Throws AgentError TABLA_NO_CONFIGURADA. */
export async function verifyTables(
  context: RunContext,
  config: ConfiguracionTablas,
  options: VerifyOptions & { tablas: readonly string[] },
): Promise<VerifiedTables> {
  const { log, signal } = context;
  const found: VerifiedTables = { tablas: [], errores: [], reason: 'exitoso' };
  let reason: ExitReason | undefined;
  const deadline = options.maxSegundos === undefined ? undefined : performance.now() + options.maxSegundos * 1000;
  for (const tabla of selectTables(config, options.tablas)) {
    const maxSegundos = deadline && Math.max(0, (deadline - performance.now()) / 1000);
    try {
      found.tablas.push(await verifyOne(context, tabla, { ...options, maxSegundos }));
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

/** As verifyTable, with all that stands before a table's SQL is run. */
export async function verifyOne(shared: RunContext, tabla: TablaSubida, options: VerifyOptions): Promise<Verificacion> {
  const progress = shared.progress.start('upload', tabla.nombre);
  try {
    const context = {
      ...{ ...shared, ...shared.connectionOf(tabla.conexion), progress },
      // Of a repair: what it is told of is in the log.
      ...{ onRetained: () => {}, onColumnsPending: () => {}, looks: new TrackingLooks([]), columnsWaiting: {} },
    };
    if (context.approvedSql !== undefined) assertTableApproved(context.approvedSql, 'upload', tabla);
    assertPinned(context.sensitivePins, 'upload', tabla, context.approvedSql !== undefined);
    return await verifyTable(context, tabla, options);
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

function selectTables({ tablasSubida = [] }: ConfiguracionTablas, tablas: readonly string[]): TablaSubida[] {
  const unknown = tablas.filter((nombre) => !tablasSubida.some((tabla) => tabla.nombre === nombre));
  if (unknown.length > 0) {
    const names = tablasSubida.map(({ nombre }) => nombre).join(', ');
    throw agentError('TABLA_NO_CONFIGURADA', {
      tablas: unknown.join('», «'),
      hay: names === '' ? 'ninguna de subida' : `${names} (solo se comparan las de subida)`,
    });
  }
  return tablas.length === 0 ? tablasSubida : tablasSubida.filter(({ nombre }) => tablas.includes(nombre));
}
