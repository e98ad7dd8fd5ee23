import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client';
import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';
import type { Connection } from '../postgres/pool.ts';
import { readStaging } from '../rows/staging.ts';
import { type Order, type Overview, orders, readOverview } from '../tenants/overview.ts';
import { makeOperatorCheck } from './operator.ts';
import { makeSnapshot } from './snapshot.ts';

/** Milliseconds that what is known of all tenants is good for, and that a scrape waits for it. */
const OVERVIEW = { goodForMs: 60_000, waitMs: 3000 };

/**
 * For the administrator alone: GET /metrics for Prometheus, and GET /metrics/peores, the twenty tenants that are worst off. Without
 * METRICS_TOKEN neither is there.
 */
export const metrics = fp(async (app: FastifyInstance, { config, database, meters }: Context) => {
  const { registry } = meters;
  collectDefaultMetrics({ register: registry });
  countRequests(app, registry);
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
  if (config.METRICS_TOKEN === undefined) return;

  const look = makeSnapshot({ load: () => database.withConnection(readAll), ...OVERVIEW });
  const show = makeOverviewGauges(registry);
  const assertOperator = makeOperatorCheck(config);
  const options = { logLevel: 'warn', onRequest: async (request: FastifyRequest) => assertOperator(request) } as const;
  app.get('/metrics', options, async (_request, reply) => {
    const { value, takenAt, error } = await look();
    show(value, takenAt, error);
    reply.type(registry.contentType);
    return registry.metrics();
  });
  app.get('/metrics/peores', options, async (request: FastifyRequest<{ Querystring: { por?: string } }>, reply) => {
    const { por = 'fallos' } = request.query;
    if (!Object.hasOwn(orders, por)) {
      const detail = `«por» debe ser uno de ${Object.keys(orders).join(', ')}.`;
      throw new SyncError('CUERPO_INVALIDO', detail, { campo: 'por' });
    }
    const { value, takenAt } = await look();
    if (value === undefined)
      throw new SyncError('BASE_NO_DISPONIBLE', 'PostgreSQL no dijo a tiempo cómo están los tenants.');
    return answerJson(reply, {
      success: true,
      por,
      calculado: takenAt!.toISOString(),
      tenants: value.overview.tenants,
      peores: value.overview.peores[por as Order],
    });
  });
});

async function readAll(
  connection: Connection,
): Promise<{ overview: Overview; staging: { abiertas: number; bytes: number } }> {
  return { overview: await readOverview(connection), staging: await readStaging(connection) };
}

function answerJson(reply: FastifyReply, value: object): FastifyReply {
  return reply.header('cache-control', 'no-store').send(value);
}

/** Counts requests by route and status, and how long they take. */
function countRequests(app: FastifyInstance, registry: Registry): void {
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
  app.addHook('onResponse', async (request, reply) => {
    const labels = { method: request.method, route: request.routeOptions.url ?? '(ninguna)' };
    requests.inc({ ...labels, status: reply.statusCode });
    seconds.observe(labels, reply.elapsedTime / 1000);
  });
}

/** Returns what puts an overview into gauges. What is not known has none: an alert on absence says so. */
function makeOverviewGauges(registry: Registry) {
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name, help, labelNames, registers: [registry] });
  const tenants = gauge(
    'ax_sync_tenants',
    'Tenants activos; failing: con errores entre sus últimos registros; late: sin un éxito en 24 horas',
    'state',
  );
  const delay = gauge(
    'ax_sync_tenant_delay_seconds',
    'Tiempo desde el último éxito de cada tenant, por cuantiles',
    'quantile',
  );
  const bajas = gauge('ax_sync_bajas_retenidas', 'Bajas que esperan a un administrador');
  const schemas = gauge('ax_sync_esquemas_pendientes', 'Cambios de columnas que esperan a un administrador');
  const uploads = gauge('ax_sync_uploads_open', 'Subidas por trozos sin confirmar');
  const staging = gauge('ax_sync_staging_bytes', 'Lo que ocupan en PostgreSQL las subidas por trozos');
  const taken = gauge('ax_sync_overview_timestamp_seconds', 'De cuándo es lo que se sabe de todos los tenants');
  const failed = gauge('ax_sync_overview_error', '1: no se pudo saber la última vez que se quiso');
  for (const one of [bajas, schemas, uploads, staging, taken]) one.remove();
  return (known: Awaited<ReturnType<typeof readAll>> | undefined, takenAt: Date | undefined, error: unknown) => {
    failed.set(error === undefined ? 0 : 1);
    if (known === undefined || takenAt === undefined) return;
    const found = known.overview;
    tenants.set({ state: 'active' }, found.tenants);
    tenants.set({ state: 'failing' }, found.conFallos);
    tenants.set({ state: 'late' }, found.atrasados);
    for (const [quantile, value] of Object.entries(found.retraso)) delay.set({ quantile }, value);
    bajas.set(found.bajasRetenidas);
    schemas.set(found.esquemasPendientes);
    uploads.set(known.staging.abiertas);
    staging.set(known.staging.bytes);
    taken.set(takenAt.getTime() / 1000);
  };
}
