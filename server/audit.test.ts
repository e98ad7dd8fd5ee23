import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { createScratchDatabase } from '../fixtures/postgres.ts';
import { hashApiKey, makeApiKey } from '../protocol/api-key.ts';
import { API_PREFIX, headers } from '../protocol/constants.ts';
import { makeAgentKeyPair } from '../protocol/crypto/agent-key.ts';
import { pathTo } from '../protocol/endpoints.ts';
import { buildApp } from './app.ts';
import { agentAuthorize } from './commands/agents.ts';
import { type AuditOptions, audit } from './commands/audit.ts';
import { configSet } from './commands/config-set.ts';
import { keyCreate } from './commands/key-create.ts';
import { keyRevoke } from './commands/key-revoke.ts';
import { tenantCreate } from './commands/tenant-create.ts';
import { loadConfig } from './config.ts';
import { migrate } from './postgres/migrate.ts';
import type { AuditEntry } from './tenants/audit.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** The audit on a real PostgreSQL: what is noted, of whom, and that it stays. */

let server: TestServer;
/** The tests' own login, and where it comes from. */
let session: { user: string; address: string };
/** Entries up to this one are of what came before the test. */
let seen = '0';
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'));
  const sql = 'SELECT session_user AS user, host(inet_client_addr()) AS address';
  session = (await server.sql.query(sql)).rows[0];
});
afterAll(() => server?.close());
beforeEach(async () => {
  seen = (await server.sql.query('SELECT coalesce(max(id), 0) AS id FROM sync_audit')).rows[0].id;
});

const config = (LOG_LEVEL = 'silent') => loadConfig({ DATABASE_URL: server.databaseUrl, LOG_LEVEL });

async function entries(): Promise<AuditEntry[]> {
  return (await server.sql.query('SELECT * FROM sync_audit WHERE id > $1 ORDER BY id', [seen])).rows;
}

/** `campo: antes → despues` of each difference of the only entry. */
async function differences(): Promise<string[]> {
  const found = await entries();
  expect(found).toHaveLength(1);
  return found[0]!.cambios.map(
    ({ campo, antes, despues }) => `${campo}: ${JSON.stringify(antes)} → ${JSON.stringify(despues)}`,
  );
}

async function list(options: Partial<AuditOptions> = {}): Promise<string[]> {
  const lines: string[] = [];
  const all = { tenant: undefined, desde: undefined, limite: 100, json: false, ...options };
  await audit(config(), all, (line) => lines.push(line));
  return lines;
}

const table = (nombre: string, query: string) => ({ nombre, primaryKey: 'id', process: { query } });

test('a change by plain SQL is noted with the path of what changed, the login and the address', async () => {
  await server.addTenant('audit-sql', { tablasSubida: [table('a', 'SELECT 1'), table('b', 'SELECT 2')] });
  seen = (await entries()).at(-1)!.id;
  await server.sql.query(
    `UPDATE sync_configurations SET activo = false, "sqlServerPort" = 14330,
       "configuracionTablas" = jsonb_set("configuracionTablas", '{tablasSubida,1,process,query}', '"SELECT 3"')
     WHERE "tenantId" = 'audit-sql'`,
  );
  expect((await differences()).sort()).toEqual([
    'activo: true → false',
    'configuracionTablas.tablasSubida[b].process.query: "SELECT 2" → "SELECT 3"',
    'sqlServerPort: 1433 → 14330',
    'version: 2 → 3',
  ]);
  const { id } = (await server.sql.query(`SELECT id FROM sync_configurations WHERE "tenantId" = 'audit-sql'`)).rows[0];
  expect(await entries()).toMatchObject([
    { operacion: 'UPDATE', tabla: 'sync_configurations', registro: id, tenantId: 'audit-sql' },
  ]);
  const [{ actor, origen, login, direccion, createdAt }] = (await entries()) as [AuditEntry];
  const { user, address } = session;
  expect({ actor, origen, login }).toEqual({ actor: user, origen: address, login: user });
  expect(direccion!.split('/')[0]).toBe(address);
  expect(Math.abs(createdAt.getTime() - Date.now())).toBeLessThan(60_000);
});

