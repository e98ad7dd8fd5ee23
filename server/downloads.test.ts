import { request as httpRequest, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { API_PREFIX, headers, mediaTypes } from '../protocol/constants.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

const schema = {
  columns: [
    { name: 'Codigo', type: 'VARCHAR(20)', nullable: false },
    { name: 'saldo', type: 'DECIMAL(19,4)' },
    { name: 'activo', type: 'BIT' },
    { name: "o'tra \\columna", type: 'NVARCHAR(MAX)' },
  ],
};
/** 64 characters of two bytes each: PostgreSQL keeps 31 of them in an alias. */
const largo = `${'ñ'.repeat(60)}_fin`;
const columnas = (...names: string[]) => ({ columns: names.map((name) => ({ name, type: 'NVARCHAR(100)' })) });
const sql = (nombre: string, query: string) => ({ nombre, process: { query } });
const tables = {
  tablasBajada: [
    { nombre: 'cuentas', schema, process: { query: "parametros_maestros.tipo_campo = 'cuenta';" } },
    sql('cuentas_libres', 'parametros_maestros.tipo_campo=cuenta'),
    sql(
      'del_spec',
      "SELECT codigo, nombre, parametros_json->>'nivel' as nivel FROM parametros_maestros WHERE tipo_campo = 'cuenta' AND activo = true ORDER BY codigo;\n",
    ),
    sql(
      'tipos',
      `SELECT 9007199254740993 AS grande, 12345678901234567.8900::numeric AS exacto, 1.50::numeric(9,2) AS fijo, 0.1::float8 AS real,
              E'a\\nb"\\\\' AS texto, '{"a":\n[1]}'::json AS documento, '\\x00ff'::bytea AS bytes, true AS si, NULL::int AS nada,
              timestamptz '2024-01-15 10:30:00.123456-03' AS cuando, 'x'::varchar(20) AS corto -- al final`,
    ),
    sql('muchas', "SELECT g AS codigo, repeat('x', 200) AS relleno FROM generate_series(1, 100000) g"),
    sql('falla', 'SELECT 1/0 AS x'),
    sql(
      'falla_tarde',
      "SELECT 100000 / (100000 - g) AS x, repeat('x', 200) AS relleno FROM generate_series(1, 200000) g",
    ),
    sql('sin_sentido', 'SELEC 1'),
    sql('dos', 'SELECT 1 AS x; SELECT 2 AS x'),
    sql('escapa', 'SELECT 1 AS x) q; DROP TABLE parametros_maestros; SELECT * FROM (SELECT 1 AS x'),
    {
      nombre: 'nombres',
      schema: columnas('CODIGO', largo, 'Precio'),
      process: { query: 'parametros_maestros.tipo_campo=largo' },
    },
    sql('nombres_libres', 'parametros_maestros.tipo_campo=largo'),
    {
      ...sql('nombres_sql', `SELECT 1 AS Precio, 2 AS "${largo}", 3 AS otra, 4 AS "CODIGO", 5 AS codigo`),
      schema: columnas('CODIGO', largo, 'Precio'),
    },
    { ...sql('falta', 'SELECT 1 AS precio, 2 AS otra'), schema: columnas('precio', 'stock') },
    sql('repetida', 'SELECT 1 AS x, 2 AS x'),
    sql('escribe', "INSERT INTO parametros_maestros (tipo_campo, codigo) VALUES ('x', 'y') RETURNING codigo"),
    sql('todas', 'SELECT "tenantId", codigo FROM parametros_maestros'),
    sql('se_disfraza', `SELECT set_config('app.tenant_id', 'otro-002', true), codigo FROM parametros_maestros`),
    sql('claves', 'SELECT * FROM sync_api_keys'),
  ],
};

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer(inject('postgresUrl'), { tables, settings: { TRANSFER_IDLE_MS: 1000 } });
  await server.addTenant('otro-002', tables);
  // What an administrator takes from the tenants' roles is given back: isolation does not rest on that.
  await server.sql.query(
    'GRANT EXECUTE ON FUNCTION set_config(text, text, boolean), pg_advisory_lock(bigint) TO PUBLIC',
  );
  await server.sql.query(`
    INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, activo, parametros_json) VALUES
      ('acme-001', 'cuenta', '1.1.02', 'Banco', true, '{"saldo": 12345678901234567.8900, "nivel": 3, "o''tra \\\\columna": {"a": [1, null]}}'),
      ('acme-001', 'cuenta', '1.1.01', 'Caja "A"', false, '{"saldo": -0.10, "nivel": null, "firme": true}'),
      ('acme-001', 'banco', 'b', 'B', true, '{}'),
      ('acme-001', 'largo', 'x', 'X', true, '{"${largo}": "completo", "PRECIO": 1.50}'),
      ('acme-001', 'largo', 'y', 'Y', true, '{"${largo}": null, "precio": 7, "PRECIO": 8, "Precio": 9}'),
      ('otro-002', 'cuenta', 'ajena', 'Ajena', true, '{}')`);
});
afterAll(() => server?.close());

