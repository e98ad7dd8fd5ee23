import { randomBytes, randomUUID } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import type { OpenUpload, UploadResult, UploadStateResponse } from '../protocol/api.ts';
import { makeAgentKeyPair } from '../protocol/crypto/agent-key.ts';
import { digestOf, digestOfDigests, formatContentDigest } from '../protocol/digest.ts';
import type { Problem } from '../protocol/errors.ts';
import { deleteOldIdempotencyKeys } from './rows/idempotency.ts';
import { deleteExpiredUploads } from './rows/uploads.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** What is known of an upload after it was applied: its generation, its result, how new its reading was. */

const tables = {
  tablasSubida: [
    { nombre: 'vista_proveedores', primaryKey: 'id', process: { query: 'SELECT 1' } },
    { nombre: 'vista_productos', primaryKey: 'id', process: { query: 'SELECT 1' } },
    {
      nombre: 'vista_contada',
      primaryKey: 'id',
      process: { query: 'SELECT 1' },
      post_process: {
        enabled: true,
        ejecutarEn: 'destino',
        sql: `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) VALUES ('acme-001', 'veces', '1')
              ON CONFLICT ("tenantId", tipo_campo, codigo) DO UPDATE SET nombre = coalesce(parametros_maestros.nombre, '') || '+'`,
      },
    },
  ],
};

let server: TestServer;
/** Two agents of the tenant, registered. */
const agents: string[] = [];
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'), { tables });
  for (let n = 0; n < 2; n++) {
    const json = { clavePublica: makeAgentKeyPair().publica };
    const answer = await server.call('/agents/acme-001', { method: 'POST', json });
    agents.push(((await answer.json()) as { agente: string }).agente);
  }
});
afterAll(() => server?.close());
beforeEach(() =>
  server.sql.query(
    'TRUNCATE parametros_maestros, sync_commits, sync_idempotency, sync_uploads, sync_upload_chunks, sync_logs',
  ),
);

const newId = () => randomBytes(16).toString('hex');

interface Answer {
  status: number;
  result: UploadResult;
  problem: Problem;
}

async function answerOf(response: Response): Promise<Answer> {
  const body = await response.json();
  return { status: response.status, result: body as UploadResult, problem: body as Problem };
}

interface Said {
  tabla?: string;
  base?: string;
  lectura?: string;
  relojAtrasado?: boolean;
  agente?: string | undefined;
}

const asAgent = (agente: string | undefined): Record<string, string> =>
  agente === undefined ? {} : { 'x-sync-agent': agente };

