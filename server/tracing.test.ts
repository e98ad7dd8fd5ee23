import { once } from 'node:events';
import { createRequire } from 'node:module';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { attributeOf, type Collector, type SentSpan, startCollector } from '../fixtures/collector.ts';
import { buildApp } from './app.ts';
import { loadConfig } from './config.ts';
import { startServerProcess } from './testing/run-cli.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/**
 * Spans as a collector gets them: a receiver of OTLP on this machine, a server as a process of its own (its `pg` is the one that Node loads),
 * and requests of an agent.
 */
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const SECRET = 'valor-que-nadie-debe-ver';
const tables = {
  tablasSubida: [
    {
      nombre: 'clientes',
      primaryKey: 'id',
      process: { query: 'SELECT 1' },
      pre_process: { enabled: true, sql: `SELECT '${SECRET}-sql'`, ejecutarEn: 'destino' },
      post_process: {
        enabled: true,
        sql: `UPDATE parametros_maestros SET nombre = '${SECRET}-sql' WHERE codigo = 'ninguno'`,
        ejecutarEn: 'destino',
      },
    },
    { nombre: 'rota', primaryKey: 'id', process: { query: 'SELECT 1' } },
  ],
  tablasBajada: [
    { nombre: 'cuentas', process: { query: `SELECT codigo, '${SECRET}-sql' AS x FROM parametros_maestros` } },
  ],
};

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const RUN = '00f067aa0ba902b7';
const traza = `00-${TRACE}-${RUN}-01`;
const MINUTE_AGO = Date.now() - 60_000;

let world: TestServer;
let collector: Collector;
let spans: readonly SentSpan[];
let log = '';

beforeAll(async () => {
  collector = await startCollector();
  spans = collector.spans;
  world = await startTestServer(inject('postgresUrl'), { tables });
  const {
    url,
    child,
    log: written,
  } = await startServerProcess({
    DATABASE_URL: world.databaseUrl,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-colector=clave',
    OTEL_SERVICE_NAME: 'centro',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=prueba',
  });
  const send = (path: string, traceparent: string | undefined, init: RequestInit = {}) =>
    fetch(`${url}/api/sync${path}`, {
      ...init,
      headers: {
        ...{ 'x-tenant-id': world.tenant, 'x-api-key': world.key },
        ...(traceparent === undefined ? {} : { traceparent }),
        ...(init.headers as Record<string, string>),
      },
    });
  const upload = (tabla: string, body: string, traceparent: string | undefined) =>
    send(`/upload/acme-001?tabla=${tabla}`, traceparent, {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body,
    });
  try {
    const row = `{"id":"${SECRET}-clave","nombre":"${SECRET}"}\n`;
    expect((await upload('clientes', row, traza)).status).toBe(200);
    expect((await upload('rota', `${row}${row}`, traza)).status).toBe(422);
    expect((await upload('rota', `{"id":${SECRET}}\n`, traza)).status).toBe(422);
    const down = await send('/download/acme-001?tabla=cuentas', traza);
    expect(await down.text()).toContain(SECRET);
    for (const bad of ['', 'x', `00-${'0'.repeat(32)}-${RUN}-01`, `ff-${TRACE}-${RUN}-01`, `${traza}-mas`]) {
      expect((await send('/status/acme-001', bad)).status).toBe(200);
    }
    const entry = { direccion: 'upload', tabla: 'clientes', estado: 'exitoso', mensaje: SECRET };
    const at = (ms: number) => new Date(MINUTE_AGO + ms).toISOString();
    const logs = [
      {
        ...{ ...entry, id: 'c00000000000000000000000a', traza, fase: 'pre_process', ejecutadoEn: 'origen' },
        ...{ fechaInicio: at(0), fechaFin: at(1000), registrosAfectados: 7 },
      },
      {
        ...{ ...entry, id: 'c00000000000000000000000b', traza, fase: 'process', estado: 'error', errorDetalle: SECRET },
        ...{ fechaInicio: at(1000), fechaFin: at(5000) },
      },
      { ...entry, id: 'c00000000000000000000000c', traza: 'ninguna', fechaInicio: at(0) },
    ];
    for (const _ of ['once', 'and again, after a lost answer']) {
      const stored = await send('/logs/acme-001', traza, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ logs }),
      });
      expect(stored.status).toBe(200);
    }
  } finally {
    // What is queued leaves before the end.
    child.kill('SIGTERM');
    await once(child, 'exit');
    log = written();
    collector.stop();
  }
});
afterAll(() => world?.close());

const named = (name: string) => spans.filter((span) => span.name === name);
/** Names from a span up to its trace's beginning. */
function ancestry(span: SentSpan): string[] {
  const parent = spans.find(({ spanId }) => spanId === span.parentSpanId);
  return [span.name, ...(parent === undefined ? [] : ancestry(parent))];
}

test('spans go to the collector of OTEL_EXPORTER_OTLP_ENDPOINT, with its headers and the names of the environment', () => {
  const { headers, body } = collector.requests[0]!;
  const resource = JSON.stringify(body.resourceSpans[0]!.resource);
  expect(headers).toMatchObject({ 'x-colector': 'clave' });
  for (const word of ['centro', 'prueba', 'service.version']) expect(resource).toContain(word);
  expect(log).not.toContain('las consultas a PostgreSQL no salen');
});

