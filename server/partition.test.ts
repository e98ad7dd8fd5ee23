import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { buildApp } from './app.ts';
import { loadConfig } from './config.ts';
import { PartitionError, partitionRows } from './postgres/partition.ts';
import type { Connection } from './postgres/pool.ts';
import { dumpSchema } from './testing/dump-schema.ts';
import { makeUploads, toLines } from './testing/ledger-uploads.ts';
import { runServer, spawnServer } from './testing/run-cli.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** A centre whose rows are partitioned while its agents go on, and what is different in it then: nothing that anybody notices. */

const atCentre = (sql: string) => ({ enabled: true, ejecutarEn: 'destino', sql });
const tables = {
  tablasSubida: [
    { nombre: 'productos', primaryKey: 'id', bajas: 'borrar', process: { query: 'SELECT 1' } },
    { nombre: 'clientes', primaryKey: 'id', cambios: 'huellas', process: { query: 'SELECT 1' } },
    {
      nombre: 'fases',
      primaryKey: 'id',
      bajas: 'borrar',
      process: { query: 'SELECT 1' },
      post_process: atCentre(`DELETE FROM parametros_maestros WHERE tipo_campo = 'derivada';
        INSERT INTO parametros_maestros (tipo_campo, codigo, nombre)
        SELECT 'derivada', codigo, nombre FROM parametros_maestros WHERE tipo_campo = 'fase'`),
    },
    {
      nombre: 'hoja',
      primaryKey: 'id',
      process: { query: 'SELECT 1' },
      post_process: atCentre('SELECT 1 FROM parametros_maestros_p0'),
    },
  ],
  tablasBajada: [{ nombre: 'hoja', process: { query: 'SELECT * FROM parametros_maestros_p1' } }],
};
const TENANTS = ['acme-001', 'beta-002', 'gama-003'];

let server: TestServer;
let plainSchema: string;
const keys = new Map<string, string>();
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'), { tables });
  keys.set('acme-001', server.key);
  for (const tenant of TENANTS.slice(1)) keys.set(tenant, await server.addTenant(tenant, tables));
});
afterAll(() => server?.close());

/** Calls `work` with a connection of its own as the owner of the database. */
async function asOwner<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
  const pool = new pg.Pool({ connectionString: server.databaseUrl, max: 1 });
  pool.on('error', () => {});
  const connection = await pool.connect();
  connection.on('error', () => {});
  try {
    return await work(connection);
  } finally {
    connection.release(true);
    await pool.end();
  }
}

/** What the table has beside its statistics, in a form that compares. */
async function rowsOf(where = 'true'): Promise<string[]> {
  const { rows } = await server.sql.query<{ fila: string }>(
    `SELECT concat_ws(' ', "tenantId", tipo_campo, codigo, nombre, activo, parametros_json) AS fila
     FROM parametros_maestros WHERE ${where}`,
  );
  return rows.map(({ fila }) => fila).sort();
}

/** An agent that sends its tables again and again, a little different each time, and what the centre has to have of it in the end. */
function startAgent(tenant: string, seed: number) {
  const uploads = makeUploads(server, 'productos');
  const who = { tenant, key: keys.get(tenant)! };
  const products = new Map<number, string>();
  let state = seed;
  const draw = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  let ended = false;
  let sent = 0;
  let derived: string[] = [];
  const round = async () => {
    for (let n = 0; n < 20; n += 1) {
      const id = draw(120);
      if (draw(3) === 0) products.delete(id);
      else products.set(id, `nombre ${draw(1000)}`);
    }
    products.set(1000, 'siempre');
    const lines = toLines([...products].map(([id, nombre]) => ({ id, nombre, precio: 1.5 })));
    await uploads.sendWhole(lines, { ...who, tabla: 'productos' });
    derived = [`a${draw(5)}`, `b${draw(5)}`];
    await uploads.sendWhole(toLines(derived.map((id) => ({ id, nombre: id }))), { ...who, tabla: 'fases' });
    sent += 1;
  };
  const running = (async () => {
    while (!ended) await round();
  })();
  running.catch(() => {});
  return {
    rounds: () => sent,
    async stop(): Promise<string[]> {
      ended = true;
      await running;
      return [
        ...[...products].map(([id, nombre]) => `${tenant} producto ${id} ${nombre} t {"id": ${id}, "precio": 1.5}`),
        ...derived.map((id) => `${tenant} derivada ${id} ${id} t {}`),
      ];
    },
  };
}

