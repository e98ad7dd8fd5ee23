import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import type { StatusResponse, UploadResult } from '../protocol/api.ts';
import { makeAgentKeyPair } from '../protocol/crypto/agent-key.ts';
import type { Columna } from '../protocol/rows/drift.ts';
import { schemaApprove, schemaList } from './commands/schema.ts';
import { loadConfig } from './config.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** Schema drift as the centre sees it: descriptions, what uploads of them do, what waits for an administrator. */

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'));
});
afterAll(() => server?.close());

const table = { nombre: 'articulos', primaryKey: 'id', process: { query: 'SELECT 1' } };
beforeEach(async () => {
  await server.sql.query(
    'TRUNCATE sync_esquemas, sync_commits, sync_idempotency, parametros_maestros, sync_logs, sync_uploads CASCADE',
  );
  await server.setTables({ tablasSubida: [table] });
});

const setPolicy = (esquema: string) => server.setTables({ tablasSubida: [{ ...table, esquema }] });

const ID: Columna = { nombre: 'id', tipo: 'int', nula: false };
const A: Columna = { nombre: 'a', tipo: 'varchar', longitud: 20, nula: true };
const B: Columna = { nombre: 'b', tipo: 'int', nula: true };

interface Answer extends UploadResult {
  status: number;
  code?: string;
  detail?: string;
  huella: string;
}

async function describeColumns(columnas: readonly Columna[], agente?: string): Promise<Answer> {
  const headers = agente === undefined ? {} : { 'x-sync-agent': agente };
  const response = await server.call('/esquemas/acme-001', {
    method: 'POST',
    json: { tabla: 'articulos', columnas },
    headers,
  });
  return { ...((await response.json()) as Answer), status: response.status };
}

let sent = 0;
interface Sent {
  modo?: string;
  base?: string;
  agente?: string;
}

/** One-shot, of a described schema. */
async function upload(esquema: string | undefined, rows: object[], { agente, ...rest }: Sent = {}): Promise<Answer> {
  sent += 1;
  const query = new URLSearchParams({ tabla: 'articulos', ...(esquema === undefined ? {} : { esquema }), ...rest });
  const response = await server.call(`/upload/acme-001?${query}`, {
    method: 'POST',
    body: rows.map((row) => JSON.stringify(row)).join('\n'),
    headers: {
      'content-type': 'application/x-ndjson',
      'idempotency-key': `clave-${sent}`,
      ...(agente === undefined ? {} : { 'x-sync-agent': agente }),
    },
  });
  return { ...((await response.json()) as Answer), status: response.status };
}

/** Describes, and uploads as described. */
async function send(columnas: readonly Columna[], rows: object[], how: Sent = {}): Promise<Answer> {
  const { status, huella, ...rest } = await describeColumns(columnas, how.agente);
  return status === 200 ? upload(huella, rows, how) : { status, huella, ...rest };
}

async function documents(): Promise<Record<string, unknown>> {
  const { rows } = await server.sql.query('SELECT codigo, parametros_json FROM parametros_maestros ORDER BY codigo');
  return Object.fromEntries(rows.map(({ codigo, parametros_json }) => [codigo, parametros_json]));
}

async function schemas(): Promise<{ estado: string; version: number | null; columnas: string[] }[]> {
  const { rows } = await server.sql.query(
    `SELECT estado, version, (SELECT array_agg(c ->> 'nombre') FROM jsonb_array_elements(columnas) c) AS columnas
     FROM sync_esquemas ORDER BY version NULLS LAST, estado`,
  );
  return rows;
}

async function waiting() {
  return ((await (await server.call('/status/acme-001')).json()) as StatusResponse).esquemasPendientes!;
}

const config = () => loadConfig({ DATABASE_URL: server.databaseUrl, LOG_LEVEL: 'silent' });
const approve = async () => schemaApprove(config(), 'acme-001', (await waiting())[0]!.id);

const first = () =>
  send(
    [ID, A, B],
    [
      { id: 1, a: 'x', b: 7 },
      { id: 2, a: 'y', b: 8 },
    ],
  );

