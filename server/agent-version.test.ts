import { afterEach, expect, inject, test } from 'vitest';
import { headers } from '../protocol/constants.ts';
import { agentIdOf, makeAgentKeyPair } from '../protocol/crypto/agent-key.ts';
import { agentList } from './commands/agents.ts';
import { loadConfig } from './config.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** Which version of the agent asks. */

let server: TestServer;
afterEach(() => server?.close());
const start = async (settings = {}) => {
  server = await startTestServer(inject('postgresUrl'), { settings });
};
const as = (version: string) => ({ 'user-agent': `ax-sync-client/${version}` });

test('an agent older than SYNC_MIN_AGENT_VERSION is told on every path what it is and what is wanted; others are let in', async () => {
  await start({ SYNC_MIN_AGENT_VERSION: '1.10.0' });
  const paths: [string, object?][] = [
    ['/config/acme-001'],
    ['/uploads/acme-001', { tabla: 'x', modo: 'completo' }],
    ['/logs/acme-001', { logs: [] }],
  ];
  for (const [path, json] of paths) {
    const method = json === undefined ? 'GET' : 'POST';
    const refused = await server.call(path, { method, headers: as('1.9.9'), json });
    expect([refused.status, refused.headers.get('upgrade')]).toEqual([426, 'ax-sync-client/1.10.0']);
    expect(await refused.json()).toMatchObject({
      code: 'AGENTE_ANTIGUO',
      success: false,
      mensaje: expect.stringMatching(
        /^Este agente es la versión 1\.9\.9 y el backend pide la 1\.10\.0 .* Instale esa versión/,
      ),
    });
  }
  for (const agent of [as('1.10.0'), as('2.0.0'), { 'user-agent': 'curl/8.1' }]) {
    expect((await server.call('/config/acme-001', { headers: agent })).status, agent['user-agent']).toBe(200);
  }
  expect((await server.call('/health', { headers: as('1.9.9') })).status).toBe(200);
  // Whoever has no key is not told.
  expect((await server.call('/config/acme-001', { headers: as('1.9.9'), key: 'sk_live_otra' })).status).toBe(401);
});

test('agent list says which version each agent runs and since when, of those that are refused too; each change is audited', async () => {
  await start({ SYNC_MIN_AGENT_VERSION: '1.10.0' });
  const { publica } = makeAgentKeyPair();
  const id = agentIdOf(publica);
  await server.call('/agents/acme-001', { method: 'POST', headers: as('1.10.0'), json: { clavePublica: publica } });
  const list = (tenant?: string) => agentList(loadConfig({ DATABASE_URL: server.databaseUrl }), tenant);
  const ask = (version: string) =>
    server.call('/config/acme-001', { headers: { ...as(version), [headers.agent]: id } }).then(({ status }) => status);
  expect(await list('acme-001')).toMatch(/versión desconocida$/);
  expect(await ask('1.9.9')).toBe(426);
  const first = await list('acme-001');
  expect(first).toMatch(new RegExp(`^${id}  autorizado .*  versión 1\\.9\\.9 desde 20\\d\\d-.*Z$`));
  expect(await ask('1.9.9')).toBe(426);
  expect(await list('acme-001')).toBe(first);
  expect(await ask('1.11.0')).toBe(200);
  expect(await list()).toMatch(new RegExp(`^${id} .* versión 1\\.11\\.0 desde .*  acme-001$`));
  // One that the tenant has not registered leaves nothing.
  await server.call('/config/acme-001', { headers: { ...as('1.12.0'), [headers.agent]: 'f'.repeat(32) } });
  expect((await list()).split('\n')).toHaveLength(1);
  const { rows } = await server.sql.query(
    `SELECT actor, cambio->>'antes' AS antes, cambio->>'despues' AS despues
     FROM sync_audit, jsonb_array_elements(cambios) AS cambio
     WHERE tabla = 'sync_agents' AND cambio->>'campo' = 'version' AND cambio->>'despues' IS NOT NULL ORDER BY id`,
  );
  expect(rows).toMatchObject([
    { actor: expect.stringMatching(/^clave /), antes: null, despues: '1.9.9' },
    { antes: '1.9.9', despues: '1.11.0' },
  ]);
});

test('an agent that is newer than the server: fields that it does not know are passed over', async () => {
  await start();
  const post = async (path: string, json: object) => {
    const answer = await server.call(path, {
      method: 'POST',
      headers: as('99.0.0'),
      json: { ...json, nuevo: { a: 1 } },
    });
    return [answer.status, ((await answer.json()) as { code?: string }).code];
  };
  await server.setTables({
    tablasSubida: [{ nombre: 'vista_x', process: { query: 'SELECT 1' } }],
    tablasBajada: [{ nombre: 'y', process: { query: 'SELECT 1 AS a' } }],
  });
  const id = '0'.repeat(32);
  const digest = `${'A'.repeat(43)}=`;
  expect(await post('/agents/acme-001', { clavePublica: makeAgentKeyPair().publica })).toEqual([200, undefined]);
  expect(await post('/uploads/acme-001', { tabla: 'vista_x', modo: 'completo', id })).toEqual([201, undefined]);
  const totals = { trozos: 1, filas: 1, digest };
  expect(await post(`/uploads/acme-001/${id}/commit`, totals)).toEqual([409, 'TOTALES_DISTINTOS']);
  expect(await post('/phases/acme-001', { tabla: 'y', fase: 'pre_process' })).toEqual([404, 'FASE_DESCONOCIDA']);
  expect(await post('/keys/acme-001', { huella: digest })).toEqual([200, undefined]);
  expect(await post('/logs/acme-001', { logs: [] })).toEqual([200, undefined]);
});
