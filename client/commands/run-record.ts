import { defined } from '../../protocol/defined.ts';
import type { RunRecord } from '../state/history.ts';
import type { RunSummary } from '../sync/run.ts';
import type { Secrets } from '../ui/secrets.ts';

/** Returns what is kept and told of a run. */
export function recordOf(startedAt: Date, summary: RunSummary, secrets: Secrets): RunRecord {
  const { reason: resultado, code: codigo, done: bien, failed: conError, skipped: sinEmpezar } = summary;
  const times = { inicio: startedAt.toISOString(), fin: new Date().toISOString() };
  const tablas = summary.tablas.map((table) => ({ ...table, mensaje: table.mensaje && secrets.scrub(table.mensaje) }));
  return { ...times, resultado, ...defined({ codigo }), bien, conError, sinEmpezar, tablas };
}

/** Returns the last line of a run in the log. */
export function describeSummary({ estado, done, failed, skipped, tablas }: RunSummary): string {
  const parts = [`${done} tablas bien`, `${failed} con error`];
  if (skipped > 0) parts.push(`${skipped} sin empezar`);
  const retained = tablas.reduce((sum, { bajasRetenidas = 0 }) => sum + bajasRetenidas, 0);
  if (retained > 0) parts.push(`${retained} bajas retenidas`);
  const columns = tablas.reduce((sum, { columnasPendientes = 0 }) => sum + columnasPendientes, 0);
  if (columns > 0) parts.push(`${columns} cambios de columnas por aprobar`);
  return `Sincronización ${estado}: ${parts.join(', ')}`;
}