async function download(
  tabla: string,
  extra: Record<string, string> = {},
): Promise<{ status: number; text: string; headers: Headers }> {
  const response = await server.call(`/download/acme-001?tabla=${tabla}`, {
    headers: { accept: 'application/x-ndjson', ...extra },
  });
  return { status: response.status, text: await response.text(), headers: response.headers };
}

/** Transactions that a transfer left behind. */
async function countBusy(): Promise<number | null> {
  const { rowCount } = await server.sql.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`,
  );
  return rowCount;
}

describe('the short form', () => {
  test('sends the columns of the schema, inactive rows too, ordered by codigo, numbers exact', async () => {
    const { text, headers } = await download('cuentas');
    expect(headers.get('content-type')).toBe('application/x-ndjson');
    expect(text).toBe(
      `{"Codigo":"1.1.01","saldo":-0.10,"activo":false,"o'tra \\\\columna":null}\n` +
        `{"Codigo":"1.1.02","saldo":12345678901234567.8900,"activo":true,"o'tra \\\\columna":{"a": [1, null]}}\n`,
    );
  });

  test('without a schema it sends every key, as text, which holds what may come tomorrow too', async () => {
    const { text } = await download('cuentas_libres', { accept: mediaTypes.framedNdjson });
    const lines = text.trimEnd().split('\n');
    const [start, end] = [lines.shift(), lines.pop()];
    // In no order: it is the agent that asks.
    const rows = lines.sort();
    expect(JSON.parse(start!).$inicio.schema.columns).toEqual([
      { name: 'codigo', type: 'NVARCHAR(4000)', nullable: false },
      { name: 'nombre', type: 'NVARCHAR(MAX)', nullable: true },
      { name: 'activo', type: 'BIT', nullable: false },
      { name: 'firme', type: 'NVARCHAR(MAX)', nullable: true },
      { name: 'nivel', type: 'NVARCHAR(MAX)', nullable: true },
      { name: "o'tra \\columna", type: 'NVARCHAR(MAX)', nullable: true },
      { name: 'saldo', type: 'NVARCHAR(MAX)', nullable: true },
    ]);
    expect(rows[0]).toBe(
      `{"codigo":"1.1.01","nombre":"Caja \\"A\\"","activo":false,"firme":true,"nivel":null,"o'tra \\\\columna":null,"saldo":-0.10}`,
    );
    expect(end).toBe('{"$fin":{"filas":2}}');
  });
});

describe('a name of the schema, which SQL Server reads without case and up to 128 characters long', () => {
  test('finds its key in the short form, whatever its case in the row', async () => {
    expect((await download('nombres')).text).toBe(
      `{"CODIGO":"x","${largo}":"completo","Precio":1.50}\n{"CODIGO":"y","${largo}":null,"Precio":9}\n`,
    );
  });

  test('is one column of a derived schema, however many cases it has in the rows', async () => {
    expect((await download('nombres_libres')).text.split('\n')[0]).toBe(
      `{"codigo":"x","nombre":"X","activo":true,"PRECIO":1.50,"${largo}":"completo"}`,
    );
  });

  test('finds its column in a query, which PostgreSQL names in lower case and cuts at 63 bytes', async () => {
    const cut = 'ñ'.repeat(31);
    expect(Buffer.byteLength(cut)).toBe(62);
    expect((await download('nombres_sql')).text).toBe(`{"CODIGO":4,"${largo}":2,"Precio":1,"otra":3,"codigo":5}\n`);
  });
});

describe('SQL', () => {
  test("runs the specification's query", async () => {
    expect((await download('del_spec')).text).toBe('{"codigo":"1.1.02","nombre":"Banco","nivel":"3"}\n');
  });

  test('sends every type exactly, one row a line, and names its SQL Server type', async () => {
    const { text } = await download('tipos', { accept: mediaTypes.framedNdjson });
    const [start, row, end, rest] = text.split('\n');
    expect(JSON.parse(start!).$inicio.schema.columns.map(({ type }: { type: string }) => type)).toEqual([
      'BIGINT',
      'NVARCHAR(MAX)',
      'DECIMAL(9,2)',
      'FLOAT',
      'NVARCHAR(MAX)',
      'NVARCHAR(MAX)',
      'VARBINARY(MAX)',
      'BIT',
      'INT',
      'DATETIMEOFFSET(6)',
      'NVARCHAR(40)',
    ]);
    expect(row).toBe(
      '{"grande":9007199254740993,"exacto":12345678901234567.8900,"fijo":1.50,"real":0.1,"texto":"a\\nb\\"\\\\",' +
        '"documento":{"a": [1]},"bytes":"AP8=","si":true,"nada":null,"cuando":"2024-01-15T13:30:00.123456+00:00","corto":"x"}',
    );
    expect([end, rest]).toEqual(['{"$fin":{"filas":1}}', '']);
  });

  test('as the envelope it is exact too', async () => {
    const { text } = await download('tipos', { accept: 'application/json' });
    expect(text).toMatch(
      /^\{"success":true,"tabla":"tipos","data":\[\{"grande":9007199254740993,"exacto":12345678901234567\.8900,/,
    );
  });

  test.each([
    ['falla', 422, /PostgreSQL: division by zero \(22012/],
    ['sin_sentido', 422, /syntax error.*42601/],
    ['dos', 422, /42601/],
    ['escapa', 422, /multi-query.*42P11/],
    ['repetida', 422, /«x»/],
    ['falta', 422, /no devuelve la columna «stock» de schema.columns \(devuelve precio, otra\)/],
    ['escribe', 422, /42601/],
    ['claves', 422, /permission denied.*42501/],
  ])('%s is refused before the first byte, and logged', async (tabla, status, detail) => {
    for (const accept of ['application/x-ndjson', 'application/json']) {
      const response = await server.call(`/download/acme-001?tabla=${tabla}`, { headers: { accept } });
      expect(response.status).toBe(status);
      const body = (await response.json()) as { detail: string };
      expect(body).toMatchObject({ code: 'SQL_FALLO', tabla, fase: 'process', success: false });
      expect(body.detail).toMatch(detail);
    }
    const { rows } = await server.sql.query('SELECT * FROM sync_logs WHERE tabla = $1', [tabla]);
    expect(rows[0]).toMatchObject({
      direccion: 'download',
      ejecutadoEn: 'origen',
      estado: 'error',
      tenantId: 'acme-001',
    });
    expect(rows[0].errorDetalle).toMatch(detail);
    await expect.poll(countBusy).toBe(0);
  });

  test('a tenant sees its own rows alone', async () => {
    const { text } = await download('todas');
    expect(text).toContain('"1.1.01"');
    expect(text).not.toContain('ajena');
  });

  test('one that names another tenant in the setting reaches none of its rows', async () => {
    for (const accept of ['application/x-ndjson', 'application/json']) {
      expect((await download('se_disfraza', { accept })).text).not.toContain('ajena');
    }
  });

  test('rows come whole and in order, however many batches they fill', async () => {
    const response = await server.call('/download/acme-001?tabla=muchas', { headers: { accept: mediaTypes.ndjson } });
    const codes = (await response.text())
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { codigo: number }).codigo);
    expect(codes).toEqual(Array.from({ length: 100_000 }, (_, index) => index + 1));
  });
});

test('gzip by Accept-Encoding; the count of the last line is that of the rows', async () => {
  const response = await server.call('/download/acme-001?tabla=muchas', {
    headers: { accept: mediaTypes.framedNdjson, 'accept-encoding': 'gzip' },
  });
  expect(response.headers.get('content-encoding')).toBe('gzip');
  const lines = (await response.text()).trimEnd().split('\n');
  expect(lines).toHaveLength(100_002);
  expect(lines.at(-1)).toBe('{"$fin":{"filas":100000}}');
  expect(lines[100_000]).toContain('"codigo":100000,');
});

test('the envelope of many rows is one JSON document', async () => {
  const response = await server.call('/download/acme-001?tabla=muchas');
  const body = (await response.json()) as { data: { codigo: number }[] };
  expect(body.data).toHaveLength(100_000);
  expect(body.data.at(-1)!.codigo).toBe(100_000);
});

test.each(['identity', 'gzip'])('a failure midway breaks the connection (%s)', async (encoding) => {
  for (const accept of [mediaTypes.framedNdjson, 'application/json']) {
    const response = await server.call('/download/acme-001?tabla=falla_tarde', {
      headers: { accept, 'accept-encoding': encoding },
    });
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow(/terminated/);
  }
  await expect.poll(countBusy).toBe(0);
});

test('a reader that goes, or that stops reading, gives its connection back', async () => {
  const start = () =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpRequest(`${server.url}${API_PREFIX}/download/acme-001?tabla=muchas`, {
        headers: { [headers.tenant]: server.tenant, [headers.apiKey]: server.key, accept: 'application/x-ndjson' },
      });
      request.on('response', resolve).on('error', reject).end();
    });
  const gone = await start();
  gone.on('error', () => {});
  gone.destroy();
  await expect.poll(countBusy).toBe(0);
  const idle = await start();
  idle.on('error', () => {});
  expect(await countBusy()).toBe(1);
  await expect.poll(countBusy, { timeout: 5000 }).toBe(0);
  idle.destroy();
});

describe.concurrent('where PostgreSQL has three seconds for a query', () => {
  let hurried: TestServer;
  beforeAll(async () => {
    const query = "SELECT g AS x, pg_sleep(0.01) IS NULL AS y, repeat('x', 20000) AS z FROM generate_series(1, 1000) g";
    const wide = "SELECT g AS x, repeat('x', 200000) AS z FROM generate_series(1, 100) g";
    hurried = await startTestServer(inject('postgresUrl'), {
      tables: {
        tablasBajada: [...tables.tablasBajada, sql('lenta', query), sql('lenta_tambien', query), sql('anchas', wide)],
      },
      settings: { SQL_TIMEOUT_MS: 3000, TRANSFER_IDLE_MS: 3000 },
    });
  });
  afterAll(() => hurried?.close());

  /** The body, as much of it as comes, `pauseMs` after each `bytes`; after `fastAfterMs` as fast as it comes. */
  async function readSlowly(
    tabla: string,
    accept: string,
    { bytes = 1024 * 1024, pauseMs = 400, fastAfterMs = Infinity } = {},
  ): Promise<string> {
    const started = performance.now();
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpRequest(`${hurried.url}${API_PREFIX}/download/acme-001?tabla=${tabla}`, {
        headers: { [headers.tenant]: hurried.tenant, [headers.apiKey]: hurried.key, accept },
      });
      request.on('response', resolve).on('error', reject).end();
    });
    const pieces: Buffer[] = [];
    let unpaid = 0;
    for await (const piece of answer as AsyncIterable<Buffer>) {
      pieces.push(piece);
      unpaid += piece.length;
      if (unpaid < bytes || performance.now() - started > fastAfterMs) continue;
      unpaid = 0;
      await sleep(pauseMs);
    }
    return Buffer.concat(pieces).toString();
  }

  test.each([mediaTypes.framedNdjson, 'application/json'])(
    'a slow reader gets all of its rows, however long it takes (%s)',
    async (accept) => {
      const started = performance.now();
      const text = await readSlowly('anchas', accept);
      expect(performance.now() - started).toBeGreaterThan(4000);
      if (accept === 'application/json') expect(JSON.parse(text).data).toHaveLength(100);
      else expect(text.trimEnd().split('\n').at(-1)).toBe('{"$fin":{"filas":100}}');
    },
  );

  test('a reader that takes a little at a time is not one that takes nothing, whatever the kernel holds of it', async () => {
    const text = await readSlowly('anchas', mediaTypes.framedNdjson, { bytes: 1, pauseMs: 260, fastAfterMs: 8000 });
    expect(text.trimEnd().split('\n').at(-1)).toBe('{"$fin":{"filas":100}}');
  });

  test('a reader that takes megabytes at once and then nothing for a while keeps to a speed', async () => {
    const text = await readSlowly('anchas', mediaTypes.framedNdjson, { bytes: 8 * 1024 * 1024, pauseMs: 6000 });
    expect(text.trimEnd().split('\n').at(-1)).toBe('{"$fin":{"filas":100}}');
  });

  test.each([
    ['lenta', mediaTypes.framedNdjson],
    ['lenta_tambien', 'application/json'],
  ])('a slow reader gives the query no more time: %s (%s)', async (tabla, accept) => {
    await expect(readSlowly(tabla, accept)).rejects.toThrow(/aborted/);
    const failed = async () =>
      (await hurried.sql.query(`SELECT "errorDetalle" FROM sync_logs WHERE tabla = '${tabla}' AND estado = 'error'`))
        .rows;
    const noted = { errorDetalle: expect.stringContaining('57014') };
    await vi.waitFor(async () => expect(await failed()).toContainEqual(noted), { timeout: 10_000 });
  });
});

test('gzip bytes are a whole member', async () => {
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    const request = httpRequest(`${server.url}${API_PREFIX}/download/acme-001?tabla=cuentas`, {
      headers: {
        [headers.tenant]: server.tenant,
        [headers.apiKey]: server.key,
        accept: 'application/x-ndjson',
        'accept-encoding': 'br, gzip;q=0.5',
      },
    });
    request
      .on('response', async (response) => resolve(Buffer.concat(await response.toArray())))
      .on('error', reject)
      .end();
  });
  expect(gunzipSync(bytes).toString()).toMatch(/^\{"Codigo":"1\.1\.01"/);
});