const withoutNumbers = (...told: string[]) => told.map((line) => line.replace(/\d+/, 'n'));

test('agents go on while it is partitioned, broken off at every step: in the end every row is there, as it was sent', async () => {
  await server.sql.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, parametros_json, updated_at)
     SELECT 'viejo-' || n % 50, 'cosa', n, 'x', jsonb_build_object('n', n), '2024-01-01' FROM generate_series(1, 5000) n`,
  );
  plainSchema = await asOwner(dumpSchema);
  const base = await makeUploads(server, 'clientes').sendWhole(toLines([{ id: 1, nombre: 'a' }]));
  const old = await rowsOf(`"tenantId" LIKE 'viejo-%'`);
  const agents = TENANTS.map((tenant, n) => startAgent(tenant, 20261201 + n));

  // A process that is killed, once it has begun to copy.
  const child = spawnServer(['migrate', '--partition'], { DATABASE_URL: server.databaseUrl });
  await new Promise<void>((resolve, reject) => {
    let text = '';
    child.stdout!.on('data', (data) => {
      text += String(data);
      if (/filas copiadas/.test(text)) resolve();
    });
    child.once('exit', (code) => reject(new Error(`ended with ${code}: ${text}`)));
  });
  child.kill('SIGKILL');
  await once(child, 'close');

  // Sessions that are cut: after each of the steps, and within them.
  const told: string[] = [];
  for (let cut = 0; ; cut += 1) {
    expect(cut).toBeLessThan(60);
    let step = 0;
    const tell = (line: string) => {
      told.push(line);
      if (step === Math.floor(cut / 2)) {
        if (cut % 2 === 0) throw new Error('cut');
        void server.sql.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'parte'`,
        );
      }
      step += 1;
    };
    const done = await asOwner(async (connection) => {
      await connection.query(`SET application_name = 'parte'`);
      return partitionRows(connection, { tell, batchRows: { first: 200, max: 600 } });
    }).catch((error: Error) => {
      expect(error.message).toMatch(/cut|terminat|Connection|not queryable/);
      return false;
    });
    if (done) break;
    const { rows } = await server.sql.query(
      `SELECT FROM pg_partitioned_table WHERE partrelid = 'parametros_maestros'::regclass`,
    );
    // It was cut when all was done.
    if (rows.length > 0) break;
  }
  const before = agents.map((agent) => agent.rounds());
  while (agents.some((agent, n) => agent.rounds() <= before[n]! + 1)) await sleep(20);
  const expected = (await Promise.all(agents.map((agent) => agent.stop()))).flat();

  expect(withoutNumbers(...new Set(told))).toEqual(
    expect.arrayContaining([
      'Se sigue donde se quedó.',
      'Copiada. Se comparan las dos tablas.',
      'Iguales. Se cambia una por otra.',
    ]),
  );
  expect(await rowsOf(`tipo_campo IN ('producto', 'derivada')`)).toEqual(expected.sort());
  expect(await rowsOf(`"tenantId" LIKE 'viejo-%'`)).toEqual(old);
  expect(await rowsOf(`"tenantId" LIKE 'viejo-%' AND updated_at = '2024-01-01'`)).toEqual(old);
  expect(Math.min(...before)).toBeGreaterThan(0);
  // The ledger of an agent is as good as before.
  const uploads = makeUploads(server, 'clientes');
  expect((await uploads.send(toLines([{ id: 2 }]), { base, huellas: true })).status).toBe(200);
});

test('nothing else differs: triggers, policies, rights and indexes are those of the plain table', async () => {
  const schema = await asOwner(dumpSchema);
  expect(schema.replace(' PARTITION BY HASH ("tenantId")', '')).toBe(plainSchema);
  const { rows } = await server.sql.query(
    `SELECT relname AS hoja, relowner::regrole::text AS dueno, reloptions, relacl, (SELECT count(*)::integer FROM pg_index WHERE indrelid = c.oid) AS indices
     FROM pg_partition_tree('parametros_maestros') JOIN pg_class c ON c.oid = relid WHERE isleaf ORDER BY 1`,
  );
  const owner = new URL(server.databaseUrl).username;
  expect(rows).toHaveLength(8);
  for (const [n, leaf] of rows.entries()) {
    expect(leaf).toMatchObject({
      hoja: `parametros_maestros_p${n}`,
      dueno: owner,
      reloptions: ['fillfactor=90'],
      indices: 1,
    });
    expect(String(leaf.relacl)).not.toMatch(/ax_sync/);
  }
  expect((await server.sql.query(`SELECT FROM pg_class WHERE relname ~ '^sync_(particion|parametros)'`)).rowCount).toBe(
    0,
  );
  const { rows: planned } = await server.sql.query(
    `EXPLAIN SELECT FROM parametros_maestros WHERE "tenantId" = 'acme-001' AND tipo_campo = 'x'`,
  );
  expect(
    planned
      .map((line) => line['QUERY PLAN'])
      .join('')
      .match(/parametros_maestros_p\d /g),
  ).toHaveLength(1);
});

