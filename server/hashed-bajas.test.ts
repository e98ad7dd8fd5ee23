import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { runOnce } from '../fixtures/postgres.ts';
import { limits } from '../protocol/constants.ts';
import { bajasApprove, bajasDiscard, bajasList } from './commands/bajas.ts';
import { loadConfig } from './config.ts';
import { readBajas } from './rows/hashed-bajas.ts';
import { bajasOfKeys, makeUploads, newId, toBase64, toLines } from './testing/ledger-uploads.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** Bajas that a partial upload brings as hashes of keys. */

const process = { query: 'SELECT 1' };
const ledger = { primaryKey: 'id', cambios: 'huellas', process };
const tables = {
  tablasSubida: [
    { nombre: 'vista_clientes', ...ledger },
    { nombre: 'vista_borradas', ...ledger, bajas: 'borrar' },
    { nombre: 'vista_ignoradas', ...ledger, bajas: 'ignorar' },
    { nombre: 'vista_pedidos', ...ledger },
  ],
};

let server: TestServer;
let uploads: ReturnType<typeof makeUploads>;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'), { tables });
  uploads = makeUploads(server, 'vista_clientes');
});
afterAll(() => server?.close());
beforeEach(() =>
  server.sql.query(
    'TRUNCATE parametros_maestros, sync_commits, sync_uploads, sync_upload_chunks, sync_logs, sync_cerrojos, sync_bajas_retenidas',
  ),
);

const rowsFrom = (from: number, to: number) =>
  toLines(Array.from({ length: to - from }, (_, n) => ({ id: `k${from + n}`, nombre: 'x' })));
const keysFrom = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => `k${from + n}`);

/** Keys of a tipo_campo by their state. */
async function stored(tipo = 'cliente', tenant = 'acme-001') {
  const { rows } = await server.sql.query<{ activo: boolean; claves: string[] }>(
    `SELECT activo, array_agg(codigo ORDER BY codigo) AS claves FROM parametros_maestros
     WHERE "tenantId" = $1 AND tipo_campo = $2 GROUP BY activo`,
    [tenant, tipo],
  );
  const of = (state: boolean) => rows.find(({ activo }) => activo === state)?.claves ?? [];
  return { activas: of(true), inactivas: of(false) };
}

const decide = async (command: typeof bajasApprove) => {
  const { rows } = await server.sql.query('SELECT id FROM sync_bajas_retenidas');
  return command(loadConfig({ DATABASE_URL: server.databaseUrl, LOG_LEVEL: 'silent' }), 'acme-001', rows[0].id);
};

test('bajas alone, without a chunk, are set inactive; the commit again answers the same and applies nothing', async () => {
  const base = await uploads.sendWhole(rowsFrom(0, 5));
  const { commit } = await uploads.open('', { base, huellas: true, bajas: bajasOfKeys(['k1', 'k3']) });
  const first = await commit();
  expect(first).toMatchObject({ status: 200, result: { filas: 0, registrosDesactivados: 2, bajasRetenidas: 0 } });
  expect(first.result.registrosBorrados).toBeUndefined();
  expect(await stored()).toEqual({ activas: ['k0', 'k2', 'k4'], inactivas: ['k1', 'k3'] });
  await server.sql.query('UPDATE parametros_maestros SET activo = true');
  expect(await commit()).toEqual(first);
  expect((await stored()).inactivas).toEqual([]);
});

test('they are applied after the rows of the same upload; a key that came in it stays, a hash of no row is passed over', async () => {
  const base = await uploads.sendWhole(rowsFrom(0, 5));
  const bajas = bajasOfKeys(['k1', 'k2', 'nunca', 'k9'], { semilla: -(2n ** 63n) });
  const { status, result } = await uploads.send(rowsFrom(2, 3) + rowsFrom(9, 10), { base, huellas: true, bajas });
  expect(status).toBe(200);
  expect(result).toMatchObject({ registrosInsertados: 1, registrosSinCambios: 1, registrosDesactivados: 1 });
  expect(await stored()).toEqual({ activas: ['k0', 'k2', 'k3', 'k4', 'k9'], inactivas: ['k1'] });
  const log = (await server.sql.query('SELECT mensaje FROM sync_logs ORDER BY "createdAt" DESC LIMIT 1')).rows[0];
  expect(log.mensaje).toMatch(/1 nuevas, 0 cambiadas, 1 desactivadas/);
});