test.each([
  [
    'a table in front',
    [table('c', 'SELECT 0'), table('a', 'SELECT 1')],
    ['[c]: null → {"nombre":"c","process":{"query":"SELECT 0"},"primaryKey":"id"}', '[]: ["a"] → ["c","a"]'],
  ],
  ['another order', [table('b', 'SELECT 2'), table('a', 'SELECT 1')], ['[]: ["a","b"] → ["b","a"]']],
  [
    'a list that becomes something else',
    { x: 1 },
    [': [{"nombre":"a","process":{"query":"SELECT 1"},"primaryKey":"id"}] → {"x":1}'],
  ],
  [
    'a repeated name',
    [table('a', 'SELECT 1'), table('a', 'SELECT 1')],
    [
      ': [{"nombre":"a","process":{"query":"SELECT 1"},"primaryKey":"id"}] → [{"nombre":"a","process":{"query":"SELECT 1"},"primaryKey":"id"},{"nombre":"a","process":{"query":"SELECT 1"},"primaryKey":"id"}]',
    ],
  ],
  ['no list at all', null, [': [{"nombre":"a","process":{"query":"SELECT 1"},"primaryKey":"id"}] → null']],
])('the difference of a list of tables: %s', async (what, after, expected) => {
  const before = [table('a', 'SELECT 1'), ...(what === 'another order' ? [table('b', 'SELECT 2')] : [])];
  await server.setTables({ tablasSubida: before });
  seen = (await server.sql.query('SELECT max(id) AS id FROM sync_audit')).rows[0].id;
  await server.setTables({ tablasSubida: after });
  const found = (await differences()).filter((line) => !line.startsWith('version'));
  expect(found).toEqual(expected.map((line) => `configuracionTablas.tablasSubida${line}`));
});

test('insert, delete and truncate are noted, row by row; what changes nothing, and the use of a key, is not', async () => {
  const key = await server.addTenant('audit-filas');
  const other = await server.addTenant('audit-otras');
  expect((await entries()).map(({ operacion, tabla, tenantId }) => [operacion, tabla, tenantId])).toEqual([
    ['INSERT', 'sync_configurations', 'audit-filas'],
    ['UPDATE', 'sync_configurations', 'audit-filas'],
    ['INSERT', 'sync_api_keys', 'audit-filas'],
    ['INSERT', 'sync_configurations', 'audit-otras'],
    ['UPDATE', 'sync_configurations', 'audit-otras'],
    ['INSERT', 'sync_api_keys', 'audit-otras'],
  ]);
  seen = (await entries()).at(-1)!.id;
  for (const [tenant, with_] of [
    ['audit-filas', key],
    ['audit-otras', other],
  ] as const) {
    expect((await server.call(pathTo('getConfig', { tenantId: tenant }), { tenant, key: with_ })).status).toBe(200);
  }
  await server.sql.query('UPDATE sync_configurations SET activo = activo');
  expect(await entries()).toEqual([]);

  await server.sql.query(`DELETE FROM sync_api_keys WHERE "tenantId" = 'audit-otras'`);
  expect(await entries()).toMatchObject([{ operacion: 'DELETE', tenantId: 'audit-otras' }]);
  const { rowCount: keys } = await server.sql.query('SELECT FROM sync_api_keys');
  const client = await server.sql.connect();
  try {
    await client.query('BEGIN; TRUNCATE sync_api_keys; TRUNCATE sync_secretos');
    const { rows } = await client.query(
      `SELECT tabla, count(*)::integer AS filas FROM sync_audit WHERE operacion = 'TRUNCATE' GROUP BY 1 ORDER BY 1`,
    );
    expect(rows).toEqual([
      { tabla: 'sync_api_keys', filas: keys },
      { tabla: 'sync_secretos', filas: 1 },
    ]);
    await client.query('ROLLBACK');
  } finally {
    client.release();
  }
});