test('a second time there is nothing to do', async () => {
  const { code, stdout } = await runServer(['migrate', '--partition'], { DATABASE_URL: server.databaseUrl });
  expect([code, stdout]).toEqual([0, 'La base ya está al día.\nparametros_maestros ya está partida.\n']);
});

test('a tenant reaches no partition by its name, neither in a phase nor in a download', async () => {
  const { problem } = await makeUploads(server, 'hoja').sendOnce(toLines([{ id: 1 }]));
  expect(problem.detail).toContain('42501');
  const download = await server.call('/download/acme-001?tabla=hoja');
  expect([download.status, await download.text()]).toEqual([422, expect.stringContaining('42501')]);
});

test('serve refuses roles that reach a partition, and names what mends it', async () => {
  const start = async () =>
    (await buildApp(loadConfig({ DATABASE_URL: server.databaseUrl, LOG_LEVEL: 'silent' }))).close();
  await server.sql.query('GRANT SELECT ON parametros_maestros_p3 TO ax_sync_consulta');
  await expect(start()).rejects.toThrow('REVOKE ALL ON parametros_maestros_p3 FROM PUBLIC, ax_sync_consulta');
  await server.sql.query('REVOKE ALL ON parametros_maestros_p3 FROM PUBLIC, ax_sync_consulta');
  await start();
});

/** The partition that holds the rows of acme-001. */
async function leafOf(): Promise<string> {
  const { rows } = await server.sql.query(
    `SELECT tableoid::regclass::text AS hoja FROM parametros_maestros WHERE "tenantId" = 'acme-001' LIMIT 1`,
  );
  return rows[0]!.hoja;
}

test.each([
  ['a row of a partition is changed by its name', `UPDATE {hoja} SET nombre = 'a mano' WHERE "tenantId" = 'acme-001'`],
  [
    'a row is put into a partition',
    `INSERT INTO {hoja} ("tenantId", tipo_campo, codigo) VALUES ('acme-001', 'cliente', '99')`,
  ],
  ['a partition is emptied', 'TRUNCATE {hoja}'],
  [
    'a row goes to another tenant',
    `UPDATE parametros_maestros SET "tenantId" = 'beta-002' WHERE "tenantId" = 'acme-001' AND tipo_campo = 'cliente' AND codigo = '1'`,
  ],
  [
    'a trigger of a partition was off',
    `ALTER TABLE {hoja} DISABLE TRIGGER sync_edicion_cambio; ALTER TABLE {hoja} ENABLE ALWAYS TRIGGER sync_edicion_cambio`,
  ],
  ['a partition was away', `ALTER TABLE parametros_maestros DETACH PARTITION {hoja}; {volver}`],
])('no ledger is believed after %s', async (_what, sql) => {
  const uploads = makeUploads(server, 'clientes');
  const whole = () =>
    uploads.sendWhole(
      toLines([
        { id: 1, nombre: 'a' },
        { id: 2, nombre: 'b' },
      ]),
    );
  const stands = async (base: string) => (await uploads.ask({ clientes: base })).clientes === base;
  const base = await whole();
  expect(await stands(base)).toBe(true);
  const hoja = await leafOf();
  const { rows } = await server.sql.query(
    'SELECT pg_get_expr(relpartbound, oid) AS donde FROM pg_class WHERE oid = $1::regclass',
    [hoja],
  );
  const back = `ALTER TABLE parametros_maestros ATTACH PARTITION {hoja} ${rows[0].donde}`;
  await server.sql.query(sql.replace('{volver}', back).replaceAll('{hoja}', hoja));
  expect(await stands(base)).toBe(false);
  await server.sql.query(
    `DELETE FROM parametros_maestros WHERE "tenantId" IN ('acme-001', 'beta-002') AND tipo_campo = 'cliente'`,
  );
  expect(await stands(await whole())).toBe(true);
});

