import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import type { ChunkResponse, OpenUploadResponse, UploadResult, UploadStateResponse } from '../protocol/api.ts';
import { API_PREFIX, headers } from '../protocol/constants.ts';
import { digestOf, digestOfDigests, formatContentDigest } from '../protocol/digest.ts';
import type { Problem } from '../protocol/errors.ts';
import { deleteExpiredUploads } from './rows/uploads.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

const process = { query: 'SELECT 1' };
const tables = {
  tablasSubida: [
    { nombre: 'vista_proveedores', primaryKey: 'id', process },
    { nombre: 'vista_lineas', primaryKey: ['serie', 'numero'], process },
    { nombre: 'vista_productos', primaryKey: 'codigo', desactivarAusentes: true, process },
    { nombre: 'repetidas', primaryKey: 'id', clavesRepetidas: 'ultima', process },
  ],
};

let server: TestServer;
beforeAll(async () => {
  const settings = { UPLOAD_MAX_BYTES: 4_000_000, CHUNK_MAX_BYTES: 3_000_000, LINE_MAX_BYTES: 1_000_000 };
  const more = { UPLOADS_OPEN_MAX: 40, TRANSFER_IDLE_MS: 1000, TENANT_TRANSFERS_MAX: 10 };
  server = await startTestServer(inject('postgresUrl'), { tables, settings: { ...settings, ...more } });
});
afterAll(() => server?.close());
beforeEach(async () => {
  await server.sql.query('UPDATE sync_uploads SET "expiresAt" = now()');
  const connection = await server.sql.connect();
  await deleteExpiredUploads(connection, 1000);
  connection.release();
  await server.sql.query('TRUNCATE parametros_maestros, sync_uploads, sync_upload_chunks, sync_logs');
});

async function readRows(
  tipoCampo: string,
): Promise<{ codigo: string; nombre: string | null; activo: boolean; json: string }[]> {
  const { rows } = await server.sql.query(
    `SELECT codigo, nombre, activo, parametros_json::text AS json FROM parametros_maestros
     WHERE "tenantId" = 'acme-001' AND tipo_campo = $1 ORDER BY codigo`,
    [tipoCampo],
  );
  return rows;
}

/** How many tables of uploads there are. */
async function countUploadTables(): Promise<number> {
  const { rows } = await server.sql.query(
    `SELECT count(*)::integer AS n FROM pg_class WHERE relname LIKE 'sync_recibido%' AND relpersistence = 'u' AND relkind = 'r'`,
  );
  return rows[0].n;
}

async function uploadOnce(
  body: string | Uint8Array,
  { tabla = 'vista_proveedores', modo = 'incremental', with: extra = {} as Record<string, string> } = {},
): Promise<{ status: number; result: UploadResult; problem: Problem }> {
  const response = await server.call(`/upload/acme-001?tabla=${tabla}&modo=${modo}`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson', ...extra },
    body: typeof body === 'string' ? body : (body as Uint8Array<ArrayBuffer>),
  });
  const answer = await response.json();
  return { status: response.status, result: answer as UploadResult, problem: answer as Problem };
}

