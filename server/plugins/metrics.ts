import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Context } from '../context.ts';

/** GET /metrics for Prometheus: requests by route and status, their time, the connections in use. */
export const metrics = fp(async (app: FastifyInstance, { database }: Context) => {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'ax_sync_requests_total',
    help: 'Peticiones atendidas',
    labelNames: ['method', 'route', 'status'],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: 'ax_sync_request_seconds',
    help: 'Duración de las peticiones',
    labelNames: ['method', 'route'],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300],
    registers: [registry],
  });
  new Gauge({
    name: 'ax_sync_connections',
    help: 'Conexiones a PostgreSQL en uso y peticiones en espera',
    labelNames: ['pool', 'state'],
    registers: [registry],
    collect() {
      for (const [pool, { busy, waiting, max }] of Object.entries(database.usage())) {
        this.set({ pool, state: 'busy' }, busy);
        this.set({ pool, state: 'waiting' }, waiting);
        this.set({ pool, state: 'max' }, max);
      }
    },
  });
  app.addHook('onResponse', async (request, reply) => {
    const labels = { method: request.method, route: request.routeOptions.url ?? '(ninguna)' };
    requests.inc({ ...labels, status: reply.statusCode });
    seconds.observe(labels, reply.elapsedTime / 1000);
  });
  app.get('/metrics', { logLevel: 'warn' }, async (_request, reply) => {
    reply.type(registry.contentType);
    return registry.metrics();
  });
});