test('«borrar» removes them, inactive ones too, and what a whole upload has not; «ignorar» touches none', async () => {
  const tabla = 'vista_borradas';
  const base = await uploads.sendWhole(rowsFrom(0, 6), { tabla });
  await server.sql.query(`UPDATE parametros_maestros SET activo = false WHERE codigo = 'k1'`);
  await server.sql.query('TRUNCATE sync_ediciones');
  const { result } = await uploads.send('', { tabla, base, huellas: true, bajas: bajasOfKeys(['k1', 'k2']) });
  expect(result).toMatchObject({ registrosDesactivados: 0, registrosBorrados: 2 });
  expect(await stored('borrada')).toEqual({ activas: ['k0', 'k3', 'k4', 'k5'], inactivas: [] });
  const log = (await server.sql.query('SELECT * FROM sync_logs ORDER BY "createdAt" DESC LIMIT 1')).rows[0];
  expect(log).toMatchObject({ registrosAfectados: 2, metadatos: { registrosBorrados: 2 } });
  expect(log.mensaje).toContain('2 borradas');
  const whole = await uploads.send(rowsFrom(0, 3), { tabla, modo: 'completo' });
  expect(whole.result).toMatchObject({ registrosInsertados: 2, registrosBorrados: 3 });
  expect(await stored('borrada')).toEqual({ activas: ['k0', 'k1', 'k2'], inactivas: [] });

  const spared = await uploads.sendWhole(rowsFrom(0, 3), { tabla: 'vista_ignoradas' });
  const bajas = bajasOfKeys(keysFrom(0, 3), { leidas: 0 });
  const ignored = await uploads.send('', { tabla: 'vista_ignoradas', base: spared, huellas: true, bajas });
  expect(ignored.result).toMatchObject({ registrosDesactivados: 0, bajasRetenidas: 0 });
  expect((await stored('ignorada')).activas).toHaveLength(3);
});

describe.each([
  ['vista_clientes', 'cliente', 'registrosDesactivados'],
  ['vista_borradas', 'borrada', 'registrosBorrados'],
] as const)('the guard before bajas of %s', (tabla, tipo, counted) => {
  test('holds back what is too much, while the rest is applied; approved, the same set is applied once; another asks again', async () => {
    let base = await uploads.sendWhole(rowsFrom(0, 1000), { tabla });
    const send = async (keys: readonly string[], lines = '', leidas = 400) => {
      const answer = await uploads.send(lines, { tabla, base, huellas: true, bajas: bajasOfKeys(keys, { leidas }) });
      expect(answer.status).toBe(200);
      base = answer.result.generacion!;
      return answer.result;
    };
    const many = keysFrom(0, 501);
    const held = await send(many, rowsFrom(2000, 2001));
    expect(held).toMatchObject({ registrosInsertados: 1, bajasRetenidas: 501, [counted]: 0 });
    expect(held.retencion).toMatchObject({ estado: 'pendiente', nueva: true, bajas: 501, total: 1000, altas: 1 });
    expect((await stored(tipo)).activas).toHaveLength(1001);
    expect((await send(many)).retencion).toMatchObject({ nueva: false, id: held.retencion!.id });
    // The ledger goes on: what waits is no edit.
    expect(await uploads.ask({ [tabla]: base })).toEqual({ [tabla]: base });
    await decide(bajasApprove);
    expect((await send(keysFrom(0, 502))).retencion).toMatchObject({ estado: 'pendiente', nueva: true, bajas: 502 });
    await decide(bajasApprove);
    expect(await send(keysFrom(0, 502))).toMatchObject({ bajasRetenidas: 0, [counted]: 502 });
    expect((await stored(tipo)).activas).toHaveLength(499);
    expect((await server.sql.query('SELECT FROM sync_bajas_retenidas')).rowCount).toBe(0);
  });

  test('an empty source is held back however small the table; discarded, the set is not asked for again', async () => {
    let base = await uploads.sendWhole(rowsFrom(0, 3), { tabla });
    const send = async (keys: readonly string[], leidas: number) => {
      const { result } = await uploads.send('', { tabla, base, huellas: true, bajas: bajasOfKeys(keys, { leidas }) });
      base = result.generacion!;
      return result;
    };
    expect(await send(keysFrom(0, 3), 0)).toMatchObject({ bajasRetenidas: 3 });
    await decide(bajasDiscard);
    expect(await send(keysFrom(0, 3), 0)).toMatchObject({ bajasRetenidas: 0, retencion: { estado: 'descartada' } });
    expect((await stored(tipo)).activas).toHaveLength(3);
    // Nothing is gone any more: nothing waits.
    expect(await send([], 3)).toMatchObject({ [counted]: 0 });
    expect(await bajasList(loadConfig({ DATABASE_URL: server.databaseUrl }), 'acme-001')).not.toContain('vista');
    expect(await send(['k0'], 2)).toMatchObject({ [counted]: 1 });
  });
});