test('an upload is one trace with the agent’s run: request, COPY, phases, merge, and the statements below each', () => {
  const route = 'POST /api/sync/upload/:tenantId';
  const names = ['COPY', 'pre_process', 'merge', 'bajas', 'post_process'];
  for (const name of names) {
    const found = named(name).filter((span) => attributeOf(span, 'ax_sync.tabla') === 'clientes');
    expect(found, name).toHaveLength(1);
    expect(found[0]!.traceId).toBe(TRACE);
    expect(ancestry(found[0]!)).toEqual([name, expect.stringContaining('handler'), route, 'agente: ejecución']);
    expect(attributeOf(found[0]!, 'ax_sync.tenant')).toBe('acme-001');
  }
  const statements = spans.filter((span) => attributeOf(span, 'db.system.name') === 'postgresql');
  const below = (name: string) => statements.filter((span) => ancestry(span)[1] === name).map((span) => span.name);
  expect(below('merge')).toEqual(expect.arrayContaining(['UPDATE parametros_maestros', 'WITH parametros_maestros']));
  expect(below('post_process')).toContain('PREPARE');
  // Those of the authentication, too, belong to the request.
  expect(below(route).length).toBeGreaterThan(0);
});

test('a download’s span lasts to its last row', () => {
  const [span] = named('bajada');
  expect(span!.traceId).toBe(TRACE);
  expect(attributeOf(span!, 'ax_sync.filas')).toBe(1);
});

test('the agent’s phases are spans with the times that they had, below its run, and once however often they come', () => {
  const runs = named('agente: ejecución');
  expect(new Set(runs.map(({ spanId, traceId }) => `${traceId} ${spanId}`))).toEqual(new Set([`${TRACE} ${RUN}`]));
  const ms = (nano: string) => Number(BigInt(nano) / 1_000_000n) - MINUTE_AGO;
  const times = ({ startTimeUnixNano, endTimeUnixNano }: SentSpan) => [ms(startTimeUnixNano), ms(endTimeUnixNano)];
  expect(times(runs[0]!)).toEqual([0, 5000]);
  const before = named('agente: pre_process (upload)');
  expect(new Set(before.map(({ spanId }) => spanId)).size).toBe(1);
  expect(times(before[0]!)).toEqual([0, 1000]);
  expect(before[0]).toMatchObject({ traceId: TRACE, parentSpanId: RUN });
  expect(attributeOf(before[0]!, 'ax_sync.filas')).toBe(7);
  const [process] = named('agente: process (upload)');
  expect(times(process!)).toEqual([1000, 5000]);
  expect(process!.status.code).toBe(2);
  // An entry whose trace is none is stored, and no span.
  expect(named('agente: tabla (upload)')).toEqual([]);
});

test('a traceparent that is none is as if there were none: each request has a trace of its own', () => {
  const requests = named('GET /api/sync/status/:tenantId');
  expect(requests).toHaveLength(5);
  const traces = new Set(requests.map(({ traceId }) => traceId));
  expect(traces.size).toBe(5);
  expect(traces).not.toContain(TRACE);
  for (const { parentSpanId } of requests) expect(parentSpanId ?? '').toBe('');
});

test('no span holds a value of a row, SQL of a tenant, a key, a password or the words of an error', () => {
  const failed = spans.filter((span) => attributeOf(span, 'error.type') === 'CLAVE_REPETIDA');
  expect(failed.length).toBeGreaterThan(0);
  const all = collector.requests.map(({ body }) => JSON.stringify(body)).join('\n');
  expect(all).not.toContain(SECRET);
  expect(all).not.toContain(world.key);
  expect(all).not.toContain(new URL(world.databaseUrl).password);
  expect(all).not.toMatch(/SELECT '|\$1|stack/);
  expect(spans.flatMap(({ events = [] }) => events)).toEqual([]);
  expect(spans.map(({ status }) => status.message ?? '').filter((message) => message !== '')).toEqual([]);
});

test('off by default, and with OTEL_SDK_DISABLED or OTEL_TRACES_EXPORTER=none: nothing of the SDK is loaded', async () => {
  const { cache } = createRequire(import.meta.url);
  const loaded = () =>
    Object.keys(cache).filter((path) => /node_modules\/(@fastify\/otel|@opentelemetry\/(?!api\/))/.test(path));
  const env = {
    DATABASE_URL: world.databaseUrl,
    LOG_LEVEL: 'silent',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
  };
  for (const off of [{ OTEL_SDK_DISABLED: 'true' }, { OTEL_TRACES_EXPORTER: 'none' }]) {
    await (await buildApp(loadConfig({ ...env, ...off }))).close();
  }
  expect(loaded()).toEqual([]);
  // What would be seen: the same with a collector that nobody hears, which holds up neither requests nor the end.
  const on = await buildApp(loadConfig(env));
  const url = '/api/sync/status/acme-001';
  const answer = await on.inject({ url, headers: { 'x-tenant-id': world.tenant, 'x-api-key': world.key } });
  expect(answer.statusCode).toBe(200);
  await on.close();
  expect(loaded().length).toBeGreaterThan(10);
});
