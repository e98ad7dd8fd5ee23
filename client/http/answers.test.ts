import { randomBytes } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { makeApiKey } from '../../protocol/api-key.ts';
import { makeAgentKeyPair } from '../../protocol/crypto/agent-key.ts';
import { digestOf, digestOfDigests } from '../../protocol/digest.ts';
import { type Gateway, type GatewayAnswer, startGateway } from '../testing/gateway.ts';
import { startWorld, type World } from '../testing/world.ts';
import { Backend, type CompressedChunk } from './backend.ts';

/** Whatever answers in the backend's place, and however well it looks: the agent believes the backend alone. */

let world: World;
let gateway: Gateway;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  gateway = await startGateway(world.backend.url);
  await world.execute('CREATE TABLE articulos (codigo varchar(10) NOT NULL PRIMARY KEY, nombre nvarchar(400) NULL)');
  const digits = Array.from({ length: 10 }, (_, digit) => `(${digit})`).join(', ');
  await world.execute(`CREATE TABLE digitos (n int NOT NULL); INSERT INTO digitos (n) VALUES ${digits}`);
});
afterAll(async () => {
  await gateway?.close();
  await world?.close();
});
beforeEach(async () => {
  gateway.answer = () => undefined;
  gateway.rewrite = undefined;
  gateway.lines.length = 0;
  await world.setTables(tables);
  await world.backend.sql.query('DELETE FROM parametros_maestros; DELETE FROM sync_logs');
  // Only so many may be open.
  await world.backend.sql.query('UPDATE sync_uploads SET "expiresAt" = now()');
});

const phase = { enabled: true, ejecutarEn: 'origen', sql: 'SELECT 1' };
const tables = {
  trozoKb: 64,
  tablasSubida: [{ nombre: 'vista_articulos', process: { query: 'SELECT codigo, nombre FROM articulos' } }],
  tablasBajada: [
    {
      nombre: 'copia',
      pre_process: phase,
      process: { query: 'parametros_maestros.tipo_campo=articulo' },
      post_process: { enabled: true, ejecutarEn: 'destino', sql: 'SELECT count(*) FROM {temp_table}' },
    },
  ],
};

const never = new AbortController().signal;
const policy = { attempts: 2, firstDelayMs: 1, maxDelayMs: 1, maxTotalMs: 60_000, maxRetryAfterMs: 1000 };
const backend = () =>
  new Backend({ url: gateway.url, tenant: 'acme-001', key: world.backend.key, retryPolicy: policy });

const json = { 'content-type': 'application/json' };
const page = '<html><h1>Mantenimiento</h1></html>';
/** What gateways, portals and caches answer where all seems to have gone well. */
const foreign: [string, GatewayAnswer][] = [
  ['a page with 200', { status: 200, headers: { 'content-type': 'text/html' }, body: page }],
  ['nothing with 204', { status: 204 }],
  ['a 304 that nobody asked for', { status: 304, headers: { etag: '"otra"' } }],
  ['an error with 200', { status: 200, headers: json, body: '{"success":false,"mensaje":"no"}' }],
  ['success of something else', { status: 200, headers: json, body: '{"success":"true","ok":true}' }],
  ['JSON that is no object', { status: 200, headers: json, body: 'null' }],
  ['an empty 200', { status: 200, headers: json, body: '' }],
  ['a 202 that promises to do it later', { status: 202, headers: json, body: '{"success":true}' }],
];

function chunkOf(rows: number): CompressedChunk {
  const lines = Array.from({ length: rows }, (_, n) => `{"codigo":"${n}"}\n`).join('');
  const body = new Uint8Array(gzipSync(lines));
  return { n: 0, body, digest: digestOf(body), rows };
}

const newId = () => randomBytes(16).toString('hex');
const upload = { tabla: 'vista_articulos', modo: 'incremental' } as const;
const log = { direccion: 'upload', tabla: 't', estado: 'exitoso', fechaInicio: '2024-01-15T10:30:00Z' } as const;
const chunk = chunkOf(3);
const totals = { trozos: 1, filas: 3, digest: digestOfDigests([chunk.digest]) };
const report = {
  direccion: 'download',
  tabla: 'copia',
  digest: 'ab'.repeat(8),
  bajas: 3,
  total: 4,
  muestra: ['a'],
} as const;

async function openUpload(): Promise<string> {
  const id = newId();
  await backend().openUpload({ ...upload, id }, never);
  return id;
}