test('bajas are of the table’s own rows: another tipo_campo and another tenant keep theirs', async () => {
  const key = await server.addTenant(`ajeno-${randomBytes(4).toString('hex')}`, tables);
  const { rows } = await server.sql.query(
    `SELECT "tenantId" FROM sync_configurations ORDER BY "createdAt" DESC LIMIT 1`,
  );
  const tenant: string = rows[0].tenantId;
  const base = await uploads.sendWhole(rowsFrom(0, 3));
  await uploads.sendWhole(rowsFrom(0, 3), { tabla: 'vista_pedidos' });
  await uploads.sendWhole(rowsFrom(0, 3), { tenant, key });
  const victim = { base, huellas: true, bajas: bajasOfKeys(keysFrom(0, 3)) };
  // Another's path, another's generation, another's table and another's upload.
  expect((await uploads.send('', { ...victim, key })).status).toBe(401);
  expect((await uploads.send('', { ...victim, tenant, key })).problem.code).toBe('GENERACION_DESCONOCIDA');
  expect((await uploads.send('', { ...victim, tabla: 'vista_pedidos' })).problem.code).toBe('GENERACION_DESCONOCIDA');
  const { id } = await uploads.open('', { base, huellas: true });
  const totals = { trozos: 0, filas: 0, digest: '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=', bajas: victim.bajas };
  const stolen = await server.call(`/uploads/${tenant}/${id}/commit`, { method: 'POST', json: totals, tenant, key });
  expect(await stolen.json()).toMatchObject({ code: 'SUBIDA_DESCONOCIDA' });
  expect((await uploads.send('', victim)).result).toMatchObject({ registrosDesactivados: 3 });
  expect((await stored('pedido')).activas).toHaveLength(3);
  expect((await stored('cliente', tenant)).activas).toHaveLength(3);
});

const hashes = (count: number) => Array.from({ length: count }, (_, n) => BigInt(n) * 7n);
test.each([
  ['50,001 hashes', { huellas: toBase64(hashes(limits.bajasMaxCount + 1)) }, 'huellas'],
  ['no base64', { huellas: '¡no!' }, 'huellas'],
  ['base64 that no encoder writes', { huellas: 'AAAAAAAAAAB=' }, 'huellas'],
  ['half a hash', { huellas: 'AAAA' }, 'huellas'],
  [
    'hashes in no order',
    { huellas: Buffer.from('0000000000000002' + '0000000000000001', 'hex').toString('base64') },
    'huellas',
  ],
  ['a seed beyond bigint', { semilla: '9223372036854775808' }, 'semilla'],
  ['a seed below bigint', { semilla: '-9223372036854775809' }, 'semilla'],
  ['a seed of SQL', { semilla: '1; DROP TABLE parametros_maestros' }, 'semilla'],
  ['a seed that is a number', { semilla: 1 }, 'semilla'],
  ['no count', { leidas: undefined }, 'leidas'],
  ['less than no rows', { leidas: -1 }, 'leidas'],
])('a commit with %s is refused, and changes nothing', async (_what, wrong, campo) => {
  const base = await uploads.sendWhole(rowsFrom(0, 3));
  const { commit } = await uploads.open('', { base, huellas: true });
  const { status, problem } = await commit({ bajas: { ...bajasOfKeys(['k1']), ...wrong } });
  expect([status, problem.code]).toEqual([400, 'CUERPO_INVALIDO']);
  expect(JSON.stringify(problem)).toContain(campo);
  expect((await stored()).activas).toHaveLength(3);
});

test('a hash that comes twice, of two keys, has the agent send the table whole', async () => {
  const base = await uploads.sendWhole(rowsFrom(0, 3));
  const bajas = { ...bajasOfKeys([]), huellas: Buffer.alloc(16).toString('base64') };
  expect((await uploads.send('', { base, huellas: true, bajas })).problem).toMatchObject({
    ...{ status: 409, code: 'GENERACION_DESCONOCIDA' },
  });
});

