import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { API_PREFIX, headers, limits } from '../protocol/constants.ts';
import { endpointNames, endpoints } from '../protocol/endpoints.ts';
import { openApi } from '../protocol/openapi.ts';
import { findFault } from './testing/declared-answers.ts';
import { type ExampleRequest, exampleRequests } from './testing/example-requests.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** What holds for every endpoint that is declared, whichever it is. */

const process = { query: 'SELECT 1' };
const tables = {
  tablasSubida: [
    { nombre: 'clientes', primaryKey: 'id', process },
    { nombre: 'lineas', primaryKey: ['serie', 'numero'], desactivarAusentes: true, process },
  ],
  tablasBajada: [
    { nombre: 'clientes', process: { query: 'parametros_maestros.tipo_campo=cliente' } },
    {
      nombre: 'consulta',
      process: { query: 'SELECT * FROM parametros_maestros LIMIT 50' },
      pre_process: { enabled: true, ejecutarEn: 'origen', sql: 'SELECT 1' },
    },
  ],
};

let server: TestServer;
let otherKey: string;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'), { tables, settings: { LOCKOUT_FAILURES: 1000 } });
  otherKey = await server.addTenant('otro-002');
});
afterAll(() => server?.close());

interface Sent {
  tenant?: string;
  key?: string;
  body?: Buffer<ArrayBuffer>;
  headers?: Record<string, string>;
}

async function send({ method, path, ...example }: ExampleRequest, { tenant, key, ...given }: Sent = {}) {
  const { body, headers: own } = { ...example, ...given };
  const sent = { ...own, [headers.tenant]: tenant ?? server.tenant, [headers.apiKey]: key ?? server.key };
  const response = await fetch(server.url + path, {
    method,
    headers: sent,
    ...(method === 'GET' || method === 'DELETE' ? {} : { body }),
  });
  const type = response.headers.get('content-type') ?? '';
  return { status: response.status, type, text: await response.text() };
}

const codeOf = ({ text }: { text: string }) => (JSON.parse(text) as { code?: string }).code;

/** `GET /api/sync/health`, as Fastify's tree of routes shows it. */
function routesIn(tree: string): string[] {
  const above: string[] = [];
  return tree.split('\n').flatMap((line) => {
    const [, indent, path, methods] = /^([│ ]*)[├└]── (\S+)(?: \((.*)\))?$/.exec(line) ?? [];
    if (path === undefined) return [];
    above.splice(indent!.length / 4, above.length, path);
    const names = (methods ?? '').split(', ').filter((method) => method !== '' && method !== 'HEAD');
    return names.map((method) => `${method} ${above.join('')}`);
  });
}

test('every route below /api/sync is declared, and every declared endpoint is registered', () => {
  const declared = endpointNames.map((name) => `${endpoints[name].method} ${API_PREFIX}${endpoints[name].path}`);
  const routes = routesIn(server.app.printRoutes({ commonPrefix: false }));
  expect(routes.filter((route) => !route.startsWith('GET /metrics')).sort()).toEqual(declared.sort());
});

test('the description of the API is what is in protocol/openapi.json', async () => {
  const response = await fetch(`${server.url}${API_PREFIX}/docs/json`);
  expect(await response.json()).toEqual(openApi);
});

const ofTenants = exampleRequests.filter(({ name }) => endpoints[name].access === 'tenant');

describe('credentials', () => {
  test.each(ofTenants.map((one) => [`${one.method} ${one.path}`, one] as const))(
    '%s: credentials of another tenant, or none, are NO_AUTORIZADO',
    async (_what, one) => {
      for (const as of [
        { key: '' },
        { key: 'sk_live_otra' },
        { key: otherKey },
        { tenant: 'otro-002', key: otherKey },
      ]) {
        const answer = await send(one, as);
        expect([answer.status, codeOf(answer)]).toEqual([401, 'NO_AUTORIZADO']);
      }
    },
  );
});

describe('bodies', () => {
  const withJson = exampleRequests.filter(({ name }) => endpoints[name].body.kind === 'json');

  test.each(withJson.map((one) => [`${one.method} ${one.path}`, one] as const))(
    '%s: a body that is not what is declared is refused before anything is done',
    async (_what, one) => {
      const counts = () =>
        server.sql.query('SELECT (SELECT count(*) FROM sync_uploads), (SELECT count(*) FROM sync_logs)');
      const before = (await counts()).rows;
      const long = Buffer.alloc(limits.jsonBodyMaxBytes + 1, ' ');
      const cases: [string, Sent][] = [
        ['CUERPO_INVALIDO', { body: Buffer.from('{}') }],
        ['CUERPO_INVALIDO', { body: Buffer.from('[]') }],
        ['CUERPO_INVALIDO', { body: Buffer.from('null') }],
        ['CUERPO_INVALIDO', { body: Buffer.from('{"') }],
        ['DEMASIADO_GRANDE', { body: long }],
        ['TIPO_NO_ADMITIDO', { headers: { 'content-type': 'text/xml' } }],
      ];
      for (const [code, sent] of cases) expect(codeOf(await send(one, sent))).toBe(code);
      expect((await counts()).rows).toEqual(before);
    },
  );
});

test('every example is answered as its endpoint declares', async () => {
  for (const one of exampleRequests) {
    const answer = await send(one);
    expect(findFault(endpoints[one.name], answer), `${one.method} ${one.path}`).toBeUndefined();
  }
});

test.each([
  ['a member more', 200, 'application/json', '{"success":true,"trozo":1,"filas":2,"repetido":false,"otro":1}', '/otro'],
  ['a member less', 200, 'application/json', '{"success":true,"trozo":1,"filas":2}', 'the body'],
  ['another value', 200, 'application/json', '{"success":true,"trozo":1,"filas":-2,"repetido":false}', '/filas'],
  ['another type', 200, 'text/html', '<p>', 'text/html'],
  ['another status', 202, 'application/json', '{"success":true}', '202'],
])('an answer that is not what its endpoint declares is seen: %s', (_what, status, type, text, word) => {
  expect(findFault(endpoints.putChunk, { status, type, text })).toContain(word);
});

test('an error that is not declared is seen', () => {
  const type = 'application/problem+json';
  const problem = {
    ...{ type: 'urn:x', title: 't', detail: 'd', success: false, mensaje: 'm' },
    ...{ status: 404, code: 'FASE_DESCONOCIDA' },
  };
  const fault = findFault(endpoints.putChunk, { status: 404, type, text: JSON.stringify(problem) });
  expect(fault).toContain('FASE_DESCONOCIDA');
  expect(findFault(endpoints.runPhase, { status: 404, type, text: JSON.stringify(problem) })).toBeUndefined();
});