test('the first description is in force, and nothing is said of it; uploads without one are as ever', async () => {
  const result = await first();
  expect(result).toMatchObject({ status: 200, registrosInsertados: 2 });
  expect(result).not.toHaveProperty('esquema');
  expect(await schemas()).toEqual([{ estado: 'vigente', version: 1, columnas: ['id', 'a', 'b'] }]);
  expect(await upload(undefined, [{ id: 1, a: 'z' }])).toMatchObject({ status: 200 });
  expect((await documents())['1']).toEqual({ id: 1, a: 'z' });
});

test('new and wider columns go on, and the log says so once', async () => {
  await first();
  const wider = [ID, { ...A, longitud: 40 }, B, { nombre: 'c', tipo: 'bit', nula: true }];
  const result = await send(wider, [{ id: 1, a: 'x', b: 7, c: true }]);
  expect(result.esquema).toMatchObject({
    estado: 'vigente',
    nueva: true,
    total: 2,
    cambios: [
      { clase: 'ensanchada', columna: 'a', antes: 'VARCHAR(20)', ahora: 'VARCHAR(40)' },
      { clase: 'nueva', columna: 'c', ahora: 'BIT' },
    ],
  });
  expect(await schemas()).toMatchObject([
    { estado: 'anterior', version: 1 },
    { estado: 'vigente', version: 2 },
  ]);
  expect(await send(wider, [{ id: 1, a: 'x', b: 7, c: false }])).not.toHaveProperty('esquema');
  const { rows } = await server.sql.query(`SELECT estado, mensaje FROM sync_logs ORDER BY "createdAt"`);
  expect(rows.map(({ mensaje }) => /«c» es nueva/.test(mensaje))).toEqual([false, true, false]);
  expect(rows.every(({ estado }) => estado === 'exitoso')).toBe(true);
});

test('a column that went: the run goes on, its values stay, equal rows are not written, new rows lack it', async () => {
  await first();
  const before = await server.sql.query('SELECT updated_at FROM parametros_maestros WHERE codigo = $1', ['1']);
  const result = await send(
    [ID, A],
    [
      { id: 1, a: 'x' },
      { id: 2, a: 'Y' },
      { id: 3, a: 'z' },
    ],
  );
  expect(result).toMatchObject({ registrosInsertados: 1, registrosActualizados: 1, registrosSinCambios: 1 });
  expect(result.esquema).toMatchObject({
    estado: 'pendiente',
    nueva: true,
    cambios: [{ clase: 'quitada', columna: 'b' }],
  });
  expect(await documents()).toEqual({
    1: { id: 1, a: 'x', b: 7 },
    2: { id: 2, a: 'Y', b: 8 },
    3: { id: 3, a: 'z' },
  });
  const after = await server.sql.query('SELECT updated_at FROM parametros_maestros WHERE codigo = $1', ['1']);
  expect(after.rows).toEqual(before.rows);
  const again = await send([ID, A], [{ id: 2, a: 'YY' }]);
  expect(again.esquema).toMatchObject({ id: result.esquema!.id, estado: 'pendiente', nueva: false });
  expect((await documents())['2']).toEqual({ id: 2, a: 'YY', b: 8 });
  expect(await waiting()).toMatchObject([
    { id: result.esquema!.id, tabla: 'articulos', estado: 'pendiente', total: 1 },
  ]);
  // Of whoever does not say what his rows have, too.
  await upload(undefined, [
    { id: 2, a: 'otro' },
    { id: 1, a: 'x', b: 70 },
  ]);
  expect(await documents()).toMatchObject({ 1: { b: 70 }, 2: { a: 'otro', b: 8 } });
  const { rows } = await server.sql.query(`SELECT estado, mensaje FROM sync_logs ORDER BY "createdAt"`);
  expect(rows.map(({ estado }) => estado)).toEqual(['exitoso', 'parcial', 'parcial', 'exitoso']);
  expect(rows[1].mensaje).toContain(`schema approve --tenant acme-001 --id ${result.esquema!.id}`);
});