test('a password, the hash of a key and the signing secret never stand in the audit; that they changed does', async () => {
  const key = await server.addTenant('audit-secretos');
  const next = makeApiKey();
  const json = { huella: hashApiKey(next).toString('base64') };
  const as = { tenant: 'audit-secretos', key };
  expect(
    (await server.call(pathTo('rotateKey', { tenantId: as.tenant }), { ...as, method: 'POST', json })).status,
  ).toBe(200);
  await server.sql.query(
    `UPDATE sync_configurations SET "sqlServerPassword" = 'Clave_SQL_9' WHERE "tenantId" = 'audit-secretos'`,
  );
  await server.sql.query(`UPDATE sync_secretos SET valor = valor || 'x'`);
  const { rows: secrets } = await server.sql.query('SELECT valor FROM sync_secretos');
  const { rows: everything } = await server.sql.query('SELECT sync_audit::text AS fila FROM sync_audit');
  const text = everything.map(({ fila }) => fila).join('\n');
  for (const secret of ['"secreto"', 'Clave_SQL_9', secrets[0].valor, key, next, json.huella]) {
    expect(text).not.toContain(secret);
  }
  for (const one of [key, next]) expect(text).not.toContain(hashApiKey(one).toString('hex'));
  const all = (await entries()).flatMap(({ tabla, cambios }) => cambios.map((change) => ({ tabla, ...change })));
  expect(all).toContainEqual({
    tabla: 'sync_configurations',
    campo: 'sqlServerPassword',
    antes: '***',
    despues: '***',
  });
  expect(all).toContainEqual({ tabla: 'sync_configurations', campo: 'sqlServerPassword', antes: null, despues: '***' });
  expect(all).toContainEqual({ tabla: 'sync_api_keys', campo: 'hash', antes: null, despues: '***' });
  expect(all).toContainEqual({ tabla: 'sync_secretos', campo: 'valor', antes: '***', despues: '***' });
});

test('of other connections the audit has all but what might be a secret, however they are written', async () => {
  const tenant = 'audit-conexiones';
  await server.addTenant(tenant);
  const set = (connections: object) =>
    server.sql.query(`UPDATE sync_configurations SET "sqlServerConexiones" = $1 WHERE "tenantId" = $2`, [
      JSON.stringify(connections),
      tenant,
    ]);
  const almacen = { host: 'sql2', port: 1433, database: 'Almacen', user: 'u', password: 'Clave_B_1' };
  await set({ almacen });
  await set({ almacen: { ...almacen, host: 'sql3', password: 'Clave_B_2' } });
  await set({ almacen: 'Clave_B_3', otra: { host: ['Clave_B_4'], clave: 'Clave_B_5' } });
  await server.sql.query('DELETE FROM sync_configurations WHERE "tenantId" = $1', [tenant]);
  const noted = (await entries()).filter(({ tenantId }) => tenantId === tenant);
  expect(JSON.stringify(noted)).not.toContain('Clave_B');
  const [added, changed] = noted
    .filter(({ operacion, tabla }) => operacion === 'UPDATE' && tabla === 'sync_configurations')
    .map(({ cambios }) => cambios.filter(({ campo }) => campo.startsWith('sqlServer')))
    .filter(({ length }) => length > 0);
  expect(added).toEqual([
    { campo: 'sqlServerConexiones.almacen', antes: null, despues: { ...almacen, password: '***' } },
  ]);
  expect(changed).toEqual([
    { campo: 'sqlServerConexiones.almacen.host', antes: 'sql2', despues: 'sql3' },
    { campo: 'sqlServerConexiones.almacen.password', antes: '***', despues: '***' },
  ]);
});