async function uploadEnvelope(body: string) {
  const response = await server.call('/upload/acme-001', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  return { status: response.status, answer: (await response.json()) as Record<string, unknown> };
}

async function open(tabla = 'vista_proveedores', modo = 'incremental'): Promise<string> {
  const response = await server.call('/uploads/acme-001', { method: 'POST', json: { tabla, modo } });
  expect(response.status).toBe(201);
  const { id } = (await response.json()) as OpenUploadResponse;
  expect(response.headers.get('location')).toBe(`/api/sync/uploads/acme-001/${id}`);
  return id;
}

function seal(lines: string): { body: Uint8Array<ArrayBuffer>; digest: string } {
  const body = new Uint8Array(gzipSync(lines));
  return { body, digest: digestOf(body) };
}

async function put(id: string, n: number, chunk: { body: Uint8Array<ArrayBuffer>; digest: string }) {
  const response = await server.call(`/uploads/acme-001/${id}/chunks/${n}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/gzip', 'content-digest': formatContentDigest(chunk.digest) },
    body: chunk.body,
  });
  const answer = await response.json();
  return { status: response.status, chunk: answer as ChunkResponse, problem: answer as Problem };
}

async function commit(id: string, trozos: number, filas: number, digests: string[]) {
  const response = await server.call(`/uploads/acme-001/${id}/commit`, {
    method: 'POST',
    json: { trozos, filas, digest: digestOfDigests(digests) },
  });
  const answer = await response.json();
  return { status: response.status, result: answer as UploadResult, problem: answer as Problem };
}

async function state(id: string): Promise<UploadStateResponse> {
  return (await (await server.call(`/uploads/acme-001/${id}`)).json()) as UploadStateResponse;
}

/** Sends `parts` over a socket of its own and stops, without ending the body: cut, or left hanging. */
function sendHalf(path: string, extra: Record<string, string>, part: Buffer, cut: boolean): Promise<string> {
  return new Promise((resolve) => {
    const request = httpRequest(`${server.url}${API_PREFIX}${path}`, {
      method: path.includes('chunks') ? 'PUT' : 'POST',
      headers: {
        [headers.tenant]: server.tenant,
        [headers.apiKey]: server.key,
        'content-type': 'application/x-ndjson',
        'transfer-encoding': 'chunked',
        ...extra,
      },
    });
    request.on('error', (error) => resolve(error.message));
    request.on('response', (response) => {
      response.resume();
      response.on('close', () => resolve(String(response.statusCode)));
    });
    request.write(part, () => {
      if (cut) setTimeout(() => request.destroy(), 100);
    });
  });
}

describe('one-shot NDJSON', () => {
  test('counts what it inserts, changes and leaves alone, and leaves alone what is equal', async () => {
    const first = await uploadOnce('{"codigo":"1","nombre":"A","precio":12345678901234567.8900}\n{"codigo":"2"}\n');
    expect(first).toMatchObject({
      status: 200,
      result: { tabla: 'vista_proveedores', tipoCampo: 'proveedor', filas: 2 },
    });
    expect(first.result).toMatchObject({ registrosInsertados: 2, registrosActualizados: 0, registrosSinCambios: 0 });
    const { rows: before } = await server.sql.query(
      'SELECT codigo, xmin::text FROM parametros_maestros ORDER BY codigo',
    );

    const second = await uploadOnce(
      '{"codigo":"2","nombre":"B"}\n{"precio":12345678901234567.8900,"nombre":"A","codigo":"1"}',
    );
    expect(second.result).toMatchObject({ registrosInsertados: 0, registrosActualizados: 1, registrosSinCambios: 1 });
    const { rows: after } = await server.sql.query(
      'SELECT codigo, xmin::text FROM parametros_maestros ORDER BY codigo',
    );
    expect(after[0]).toEqual(before[0]);
    expect(after[1]).not.toEqual(before[1]);
    expect(await readRows('proveedor')).toEqual([
      { codigo: '1', nombre: 'A', activo: true, json: '{"precio": 12345678901234567.8900}' },
      { codigo: '2', nombre: 'B', activo: true, json: '{}' },
    ]);
  });

  test('of a repeated key the last line wins, and the others are counted', async () => {
    const { result } = await uploadOnce(
      '{"id":1,"nombre":"a"}\n{"id":2}\n{"id":"1","nombre":"b"}\n{"id":1,"nombre":"c"}\n',
      { tabla: 'repetidas' },
    );
    expect(result).toMatchObject({ filas: 4, registrosInsertados: 2, clavesRepetidas: 2 });
    expect((await readRows('repetida'))[0]).toMatchObject({ codigo: '1', nombre: 'c' });
  });

  test('the key is codigo, else primaryKey; a composite one is joined with its separators escaped', async () => {
    await uploadOnce('{"codigo":"X"}\n{"id":8}\n{"id":true}\n{"id":1.50}');
    expect((await readRows('proveedor')).map(({ codigo }) => codigo)).toEqual(['1.50', '8', 'X', 'true']);
    await uploadOnce('{"serie":"a|b","numero":1}\n{"serie":"a","numero":"b|1"}\n{"serie":"a\\\\","numero":2}', {
      tabla: 'vista_lineas',
    });
    expect((await readRows('linea')).map(({ codigo }) => codigo)).toEqual(['a\\\\|2', 'a\\|b|1', 'a|b\\|1']);
  });

  test('nombre comes from nombre, descripcion or razon_social; the rest stays in parametros_json', async () => {
    await uploadOnce(
      '{"id":1,"nombre":null,"descripcion":"D","razon_social":"R"}\n{"id":2,"razon_social":"R"}\n{"id":3,"nombre":5}',
    );
    expect(await readRows('proveedor')).toEqual([
      { codigo: '1', nombre: 'D', activo: true, json: '{"id": 1, "descripcion": "D", "razon_social": "R"}' },
      { codigo: '2', nombre: 'R', activo: true, json: '{"id": 2, "razon_social": "R"}' },
      { codigo: '3', nombre: '5', activo: true, json: '{"id": 3}' },
    ]);
  });

  test('activo takes true, false, 1 and 0, as such or as text; missing or null it is true', async () => {
    const values = ['true', 'false', '1', '0', '"true"', '"false"', '"1"', '"0"', 'null'];
    const lines = values.map((value, index) => `{"id":${index},"activo":${value}}`);
    expect((await uploadOnce(lines.join('\n'))).status).toBe(200);
    const expected = [true, false, true, false, true, false, true, false, true];
    expect((await readRows('proveedor')).map(({ activo }) => activo)).toEqual(expected);
  });

  test.each([
    ['a line that is no JSON', '{"id":1}\n\n{"id":2,}\n{"id":3}', { code: 'LINEA_INVALIDA', linea: 3 }],
    ['an array', '{"id":1}\n[1]\n', { code: 'LINEA_INVALIDA', linea: 2 }],
    ['a scalar', '7', { code: 'LINEA_INVALIDA', linea: 1 }],
    ["COPY's end mark", '{"id":1}\n\\.\n{"id":2}', { code: 'LINEA_INVALIDA', linea: 2 }],
    ["COPY's quote", '{"id":1}\n{"id":2,"a":"\u0002"}', { code: 'LINEA_INVALIDA', linea: 2 }],
    ["COPY's delimiter", '{"id":1}\n\n{"id":2}\u0001{}', { code: 'LINEA_INVALIDA', linea: 3 }],
    ['two objects on a line', '{"id":1}{"id":2}', { code: 'LINEA_INVALIDA', linea: 1 }],
    [
      'bytes that are no UTF-8',
      Buffer.from('7b226964223a317d0a7b226964223a22ff227d', 'hex'),
      { code: 'LINEA_INVALIDA', linea: 2 },
    ],
    ['a row without key', '{"id":1}\r\n   \r\n{"nombre":"x"}', { code: 'CLAVE_AUSENTE', linea: 3 }],
    ['an empty key', '{"id":1}\n{"codigo":"","id":3}', { code: 'CLAVE_AUSENTE', linea: 2 }],
    ['an object as key', '{"id":{}}', { code: 'CLAVE_AUSENTE', linea: 1 }],
    ['another activo', '{"id":1}\n{"id":2,"activo":"si"}', { code: 'VALOR_INVALIDO', linea: 2, campo: 'activo' }],
    ['a NUL', '{"id":1}\n{"id":2,"a":"\\u0000"}', { code: 'VALOR_INVALIDO', linea: 2 }],
    ['a number past numeric', '{"id":1}\n{"id":2,"a":1e999999}', { code: 'VALOR_INVALIDO', linea: 2 }],
    [
      'a line past its limit',
      `{"id":1}\n{"id":2,"a":"${'x'.repeat(1_000_000)}"}`,
      { code: 'DEMASIADO_GRANDE', linea: 2 },
    ],
    ['a body past its limit', `{"id":1,"a":"${'x'.repeat(900_000)}"}\n`.repeat(5), { code: 'DEMASIADO_GRANDE' }],
  ])('%s is refused by its line, and nothing is kept', async (_what, body, expected) => {
    await uploadOnce('{"id":100}');
    const { problem } = await uploadOnce(body);
    expect(problem).toMatchObject({ success: false, ...expected });
    expect((await readRows('proveedor')).map(({ codigo }) => codigo)).toEqual(['100']);
  });

  test('a byte order mark, CRLF, blank lines and a missing last line end are tolerated', async () => {
    const { result } = await uploadOnce('\ufeff\r\n{"id":1}\r\n\r\n  \t\n  {"id":2}\r\n{"id":3}\r');
    expect(result).toMatchObject({ filas: 3, registrosInsertados: 3 });
  });

  test('every cut of a body into pieces is read alike', async () => {
    const text = Buffer.from('\ufeff\r\n{"id":1,"n":"á"}\r\n \r\n{"id":2}\n\n\t{"id":3}\r');
    for (let cut = 0; cut <= text.length; cut += 1) {
      const parts = [text.subarray(0, cut), text.subarray(cut)].filter((part) => part.length > 0);
      const response = await server.call('/upload/acme-001?tabla=vista_proveedores', {
        method: 'POST',
        headers: { 'content-type': 'application/jsonl' },
        body: new ReadableStream({
          async pull(controller) {
            const part = parts.shift();
            if (part === undefined) controller.close();
            else controller.enqueue(new Uint8Array(part));
            await new Promise((resolve) => setImmediate(resolve));
          },
        }),
        duplex: 'half',
      } as RequestInit);
      expect(await response.json(), `cut at ${cut}`).toMatchObject({ filas: 3, clavesRepetidas: 0 });
    }
  });

  test('an empty body is an upload of nothing', async () => {
    expect(await uploadOnce('')).toMatchObject({ status: 200, result: { filas: 0 } });
  });

  test('gzip is inflated, several members too; damaged or cut gzip is refused', async () => {
    const gzip = { 'content-encoding': 'gzip' };
    const two = Buffer.concat([gzipSync('{"id":1}\n'), gzipSync('{"id":2}\n')]);
    expect((await uploadOnce(two, { with: gzip })).result).toMatchObject({ filas: 2 });
    const cut = gzipSync('{"id":3}\n{"id":4}\n').subarray(0, -9);
    expect((await uploadOnce(cut, { with: gzip })).problem).toMatchObject({ code: 'CUERPO_INVALIDO' });
    expect((await uploadOnce('{"id":5}', { with: gzip })).problem).toMatchObject({ code: 'CUERPO_INVALIDO' });
    expect(await readRows('proveedor')).toHaveLength(2);
  });

  test('a gzip bomb is refused at the limit', async () => {
    const bomb = gzipSync(Buffer.alloc(200_000_000, '{"id":1}\n'));
    const { problem } = await uploadOnce(bomb, { with: { 'content-encoding': 'gzip' } });
    expect(problem).toMatchObject({ status: 413, code: 'DEMASIADO_GRANDE' });
  });

  test('a body that is not what Content-Digest says is refused', async () => {
    const digest = digestOf(Buffer.from('{"id":1}'));
    const header = { 'content-digest': formatContentDigest(digest) };
    expect((await uploadOnce('{"id":2}', { with: header })).problem).toMatchObject({ code: 'DIGEST_DISTINTO' });
    expect(await readRows('proveedor')).toEqual([]);
    expect((await uploadOnce('{"id":1}', { with: header })).status).toBe(200);
  });

  test('the same Idempotency-Key answers the first result and applies nothing', async () => {
    const key = { 'idempotency-key': randomUUID() };
    const first = await uploadOnce('{"id":1,"nombre":"a"}', { with: key });
    await uploadOnce('{"id":1,"nombre":"b"}');
    const again = await uploadOnce('{"id":1,"nombre":"a"}', { with: key });
    expect(again.result).toEqual(first.result);
    expect((await readRows('proveedor'))[0]!.nombre).toBe('b');
    const other = await uploadOnce('{"id":1}', { tabla: 'vista_productos', with: key });
    expect(other.problem).toMatchObject({ code: 'PETICION_DISTINTA', campo: 'Idempotency-Key' });
  });

  test('two requests of one Idempotency-Key at once are applied once; one that failed may be repeated', async () => {
    const key = { 'idempotency-key': randomUUID() };
    expect((await uploadOnce('{"id":', { with: key })).status).toBe(422);
    const both = await Promise.all([1, 2].map(() => uploadOnce('{"id":1,"nombre":"a"}', { with: key })));
    expect(both.map(({ status }) => status)).toEqual([200, 200]);
    expect(both[0]!.result).toEqual(both[1]!.result);
  });

  test.each([true, false])(
    'a body that is cut (%s) or hangs changes nothing and gives its connection back',
    async (cut) => {
      const part = Buffer.from('{"id":1}\n{"id":2}\n');
      const ended = await sendHalf('/upload/acme-001?tabla=vista_proveedores', {}, part, cut);
      expect(ended).toMatch(cut ? /socket hang up/ : /^400$/);
      await expect
        .poll(() =>
          server.sql
            .query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'`)
            .then((r) => r.rowCount),
        )
        .toBe(0);
      expect(await readRows('proveedor')).toEqual([]);
    },
  );

  test('completo deactivates what is absent, of this tenant and table only; incremental does not', async () => {
    await server.sql.query(
      `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) VALUES ('otro', 'producto', '1')`,
    );
    await uploadOnce('{"id":1}');
    await uploadOnce('{"codigo":"1"}\n{"codigo":"2"}\n{"codigo":"3"}', { tabla: 'vista_productos' });
    expect((await uploadOnce('{"codigo":"2"}', { tabla: 'vista_productos' })).result.registrosDesactivados).toBe(0);
    const { result } = await uploadOnce('{"codigo":"2"}', { tabla: 'vista_productos', modo: 'completo' });
    expect(result).toMatchObject({ registrosDesactivados: 2, registrosSinCambios: 1 });
    expect((await readRows('producto')).map(({ activo }) => activo)).toEqual([false, true, false]);
    const { rowCount } = await server.sql.query('SELECT FROM parametros_maestros WHERE NOT activo');
    expect(rowCount).toBe(2);
    const again = await uploadOnce('{"codigo":"2"}\n{"codigo":"3"}', { tabla: 'vista_productos', modo: 'completo' });
    expect(again.result).toMatchObject({ registrosDesactivados: 0, registrosActualizados: 1 });
  });

  test('what was merged is logged', async () => {
    await uploadOnce('{"id":1}\n{"id":2}');
    const { rows } = await server.sql.query('SELECT * FROM sync_logs');
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({
      tenantId: 'acme-001',
      direccion: 'upload',
      tabla: 'vista_proveedores',
      fase: 'process',
      ejecutadoEn: 'destino',
      estado: 'exitoso',
      registrosAfectados: 2,
    });
  });
});