async function anAgent(): Promise<string> {
  const { rows } = await world.backend.sql.query<{ id: string }>('SELECT id FROM sync_agents WHERE autorizado');
  return rows[0]!.id;
}

/** Each request of the agent: what it needs beforehand, and what it asks. */
const requests: Record<string, { line: RegExp; ask: (id: string) => Promise<unknown> }> = {
  health: { line: /^GET \S+\/health$/, ask: () => backend().checkHealth(never) },
  'agent registration': {
    line: /^POST \S+\/agents\//,
    ask: () => backend().registerAgent(makeAgentKeyPair().publica, never),
  },
  configuration: {
    line: /^GET \S+\/config\//,
    ask: async () => backend().fetchConfig(undefined, never, await anAgent()),
  },
  'one-shot upload': {
    line: /^POST \S+\/upload\//,
    ask: () => backend().uploadOnce(upload, chunk, { idempotencyKey: newId(), signal: never }),
  },
  'opening an upload': {
    line: /^POST \S+\/uploads\/[^/]+$/,
    ask: () => backend().openUpload({ ...upload, id: newId() }, never),
  },
  'state of an upload': { line: /^GET \S+\/uploads\//, ask: (id) => backend().findUpload(id, never) },
  chunk: { line: /^PUT /, ask: (id) => backend().putChunk(id, chunk, never) },
  commit: {
    line: /\/commit$/,
    ask: async (id) => {
      await backend().putChunk(id, chunk, never);
      return backend().commitUpload(id, totals, never);
    },
  },
  generations: { line: /\/generaciones\//, ask: () => backend().checkGenerations({ vista_articulos: newId() }, never) },
  phase: { line: /\/phases\//, ask: () => backend().runPhase({ tabla: 'copia', fase: 'pre_process' }, never) },
  bajas: { line: /\/bajas\//, ask: () => backend().reportBajas(report as never, never) },
  status: { line: /\/status\//, ask: () => backend().fetchStatus(never) },
  logs: { line: /\/logs\//, ask: () => backend().sendLogs([log], never) },
  'rotation of the key': { line: /\/keys\//, ask: () => backend().rotateKey(makeApiKey(), never) },
  download: {
    line: /^GET \S+\/download\//,
    ask: async () => {
      for await (const _ of await backend().openDownload('copia', never));
    },
  },
};

describe.each(Object.entries(requests))('%s', (name, { line, ask }) => {
  test.each(foreign)('%s is RESPUESTA_AJENA, and is asked again', async (_what, answer) => {
    const id = await openUpload();
    gateway.lines.length = 0;
    gateway.answer = (asked) => (line.test(asked) ? answer : undefined);
    await expect(ask(id)).rejects.toMatchObject({ code: 'RESPUESTA_AJENA', retryable: true });
    // What may not be repeatable, and what its caller begins afresh, is one attempt.
    const attempts = name === 'phase' || name === 'download' ? 1 : 2;
    expect(gateway.lines.filter((asked) => line.test(asked))).toHaveLength(attempts);
  });

  test('the answer of the backend is believed', async () => {
    await ask(await openUpload());
  });
});

const add = (field: string) => (body: string) => {
  const answer = JSON.parse(body) as Record<string, number>;
  return { status: 200, body: JSON.stringify({ ...answer, [field]: answer[field]! + 1 }) };
};
const set = (field: string, value: unknown) => (body: string, status: number) => ({
  status,
  body: JSON.stringify({ ...(JSON.parse(body) as object), [field]: value }),
});

test.each([
  ['commit', 'filas', add('filas')],
  ['commit', 'generacion', set('generacion', 'f'.repeat(32))],
  ['one-shot upload', 'filas', add('filas')],
  ['one-shot upload', 'tabla', set('tabla', 'otra')],
  ['one-shot upload', 'registrosInsertados', set('registrosInsertados', -1)],
  ['chunk', 'filas', add('filas')],
  ['chunk', 'trozo', add('trozo')],
  ['opening an upload', 'id', set('id', 'f'.repeat(32))],
  ['state of an upload', 'id', set('id', 'f'.repeat(32))],
  ['state of an upload', 'trozos', set('trozos', [{ trozo: 0 }])],
  ['configuration', 'tenantId', set('tenantId', 'otro')],
  ['agent registration', 'agente', set('agente', 'f'.repeat(32))],
  ['phase', 'tabla', set('tabla', 'otra')],
  ['logs', 'registros', set('logsInsertados', 2)],
  ['generations', 'vista_articulos', set('tablas', { vista_articulos: 'f'.repeat(32) })],
  ['generations', 'otra', set('tablas', { otra: null })],
] as [string, string, NonNullable<Gateway['rewrite']>['change']][])(
  'an answer to %s whose %s is not what was sent is RESPUESTA_AJENA, and says so',
  async (name, field, change) => {
    const id = await openUpload();
    const { line, ask } = requests[name]!;
    gateway.rewrite = { requests: line, change };
    await expect(ask(id)).rejects.toMatchObject({ code: 'RESPUESTA_AJENA', message: expect.stringContaining(field) });
  },
);

describe('a whole run', () => {
  const spooled = () => readdir(join(world.folder, 'spool')).catch(() => []);
  const readMark = () => world.readFile('last-sync.json').catch(() => undefined);
  const sync = () => world.sync({ policy, download: false });

  async function countStored(): Promise<number> {
    const { rows } = await world.backend.sql.query('SELECT FROM parametros_maestros WHERE activo');
    return rows.length;
  }

  beforeEach(async () => {
    await world.init(gateway.url);
    await rm(join(world.folder, 'last-sync.json'), { force: true });
    await rm(join(world.folder, 'spool'), { recursive: true, force: true });
    await rm(join(world.folder, 'logs', 'pendientes.ndjson'), { force: true });
    await world.execute('DELETE FROM articulos');
  });

  test.each([
    ['the commit', /\/commit$/, 400],
    ['a chunk', /^PUT /, 400],
    ['the one-shot upload', /^POST \S+\/upload\//, 1],
  ])(
    'a gateway that answers %s with its page: the mark stays, the rows wait, and the next run ends it',
    async (_what, line, rows) => {
      await world.execute(`INSERT INTO articulos (codigo, nombre) SELECT CONCAT('n', a.n * 100 + b.n * 10 + c.n), N'${'ñ'.repeat(390)}'
      FROM digitos AS a CROSS JOIN digitos AS b CROSS JOIN digitos AS c WHERE a.n * 100 + b.n * 10 + c.n < ${rows}`);
      for (const [what, answer] of foreign.slice(0, 4)) {
        gateway.answer = (asked) => (line.test(asked) ? answer : undefined);
        const { reason, log } = await sync();
        expect(reason, `${what}: ${log}`).toBe('error');
        expect(log).toContain('RESPUESTA_AJENA');
        expect(await readMark()).toBeUndefined();
        expect(await spooled()).toHaveLength(1);
        expect(await countStored()).toBe(0);
      }
      gateway.answer = () => undefined;
      await world.execute('DELETE FROM articulos');
      expect((await sync()).log).toContain(`${rows} filas subidas`);
      expect(await countStored()).toBe(rows);
      expect(await spooled()).toEqual([]);
    },
  );

  test('log entries that a gateway takes in the place of the backend wait for the next run', async () => {
    await world.execute(`INSERT INTO articulos (codigo) VALUES ('a')`);
    for (const [what, answer] of foreign) {
      gateway.answer = (asked) => (/\/logs\//.test(asked) ? answer : undefined);
      const { log } = await sync();
      expect(log, what).toContain('quedan para la próxima ejecución');
    }
    gateway.answer = () => undefined;
    await sync();
    const { rows } = await world.backend.sql.query(`SELECT FROM sync_logs WHERE "ejecutadoEn" = 'origen'`);
    expect(rows).toHaveLength(foreign.length + 1);
  });

  test('a configuration that a gateway answers is not taken for the tenant’s', async () => {
    await sync();
    gateway.answer = (asked) => (/\/config\//.test(asked) ? { status: 304 } : undefined);
    const { reason, log } = await sync();
    expect(reason, log).toBe('backend');
    expect(log).toContain('RESPUESTA_AJENA');
  });

  test('a download that is a page touches nothing', async () => {
    const target = 'CREATE TABLE copia (codigo varchar(10) NOT NULL PRIMARY KEY)';
    await world.execute(
      `IF OBJECT_ID('copia') IS NOT NULL DROP TABLE copia; ${target}; INSERT INTO copia (codigo) VALUES ('antes')`,
    );
    gateway.answer = (asked) => (/\/download\//.test(asked) ? foreign[0]![1] : undefined);
    const { reason, log } = await world.sync({ policy, upload: false });
    expect(reason, log).toBe('error');
    expect(log).toContain('RESPUESTA_AJENA');
    expect(await world.query('SELECT codigo FROM copia')).toEqual([{ codigo: 'antes' }]);
  });
});