test('an agent that registers, and one that an administrator authorises, is noted', async () => {
  const tenant = 'audit-agentes';
  const key = await server.addTenant(tenant, {});
  seen = (await entries()).at(-1)!.id;
  const ids: string[] = [];
  for (const _ of [1, 2]) {
    const body = JSON.stringify({ clavePublica: makeAgentKeyPair().publica });
    const credentials = { [headers.tenant]: tenant, [headers.apiKey]: key, 'content-type': 'application/json' };
    const path = `${API_PREFIX}${pathTo('registerAgent', { tenantId: tenant })}`;
    const response = await fetch(`${server.url}${path}`, { method: 'POST', headers: credentials, body });
    ids.push(((await response.json()) as { agente: string }).agente);
  }
  await agentAuthorize(config(), tenant, ids[1]!);
  const noted = (await entries()).map(({ operacion, tabla, registro, tenantId }) => [
    operacion,
    tabla,
    registro,
    tenantId,
  ]);
  expect(noted).toEqual([
    ['INSERT', 'sync_agents', ids[0], tenant],
    ['INSERT', 'sync_agents', ids[1], tenant],
    ['UPDATE', 'sync_agents', ids[1], tenant],
  ]);
  expect((await entries())[2]!.cambios).toEqual([{ campo: 'autorizado', antes: false, despues: true }]);
});

