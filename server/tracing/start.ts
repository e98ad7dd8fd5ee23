import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { FastifyOtelInstrumentation } from '@fastify/otel';
import { context, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { FastifyInstance } from 'fastify';
import manifest from '../../package.json' with { type: 'json' };
import type { Config } from '../config.ts';
import { idGenerator } from './ids.ts';
import { redacting, summarise } from './redact.ts';

/** Milliseconds that the end of the server waits for spans to leave. */
const FLUSH_MS = 3000;
/** Milliseconds between two requests to the collector. */
const EXPORT_MS = 2000;
/** What somebody asks every few seconds is no trace of anything. */
const QUIET = /^\/(api\/sync\/health|metrics)(\/|$)/;

/**
 * Traces requests, statements and the flows of `app`, before it has routes, and sends the spans to the collector; until `app` closes.
 * A collector that does not answer costs spans, never a request: the queue holds 2048, then they are dropped.
 *
 * This file alone loads the SDK, and is itself loaded only where it is wanted (isTracing).
 */
export async function startTracing(app: FastifyInstance, config: Config): Promise<void> {
  const exporter = new OTLPTraceExporter({ url: endpointOf(config) });
  const provider = new TracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': 'ax-sync-server', 'service.version': manifest.version }))
      .merge(detectResources({ detectors: [envDetector] })),
    sampler: samplerOf(config),
    idGenerator,
    spanProcessors: [new BatchSpanProcessor({ exporter: redacting(exporter), scheduledDelayMillis: EXPORT_MS })],
  });
  trace.setGlobalTracerProvider(provider);
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  const postgres = instrumentPostgres(app);
  const fastify = new FastifyOtelInstrumentation({
    instrumentHooks: false,
    recordExceptions: false,
    ignorePaths: ({ url }) => QUIET.test(url.split('?')[0]!),
    requestHook: (span, { method, routeOptions }) => span.updateName(`${method} ${routeOptions.url ?? '(ninguna)'}`),
  });
  await app.register(fastify.plugin());
  app.addHook('onClose', async () => {
    const waiting = new AbortController();
    const late = sleep(FLUSH_MS, undefined, { signal: waiting.signal }).catch(() => {});
    await Promise.race([provider.shutdown().catch(() => {}), late]);
    waiting.abort();
    postgres.disable();
    fastify.disable();
    trace.disable();
    context.disable();
    propagation.disable();
  });
}

/**
 * Has statements make spans. The instrumentation hooks `require`, and the server imports `pg` as a module, which no hook of this process
 * sees; but both lead to the same classes, so that one `require` here is enough, without a loader or `--import`.
 */
function instrumentPostgres(app: FastifyInstance): PgInstrumentation {
  const instrumentation = new PgInstrumentation({
    requireParentSpan: true,
    ignoreConnectSpans: true,
    requestHook: (span, { query }) => {
      const summary = summarise(query.text);
      span.updateName(summary);
      span.setAttribute('db.query.summary', summary);
    },
  });
  const { Client } = createRequire(import.meta.url)('pg') as { Client: { prototype: { query: object } } };
  if (!('__wrapped' in Client.prototype.query)) app.log.warn('las consultas a PostgreSQL no salen en las trazas');
  return instrumentation;
}

function endpointOf(config: Config): string {
  const { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: traces, OTEL_EXPORTER_OTLP_ENDPOINT: all = '' } = config;
  return traces ?? `${all.replace(/\/+$/, '')}/v1/traces`;
}

function samplerOf({ OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG }: Config): Sampler {
  const ratio = new TraceIdRatioBasedSampler(Number(OTEL_TRACES_SAMPLER_ARG));
  const samplers: Record<Config['OTEL_TRACES_SAMPLER'], () => Sampler> = {
    always_on: () => new AlwaysOnSampler(),
    always_off: () => new AlwaysOffSampler(),
    traceidratio: () => ratio,
    parentbased_always_on: () => new ParentBasedSampler({ root: new AlwaysOnSampler() }),
    parentbased_always_off: () => new ParentBasedSampler({ root: new AlwaysOffSampler() }),
    parentbased_traceidratio: () => new ParentBasedSampler({ root: ratio }),
  };
  return samplers[OTEL_TRACES_SAMPLER]();
}
