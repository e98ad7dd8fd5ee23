import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';

/**
 * What leaves the server in spans is listed; everything else stays. Instrumentations add what their next version likes: the text of SQL,
 * which is the tenants' own in part, URLs, the words of errors, which name keys and values.
 */
const ALLOWED = new Set([
  ...['http.request.method', 'http.route', 'http.response.status_code', 'error.type'],
  ...['db.system.name', 'db.namespace', 'db.query.summary', 'server.address', 'server.port'],
]);
const OWN = 'ax_sync.';

/** Returns an exporter that gives `inner` what may leave, and no more. */
export function redacting(inner: SpanExporter): SpanExporter {
  return {
    export: (spans, done) => inner.export(spans.map(redact), done),
    shutdown: () => inner.shutdown(),
    forceFlush: async () => inner.forceFlush?.(),
  };
}

function redact(span: ReadableSpan): ReadableSpan {
  const attributes = Object.fromEntries(
    Object.entries(span.attributes).filter(([name]) => ALLOWED.has(name) || name.startsWith(OWN)),
  );
  return Object.create(span, {
    attributes: { value: attributes },
    status: { value: { code: span.status.code } },
    events: { value: [] },
    links: { value: [] },
  }) as ReadableSpan;
}

/** The tables of the server's own SQL. */
const TABLE = /\b(?:INTO|FROM|UPDATE|COPY|TABLE)\s+"?((?:sync_[a-z_]+)|parametros_maestros)\b/i;

/** Returns what a statement does, in two words that no tenant can write: `INSERT sync_logs`. */
export function summarise(sql: string): string {
  const operation = /^\s*([a-z]+)/i.exec(sql)?.[1]?.toUpperCase() ?? 'SQL';
  const table = operation === 'PREPARE' ? undefined : TABLE.exec(sql)?.[1]?.replace(/_[0-9a-f]{32}$/, '');
  return table === undefined ? operation : `${operation} ${table}`;
}