test('who and from where: the operator of a command, the key of a request and its address', async () => {
  const operator = /^\S+@\S+$/;
  await tenantCreate(config(), {
    tenantId: 'audit-quien',
    host: 'h',
    port: 1,
    database: 'd',
    user: 'u',
    password: 'p',
  });
  const key = await keyCreate(config(), 'audit-quien', { nombre: undefined, dias: undefined });
  const [made, created] = (await entries()) as [AuditEntry, AuditEntry];
  for (const entry of [made, created]) {
    expect(entry).toMatchObject({ actor: expect.stringMatching(operator), aplicacion: 'ax-sync-server' });
    expect(entry.actor.endsWith(`@${entry.origen}`)).toBe(true);
  }
  seen = created.id;

  const app = await buildApp(config());
  try {
    const next = makeApiKey();
    const as = (which: string) => ({ [headers.tenant]: 'audit-quien', [headers.apiKey]: which });
    const url = (path: string) => `${API_PREFIX}${path}`;
    const payload = { huella: hashApiKey(next).toString('base64') };
    const request = { remoteAddress: '203.0.113.5', headers: as(key), payload, method: 'POST' as const };
    expect(
      (await app.inject({ ...request, url: url(pathTo('rotateKey', { tenantId: 'audit-quien' })) })).statusCode,
    ).toBe(200);
    const [rotated] = (await entries()) as [AuditEntry];
    expect(rotated).toMatchObject({ operacion: 'INSERT', actor: `clave ${created.registro}`, origen: '203.0.113.5' });
    seen = rotated.id;
    const used = await app.inject({
      url: url(pathTo('getConfig', { tenantId: 'audit-quien' })),
      remoteAddress: '203.0.113.6',
      headers: as(next),
    });
    expect(used.statusCode).toBe(200);
    expect(await entries()).toMatchObject([
      { operacion: 'UPDATE', registro: created.registro, actor: `clave ${rotated.registro}`, origen: '203.0.113.6' },
    ]);
    expect(await differences()).toEqual([expect.stringMatching(/^graceUntil: null → "/)]);
  } finally {
    await app.close();
  }
  seen = (await entries()).at(-1)!.id;
  await keyRevoke(config(), created.registro, { gracia: 0, derivadas: false });
  expect(await differences()).toEqual([expect.stringMatching(/^revokedAt: null → "/)]);
  await expect(configSet(config(), 'audit-quien', { tables: '/no/hay.json' })).rejects.toThrow();
  expect(await entries()).toHaveLength(1);
});

const forbidden = [
  `UPDATE sync_audit SET actor = 'nadie'`,
  'UPDATE sync_audit SET cambios = cambios WHERE false',
  'DELETE FROM sync_audit',
  'TRUNCATE sync_audit',
  `INSERT INTO sync_audit (actor, origen, operacion, tabla, registro, cambios) VALUES ('x', 'x', 'x', 'x', 'x', '[]')`,
  `MERGE INTO sync_audit a USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE`,
];

test.each(forbidden)('for a superuser too, also in a session that calls itself a replica: %s', async (sql) => {
  const { rows: before } = await server.sql.query('SELECT * FROM sync_audit ORDER BY id');
  expect(before.length).toBeGreaterThan(0);
  for (const role of ['origin', 'replica']) {
    const client = await server.sql.connect();
    try {
      await client.query(`SET session_replication_role = ${role}`);
      await expect(client.query(sql)).rejects.toMatchObject({
        code: '42501',
        message: expect.stringContaining('solo crece'),
      });
      await client.query('RESET session_replication_role');
    } finally {
      client.release();
    }
  }
  expect((await server.sql.query('SELECT * FROM sync_audit ORDER BY id')).rows).toEqual(before);
});

test('a session that calls itself a replica is noted too', async () => {
  const client = await server.sql.connect();
  try {
    await client.query(`SET session_replication_role = replica`);
    await client.query(`UPDATE sync_configurations SET activo = NOT activo WHERE "tenantId" = 'acme-001'`);
    await client.query('RESET session_replication_role');
  } finally {
    client.release();
  }
  expect(await differences()).toContainEqual('activo: true → false');
  await server.sql.query(`UPDATE sync_configurations SET activo = true WHERE "tenantId" = 'acme-001'`);
});

test('a server whose login is no superuser can neither change what is noted nor avoid it', async () => {
  const scratch = await createScratchDatabase(inject('postgresUrl'));
  const admin = new pg.Client({ connectionString: scratch.adminUrl });
  await admin.connect();
  const login = `servidor_${scratch.name}`;
  const url = new URL(scratch.url);
  url.username = login;
  url.password = 'prueba';
  let own: pg.Client | undefined;
  try {
    await admin.query(`CREATE ROLE ${login} LOGIN PASSWORD 'prueba' NOSUPERUSER NOBYPASSRLS`);
    await admin.query(`GRANT ax_sync_tenant, ax_sync_consulta TO ${login}`);
    await admin.query(`ALTER DATABASE ${scratch.name} OWNER TO ${login}`);
    await migrate(url.href);
    own = new pg.Client({ connectionString: url.href });
    await own.connect();
    await own.query(
      `INSERT INTO sync_configurations ("tenantId", "sqlServerHost", "sqlServerDatabase", "sqlServerUser",
         "sqlServerPassword", "configuracionTablas") VALUES ('t', 'h', 'd', 'u', 'p', '{}')`,
    );
    for (const sql of forbidden) await expect(own.query(sql), sql).rejects.toMatchObject({ code: '42501' });
    const { rows } = await own.query('SELECT login, actor, "tenantId" FROM sync_audit ORDER BY id');
    expect(rows).toEqual([{ login, actor: login, tenantId: 't' }]);
  } finally {
    await own?.end();
    await admin.end();
    await scratch.drop();
    await server.sql.query(`DROP ROLE IF EXISTS ${login}`);
  }
});

test("another login's change is noted although it may not read the audit, and a name it gives itself hides nothing", async () => {
  const login = `operador_${server.databaseUrl.split('_').at(-1)}`;
  const url = new URL(server.databaseUrl);
  url.username = login;
  url.password = 'prueba';
  await server.sql.query(`CREATE ROLE ${login} LOGIN PASSWORD 'prueba'`);
  const client = new pg.Client({ connectionString: url.href });
  try {
    await server.sql.query(`GRANT SELECT, UPDATE ON sync_configurations TO ${login}`);
    await client.connect();
    await client.query(`SET app.audit_actor = 'otra persona'`);
    await client.query(`UPDATE sync_configurations SET "sqlServerHost" = 'nuevo' WHERE "tenantId" = 'acme-001'`);
    await expect(client.query('SELECT FROM sync_audit')).rejects.toMatchObject({ code: '42501' });
    await expect(client.query(`SELECT sync_anotar('UPDATE', 'x', '{}', '{"a":1}')`)).rejects.toMatchObject({
      code: '42501',
    });
    expect(await entries()).toMatchObject([{ login, actor: 'otra persona', origen: session.address }]);
  } finally {
    await client.end();
    await server.sql.query(`DROP OWNED BY ${login}; DROP ROLE ${login}`);
  }
});

test('audit lists the newest, oldest first, of a tenant or since a day, for a person or as JSON', async () => {
  await server.addTenant('audit-lista', { tablasSubida: [table('a', `SELECT '${'x'.repeat(500)}'`)] });
  await server.sql.query(
    `UPDATE sync_configurations SET "sqlServerHost" = E'h\\u001b[31m' WHERE "tenantId" = 'audit-lista'`,
  );
  const lines = await list({ tenant: 'audit-lista' });
  const heads = lines.filter((line) => !line.startsWith(' '));
  expect(heads.map((line) => line.split(' ')[1])).toEqual(['INSERT', 'UPDATE', 'INSERT', 'UPDATE']);
  expect(heads[0]).toMatch(/^\d{4}-\d\d-\d\dT\S+Z INSERT sync_configurations c\w{24} de «audit-lista», por /);
  const { user, address } = session;
  expect(heads[0]!.endsWith(`, por ${user} desde ${address} (${user}@${address})`)).toBe(true);
  expect(lines).toContainEqual('    sqlServerHost: "192.168.1.100" → "h\\u001b[31m"');
  expect(lines).toContainEqual('    sqlServerPassword: ∅ → "***"');
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThan(500);
  expect((await list({ tenant: 'audit-lista', limite: 1 })).filter((line) => !line.startsWith(' '))).toEqual([
    heads[3],
  ]);
  expect(await list({ tenant: 'audit-lista', desde: '2999-01-01' })).toEqual(['No hay cambios anotados.']);
  expect(await list({ tenant: 'audit-lista', desde: '2020-01-01' })).toEqual(lines);
  const objects = (await list({ tenant: 'audit-lista', json: true })).map((line) => JSON.parse(line));
  expect(objects).toHaveLength(4);
  const whole = objects[1].cambios.find(({ campo }: { campo: string }) => campo.endsWith('tablasSubida[a]'));
  expect(whole.despues).toEqual(table('a', `SELECT '${'x'.repeat(500)}'`));
  await expect(list({ limite: 0 })).rejects.toThrow(/--limite «0» no vale/);
  await expect(list({ desde: 'ayer' })).rejects.toThrow(/--desde «ayer» no es una fecha/);
});

test.each(['DISABLE TRIGGER sync_auditar', 'ENABLE TRIGGER sync_auditar_vaciado'])(
  'a trigger that was switched off (%s) is reported by audit, after what it lists, and when the server starts',
  async (change) => {
    await server.sql.query(`ALTER TABLE sync_api_keys ${change}`);
    const lines: string[] = [];
    const log: string[] = [];
    try {
      const options = { tenant: undefined, desde: undefined, limite: 5, json: true };
      await expect(audit(config(), options, (line) => lines.push(line))).rejects.toThrow(
        /no está completa: los disparadores de sync_api_keys faltan/,
      );
      expect(lines).toHaveLength(5);
      const app = await buildApp(config('error'), { write: (line) => log.push(line) });
      await app.close();
      expect(log.join('')).toContain('la auditoría no está completa');
    } finally {
      await server.sql.query(
        `ALTER TABLE sync_api_keys ENABLE ALWAYS TRIGGER sync_auditar, ENABLE ALWAYS TRIGGER sync_auditar_vaciado`,
      );
    }
    await list();
  },
);