async function uploadOnce(
  body: string | Uint8Array<ArrayBuffer>,
  key: string | undefined,
  { agente, relojAtrasado, ...said }: Said & { modo?: string } = {},
  extra: Record<string, string> = {},
): Promise<Answer> {
  const query = new URLSearchParams({
    ...{ tabla: 'vista_proveedores', modo: 'incremental', ...said },
    ...(relojAtrasado === true ? { relojAtrasado: 'true' } : {}),
  });
  const named = key === undefined ? {} : { 'idempotency-key': key };
  const response = await server.call(`/upload/acme-001?${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', ...asAgent(agente), ...named, ...extra },
    body,
  });
  return answerOf(response);
}

async function uploadEnvelope(key: string, body: object) {
  const response = await server.call('/upload/acme-001', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': key },
    body: JSON.stringify(body),
  });
  return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
}

/** Opens an upload and sends its only chunk. */
async function openWith(lines: string, { agente, ...said }: Said = {}) {
  const id = newId();
  const json: OpenUpload = { tabla: 'vista_proveedores', modo: 'incremental', id, ...said };
  const opened = await server.call('/uploads/acme-001', { method: 'POST', json, headers: asAgent(agente) });
  const body = new Uint8Array(gzipSync(lines));
  const digest = digestOf(body);
  const rows = lines.trim().split('\n').length;
  if (opened.ok) {
    const put = await server.call(`/uploads/acme-001/${id}/chunks/0`, {
      method: 'PUT',
      headers: { 'content-type': 'application/gzip', 'content-digest': formatContentDigest(digest) },
      body,
    });
    expect(put.status).toBe(200);
  }
  const totals = { trozos: 1, filas: rows, digest: digestOfDigests([digest]) };
  const commit = async () =>
    answerOf(
      await server.call(`/uploads/acme-001/${id}/commit`, { method: 'POST', json: totals, headers: asAgent(agente) }),
    );
  return { id, totals, opened: await answerOf(opened), commit };
}

async function nombreOf(codigo: string, tipo = 'proveedor'): Promise<string | undefined> {
  const { rows } = await server.sql.query(
    `SELECT nombre FROM parametros_maestros WHERE "tenantId" = 'acme-001' AND tipo_campo = $1 AND codigo = $2`,
    [tipo, codigo],
  );
  return rows[0]?.nombre;
}

async function ask(tablas: Record<string, string | null>, agente?: string) {
  const response = await server.call('/generaciones/acme-001', {
    method: 'POST',
    json: { tablas },
    headers: asAgent(agente),
  });
  expect(response.status).toBe(200);
  return ((await response.json()) as { tablas: Record<string, string | null> }).tablas;
}

/** What the janitor does once everything that expires has expired. */
async function expireAll(): Promise<void> {
  await server.sql.query(`UPDATE sync_uploads SET "expiresAt" = now() - interval '1 day'`);
  await server.sql.query(`UPDATE sync_idempotency SET "createdAt" = now() - interval '1 year'`);
  const connection = await server.sql.connect();
  await deleteExpiredUploads(connection, 1000);
  await deleteOldIdempotencyKeys(connection, 24);
  connection.release();
  expect((await server.sql.query('SELECT FROM sync_uploads UNION ALL SELECT FROM sync_idempotency')).rowCount).toBe(0);
}

test.each([
  ['other content', {}, '{"id":1,"nombre":"b"}', {}],
  ['more content', {}, '{"id":1,"nombre":"a"}\n{"id":2}', {}],
  ['another table', { tabla: 'vista_productos' }, '{"id":1,"nombre":"a"}', {}],
  ['another modo', { modo: 'completo' }, '{"id":1,"nombre":"a"}', {}],
  ['the same rows, compressed', {}, new Uint8Array(gzipSync('{"id":1,"nombre":"a"}')), { 'content-encoding': 'gzip' }],
] as [string, Said, string | Uint8Array<ArrayBuffer>, Record<string, string>][])(
  'an Idempotency-Key that comes again with %s is 422 and stores nothing',
  async (_what, said, body, extra) => {
    const key = randomUUID();
    const first = await uploadOnce('{"id":1,"nombre":"a"}', key);
    expect(first.status).toBe(200);
    const other = await uploadOnce(body, key, said, extra);
    expect(other.problem).toMatchObject({ status: 422, code: 'PETICION_DISTINTA', campo: 'Idempotency-Key' });
    expect((await server.sql.query('SELECT FROM parametros_maestros')).rowCount).toBe(1);
    expect((await uploadOnce('{"id":1,"nombre":"a"}', key)).result).toEqual(first.result);
  },
);

test('an Idempotency-Key of an envelope that comes again for another table is 422; for the same one it answers alike', async () => {
  const key = randomUUID();
  const data = [{ id: 1, nombre: 'a' }];
  const first = await uploadEnvelope(key, { tabla: 'proveedores', data });
  expect(first.status).toBe(200);
  const other = await uploadEnvelope(key, { tabla: 'productos', data });
  expect(other.answer).toMatchObject({ status: 422, code: 'PETICION_DISTINTA' });
  expect(await nombreOf('1', 'producto')).toBeUndefined();
  expect(await uploadEnvelope(key, { tabla: 'proveedores', data })).toEqual(first);
  // As NDJSON the very same bytes are another request.
  const bytes = JSON.stringify({ tabla: 'proveedores', data });
  expect((await uploadOnce(bytes, key)).problem.code).toBe('PETICION_DISTINTA');
});

test('a repeated Idempotency-Key is answered once its whole body has come, and not when that was damaged', async () => {
  const key = randomUUID();
  const body = '{"id":1,"nombre":"a"}';
  const stated = { 'content-digest': formatContentDigest(digestOf(Buffer.from(body))) };
  await uploadOnce(body, key, {}, stated);
  const damaged = await uploadOnce(body.replace('a"', 'b"'), key, {}, stated);
  expect(damaged.problem).toMatchObject({ code: 'DIGEST_DISTINTO' });
  expect((await uploadOnce(body, key, {}, stated)).status).toBe(200);
});

test('a key that an older server kept without a digest goes on answering', async () => {
  const key = randomUUID();
  const first = await uploadOnce('{"id":1,"nombre":"a"}', key);
  await server.sql.query('UPDATE sync_idempotency SET digest = NULL; TRUNCATE sync_commits');
  expect((await uploadOnce('{"id":1,"nombre":"a"}', key)).result).toEqual(first.result);
});

test('an applied upload answers its result however much later, and its phases run once', async () => {
  const key = newId();
  const once = await uploadOnce('{"id":1,"nombre":"a"}', key, { tabla: 'vista_contada' });
  const { id, commit } = await openWith('{"id":2}\n', { tabla: 'vista_contada' });
  const many = await commit();
  expect([once.status, many.status]).toEqual([200, 200]);
  expect(await nombreOf('1', 'veces')).toBe('+');
  await expireAll();
  expect((await uploadOnce('{"id":1,"nombre":"a"}', key, { tabla: 'vista_contada' })).result).toEqual(once.result);
  expect((await commit()).result).toEqual(many.result);
  for (const known of [id, key]) {
    const state = (await (await server.call(`/uploads/acme-001/${known}`)).json()) as UploadStateResponse;
    expect(state).toMatchObject({ success: true, id: known, estado: 'confirmada', trozos: [], modo: 'incremental' });
    const again = { tabla: 'vista_contada', modo: 'incremental', id: known };
    const reopened = await server.call('/uploads/acme-001', { method: 'POST', json: again });
    expect(await reopened.json()).toMatchObject({ code: 'SUBIDA_CERRADA' });
    const abandoned = await server.call(`/uploads/acme-001/${known}`, { method: 'DELETE' });
    expect(await abandoned.json()).toMatchObject({ code: 'SUBIDA_CERRADA' });
  }
  const other = await uploadOnce('{"id":1,"nombre":"otro"}', key, { tabla: 'vista_contada' });
  expect(other.problem.code).toBe('PETICION_DISTINTA');
  // Answered from what is kept for ever, it is kept as before.
  expect((await uploadOnce('{"id":1,"nombre":"a"}', key, { tabla: 'vista_contada' })).result).toEqual(once.result);
  expect(await nombreOf('1', 'veces')).toBe('+');
});

test('a commit that comes again with other rows or bajas is SUBIDA_CERRADA, however much later, and changes nothing', async () => {
  const { id, totals, commit } = await openWith('{"id":2}\n', { tabla: 'vista_contada' });
  const first = await commit();
  expect(first.status).toBe(200);
  const again = async (json: object) =>
    answerOf(await server.call(`/uploads/acme-001/${id}/commit`, { method: 'POST', json }));
  const others = [
    { ...totals, digest: digestOfDigests([digestOf(new Uint8Array([1]))]) },
    { ...totals, bajas: { semilla: '1', huellas: '', leidas: 1 } },
  ];
  for (const forget of [async () => {}, expireAll]) {
    await forget();
    for (const other of others) expect((await again(other)).problem.code).toBe('SUBIDA_CERRADA');
    expect((await commit()).result).toEqual(first.result);
  }
  // Once: a second time makes it '+'.
  expect(await nombreOf('1', 'veces')).toBeNull();
});

test('a base that the server knows is let in, under the same tenant and table alone; another is GENERACION_DESCONOCIDA', async () => {
  const [agente] = agents;
  const key = newId();
  const first = await uploadOnce('{"id":1}', key, { agente });
  expect(first.result.generacion).toBe(key);
  const { id, commit } = await openWith('{"id":2}\n', { agente, base: key });
  expect((await commit()).result.generacion).toBe(id);
  expect((await uploadOnce('{"id":3}', newId(), { agente, base: id })).status).toBe(200);
  // Who has no name of its own stands on it as well: the state is the centre's, not the agent's.
  expect((await uploadOnce('{"id":3}', newId(), { base: id })).status).toBe(200);

  const unknown = newId();
  const refused = await uploadOnce('{"id":4}', newId(), { agente, base: unknown });
  expect(refused.problem).toMatchObject({ status: 409, code: 'GENERACION_DESCONOCIDA', tabla: 'vista_proveedores' });
  const { opened } = await openWith('{"id":4}\n', { agente, base: unknown });
  expect(opened.problem).toMatchObject({ status: 409, code: 'GENERACION_DESCONOCIDA' });
  const elsewhere = await uploadOnce('{"id":4}', newId(), { agente, base: id, tabla: 'vista_productos' });
  expect(elsewhere.problem.code).toBe('GENERACION_DESCONOCIDA');
  const otherKey = await server.addTenant(`otro-${key.slice(0, 8)}`, tables);
  const other = await server.call(`/generaciones/otro-${key.slice(0, 8)}`, {
    ...{ method: 'POST', tenant: `otro-${key.slice(0, 8)}`, key: otherKey },
    json: { tablas: { vista_proveedores: id } },
  });
  expect(await other.json()).toEqual({ success: true, tablas: { vista_proveedores: null }, columnasPendientes: {} });
  expect(await nombreOf('4')).toBeUndefined();
});

test('of each agent and table the newest 16 generations are known, whatever others commit', async () => {
  const [one, two] = agents;
  const mine = newId();
  await uploadOnce('{"id":1}', mine, { agente: one });
  const theirs: string[] = [];
  for (let n = 0; n < 17; n++) {
    theirs.push(newId());
    await uploadOnce('{"id":1}', theirs[n], { agente: two });
  }
  // An id that nobody registered has no account of its own.
  for (let n = 0; n < 20; n++) await uploadOnce('{"id":1}', newId(), { agente: newId() });
  expect(await ask({ vista_proveedores: mine }, one)).toEqual({ vista_proveedores: mine });
  expect(await ask({ vista_proveedores: theirs[0]! }, two)).toEqual({ vista_proveedores: null });
  expect(await ask({ vista_proveedores: theirs[1]! }, two)).toEqual({ vista_proveedores: theirs[1] });
  const { rows } = await server.sql.query(
    `SELECT agente, count(*)::integer AS n FROM sync_commits WHERE tabla = 'vista_proveedores' GROUP BY agente HAVING count(*) >= 16`,
  );
  expect(rows.map(({ n }) => n)).toEqual([16, 16]);
});

test('POST /generaciones says which marks stand on what the centre has; a mark without generation is adopted where there are rows', async () => {
  const [agente] = agents;
  const key = newId();
  await uploadOnce('{"id":1}', key, { agente });
  const first = await ask({ vista_proveedores: null, vista_productos: null, no_configurada: null }, agente);
  expect(first).toEqual({ vista_proveedores: expect.stringMatching(/^[0-9a-f]{32}$/), vista_productos: null });
  const adopted = first.vista_proveedores!;
  expect(await ask({ vista_proveedores: adopted }, agente)).toEqual({ vista_proveedores: adopted });
  expect((await uploadOnce('{"id":2}', newId(), { agente, base: adopted })).status).toBe(200);
  // What was adopted is no upload.
  expect((await server.call(`/uploads/acme-001/${adopted}`)).status).toBe(404);
  await server.sql.query('TRUNCATE sync_commits');
  expect(await ask({ vista_proveedores: adopted }, agente)).toEqual({ vista_proveedores: null });
});

test('an older reading that is committed after a newer one is LECTURA_ANTIGUA, by either kind of upload, and changes nothing', async () => {
  const [one, two] = agents;
  const older = await openWith('{"id":1,"nombre":"vieja"}\n', { lectura: '2026-03-01T10:00:00Z', agente: one });
  const newer = await openWith('{"id":1,"nombre":"nueva"}\n', { lectura: '2026-03-01T10:00:00.0000001Z', agente: two });
  expect((await newer.commit()).status).toBe(200);
  const refused = await older.commit();
  expect(refused.problem).toMatchObject({ status: 409, code: 'LECTURA_ANTIGUA', tabla: 'vista_proveedores' });
  expect(refused.problem.lectura).toBe('2026-03-01T10:00:00.0000001Z');
  const once = await uploadOnce('{"id":1,"nombre":"vieja"}', newId(), { lectura: '2026-03-01T09:59:59.9Z' });
  expect(once.problem).toMatchObject({ status: 409, code: 'LECTURA_ANTIGUA' });
  const opened = await openWith('{"id":1,"nombre":"vieja"}\n', { lectura: '2026-02-01T10:00:00Z' });
  expect(opened.opened.problem).toMatchObject({ code: 'LECTURA_ANTIGUA' });
  expect(await nombreOf('1')).toBe('nueva');
  // Another table has clocks of its own, and who says no clock is not compared.
  const elsewhere = await uploadOnce('{"id":1}', newId(), {
    tabla: 'vista_productos',
    lectura: '2026-01-01T00:00:00Z',
  });
  expect(elsewhere.status).toBe(200);
  expect((await uploadOnce('{"id":1,"nombre":"a mano"}', undefined)).status).toBe(200);
  expect(await nombreOf('1')).toBe('a mano');
});

test('two readings whose commits wait for each other: the older one is refused, whichever asked first', async () => {
  const older = await openWith('{"id":1,"nombre":"vieja"}\n', { lectura: '2026-04-01T10:00:00Z' });
  const newer = await openWith('{"id":1,"nombre":"nueva"}\n', { lectura: '2026-04-01T11:00:00Z' });
  const [first, second] = await Promise.all([newer.commit(), older.commit()]);
  expect(first.status).toBe(200);
  expect([200, 409]).toContain(second.status);
  expect(await nombreOf('1')).toBe('nueva');
});

test('a clock that went back, and is said to have, is the newest from then on', async () => {
  await uploadOnce('{"id":1,"nombre":"a"}', newId(), { lectura: '2026-05-01T12:00:00Z' });
  const back = { lectura: '2026-05-01T11:00:00Z', relojAtrasado: true };
  expect((await uploadOnce('{"id":1,"nombre":"b"}', newId(), back)).status).toBe(200);
  const next = await openWith('{"id":1,"nombre":"c"}\n', { lectura: '2026-05-01T11:00:01Z' });
  expect((await next.commit()).status).toBe(200);
  const { problem } = await uploadOnce('{"id":1}', newId(), { lectura: '2026-05-01T11:00:00.5Z' });
  expect(problem.code).toBe('LECTURA_ANTIGUA');
  expect(await nombreOf('1')).toBe('c');
});

test('what cannot be read of base and lectura is refused by its field', async () => {
  for (const said of [{ lectura: 'ayer' }, { lectura: '2026-05-01T12:00:00' }, { base: 'con blanco' }]) {
    const { problem } = await uploadOnce('{"id":1}', newId(), said);
    expect(problem).toMatchObject({ status: 400, code: 'CUERPO_INVALIDO' });
  }
});