test('it waits for ever; approved, the next part is refused and the whole takes it away', async () => {
  const { generacion } = await first();
  const part = await send([ID, A], [{ id: 1, a: 'x' }], { base: generacion! });
  await server.sql.query(`UPDATE sync_esquemas SET desde = now() - interval '3 years'`);
  expect(await schemaList(config(), 'acme-001')).toMatch(
    /^c\w+ {2}pendiente {2}articulos .*\n {2}«b» ya no está \(INT\)\n/,
  );
  expect(await approve()).toContain('La tabla sube entera.');
  expect(await schemaList(config(), undefined)).toMatch(/aprobado por \S+ {2}articulos {2}acme-001/);
  const asked = await server.call('/generaciones/acme-001', {
    method: 'POST',
    json: { tablas: { articulos: part.generacion } },
  });
  expect(await asked.json()).toMatchObject({ tablas: { articulos: null } });
  const { huella } = await describeColumns([ID, A]);
  expect(await upload(huella, [{ id: 1, a: 'x' }], { base: part.generacion! })).toMatchObject({
    status: 409,
    code: 'GENERACION_DESCONOCIDA',
  });
  expect((await documents())['1']).toEqual({ id: 1, a: 'x', b: 7 });
  const whole = await upload(huella, [
    { id: 1, a: 'x' },
    { id: 2, a: 'y' },
  ]);
  expect(whole).toMatchObject({ status: 200, registrosActualizados: 2, esquema: { estado: 'vigente' } });
  expect(await documents()).toEqual({ 1: { id: 1, a: 'x' }, 2: { id: 2, a: 'y' } });
  expect(await waiting()).toEqual([]);
  expect(await schemaList(config(), 'acme-001')).toMatch(/no tiene cambios de columnas por aprobar/);
});

test('an upload that began before the approval and is committed after it does not pass for the whole', async () => {
  const { generacion } = await first();
  await send([ID, A], [{ id: 1, a: 'x' }]);
  const { huella } = await describeColumns([ID, A]);
  const opened = await server.call('/uploads/acme-001', {
    method: 'POST',
    json: { tabla: 'articulos', modo: 'incremental', base: generacion, esquema: huella },
  });
  const { id } = (await opened.json()) as { id: string };
  await approve();
  const empty = { trozos: 0, filas: 0, digest: '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' };
  const commit = await server.call(`/uploads/acme-001/${id}/commit`, { method: 'POST', json: empty });
  expect(await commit.json()).toMatchObject({ code: 'GENERACION_DESCONOCIDA' });
  expect(await waiting()).toMatchObject([{ estado: 'aprobado' }]);
});

test('narrower and of another type: written as they come, and wait; approved, no row has to come again', async () => {
  const { generacion } = await first();
  const now = [ID, { ...A, longitud: 5 }, { ...B, tipo: 'varchar', longitud: 9 }];
  const result = await send(now, [{ id: 1, a: 'x', b: '7' }], { base: generacion! });
  expect(result.esquema).toMatchObject({
    estado: 'pendiente',
    cambios: [
      { clase: 'estrechada', columna: 'a' },
      { clase: 'otroTipo', columna: 'b', antes: 'INT', ahora: 'VARCHAR(9)' },
    ],
  });
  expect((await documents())['1']).toEqual({ id: 1, a: 'x', b: '7' });
  expect(await approve()).not.toContain('entera');
  const { huella } = await describeColumns(now);
  const next = await upload(huella, [{ id: 2, a: 'y', b: '8' }], { base: result.generacion! });
  expect(next).toMatchObject({ status: 200, esquema: { estado: 'vigente' } });
  expect((await documents())['1']).toEqual({ id: 1, a: 'x', b: '7' });
});

test('a column that comes back: nothing waits any more, and nothing was lost', async () => {
  await first();
  await send([ID, A], [{ id: 1, a: 'x' }]);
  expect(await send([ID, A, B], [{ id: 2, a: 'y', b: 9 }])).not.toHaveProperty('esquema');
  expect(await waiting()).toEqual([]);
  expect(await documents()).toEqual({ 1: { id: 1, a: 'x', b: 7 }, 2: { id: 2, a: 'y', b: 9 } });
});