test('50,000 hashes are taken in one commit; those of a whole upload are refused', async () => {
  const base = await uploads.sendWhole(rowsFrom(0, 3));
  const bajas = { ...bajasOfKeys([]), huellas: toBase64(hashes(limits.bajasMaxCount)) };
  expect(readBajas(bajas).huellas).toHaveLength(50_000);
  expect((await uploads.send('', { base, huellas: true, bajas })).result).toMatchObject({ registrosDesactivados: 0 });
  const whole = await uploads.send(rowsFrom(0, 3), { modo: 'completo', bajas: bajasOfKeys(['k1']) });
  expect(whole.problem).toMatchObject({ status: 400, code: 'CUERPO_INVALIDO', campo: 'bajas' });
});

describe('a PostgreSQL that hashes otherwise', () => {
  let odd: TestServer;
  let send: ReturnType<typeof makeUploads>;
  const define = (body: string) =>
    odd.sql.query(`CREATE OR REPLACE FUNCTION public.hashtextextended(clave text, semilla bigint) RETURNS bigint
      LANGUAGE sql IMMUTABLE AS $$ SELECT ${body} $$`);
  beforeAll(async () => {
    odd = await startTestServer(inject('postgresUrl'), { tables });
    send = makeUploads(odd, 'vista_clientes');
    await define('pg_catalog.hashtextextended(clave, semilla)');
    // Before PostgreSQL's own, for sessions from now on.
    const { pathname } = new URL(odd.databaseUrl);
    await odd.sql.query(`ALTER DATABASE "${pathname.slice(1)}" SET search_path = public, pg_catalog`);
    await runOnce(
      inject('postgresUrl'),
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${pathname.slice(1)}'`,
    );
  });
  afterAll(() => odd?.close());

  test('two keys of one hash: the commit is refused, whichever of them is gone and in whatever state the other is', async () => {
    await define(`pg_catalog.hashtextextended(CASE WHEN clave = 'k2' THEN 'k1' ELSE clave END, semilla)`);
    const base = await send.sendWhole(rowsFrom(0, 4));
    const refused = await send.send('', { base, huellas: true, bajas: bajasOfKeys(['k1']) });
    expect(refused.problem).toMatchObject({ status: 409, code: 'GENERACION_DESCONOCIDA' });
    expect(refused.problem.detail).toContain('misma huella');
    await odd.sql.query(`UPDATE parametros_maestros SET activo = false WHERE codigo = 'k1'`);
    await odd.sql.query('TRUNCATE sync_ediciones');
    const again = await send.send('', { base, huellas: true, bajas: bajasOfKeys(['k1']) });
    expect(again.problem).toMatchObject({ code: 'GENERACION_DESCONOCIDA' });
    const { rows } = await odd.sql.query(`SELECT codigo FROM parametros_maestros WHERE activo ORDER BY 1`);
    expect(rows.map(({ codigo }) => codigo)).toEqual(['k0', 'k2', 'k3']);
    expect((await send.send('', { base, huellas: true, bajas: bajasOfKeys(['k3']) })).status).toBe(200);
  });

  test('is refused bajas by hash, and takes whole uploads', async () => {
    const base = await send.sendWhole(rowsFrom(0, 3));
    await define('pg_catalog.hashtextextended(clave, semilla + 1)');
    const { problem } = await send.send('', { base, huellas: true, bajas: bajasOfKeys(['k1']) });
    expect(problem).toMatchObject({ status: 409, code: 'GENERACION_DESCONOCIDA' });
    expect(problem.detail).toContain('otras huellas');
    await send.sendWhole(rowsFrom(0, 2));
    const { rows } = await odd.sql.query('SELECT codigo FROM parametros_maestros WHERE activo ORDER BY 1');
    expect(rows.map(({ codigo }) => codigo)).toEqual(['k0', 'k1']);
  });
});

test('an upload without a ledger may bring bajas, too (seguimiento)', async () => {
  await uploads.sendWhole(rowsFrom(0, 3));
  expect((await uploads.send(rowsFrom(0, 1), { id: newId(), bajas: bajasOfKeys(['k1']) })).result).toMatchObject({
    registrosDesactivados: 1,
  });
});
