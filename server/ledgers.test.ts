import { setTimeout as sleep } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { buildApp } from './app.ts';
import { loadConfig } from './config.ts';
import { tidyEdits } from './rows/ledgers.ts';
import { makeUploads, newId, toLines } from './testing/ledger-uploads.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** When the ledger of an agent (`cambios: "huellas"`) is what the centre has, and what voids it. */

const process = { query: 'SELECT 1' };
const atCentre = (sql: string) => ({ enabled: true, ejecutarEn: 'destino', sql });
const ledger = { primaryKey: 'id', cambios: 'huellas', process };
const tables = {
  tablasSubida: [
    { nombre: 'vista_clientes', ...ledger },
    { nombre: 'vista_productos', ...ledger },
    { nombre: 'vista_marcada', primaryKey: 'id', process },
    {
      nombre: 'vista_con_fases',
      ...ledger,
      tipoCampo: 'propio',
      pre_process: atCentre(`UPDATE parametros_maestros SET nombre = 'antes' WHERE tipo_campo = 'propio'`),
      post_process: atCentre(`UPDATE parametros_maestros SET nombre = 'tocada' WHERE tipo_campo = 'propio';
        INSERT INTO parametros_maestros (tipo_campo, codigo) SELECT 'propio', 'de_fase' WHERE NOT EXISTS
          (SELECT FROM parametros_maestros WHERE tipo_campo = 'propio' AND codigo = 'de_fase');
        UPDATE parametros_maestros SET nombre = 'ajena' WHERE tipo_campo = 'producto'`),
    },
  ],
  tablasBajada: [
    {
      nombre: 'bajada',
      process: { query: 'parametros_maestros.tipo_campo=producto' },
      pre_process: {
        enabled: true,
        ejecutarEn: 'origen',
        sql: `UPDATE parametros_maestros SET nombre = 'x' WHERE tipo_campo = 'cliente' AND codigo = '1'`,
      },
    },
  ],
};

let server: TestServer;
let uploads: ReturnType<typeof makeUploads>;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'), { tables });
  uploads = makeUploads(server, 'vista_clientes');
});
afterAll(() => server?.close());
beforeEach(async () => {
  await server.sql.query(
    'TRUNCATE parametros_maestros, sync_commits, sync_idempotency, sync_uploads, sync_upload_chunks, sync_logs, sync_cerrojos, sync_bajas_retenidas',
  );
  await server.sql.query('TRUNCATE sync_ediciones; DELETE FROM sync_esquemas');
  await server.setTables(tables);
});

const ROWS = toLines([
  { id: 1, nombre: 'a' },
  { id: 2, nombre: 'b' },
  { id: 3, nombre: 'c' },
]);
const ONE = toLines([{ id: 1, nombre: 'cambiada' }]);

const edits = async (): Promise<string[]> =>
  (
    await server.sql.query(`SELECT DISTINCT tipo_campo FROM sync_ediciones WHERE "tenantId" = 'acme-001' ORDER BY 1`)
  ).rows.map(({ tipo_campo }) => tipo_campo);

const stands = async (base: string, tabla = 'vista_clientes') => (await uploads.ask({ [tabla]: base }))[tabla] === base;

async function inSession<T>(fn: (session: PoolClient) => Promise<T>): Promise<T> {
  const session = await server.sql.connect();
  try {
    return await fn(session);
  } finally {
    session.release();
  }
}