test('an approval is of what was shown: another column gone since then waits by itself', async () => {
  await first();
  const one = await send([ID, A], [{ id: 1, a: 'x' }]);
  const other = await send([ID], [{ id: 1 }]);
  expect(other.esquema!.id).not.toBe(one.esquema!.id);
  await expect(schemaApprove(config(), 'acme-001', one.esquema!.id)).rejects.toThrow(/si cambió otra vez, es otro/);
  await expect(schemaApprove(config(), 'otro', other.esquema!.id)).rejects.toThrow();
  expect(await documents()).toMatchObject({ 1: { a: 'x', b: 7 } });
});

test('an approval, and its id, are of these changes: where another agent has the table evolve meanwhile, it waits again', async () => {
  const { publica } = makeAgentKeyPair();
  const registered = await server.call('/agents/acme-001', { method: 'POST', json: { clavePublica: publica } });
  const { agente } = (await registered.json()) as { agente: string };
  const columnC: Columna = { nombre: 'c', tipo: 'int', nula: true };
  await first();
  const one = await send([ID, A], [{ id: 1, a: 'x' }], { agente });
  await approve();
  await send([ID, A, B, columnC], [{ id: 1, a: 'x', b: 7, c: 1 }]);
  const again = await send([ID, A], [{ id: 1, a: 'x' }], { agente });
  expect(again.esquema).toMatchObject({ estado: 'pendiente', nueva: true, total: 2 });
  await send([ID, A, B, columnC, { ...columnC, nombre: 'd' }], [{ id: 1, a: 'x', b: 7, c: 1, d: 2 }]);
  const third = await send([ID, A], [{ id: 1, a: 'x' }], { agente });
  expect(new Set([one, again, third].map(({ esquema }) => esquema!.id)).size).toBe(3);
  await expect(schemaApprove(config(), 'acme-001', again.esquema!.id)).rejects.toThrow();
  expect(await documents()).toMatchObject({ 1: { b: 7, c: 1, d: 2 } });
});

describe('a table that stops', () => {
  test.each([
    ['its key is gone', [A, B], /«id» es de la clave y ya no está/],
    ['its key is of another type', [{ ...ID, tipo: 'varchar', longitud: 9 }, A, B], /«id» es de la clave y cambió/],
  ])('%s: whatever the policy; nothing is applied, and it is approved by its id', async (_, columnas, message) => {
    await first();
    await setPolicy('evolucionar');
    const refused = await describeColumns(columnas);
    expect(refused).toMatchObject({ status: 409, code: 'ESQUEMA_CAMBIADO' });
    expect(refused.detail).toMatch(message);
    expect(await waiting()).toMatchObject([{ estado: 'rechazado' }]);
    expect(await schemaList(config(), 'acme-001')).toContain('la tabla está detenida');
    await approve();
    expect((await describeColumns(columnas)).status).toBe(200);
  });

  test('its primaryKey is another one: refused, until it is approved', async () => {
    await first();
    await server.setTables({ tablasSubida: [{ ...table, primaryKey: ['id', 'a'] }] });
    const refused = await describeColumns([ID, A, B]);
    expect(refused.detail).toMatch(/primaryKey cambió \(id → id, a\)/);
    await approve();
    expect(await send([ID, A, B], [{ id: 1, a: 'x', b: 7 }])).toMatchObject({ status: 200, registrosInsertados: 1 });
    expect(await schemas()).toMatchObject([
      { estado: 'anterior', version: 1 },
      { estado: 'vigente', version: 2 },
    ]);
  });

  test('an agent that knows the description already meets it when it uploads', async () => {
    await first();
    const { huella } = await describeColumns([ID, A]);
    await setPolicy('congelar');
    const refused = await upload(huella, [{ id: 1, a: 'Z' }]);
    expect(refused).toMatchObject({ status: 409, code: 'ESQUEMA_CAMBIADO' });
    expect(await documents()).toMatchObject({ 1: { a: 'x', b: 7 } });
  });

  test('congelar: any change does, also a new column; the old description goes on', async () => {
    await first();
    await setPolicy('congelar');
    const refused = await describeColumns([ID, A, B, { nombre: 'c', tipo: 'bit', nula: true }]);
    expect(refused.detail).toMatch(/«c» es nueva \(BIT\)/);
    expect(await send([ID, A, B], [{ id: 1, a: 'w', b: 7 }])).toMatchObject({ status: 200 });
  });
});

