import { type Attributes, type Span, SpanStatusCode, trace } from '@opentelemetry/api';
import { SyncError } from '../../protocol/errors.ts';

/**
 * Spans of the flows. Without OTEL_EXPORTER_OTLP_ENDPOINT no SDK is loaded, and all of this does nothing: `@opentelemetry/api` by itself
 * (which prom-client loads anyhow) has neither clock nor memory.
 */
export const tracer = trace.getTracer('ax-sync-server');

/** What a span says of its table. Never a value of a row, nor SQL: redact.ts lets nothing else out. */
export interface SpanPlace {
  tenant: string;
  tabla?: string;
}

/** Returns the attributes of a place. */
export function attributesOf({ tenant, tabla = '' }: SpanPlace): Attributes {
  return { 'ax_sync.tenant': tenant, ...(tabla === '' ? {} : { 'ax_sync.tabla': tabla }) };
}

/** Runs `fn` in a span, which ends with it. `rowsOf` says how many rows it came to. */
export function inSpan<T>(
  name: string,
  place: SpanPlace,
  fn: () => Promise<T>,
  rowsOf?: (result: T) => number | undefined,
): Promise<T> {
  return tracer.startActiveSpan(name, { attributes: attributesOf(place) }, async (span) => {
    try {
      const result = await fn();
      const filas = rowsOf?.(result);
      if (filas !== undefined) span.setAttribute('ax_sync.filas', filas);
      return result;
    } catch (error) {
      failSpan(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Marks a span as failed, by the error's code: its words may hold values of rows. */
export function failSpan(span: Span, error: unknown): void {
  const code = error instanceof SyncError ? error.code : (error as { code?: unknown } | null)?.code;
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.setAttribute('error.type', typeof code === 'string' ? code : 'INTERNO');
}