test('by an administrator, over what operators have made: all of it stays, and the owner of the database is the owner', async () => {
  const centre = await startTestServer(inject('postgresUrl'), { tables });
  const admin = await centre.sql.connect();
  try {
    await admin.query(`
      INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) SELECT 't' || n, 'x', n FROM generate_series(1, 100) n;
      CREATE VIEW vista AS SELECT codigo FROM parametros_maestros;
      CREATE FUNCTION mirar() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
      CREATE TRIGGER mirar AFTER INSERT ON parametros_maestros FOR EACH STATEMENT EXECUTE FUNCTION mirar();
      CREATE INDEX ON parametros_maestros ("tenantId", updated_at);
      CREATE POLICY otra ON parametros_maestros AS RESTRICTIVE FOR SELECT TO pg_monitor USING (activo);
      GRANT SELECT ON parametros_maestros TO pg_monitor; GRANT UPDATE (nombre) ON parametros_maestros TO pg_monitor;
      COMMENT ON TABLE parametros_maestros IS 'De todos';
      CREATE PUBLICATION publica_${new URL(centre.databaseUrl).username} FOR TABLE parametros_maestros`);
    const state = async () =>
      [
        await dumpSchema(admin),
        await admin.query(`SELECT obj_description('parametros_maestros'::regclass)`).then(({ rows }) => rows),
      ] as const;
    const part = () => partitionRows(admin as Connection, { tell: () => {} });
    await expect(part()).rejects.toThrow(/la publicación publica_\w+ nombra parametros_maestros/);
    await admin.query(`RESET ROLE; DROP PUBLICATION publica_${new URL(centre.databaseUrl).username}`);
    await expect(part()).rejects.toThrow(/vista/);
    await admin.query('RESET ROLE; DROP VIEW vista');
    const [before, comment] = await state();
    expect(before).not.toMatch(/particion|sync_parametros/);
    expect(await part()).toBe(true);
    const [after, said] = await state();
    expect(after.replace(' PARTITION BY HASH ("tenantId")', '').replace(' ON ONLY ', ' ON ')).toBe(before);
    expect(said).toEqual(comment);
    const owners = await admin.query(
      `SELECT DISTINCT relowner::regrole::text AS dueno FROM pg_class WHERE relname ~ '^parametros_maestros'`,
    );
    expect(owners.rows).toEqual([{ dueno: new URL(centre.databaseUrl).username }]);
    await (await buildApp(loadConfig({ DATABASE_URL: centre.databaseUrl, LOG_LEVEL: 'silent' }))).close();
  } finally {
    admin.release(true);
    await centre.close();
  }
});

test('it waits for who reads an old state, changes nothing when that takes too long, and can be given up', async () => {
  const centre = await startTestServer(inject('postgresUrl'));
  const reader = await centre.sql.connect();
  const writer = await centre.sql.connect();
  const pool = new pg.Pool({ connectionString: centre.databaseUrl, max: 1 });
  const connection = await pool.connect();
  try {
    await writer.query(
      `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) SELECT 't', 'x', n FROM generate_series(1, 10) n`,
    );
    const part = () => partitionRows(connection, { tell: () => {}, patienceMs: 0 });
    // Its snapshot is older than the copy, and it has not touched the table yet: in the new one it would find nothing.
    await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
    await expect(part()).rejects.toThrow(/las transacciones de los procesos \d+.*sigue donde se quedó/);
    expect((await reader.query('SELECT FROM parametros_maestros')).rowCount).toBe(10);
    await reader.query('COMMIT');
    await writer.query(`BEGIN; UPDATE parametros_maestros SET nombre = 'y'`);
    await expect(part()).rejects.toThrow(PartitionError);
    await writer.query('COMMIT');
    const manual = await readFile('docs/servidor.md', 'utf8');
    const giveUp = /DROP FUNCTION sync_reflejar\(\) CASCADE;[^\n]*/.exec(manual)![0];
    await connection.query(giveUp);
    expect(
      (
        await writer.query(
          `SELECT FROM pg_class WHERE relname ~ '^(sync_particion|sync_parametros|parametros_maestros_pd)'`,
        )
      ).rowCount,
    ).toBe(0);
    expect(await part()).toBe(true);
    expect(
      (
        await writer.query(
          `SELECT FROM parametros_maestros_p0 UNION ALL SELECT FROM parametros_maestros WHERE nombre = 'y'`,
        )
      ).rowCount,
    ).toBeGreaterThanOrEqual(10);
  } finally {
    for (const client of [reader, writer, connection]) client.release(true);
    await pool.end();
    await centre.close();
  }
});