test('evolucionar: a column that went is taken away as rows come', async () => {
  await first();
  await setPolicy('evolucionar');
  expect((await send([ID, A], [{ id: 1, a: 'x' }])).esquema).toMatchObject({ estado: 'vigente' });
  expect(await documents()).toEqual({ 1: { id: 1, a: 'x' }, 2: { id: 2, a: 'y', b: 8 } });
  expect(await waiting()).toEqual([]);
});

test('airbyte#50874: another policy by itself changes no row, resets no mark, forgets nothing', async () => {
  const { generacion } = await first();
  const pending = await send([ID, A], [{ id: 1, a: 'x' }], { base: generacion! });
  const state = async () => [
    (await server.sql.query('SELECT * FROM parametros_maestros ORDER BY codigo')).rows,
    (await server.sql.query('SELECT * FROM sync_commits ORDER BY orden')).rows,
    (await server.sql.query('SELECT * FROM sync_esquemas ORDER BY id')).rows,
  ];
  const before = await state();
  for (const policy of ['congelar', 'evolucionar', 'avisar', 'evolucionar']) {
    await setPolicy(policy);
    expect(await state()).toEqual(before);
    const known = await server.call('/generaciones/acme-001', {
      method: 'POST',
      json: { tablas: { articulos: pending.generacion } },
    });
    expect(await known.json()).toMatchObject({ tablas: { articulos: pending.generacion } });
  }
  // What waits for a person does not become yes by a setting.
  const result = await send([ID, A], [{ id: 2, a: 'yy' }], { base: pending.generacion! });
  expect(result.esquema).toMatchObject({ id: pending.esquema!.id, estado: 'pendiente' });
  expect(await documents()).toEqual({ 1: { id: 1, a: 'x', b: 7 }, 2: { id: 2, a: 'yy', b: 8 } });
});

test('nombre and activo, which have columns of their own, stay too', async () => {
  const special = ['nombre', 'activo'].map((nombre) => ({ nombre, tipo: 'varchar', longitud: 9, nula: true }));
  await send([ID, ...special], [{ id: 1, nombre: 'Ana', activo: false }]);
  await send([ID], [{ id: 1 }]);
  const { rows } = await server.sql.query('SELECT nombre, activo FROM parametros_maestros');
  expect(rows).toEqual([{ nombre: 'Ana', activo: false }]);
});

test('a name of another case is the same column; its values stay in the case that they have', async () => {
  await first();
  expect(await send([ID, A, { ...B, nombre: 'B' }], [{ id: 2, a: 'y', B: 9 }])).not.toHaveProperty('esquema');
  await send(
    [ID, A],
    [
      { id: 1, a: 'x' },
      { id: 2, a: 'y' },
    ],
  );
  expect(await documents()).toEqual({ 1: { id: 1, a: 'x', b: 7 }, 2: { id: 2, a: 'y', B: 9 } });
});