test('a ledger stands on the newest commit of its table: at the opening, at the commit, in one request, and when asked', async () => {
  const first = await uploads.sendWhole(ROWS);
  expect(await stands(first)).toBe(true);
  const second = await uploads.send(ONE, { base: first, huellas: true });
  expect(second).toMatchObject({ status: 200, result: { registrosActualizados: 1 } });
  const next = second.result.generacion!;
  expect(await uploads.ask({ vista_clientes: first })).toEqual({ vista_clientes: null });
  expect(await stands(next)).toBe(true);
  const stale = await uploads.open(ONE, { base: first, huellas: true });
  expect(stale.opened.problem).toMatchObject({ status: 409, code: 'GENERACION_DESCONOCIDA', tabla: 'vista_clientes' });
  expect(stale.opened.problem.detail).toContain('hubo otra');
  // A mark may stand on it still.
  expect((await uploads.send(ONE, { base: first })).status).toBe(200);
  const once = { modo: 'incremental', huellas: 'true', idempotencyKey: newId() };
  expect((await uploads.sendOnce(ONE, { ...once, base: next })).problem.code).toBe('GENERACION_DESCONOCIDA');
  const whole = await uploads.sendWhole(ROWS);
  expect((await uploads.sendOnce(ONE, { ...once, base: whole })).status).toBe(200);
  expect((await uploads.sendOnce(ONE, { ...once, base: newId(), idempotencyKey: newId() })).problem).toMatchObject({
    code: 'GENERACION_DESCONOCIDA',
  });
});

test('a ledger without its base, or of a whole upload, is refused', async () => {
  expect((await uploads.open('', { huellas: true })).opened.problem).toMatchObject({
    ...{ status: 400, code: 'CUERPO_INVALIDO', campo: 'base' },
  });
  expect((await uploads.sendOnce(ONE, { huellas: 'true' })).problem).toMatchObject({ status: 400, campo: 'base' });
  const whole = await uploads.open('', { huellas: true, base: newId(), modo: 'completo' });
  expect(whole.opened.problem).toMatchObject({ status: 400, code: 'CUERPO_INVALIDO', campo: 'modo' });
});

test.each([
  ['another agent commits', () => uploads.send(toLines([{ id: 9 }]))],
  ['an operator uploads without a key', () => uploads.sendOnce(toLines([{ id: 9 }]))],
  [
    'an operator uploads an envelope',
    () => server.call('/upload/acme-001', { method: 'POST', json: { tabla: 'vista_clientes', data: [{ id: 9 }] } }),
  ],
  ['a row is edited', () => server.sql.query(`UPDATE parametros_maestros SET nombre = 'z' WHERE codigo = '2'`)],
  ['the commit is gone, as in a restored centre', () => server.sql.query('DELETE FROM sync_commits')],
])('between opening and commit %s: the commit is refused, and changes nothing', async (_what, happens) => {
  const base = await uploads.sendWhole(ROWS);
  const { opened, commit } = await uploads.open(ONE, { base, huellas: true });
  expect(opened.status).toBe(201);
  await happens();
  expect((await commit()).problem).toMatchObject({ status: 409, code: 'GENERACION_DESCONOCIDA' });
  const { rows } = await server.sql.query(`SELECT nombre FROM parametros_maestros WHERE codigo = '1'`);
  expect(rows[0].nombre).toBe('a');
  expect(await stands(base)).toBe(false);
  // Sent whole, it is true again.
  expect(await stands(await uploads.sendWhole(ROWS))).toBe(true);
});

test('a restored centre knows the older ledger alone', async () => {
  const older = await uploads.sendWhole(ROWS);
  const restore = await server.backUp();
  const newer = (await uploads.send(ONE, { base: older, huellas: true })).result.generacion!;
  await restore();
  expect(await uploads.ask({ vista_clientes: newer })).toEqual({ vista_clientes: null });
  expect((await uploads.send(ONE, { base: newer, huellas: true })).problem.detail).toContain(
    'esta base de datos no tiene',
  );
  expect(await stands(older)).toBe(true);
});

test('an upload without a name pushes out nobody’s result', async () => {
  const first = await uploads.send(ROWS);
  for (let n = 0; n < 18; n++) expect((await uploads.sendOnce(ONE)).status).toBe(200);
  const state = await (await server.call(`/uploads/acme-001/${first.result.generacion}`)).json();
  expect(state).toMatchObject({ estado: 'confirmada' });
  const { rows } = await server.sql.query('SELECT count(*)::integer AS n FROM sync_commits');
  expect(rows[0].n).toBe(17);
});

test('a mark without a generation is adopted for a table of marks, never for one of ledgers', async () => {
  await uploads.sendWhole(ROWS);
  await uploads.send(ROWS, { tabla: 'vista_marcada' });
  expect(await uploads.ask({ vista_clientes: null, vista_marcada: null })).toEqual({
    vista_clientes: null,
    vista_marcada: expect.stringMatching(/^[0-9a-f]{32}$/),
  });
});

