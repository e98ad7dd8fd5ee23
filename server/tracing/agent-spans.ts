import { createHash } from 'node:crypto';
import {
  isSpanContextValid,
  ROOT_CONTEXT,
  type SpanContext,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import type { LogEntry } from '../../protocol/api.ts';
import { idGenerator, withIds } from './ids.ts';
import { attributesOf, tracer } from './spans.ts';

/**
 * Returns the agent carries no SDK: it names a trace for each run (`traceparent` of its requests, `traza` of its log
 * entries), and here its entries become spans with the times that they tell, under a span of the run. What comes again
 * has the same ids.
 */
export function emitAgentSpans(tenant: string, entries: readonly LogEntry[]): void {
  const runs = new Map<string, LogEntry[]>();
  for (const entry of entries) {
    if (typeof entry.traza !== 'string' || timesOf(entry) === undefined) continue;
    const run = runs.get(entry.traza);
    if (run === undefined) runs.set(entry.traza, [entry]);
    else run.push(entry);
  }
  for (const [traza, run] of runs) {
    const ids = parseTraceparent(traza);
    if (ids !== undefined && (ids.traceFlags & TraceFlags.SAMPLED) !== 0) emitRun(tenant, ids, run);
  }
}

function emitRun(tenant: string, ids: SpanContext, entries: readonly LogEntry[]): void {
  const times = entries.map((entry) => timesOf(entry)!);
  const startTime = Math.min(...times.map(({ start }) => start));
  const run = withIds(ids, () =>
    tracer.startSpan('agente: ejecución', { root: true, startTime, attributes: attributesOf({ tenant }) }),
  );
  // Nobody collects, or the sampler has passed over this trace.
  if (!run.isRecording()) return;
  const parent = trace.setSpan(ROOT_CONTEXT, run);
  for (const [index, entry] of entries.entries())
    emitEntry(tenant, entry, times[index]!, { parent, traceId: ids.traceId });
  run.end(Math.max(...times.map(({ end }) => end)));
}

function emitEntry(
  tenant: string,
  entry: LogEntry,
  { start, end }: { start: number; end: number },
  { parent, traceId }: { parent: typeof ROOT_CONTEXT; traceId: string },
): void {
  const { id, direccion, tabla, fase, ejecutadoEn, estado, registrosAfectados } = entry;
  const attributes = {
    ...attributesOf({ tenant, tabla }),
    'ax_sync.estado': estado,
    ...(ejecutadoEn == null ? {} : { 'ax_sync.ejecutado_en': ejecutadoEn }),
    ...(registrosAfectados == null ? {} : { 'ax_sync.filas': registrosAfectados }),
  };
  const spanId = id === undefined ? idGenerator.generateSpanId() : spanIdOf(id);
  const span = withIds({ traceId, spanId }, () =>
    tracer.startSpan(`agente: ${fase ?? 'tabla'} (${direccion})`, { startTime: start, attributes }, parent),
  );
  if (estado === 'error') span.setStatus({ code: SpanStatusCode.ERROR });
  span.end(end);
}

/** The same entry, sent again after a lost answer, is the same span. */
function spanIdOf(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 16);
}

function timesOf({ fechaInicio, fechaFin }: LogEntry): { start: number; end: number } | undefined {
  const start = Date.parse(fechaInicio);
  const end = Date.parse(fechaFin ?? fechaInicio);
  return Number.isNaN(start) || Number.isNaN(end) ? undefined : { start, end: Math.max(start, end) };
}

/** W3C trace context, version 00; undefined: it is none. */
function parseTraceparent(text: string): SpanContext | undefined {
  const [, traceId, spanId, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  const ids = { traceId, spanId, traceFlags: Number.parseInt(flags!, 16), isRemote: true };
  return isSpanContextValid(ids) ? ids : undefined;
}