test('two agents that describe a table in two ways: two rows and one notice, however often they take turns', async () => {
  const agents: string[] = [];
  for (let n = 0; n < 2; n += 1) {
    const { publica } = makeAgentKeyPair();
    const registered = await server.call('/agents/acme-001', { method: 'POST', json: { clavePublica: publica } });
    agents.push(((await registered.json()) as { agente: string }).agente);
  }
  const [one, other] = agents as [string, string];
  const told: (boolean | undefined)[] = [];
  for (let round = 0; round < 20; round += 1) {
    told.push((await send([ID, A, B], [{ id: 1, a: `a${round}`, b: 7 }], { agente: one })).esquema?.nueva);
    told.push((await send([ID, A], [{ id: 1, a: `b${round}` }], { agente: other })).esquema?.nueva);
  }
  expect(told.filter((nueva) => nueva === true)).toHaveLength(1);
  expect(told.filter((nueva) => nueva === false)).toHaveLength(19);
  expect(await schemas()).toHaveLength(2);
  expect(await waiting()).toHaveLength(1);
  expect(await documents()).toEqual({ 1: { id: 1, a: 'b19', b: 7 } });
  // That evolves at every turn, in the same two rows.
  await setPolicy('evolucionar');
  await server.sql.query(`UPDATE sync_esquemas SET estado = 'anterior', cambios = '[]' WHERE estado = 'pendiente'`);
  for (let round = 0; round < 20; round += 1) {
    await send([ID, A, B], [{ id: 1, a: 'a', b: round }], { agente: one });
    await send([ID, A], [{ id: 1, a: 'b' }], { agente: other });
  }
  expect(await schemas()).toHaveLength(2);
});

test('descriptions of a table are bounded, and one that was forgotten is asked for again', async () => {
  await first();
  const { huella } = await describeColumns([ID, A]);
  await server.sql.query(`UPDATE sync_esquemas SET desde = now() - interval '1 hour'`);
  for (let n = 0; n < 40; n += 1) await describeColumns([ID, A, B, { nombre: `c${n}`, tipo: 'int', nula: true }]);
  expect((await schemas()).length).toBeLessThanOrEqual(18);
  expect(await upload(huella, [{ id: 1, a: 'x' }])).toMatchObject({ status: 409, code: 'ESQUEMA_DESCONOCIDO' });
  expect(await upload('0'.repeat(64), [{ id: 1 }])).toMatchObject({ code: 'ESQUEMA_DESCONOCIDO' });
});

test('1,024 columns with names of 128 characters are described, and all of them go and stay', async () => {
  const many = Array.from({ length: 1023 }, (_, n) => ({ ...B, nombre: `${n}`.padEnd(128, 'ñ') }));
  const row = Object.fromEntries(many.map(({ nombre }) => [nombre, 1]));
  expect(await send([ID, ...many], [{ id: 1, ...row }])).toMatchObject({ status: 200 });
  const gone = await send([ID], [{ id: 1 }]);
  expect(gone.esquema).toMatchObject({ estado: 'pendiente', total: 1023 });
  expect(gone.esquema!.cambios).toHaveLength(20);
  expect((await documents())['1']).toEqual({ id: 1, ...row });
});

test.each([
  ['a name past 128 characters', [{ ...ID, nombre: 'x'.repeat(129) }], 400],
  ['a type that is none', [{ ...ID, tipo: 'DROP TABLE' }], 400],
  ['no column', [], 400],
  ['4,097 columns', Array.from({ length: 4097 }, (_, n) => ({ ...ID, nombre: `c${n}` })), 400],
])('%s is refused', async (_, columnas, status) => {
  expect(await describeColumns(columnas)).toMatchObject({ status, code: 'CUERPO_INVALIDO' });
});

test('an approval is in the audit, by SQL too; what runs change is not', async () => {
  const noted = async () =>
    (
      await server.sql.query(
        `SELECT operacion, actor, cambios FROM sync_audit WHERE tabla = 'sync_esquemas' ORDER BY id`,
      )
    ).rows;
  const before = (await noted()).length;
  await first();
  await send([ID, A], [{ id: 1, a: 'x' }]);
  await send([ID], [{ id: 1 }]);
  expect(await noted()).toHaveLength(before);
  await approve();
  expect(await noted()).toHaveLength(before + 1);
  await send([ID, A], [{ id: 1, a: 'x' }]);
  await server.sql.query(`UPDATE sync_esquemas SET estado = 'aprobado' WHERE estado = 'pendiente'`);
  const all = await noted();
  expect(all).toHaveLength(before + 2);
  expect(all.at(-1).cambios).toContainEqual({ campo: 'estado', antes: 'pendiente', despues: 'aprobado' });
});