test('a ledger of rows that another table wrote to since, or under another tipo_campo, is void', async () => {
  const base = await uploads.sendWhole(ROWS);
  const setClientes = (tipoCampo: string, also: object[] = []) =>
    server.setTables({ tablasSubida: [{ nombre: 'vista_clientes', ...ledger, tipoCampo }, ...also] });
  await setClientes('otro');
  expect((await uploads.send(ONE, { base, huellas: true })).problem.detail).toContain('otra tabla');
  const elsewhere = await uploads.sendWhole(ROWS);
  expect(await stands(elsewhere)).toBe(true);
  await server.setTables(tables);
  expect(await stands(elsewhere)).toBe(false);
  const guest = { nombre: 'huesped', primaryKey: 'id', tipoCampo: 'cliente', process };
  await setClientes('otro', [guest]);
  expect((await uploads.send(ONE, { tabla: 'huesped' })).status).toBe(200);
  await server.setTables(tables);
  expect(await stands(base)).toBe(false);
});

test.each([
  ['UPDATE', `UPDATE parametros_maestros SET activo = false WHERE codigo = '2'`],
  [
    'INSERT',
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) VALUES ('acme-001', 'cliente', 'nueva')`,
  ],
  ['DELETE', `DELETE FROM parametros_maestros WHERE codigo = '2'`],
  ['an UPDATE that moves a row away', `UPDATE parametros_maestros SET tipo_campo = 'lejos' WHERE codigo = '2'`],
  [
    'an UPDATE that moves a row to another tenant',
    `UPDATE parametros_maestros SET "tenantId" = 'x' WHERE codigo = '2'`,
  ],
  ['MERGE', `MERGE INTO parametros_maestros p USING (VALUES ('2')) v (c) ON p.codigo = v.c WHEN MATCHED THEN DELETE`],
  ['TRUNCATE', 'TRUNCATE parametros_maestros'],
  [
    'a session that calls itself a replica',
    `SET session_replication_role = replica;
    UPDATE parametros_maestros SET nombre = 'z'; SET session_replication_role = DEFAULT`,
  ],
  [
    'COPY, as a restore of the table has it',
    `COPY parametros_maestros ("tenantId", tipo_campo, codigo) FROM PROGRAM 'printf "acme-001\\tcliente\\tnueva\\n"'`,
  ],
])('%s by an administrator is noted, and voids the ledger until the table has come whole', async (_what, sql) => {
  const base = await uploads.sendWhole(ROWS);
  expect(await edits()).toEqual([]);
  await server.sql.query(sql);
  expect(await edits()).toContain('cliente');
  const { opened } = await uploads.open(ONE, { base, huellas: true });
  expect(opened.problem).toMatchObject({ status: 409, code: 'GENERACION_DESCONOCIDA' });
  expect(opened.problem.detail).toContain('se cambiaron en el servidor');
  expect(await stands(base)).toBe(false);
  const whole = await uploads.sendWhole(ROWS);
  expect(await edits()).not.toContain('cliente');
  expect(await stands(whole)).toBe(true);
  expect(
    (await server.sql.query(`SELECT FROM parametros_maestros WHERE tipo_campo = 'cliente'`)).rowCount,
  ).toBeGreaterThan(2);
});

test('an edit that is rolled back, and one of other rows, void nothing', async () => {
  const base = await uploads.sendWhole(ROWS);
  await inSession(async (session) => {
    await session.query('BEGIN');
    await session.query(`UPDATE parametros_maestros SET nombre = 'z'`);
    await session.query('ROLLBACK');
  });
  await server.sql.query(`INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) VALUES
    ('acme-001', 'producto', '1'), ('otro', 'cliente', '1')`);
  expect(await stands(base)).toBe(true);
});

test('one that follows a savepoint that was rolled back is noted, and each tipo_campo of one statement', async () => {
  await uploads.sendWhole(ROWS);
  await uploads.sendWhole(ROWS, { tabla: 'vista_productos' });
  const edit = (nombre: string, more = '') =>
    `UPDATE parametros_maestros SET nombre = '${nombre}' WHERE codigo = '1' ${more}`;
  await inSession(async (session) => {
    await session.query(`BEGIN; SAVEPOINT antes; ${edit('x', `AND tipo_campo = 'cliente'`)}; ROLLBACK TO antes`);
    await session.query(`${edit('y', `AND tipo_campo = 'cliente'`)}; COMMIT`);
    expect(await edits()).toEqual(['cliente']);
    await uploads.sendWhole(ROWS);
    expect(await edits()).toEqual([]);
    // In a session that has noted that tipo_campo before.
    await session.query(edit('z'));
    expect(await edits()).toEqual(['cliente', 'producto']);
  });
});

test('a partial upload leaves what was noted; a mark’s upload and an operator’s are no edits', async () => {
  const base = await uploads.sendWhole(ROWS);
  await uploads.send(ONE, { base, huellas: true });
  await uploads.send(ONE);
  await uploads.sendOnce(ONE);
  expect(await edits()).toEqual([]);
  await server.sql.query(`UPDATE parametros_maestros SET nombre = 'z' WHERE codigo = '3'`);
  await uploads.send(ONE);
  expect(await edits()).toEqual(['cliente']);
});

test('phases of an upload write its own rows unnoticed, and others’ not; a download’s phase is noted', async () => {
  const products = await uploads.sendWhole(ROWS, { tabla: 'vista_productos' });
  const clients = await uploads.sendWhole(ROWS);
  const own = await uploads.sendWhole(ROWS, { tabla: 'vista_con_fases' });
  expect(await edits()).toEqual(['producto']);
  expect(await stands(own, 'vista_con_fases')).toBe(true);
  expect(await stands(products, 'vista_productos')).toBe(false);
  const { rows } = await server.sql.query(
    `SELECT nombre, count(*)::integer AS n FROM parametros_maestros WHERE tipo_campo = 'propio' GROUP BY 1 ORDER BY 1`,
  );
  expect(rows).toEqual([
    { nombre: 'tocada', n: 3 },
    { nombre: null, n: 1 },
  ]);

  expect(await stands(clients)).toBe(true);
  const phase = { tabla: 'bajada', fase: 'pre_process' };
  expect((await server.call('/phases/acme-001', { method: 'POST', json: phase })).status).toBe(200);
  expect(await edits()).toEqual(['cliente', 'producto']);
  expect(await stands(clients)).toBe(false);
});

test('a tenant’s SQL cannot pass its edits for an upload’s', async () => {
  const base = await uploads.sendWhole(ROWS);
  const edit = `UPDATE parametros_maestros SET nombre = 'y' WHERE tipo_campo = 'cliente'`;
  for (const hide of [
    `SELECT set_config('app.subida', 'cliente', false)`,
    `UPDATE pg_settings SET setting = 'cliente' WHERE name = 'app.subida'`,
    `INSERT INTO sync_ediciones VALUES ('acme-001', 'cliente')`,
    'DELETE FROM sync_ediciones',
  ]) {
    await server.setTables({
      ...tables,
      tablasBajada: [
        { ...tables.tablasBajada[0], pre_process: { enabled: true, ejecutarEn: 'origen', sql: `${hide}; ${edit}` } },
      ],
    });
    const phase = { tabla: 'bajada', fase: 'pre_process' };
    const response = await server.call('/phases/acme-001', { method: 'POST', json: phase });
    expect([hide, ((await response.json()) as { code?: string }).code]).not.toEqual([hide, undefined]);
    expect(await stands(base)).toBe(true);
  }
});

test('a whole upload whose bajas wait leaves its ledger void until somebody has decided', async () => {
  const base = await uploads.sendWhole(ROWS);
  expect(await stands(base)).toBe(true);
  const emptied = await uploads.send('', { modo: 'completo' });
  expect(emptied.result).toMatchObject({ bajasRetenidas: 3 });
  expect(await stands(emptied.result.generacion!)).toBe(false);
  await server.sql.query(`UPDATE sync_bajas_retenidas SET estado = 'aprobada', "resueltaPor" = 'x'`);
  const applied = await uploads.send('', { modo: 'completo' });
  expect(applied.result).toMatchObject({ registrosDesactivados: 3 });
  expect(await stands(applied.result.generacion!)).toBe(true);
});

test('columns that wait for a decision leave the ledger as it is; decided, the next part is refused, and the whole takes them away', async () => {
  const describeColumns = async (names: readonly string[]): Promise<string> => {
    const columnas = names.map((nombre) => ({ nombre, tipo: 'int', nula: true }));
    const json = { tabla: 'vista_clientes', columnas };
    const response = await server.call('/esquemas/acme-001', { method: 'POST', json });
    return ((await response.json()) as { huella: string }).huella;
  };
  const base = await uploads.sendWhole(ROWS, { esquema: await describeColumns(['id', 'nombre']) });
  expect(await stands(base)).toBe(true);
  const sent = { base, huellas: true, esquema: await describeColumns(['id']) };
  const { result } = await uploads.send(toLines([{ id: 1 }, { id: 2 }, { id: 3 }]), sent);
  expect(result.esquema).toMatchObject({ estado: 'pendiente' });
  expect(await stands(result.generacion!)).toBe(true);
  await server.sql.query(`UPDATE sync_esquemas SET estado = 'aprobado' WHERE estado = 'pendiente'`);
  const part = { ...sent, base: result.generacion! };
  expect((await uploads.send(toLines([{ id: 1 }]), part)).problem).toMatchObject({ code: 'GENERACION_DESCONOCIDA' });
  const whole = await uploads.send(toLines([{ id: 1 }, { id: 2 }, { id: 3 }]), {
    esquema: sent.esquema,
    modo: 'completo',
  });
  expect(whole.result).toMatchObject({ registrosActualizados: 3 });
  expect(await stands(whole.result.generacion!)).toBe(true);
});

test.each([
  ['before a whole upload is merged is forgotten by it', true],
  ['while a whole upload is merged is not', false],
])('an edit that commits %s', async (_when, seen) => {
  await uploads.sendWhole(ROWS);
  // A row that the merge has to wait for: held by a session that touches it, and lets go when we say so.
  await inSession(async (holder) => {
    const editor = await server.sql.connect();
    const edit = `UPDATE parametros_maestros SET nombre = 'a mano' WHERE codigo = '3'`;
    if (seen) await editor.query(edit);
    await holder.query('BEGIN');
    await holder.query(`SELECT FROM parametros_maestros WHERE codigo = '1' FOR UPDATE`);
    const uploading = uploads.sendWhole(toLines([{ id: 1, nombre: 'otra' }, { id: 2 }, { id: 3, nombre: 'c' }]));
    await untilWaiting();
    if (!seen) await editor.query(edit);
    await holder.query('COMMIT');
    editor.release();
    const base = await uploading;
    expect(await edits()).toEqual(seen ? [] : ['cliente']);
    expect(await stands(base)).toBe(seen);
  });
});

test('an edit that commits after a whole upload under which it was made is not lost', async () => {
  await uploads.sendWhole(ROWS);
  await inSession(async (editor) => {
    await editor.query('BEGIN');
    await editor.query(`UPDATE parametros_maestros SET nombre = 'a mano' WHERE codigo = '3'`);
    const base = await uploads.sendWhole(ROWS);
    expect(await stands(base)).toBe(true);
    await editor.query('COMMIT');
    expect(await stands(base)).toBe(false);
  });
});

test('editors do not wait for each other, nor for an upload of other rows', async () => {
  await uploads.sendWhole(ROWS);
  await inSession(async (one) => {
    await one.query('BEGIN');
    await one.query(`UPDATE parametros_maestros SET nombre = 'x' WHERE codigo = '1'`);
    await inSession(async (two) => {
      await two.query(
        `SET statement_timeout = 2000; UPDATE parametros_maestros SET nombre = 'y' WHERE codigo = '2'; RESET statement_timeout`,
      );
    });
    expect((await uploads.send(toLines([{ id: 5 }]))).status).toBe(200);
    await one.query('COMMIT');
  });
  expect((await server.sql.query('SELECT FROM sync_ediciones')).rowCount).toBe(2);
});

test('the janitor leaves one note of each tipo_campo, none of what was never merged, and none that an upload needs is lost', async () => {
  const base = await uploads.sendWhole(ROWS);
  for (let n = 0; n < 5; n++)
    await server.sql.query(`UPDATE parametros_maestros SET nombre = '${n}' WHERE codigo = '1'`);
  await server.sql.query(`INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo)
    SELECT 'acme-001', 'suelta' || n, 'x' FROM generate_series(1, 2500) n`);
  const tidy = () => inSession(tidyEdits);
  for (let n = 0; n < 3; n++) await tidy();
  expect(await edits()).toEqual(['cliente']);
  expect((await server.sql.query('SELECT FROM sync_ediciones')).rowCount).toBe(1);
  expect((await server.sql.query('SELECT FROM sync_cerrojos')).rowCount).toBe(1);
  expect(await stands(base)).toBe(false);

  // While a merge holds the lock its notes stay as they are.
  await server.sql.query(`UPDATE parametros_maestros SET nombre = 'q' WHERE codigo = '1'`);
  await inSession(async (holder) => {
    await holder.query('BEGIN');
    await holder.query('SELECT FROM sync_cerrojos FOR UPDATE');
    await tidy();
    expect((await server.sql.query('SELECT FROM sync_ediciones')).rowCount).toBe(2);
    // So does a first merge that is under way.
    await holder.query(`INSERT INTO sync_cerrojos ("tenantId", tipo_campo) VALUES ('acme-001', 'suelta1')`);
    await server.sql.query(`DELETE FROM parametros_maestros WHERE tipo_campo = 'suelta1'`);
    await inSession(async (session) => {
      await session.query('SET lock_timeout = 200');
      await tidyEdits(session);
      await session.query('RESET lock_timeout');
    });
    expect(await edits()).toEqual(['cliente', 'suelta1']);
    await holder.query('ROLLBACK');
  });
});

test('notes of a database that was restored into another cluster, with its numbers of transactions, are forgotten too', async () => {
  await uploads.sendWhole(ROWS);
  await server.sql.query(`INSERT INTO sync_ediciones ("tenantId", tipo_campo, transaccion)
    SELECT 'acme-001', 'cliente', (pg_current_xact_id()::text::bigint + 1000000)::text::xid8`);
  expect(await stands(await uploads.sendWhole(ROWS))).toBe(true);
});

test('where a trigger is off, or was, no ledger is believed; serve says so', async () => {
  const alter = (what: string) =>
    server.sql.query(`ALTER TABLE parametros_maestros ${what} TRIGGER sync_edicion_cambio`);
  const base = await uploads.sendWhole(ROWS);
  await alter('DISABLE');
  await server.sql.query(`UPDATE parametros_maestros SET nombre = 'a escondidas' WHERE codigo = '2'`);
  expect(await edits()).toEqual([]);
  expect(await stands(base)).toBe(false);
  expect((await uploads.send(ONE, { base, huellas: true })).problem.detail).toContain('disparadores');
  const logged: string[] = [];
  const app = await buildApp(loadConfig({ DATABASE_URL: server.databaseUrl, LOG_LEVEL: 'error' }), {
    write: (line) => void logged.push(line),
  });
  await app.close();
  expect(logged.join('')).toContain('sync_edicion_');
  // What pg_restore --disable-triggers leaves is not enough; and what happened meanwhile nobody has noted.
  await alter('ENABLE');
  expect(await stands(await uploads.sendWhole(ROWS))).toBe(false);
  await alter('ENABLE ALWAYS');
  expect(await stands(base)).toBe(false);
  expect(await stands(await uploads.sendWhole(ROWS))).toBe(true);
});

/** Until a session of the server waits for a lock. */
async function untilWaiting(): Promise<void> {
  for (let n = 0; n < 500; n++) {
    const { rows } = await server.sql.query(
      `SELECT count(*)::integer AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    if (rows[0].n > 0) return;
    await sleep(10);
  }
  throw new Error('nobody waits');
}