describe('the JSON envelope', () => {
  test('keeps every digit, every escape and any order of keys', async () => {
    const row = String.raw`{"codigo":"a\"\\\u00e1\ud83d\ude00","n":12345678901234567.8900,"m":-0.10e+2,"o":{"x":[1,{"y":null}],"z":{}},"v":[],"t":true}`;
    const { status, answer } = await uploadEnvelope(
      `{"timestamp":"x","otra":{"data":[1]},"data":[${row}, {"codigo":2}],"tabla":"proveedores"}`,
    );
    expect({ status, answer }).toMatchObject({ status: 200, answer: { registrosInsertados: 2 } });
    const [, stored] = await readRows('proveedor');
    expect(stored).toMatchObject({ codigo: 'a"\\á😀' });
    const { rows } = await server.sql.query(`SELECT $1::jsonb - 'codigo' = $2::jsonb AS igual`, [row, stored!.json]);
    expect(rows[0].igual).toBe(true);
    expect(stored!.json).toContain('12345678901234567.8900');
  });

  test.each([
    ['{"tabla":"proveedores"}', { code: 'CUERPO_INVALIDO', campo: 'data' }],
    ['{"data":[]}', { code: 'CUERPO_INVALIDO', campo: 'tabla' }],
    ['{"tabla":5,"data":[]}', { code: 'CUERPO_INVALIDO', campo: 'tabla' }],
    ['{"tabla":"proveedores","data":{}}', { code: 'CUERPO_INVALIDO', campo: 'data' }],
    ['{"tabla":"proveedores","data":[],"data":[]}', { code: 'CUERPO_INVALIDO', campo: 'data' }],
    ['[]', { code: 'CUERPO_INVALIDO' }],
    ['', { code: 'CUERPO_INVALIDO' }],
    ['{"tabla":"proveedores","data":[{"codigo":1}', { code: 'CUERPO_INVALIDO' }],
    ['{"tabla":"proveedores","data":[{"codigo":1}]} x', { code: 'CUERPO_INVALIDO' }],
    ['{"tabla":"proveedores","data":[{"codigo":1},{codigo:2}]}', { code: 'CUERPO_INVALIDO' }],
    ['{"tabla":"nada","data":[{"codigo":1}]}', { code: 'TABLA_DESCONOCIDA' }],
    ['{"tabla":"proveedores","data":[{"codigo":1},[2]]}', { code: 'LINEA_INVALIDA', linea: 2 }],
    ['{"data":[{"codigo":1},{"a":2}],"tabla":"proveedores"}', { code: 'CLAVE_AUSENTE', linea: 2 }],
    ['{"tabla":"proveedores","data":[{"codigo":1},{"codigo":2,"activo":[]}]}', { code: 'VALOR_INVALIDO', linea: 2 }],
  ])('%s is refused', async (body, expected) => {
    const { answer } = await uploadEnvelope(body);
    expect(answer).toMatchObject({ success: false, ...expected });
    expect(await readRows('proveedor')).toEqual([]);
  });
});

