import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { tenantDelete } from './commands/tenant-delete.ts';
import { tenantExport } from './commands/tenant-export.ts';
import { tenantImport } from './commands/tenant-import.ts';
import { tenantResumeCommand, tenantSuspendCommand } from './commands/tenant-suspend.ts';
import { type Config, loadConfig } from './config.ts';
import { findTenantTables } from './rows/whole-tenant.ts';
import { makeUploads, toLines } from './testing/ledger-uploads.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** A tenant as a whole: suspended, copied, moved to another centre, deleted. */

const tables = {
  tablasSubida: ['vista_clientes', 'vista_productos'].map((nombre) => ({
    ...{ nombre, primaryKey: 'id', cambios: 'huellas', process: { query: 'SELECT 1' } },
  })),
};

let server: TestServer;
let other: TestServer;
let folder: string;
let file: string;
let configHere: Config;
let configThere: Config;
/** The newest commit of the tenant's table, which an agent stands on. */
let base: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-tenant-'));
  file = join(folder, 'tenant.ndjson');
  const SYNC_MASTER_KEY = randomBytes(32).toString('base64');
  server = await startTestServer(inject('postgresUrl'), { tables, settings: { SYNC_MASTER_KEY } });
  other = await startTestServer(inject('postgresUrl'), { settings: { SYNC_MASTER_KEY } });
  configHere = loadConfig({ DATABASE_URL: server.databaseUrl, SYNC_MASTER_KEY });
  configThere = loadConfig({ DATABASE_URL: other.databaseUrl, SYNC_MASTER_KEY });
  await tenantDelete(configThere, 'acme-001', 'acme-001').catch(() => {});
  await other.sql.query(`UPDATE sync_configurations SET activo = false`);
  await tenantDelete(configThere, 'acme-001', 'acme-001');
  const uploads = makeUploads(server, 'vista_clientes');
  base = await uploads.sendWhole(
    // Lines of a file end at \n alone; numbers keep their digits.
    `${JSON.stringify({ id: 1, nombre: 'a\u2028b\nc' })}\n{"id":2,"precio":12345678901234567890.1200}\n`,
  );
  await uploads.open(toLines([{ id: 3 }]));
  await server.sql.query(
    `UPDATE sync_configurations SET "sqlServerConexiones" = '{"almacen": {"host": "h", "port": 1433, "database": "d", "user": "u", "password": "p"}}'`,
  );
  await server.sql.query(`SELECT sync_semana_logs(now() - interval '60 days')`);
  await server.sql.query(
    `INSERT INTO sync_logs ("tenantId", direccion, tabla, estado, "fechaInicio", "createdAt")
     SELECT 'acme-001', 'upload', 't', 'exitoso', now(), now() - make_interval(days => 60 * n) FROM generate_series(0, 1) AS n`,
  );
  await server.addTenant('beta-002', tables);
  await server.sql.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) VALUES ('beta-002', 'cliente', '1')`,
  );
});
afterAll(async () => {
  await server?.close();
  await other?.close();
  await rm(folder, { recursive: true, force: true });
});

const session = (config: Config) => ({ loadConfig: () => config, print: () => {} });

/** Every row of a tenant, by table; of the audit and of uploads under way none. */
async function everything(of: TestServer, tenant = 'acme-001'): Promise<Record<string, string[]>> {
  const all: Record<string, string[]> = {};
  const connection = await of.sql.connect();
  try {
    for (const { tabla, numero } of await findTenantTables(connection)) {
      if (tabla === 'sync_audit' || tabla === 'sync_uploads') continue;
      const { rows } = await connection.query(
        `SELECT (to_jsonb(t) - '{vigilancia,version,ultimaModificacion,updatedAt}'::text[] - coalesce($2, ''))::text AS fila
         FROM ${tabla} t WHERE "tenantId" = $1 ORDER BY 1`,
        [tenant, numero],
      );
      if (rows.length > 0) all[tabla] = rows.map(({ fila }) => fila);
    }
  } finally {
    connection.release();
  }
  return all;
}

test('every table that names a tenant is known, whatever it calls the column', async () => {
  const { rows } = await server.sql.query(
    `SELECT DISTINCT c.relname AS tabla FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attname ~* 'tenant'`,
  );
  const connection = await server.sql.connect();
  const known = (await findTenantTables(connection).finally(() => connection.release())).map(({ tabla }) => tabla);
  expect(known.toSorted()).toEqual(rows.map(({ tabla }) => tabla).toSorted());
  expect(known).toEqual(expect.arrayContaining(['parametros_maestros', 'sync_logs', 'sync_commits', 'sync_ediciones']));
  expect(known.at(-1)).toBe('sync_configurations');
});

test('a suspended tenant is refused with a code of its own, and goes on where it was', async () => {
  await tenantSuspendCommand.run({ tenant: 'acme-001' } as never, session(configHere));
  const refused = await server.call('/config/acme-001');
  expect([refused.status, await refused.json()]).toMatchObject([
    403,
    { code: 'TENANT_INACTIVO', mensaje: expect.stringContaining('desactivad') },
  ]);
  await tenantResumeCommand.run({ tenant: 'acme-001' } as never, session(configHere));
  expect((await server.call('/config/acme-001')).status).toBe(200);
  expect(await makeUploads(server, 'vista_clientes').ask({ vista_clientes: base })).toEqual({ vista_clientes: base });
  await expect(
    Promise.resolve(tenantSuspendCommand.run({ tenant: 'nadie' } as never, session(configHere))),
  ).rejects.toThrow('no existe');
});

test('on another centre a tenant has all that it had, and its agents go on with their keys and their ledgers', async () => {
  expect(await tenantExport(configHere, 'acme-001', file)).toMatch(/^\d+ filas de «acme-001»/);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const before = await everything(server);
  expect(Object.keys(before)).toEqual(
    expect.arrayContaining(['parametros_maestros', 'sync_commits', 'sync_logs', 'sync_api_keys']),
  );
  expect(await tenantImport(configThere, file)).toContain('«acme-001»');
  expect(await everything(other)).toEqual(before);
  const as = { tenant: server.tenant, key: server.key };
  const moved = makeUploads(
    { ...other, ...as, call: (path, init) => other.call(path, { ...as, ...init }) },
    'vista_clientes',
  );
  expect(await moved.ask({ vista_clientes: base })).toEqual({ vista_clientes: base });
  const next = await moved.send(toLines([{ id: 1, nombre: 'cambiada' }]), { base, huellas: true });
  expect(next).toMatchObject({ status: 200, result: { registrosActualizados: 1 } });
  await expect(tenantImport(configThere, file)).rejects.toThrow('ya existe');
});

test('a file that is not whole, was changed, or does not open here brings nothing in', async () => {
  await other.sql.query(`UPDATE sync_configurations SET activo = false`);
  await tenantDelete(configThere, 'acme-001', 'acme-001');
  const text = await readFile(file, 'utf8');
  const bad = join(folder, 'mala.ndjson');
  const lines = text.split('\n');
  for (const [what, rule] of [
    [text.slice(0, text.length / 2), 'no está entero'],
    [`${lines.slice(0, -2).join('\n')}\n`, 'no está entero'],
    [lines.filter((line) => !line.startsWith('{"tabla":"parametros_maestros"')).join('\n'), 'no está entero'],
    [text.replace('"tabla":"parametros_maestros"', '"tabla":"pg_authid"'), 'aquí no hay'],
    [text.replace('001_tablas', '001_otras'), 'otra versión'],
    [text.replace('"tenantId": "acme-001"', '"tenantId": "beta-002"'), 'otro tenant'],
    ['{}\n', 'no lo escribió'],
    ['', 'no está entero'],
  ] as const) {
    await writeFile(bad, what);
    await expect(tenantImport(configThere, bad), rule).rejects.toThrow(rule);
  }
  // Sealed under a key that this centre has not got.
  const [head, ...rows] = lines;
  expect(head).toContain('ax-sync-tenant/1');
  expect(rows.some((row) => row.includes('"sqlServerPassword": "'))).toBe(true);
  await expect(tenantExport(configHere, 'nadie', bad)).rejects.toThrow('no existe');
  expect(await everything(other)).toEqual({});
});

test('deleted by its name once it is suspended: nothing of it is left but the audit, and all of the others', async () => {
  const others = await everything(server, 'beta-002');
  const audit = async () =>
    (await server.sql.query(`SELECT id FROM sync_audit WHERE "tenantId" = 'acme-001' ORDER BY id`)).rows;
  await expect(tenantDelete(configHere, 'acme-001', 'acme-01')).rejects.toThrow('no se borró nada');
  await expect(tenantDelete(configHere, 'acme-001', 'acme-001')).rejects.toThrow('está activo');
  await tenantSuspendCommand.run({ tenant: 'acme-001' } as never, session(configHere));
  const noted = await audit();
  expect(await tenantDelete(configHere, 'acme-001', 'acme-001')).toMatch(/parametros_maestros 2/);
  expect(await everything(server)).toEqual({});
  expect((await server.sql.query(`SELECT FROM sync_uploads WHERE "tenantId" = 'acme-001'`)).rowCount).toBe(0);
  expect(
    (await server.sql.query(`SELECT FROM pg_class WHERE relname ~ '^sync_recibido_' AND relkind = 'r'`)).rowCount,
  ).toBe(0);
  const after = await audit();
  expect(after.slice(0, noted.length)).toEqual(noted);
  expect(after.length).toBeGreaterThan(noted.length);
  expect(await everything(server, 'beta-002')).toEqual(others);
  expect((await server.call('/config/acme-001')).status).toBe(401);
  await expect(tenantDelete(configHere, 'acme-001', 'acme-001')).rejects.toThrow('no hay nada');
});