describe('a resumable upload', () => {
  const chunks = [0, 1, 2, 3].map((n) =>
    seal(Array.from({ length: 500 }, (_, i) => `{"id":${n * 500 + i},"nombre":"trozo ${n}","v":${i}.5}\n`).join('')),
  );
  const digests = chunks.map(({ digest }) => digest);

  test('takes its chunks in any order, in parallel and repeated, and answers a repeated commit alike', async () => {
    const id = await open();
    await Promise.all([3, 1, 0, 3, 2, 1].map((n) => put(id, n + 1, chunks[n]!)));
    const repeated = await put(id, 1, chunks[0]!);
    expect(repeated).toMatchObject({ status: 200, chunk: { trozo: 1, filas: 500, repetido: true } });
    const stored = await state(id);
    expect(stored).toMatchObject({
      success: true,
      id,
      tabla: 'vista_proveedores',
      modo: 'incremental',
      estado: 'abierta',
    });
    expect(stored.trozos).toEqual(digests.map((digest, n) => ({ trozo: n + 1, filas: 500, digest })));

    const first = await commit(id, 4, 2000, digests);
    expect(first).toMatchObject({
      status: 200,
      result: { filas: 2000, registrosInsertados: 2000, clavesRepetidas: 0 },
    });
    expect((await commit(id, 4, 2000, digests)).result).toEqual(first.result);
    expect(await readRows('proveedor')).toHaveLength(2000);
    expect(await state(id)).toMatchObject({ estado: 'confirmada', trozos: [] });
    expect(await countUploadTables()).toBe(0);
    expect((await put(id, 5, chunks[0]!)).problem).toMatchObject({ status: 409, code: 'SUBIDA_CERRADA' });
  });

  test('a bit that flips on the way, wherever in the chunk, is damage to be sent again and nothing else', async () => {
    const id = await open();
    const { body, digest } = chunks[0]!;
    // Also past what fits the socket's buffers: the rest is read before it is judged.
    const large = seal(Array.from({ length: 20_000 }, (_, i) => `{"id":${i},"x":"${randomUUID()}"}\n`).join(''));
    for (const chunk of [{ body, digest }, large]) {
      for (let step = 0; step < 12; step += 1) {
        const damaged = new Uint8Array(chunk.body);
        damaged[Math.floor((step / 12) * damaged.length)]! ^= 0x10;
        const { problem } = await put(id, 0, { body: damaged, digest: chunk.digest });
        expect(problem, `step ${step}`).toMatchObject({ code: 'DIGEST_DISTINTO', trozo: 0 });
      }
    }
    // What was sent as it is and is wrong stays wrong.
    expect((await put(id, 0, seal('[1]\n'))).problem.code).toBe('LINEA_INVALIDA');
    expect((await state(id)).trozos).toEqual([]);
  });

  test('opening it again under the same name, after a lost answer, opens no second one', async () => {
    const name = randomUUID().replaceAll('-', '');
    const again = (tabla = 'vista_proveedores') =>
      server.call('/uploads/acme-001', { method: 'POST', json: { tabla, modo: 'completo', id: name } });
    expect(((await (await again()).json()) as OpenUploadResponse).id).toBe(name);
    await put(name, 0, chunks[0]!);
    expect(((await (await again()).json()) as OpenUploadResponse).id).toBe(name);
    expect((await state(name)).trozos).toHaveLength(1);
    expect(await countUploadTables()).toBe(1);
    expect(await (await again('vista_lineas')).json()).toMatchObject({ code: 'SUBIDA_CERRADA' });
    await commit(name, 1, 500, [digests[0]!]);
    expect(await (await again()).json()).toMatchObject({ code: 'SUBIDA_CERRADA' });
  });

  test('the same chunk twice at the same time is stored once', async () => {
    const id = await open();
    const both = await Promise.all([1, 2, 3].map(() => put(id, 1, chunks[0]!)));
    expect(both.map(({ chunk }) => chunk.repetido).sort()).toEqual([false, true, true]);
    expect((await commit(id, 1, 500, [digests[0]!])).result).toMatchObject({ filas: 500, clavesRepetidas: 0 });
  });

  test('of a repeated key the highest chunk wins, then the last line, whatever came first', async () => {
    const id = await open('repetidas');
    const late = seal('{"id":1,"nombre":"c"}\n{"id":1,"nombre":"d"}\n');
    const early = seal('{"id":1,"nombre":"a"}\n{"id":1,"nombre":"b"}\n');
    await put(id, 2, late);
    await put(id, 1, early);
    expect((await commit(id, 2, 4, [early.digest, late.digest])).result).toMatchObject({ clavesRepetidas: 3 });
    expect(await readRows('repetida')).toMatchObject([{ nombre: 'd' }]);
  });

  test('another content under a number, or not what its digest says, is refused and leaves what was', async () => {
    const id = await open();
    await put(id, 1, chunks[0]!);
    expect((await put(id, 1, chunks[1]!)).problem).toMatchObject({ status: 422, code: 'TROZO_DISTINTO', trozo: 1 });
    const wrong = await put(id, 2, { body: chunks[1]!.body, digest: digests[0]! });
    expect(wrong.problem).toMatchObject({ code: 'DIGEST_DISTINTO', trozo: 2, tabla: 'vista_proveedores' });
    expect((await state(id)).trozos).toHaveLength(1);
    expect(await put(id, 2, chunks[1]!)).toMatchObject({ status: 200, chunk: { repetido: false } });
  });

  test.each([
    ['cut gzip', Buffer.from(chunks[0]!.body.subarray(0, -1)), { code: 'CUERPO_INVALIDO' }],
    ['a byte after gzip', Buffer.concat([chunks[0]!.body, Buffer.from('x')]), { code: 'CUERPO_INVALIDO' }],
    ['two members', Buffer.concat([chunks[0]!.body, gzipSync('{"id":1}')]), { code: 'CUERPO_INVALIDO' }],
    ['no gzip', Buffer.from('{"id":1}\n'), { code: 'CUERPO_INVALIDO' }],
    ['nothing', Buffer.alloc(0), { code: 'CUERPO_INVALIDO' }],
    [
      'a bad line',
      gzipSync('{"id":1}\n\n{"id"}'),
      { code: 'LINEA_INVALIDA', linea: 3, trozo: 1, tabla: 'vista_proveedores' },
    ],
    ['a missing key', gzipSync('{"id":1}\n{"id":""}'), { code: 'CLAVE_AUSENTE', linea: 2, trozo: 1 }],
    ['a bad activo', gzipSync('{"id":1,"activo":2}'), { code: 'VALOR_INVALIDO', linea: 1, campo: 'activo', trozo: 1 }],
    ['a bomb', gzipSync(Buffer.alloc(50_000_000, '{"id":1}\n')), { code: 'DEMASIADO_GRANDE', trozo: 1 }],
  ])('%s in a chunk is refused', async (_what, sent, expected) => {
    const id = await open();
    const body = new Uint8Array(sent);
    const { problem } = await put(id, 1, { body, digest: digestOf(body) });
    expect(problem).toMatchObject({ success: false, ...expected });
    expect((await state(id)).trozos).toEqual([]);
  });

  test('a chunk that is cut on the way is not stored', async () => {
    const id = await open();
    const { body, digest } = chunks[0]!;
    const path = `/uploads/acme-001/${id}/chunks/1`;
    const extra = { 'content-type': 'application/gzip', 'content-digest': formatContentDigest(digest) };
    await sendHalf(path, extra, Buffer.from(body.subarray(0, body.length - 20)), true);
    expect((await state(id)).trozos).toEqual([]);
    expect((await put(id, 1, chunks[0]!)).chunk.repetido).toBe(false);
  });

  test.each([
    ['a chunk is missing', 2, 1000, digests.slice(0, 2)],
    ['rows differ', 1, 499, digests.slice(0, 1)],
    ['digests differ', 1, 500, digests.slice(1, 2)],
  ])('commit refuses when %s, and may be repeated', async (_what, trozos, filas, stated) => {
    const id = await open();
    await put(id, 1, chunks[0]!);
    expect((await commit(id, trozos, filas, stated)).problem).toMatchObject({ status: 409, code: 'TOTALES_DISTINTOS' });
    expect(await readRows('proveedor')).toEqual([]);
    expect((await commit(id, 1, 500, digests.slice(0, 1))).status).toBe(200);
  });

  test('commits of one table at the same time are all right', async () => {
    const ids = await Promise.all([open(), open(), open()]);
    for (const [index, id] of ids.entries()) await put(id, 1, chunks[index === 2 ? 0 : index]!);
    const results = await Promise.all(ids.map((id, index) => commit(id, 1, 500, [digests[index === 2 ? 0 : index]!])));
    expect(results.map(({ status }) => status)).toEqual([200, 200, 200]);
    const inserted = results.reduce((sum, { result }) => sum + result.registrosInsertados, 0);
    expect(inserted).toBe(1000);
    expect(await readRows('proveedor')).toHaveLength(1000);
  });

  test('the same commit twice at once merges once', async () => {
    const id = await open();
    await put(id, 1, chunks[0]!);
    const both = await Promise.all([1, 2].map(() => commit(id, 1, 500, [digests[0]!])));
    expect(both[0]!.result).toEqual(both[1]!.result);
    const { rowCount } = await server.sql.query(`SELECT FROM sync_logs WHERE fase = 'process'`);
    expect(rowCount).toBe(1);
  });

  test('an upload whose ledger PostgreSQL lost in a crash is sent again', async () => {
    const id = await open();
    await put(id, 1, chunks[0]!);
    await server.sql.query(`TRUNCATE sync_upload_chunks, "sync_recibido_${id}"`);
    expect((await state(id)).trozos).toEqual([]);
    expect((await commit(id, 1, 500, [digests[0]!])).problem.code).toBe('TOTALES_DISTINTOS');
    expect((await put(id, 1, chunks[0]!)).chunk.repetido).toBe(false);
    expect((await commit(id, 1, 500, [digests[0]!])).status).toBe(200);
  });

  test('abandoned or expired it is unknown, and its table is gone', async () => {
    const id = await open();
    await put(id, 1, chunks[0]!);
    expect((await server.call(`/uploads/acme-001/${id}`, { method: 'DELETE' })).status).toBe(204);
    expect((await put(id, 1, chunks[0]!)).problem).toMatchObject({ status: 404, code: 'SUBIDA_DESCONOCIDA' });
    expect(await countUploadTables()).toBe(0);
    const late = await open();
    await server.sql.query('UPDATE sync_uploads SET "expiresAt" = now()');
    expect((await put(late, 1, chunks[0]!)).problem.code).toBe('SUBIDA_DESCONOCIDA');
    expect((await commit(late, 0, 0, [])).problem.code).toBe('SUBIDA_DESCONOCIDA');
    expect(await countUploadTables()).toBe(1);
    const connection = await server.sql.connect();
    expect(await deleteExpiredUploads(connection)).toBe(1);
    connection.release();
    expect(await countUploadTables()).toBe(0);
  });

  test("another tenant's upload is unknown", async () => {
    const id = await open();
    const key = await server.addTenant('otro-002', tables);
    const response = await server.call(`/uploads/otro-002/${id}`, { tenant: 'otro-002', key });
    expect(response.status).toBe(404);
  });

  test('past the bound of open uploads the next is refused for a while', async () => {
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let i = 0; i < 5; i += 1) await open();
      }),
    );
    const response = await server.call('/uploads/acme-001', {
      method: 'POST',
      json: { tabla: 'vista_lineas', modo: 'completo' },
    });
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('60');
  });
});
