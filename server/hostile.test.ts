import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { API_PREFIX } from '../protocol/constants.ts';
import { digestOf, formatContentDigest } from '../protocol/digest.ts';
import type { Problem } from '../protocol/errors.ts';
import { startServerProcess } from './testing/run-cli.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/** Requests that no agent sends: each meets a limit, gets a sentence with its code, and leaves nothing behind. */

const process = { query: 'SELECT 1' };
const tables = { tablasSubida: [{ nombre: 'clientes', primaryKey: 'id', process }], tablasBajada: [] };

let server: TestServer;
beforeAll(async () => {
  const settings = {
    TRANSFER_IDLE_MS: 700,
    LINE_MAX_BYTES: 1_000_000,
    UPLOADS_OPEN_MAX: 30,
    RATE_LIMIT_ADDRESS_PER_MINUTE: 1e6,
    LOCKOUT_FAILURES: 100000,
    RATE_LIMIT_PER_MINUTE: 1e6,
  };
  server = await startTestServer(inject('postgresUrl'), {
    tables,
    settings: { ...settings, HTTP_CONNECTIONS_MAX: 200 },
  });
});
afterAll(async () => {
  expect(await countBusy()).toBe(0);
  await server?.close();
});

/** Transactions and queries that requests left behind. */
async function countBusy(): Promise<number | null> {
  const { rowCount } = await server.sql.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`,
  );
  return rowCount;
}

async function send(path: string, body: Body, headers: Record<string, string>, method = 'POST') {
  const response = await server.call(path, { method, headers, body, duplex: 'half' } as RequestInit);
  return { status: response.status, problem: (await response.json()) as Problem };
}

type Body = string | Uint8Array<ArrayBuffer>;

const ndjson = { 'content-type': 'application/x-ndjson' };
const gzip = { ...ndjson, 'content-encoding': 'gzip' };
const json = { 'content-type': 'application/json' };
const UPLOAD = '/upload/acme-001?tabla=clientes';

/** Many gzip members make one body, so that a gigabyte need not be made. */
function repeatGzip(text: string, times: number): Uint8Array<ArrayBuffer> {
  const one = gzipSync(text, { level: 9 });
  return new Uint8Array(Buffer.concat(Array.from({ length: times }, () => one)));
}

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
const MEGABYTE = 1024 * 1024;

describe('bodies', () => {
  test.each<[string, string, Body | (() => Body), Record<string, string>, Partial<Problem>]>([
    [
      'a bomb of rows',
      UPLOAD,
      () => repeatGzip('{"id":1}\n'.repeat(MEGABYTE), 100),
      gzip,
      { code: 'DEMASIADO_GRANDE' },
    ],
    ['a bomb of blank lines', UPLOAD, () => repeatGzip('\n'.repeat(MEGABYTE), 100), gzip, { code: 'DEMASIADO_GRANDE' }],
    [
      'a line of 1 GB, shrunk',
      UPLOAD,
      () => repeatGzip('x'.repeat(64 * MEGABYTE), 16),
      gzip,
      { code: 'LINEA_INVALIDA', linea: 1 },
    ],
    [
      'a row of 1 GB, shrunk',
      UPLOAD,
      () => new Uint8Array(Buffer.concat([gzipSync('{"id":"'), repeatGzip('x'.repeat(64 * MEGABYTE), 16)])),
      gzip,
      { code: 'DEMASIADO_GRANDE', linea: 1 },
    ],
    ['10 M blank lines', UPLOAD, () => '\n'.repeat(10_000_000), ndjson, { code: 'DEMASIADO_GRANDE', linea: 1_000_001 }],
    [
      '10 M lines of blanks',
      UPLOAD,
      () => ' \n'.repeat(10_000_000),
      ndjson,
      { code: 'DEMASIADO_GRANDE', linea: 1_000_001 },
    ],
    [
      'a row of lists in lists',
      UPLOAD,
      `{"id":1,"a":${nested(100_000)}}`,
      ndjson,
      { code: 'LINEA_INVALIDA', linea: 1 },
    ],
    [
      'an envelope of lists in lists',
      '/upload/acme-001',
      `{"tabla":"clientes","data":[${nested(2000)}]}`,
      json,
      { code: 'CUERPO_INVALIDO' },
    ],
    [
      'an envelope of lists that do not end',
      '/upload/acme-001',
      () => `{"a":${'['.repeat(10_000_000)}`,
      json,
      { code: 'CUERPO_INVALIDO' },
    ],
    ['a control character in a text', UPLOAD, '{"id":"a\u0007"}', ndjson, { code: 'LINEA_INVALIDA', linea: 1 }],
    ['half a character', UPLOAD, '{"id":"\\ud800"}', ndjson, { code: 'LINEA_INVALIDA', linea: 1 }],
    [
      'bytes that are no UTF-8',
      '/upload/acme-001',
      new Uint8Array(Buffer.from('7b227461626c61223a22ff227d', 'hex')),
      json,
      { code: 'CUERPO_INVALIDO' },
    ],
    [
      'a key that no index takes',
      UPLOAD,
      () => `{"id":"${Array.from({ length: 3000 }, (_, n) => `${n * n}`).join('')}"}`,
      ndjson,
      { code: 'VALOR_INVALIDO', campo: 'codigo' },
    ],
    [
      'a table of control characters',
      '/upload/acme-001',
      '{"tabla":"\\u0000../../x","data":[]}',
      json,
      { code: 'TABLA_DESCONOCIDA' },
    ],
    [
      'logs past 1 MB',
      '/logs/acme-001',
      () => `{"logs":[${' '.repeat(2 * MEGABYTE)}]}`,
      json,
      { code: 'DEMASIADO_GRANDE' },
    ],
    [
      'a log with a NUL',
      '/logs/acme-001',
      log({ mensaje: '\u0000' }),
      json,
      { code: 'CUERPO_INVALIDO', campo: 'logs' },
    ],
    [
      'a log of a day that does not exist',
      '/logs/acme-001',
      log({ fechaInicio: '2024-99-99T00:00Z' }),
      json,
      { code: 'CUERPO_INVALIDO', campo: 'logs' },
    ],
    [
      'a log with a number past its column',
      '/logs/acme-001',
      log({ duracionMs: 1e12 }),
      json,
      { code: 'CUERPO_INVALIDO', campo: 'logs' },
    ],
    [
      'a log of lists in lists',
      '/logs/acme-001',
      log({}).replace('"y"', nested(100_000)),
      json,
      { code: 'CUERPO_INVALIDO', campo: 'logs' },
    ],
    [
      'a log that would be a prototype',
      '/logs/acme-001',
      '{"logs":[],"__proto__":{"a":1}}',
      json,
      { code: 'CUERPO_INVALIDO' },
    ],
  ])('%s is refused', async (_what, path, body, headers, expected) => {
    const { problem } = await send(path, typeof body === 'function' ? body() : body, headers);
    expect(problem).toMatchObject({ success: false, ...expected });
    expect(problem.mensaje.length).toBeLessThan(2000);
    const { rows } = await server.sql.query('SELECT count(*)::integer AS filas FROM parametros_maestros');
    expect(rows).toEqual([{ filas: 0 }]);
    await expect.poll(countBusy).toBe(0);
  });

  function log(fields: object): string {
    const entry = {
      direccion: 'upload',
      tabla: 'x',
      estado: 'exitoso',
      fechaInicio: '2024-01-01T00:00:00Z',
      metadatos: 'y',
    };
    return JSON.stringify({ logs: [{ ...entry, ...fields }] });
  }

  test.each([
    ['another digest', digestOf(Buffer.from('x')), 'DIGEST_DISTINTO'],
    ['a digest cut short', 'AAAA', 'CUERPO_INVALIDO'],
  ])('a chunk under %s is refused', async (_what, digest, code) => {
    const opened = await server.call('/uploads/acme-001', {
      method: 'POST',
      json: { tabla: 'clientes', modo: 'incremental' },
    });
    const { id } = (await opened.json()) as { id: string };
    const headers = { 'content-type': 'application/gzip', 'content-digest': formatContentDigest(digest) };
    const body = new Uint8Array(gzipSync('{"id":1}'));
    expect((await send(`/uploads/acme-001/${id}/chunks/0`, body, headers, 'PUT')).problem.code).toBe(code);
    await server.call(`/uploads/acme-001/${id}`, { method: 'DELETE' });
  });

  test('a thousand uploads opened and left: past the bound each is refused, and makes no table', async () => {
    const statuses = new Map<number, number>();
    for (let round = 0; round < 10; round += 1) {
      const opening = Array.from({ length: 100 }, async () => {
        const response = await server.call('/uploads/acme-001', {
          method: 'POST',
          json: { tabla: 'clientes', modo: 'completo' },
        });
        await response.text();
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      });
      await Promise.all(opening);
    }
    expect([...statuses.keys()].sort()).toEqual([201, 503]);
    const { rows } = await server.sql.query(
      `SELECT count(*)::integer AS n FROM pg_class WHERE relname ~ '^sync_recibido_[0-9a-f]{32}$'`,
    );
    // Those that look at the same moment do not see each other: one more for each connection.
    expect(rows[0].n).toBeGreaterThanOrEqual(30);
    expect(rows[0].n).toBeLessThanOrEqual(34);
    await server.sql.query('DELETE FROM sync_uploads');
  });
});

describe('sockets', () => {
  const credentials = () => `Host: x\r\nX-Tenant-Id: ${server.tenant}\r\nX-API-Key: ${server.key}\r\n`;

  function open(): Socket {
    const { port, hostname } = new URL(server.url);
    return connect(Number(port), hostname).on('error', () => {});
  }

  /** Writes `parts`, one every 50 ms, until the peer has answered and closed, or has been silent for 5 s. */
  async function converse(...parts: string[]): Promise<string> {
    const socket = open();
    let answer = '';
    socket.setEncoding('utf8').on('data', (text) => {
      answer += text;
    });
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    for (const part of parts) {
      if (socket.destroyed) break;
      socket.write(part);
      await sleep(50);
    }
    await Promise.race([closed, sleep(5000)]);
    socket.destroy();
    return answer;
  }

  test.each([
    [
      'a header past its limit',
      () => `GET ${API_PREFIX}/health HTTP/1.1\r\n${credentials()}X: ${'x'.repeat(20_000)}\r\n\r\n`,
      'DEMASIADO_GRANDE',
    ],
    [
      'thousands of headers',
      () => `GET ${API_PREFIX}/health HTTP/1.1\r\n${credentials()}${'X-Y: abcdef\r\n'.repeat(5000)}\r\n`,
      'DEMASIADO_GRANDE',
    ],
    [
      'two lengths of one body',
      () =>
        `POST ${API_PREFIX}/logs/acme-001 HTTP/1.1\r\n${credentials()}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      'CUERPO_INVALIDO',
    ],
    [
      'a length that is none',
      () => `POST ${API_PREFIX}/logs/acme-001 HTTP/1.1\r\n${credentials()}Content-Length: -1\r\n\r\n`,
      'CUERPO_INVALIDO',
    ],
    [
      'an expectation that is none',
      () => `POST ${API_PREFIX}/logs/acme-001 HTTP/1.1\r\n${credentials()}Expect: todo\r\nContent-Length: 0\r\n\r\n`,
      'CUERPO_INVALIDO',
    ],
    ['a method that is none', () => `ATACA / HTTP/1.1\r\n${credentials()}\r\n`, 'CUERPO_INVALIDO'],
    ['what is not HTTP', () => '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\r\n\r\n', 'CUERPO_INVALIDO'],
    [
      'a path that is no UTF-8',
      () => `GET ${API_PREFIX}/config/%E0%A4 HTTP/1.1\r\nConnection: close\r\n${credentials()}\r\n`,
      'RUTA_DESCONOCIDA',
    ],
    [
      'a path past its limit',
      () => `GET ${API_PREFIX}/config/${'a'.repeat(400)} HTTP/1.1\r\nConnection: close\r\n${credentials()}\r\n`,
      'RUTA_DESCONOCIDA',
    ],
    [
      'a path that climbs',
      () => `GET ${API_PREFIX}/config/../../../etc/passwd HTTP/1.1\r\nConnection: close\r\n${credentials()}\r\n`,
      'RUTA_DESCONOCIDA',
    ],
    [
      'a tenant that climbs',
      () => `GET ${API_PREFIX}/config/..%2facme-001 HTTP/1.1\r\nConnection: close\r\n${credentials()}\r\n`,
      'NO_AUTORIZADO',
    ],
    [
      'a tenant with a NUL',
      () => `GET ${API_PREFIX}/config/acme-001%00 HTTP/1.1\r\nConnection: close\r\n${credentials()}\r\n`,
      'NO_AUTORIZADO',
    ],
    [
      'two tenants in the header',
      () =>
        `GET ${API_PREFIX}/config/acme-001 HTTP/1.1\r\nConnection: close\r\nX-Tenant-Id: otro\r\n${credentials()}\r\n`,
      'NO_AUTORIZADO',
    ],
    [
      'an upload that is no name',
      () => `GET ${API_PREFIX}/uploads/acme-001/..%2f..%2fx HTTP/1.1\r\nConnection: close\r\n${credentials()}\r\n`,
      'CUERPO_INVALIDO',
    ],
    [
      'a chunk of a negative number',
      () =>
        `PUT ${API_PREFIX}/uploads/acme-001/${'0'.repeat(32)}/chunks/-1 HTTP/1.1\r\nConnection: close\r\n${credentials()}\r\n`,
      'CUERPO_INVALIDO',
    ],
  ])('%s is answered with its code', async (_what, request, code) => {
    const answer = await converse(request());
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect(answer).toContain('application/problem+json');
    expect(answer).toContain(`"code":"${code}"`);
  });

  test.each([
    ['an upload', () => UPLOAD.slice(1), 'Content-Type: application/x-ndjson'],
    ['logs', () => 'logs/acme-001', 'Content-Type: application/json'],
  ])('%s whose body stops is cut, and holds no connection to PostgreSQL', async (_what, path, type) => {
    const answer = await converse(
      `POST ${API_PREFIX}/${path()} HTTP/1.1\r\n${credentials()}${type}\r\nContent-Length: 100\r\n\r\n{`,
    );
    expect(answer).toContain('"code":"CUERPO_CORTADO"');
    await expect.poll(countBusy).toBe(0);
  });

  test.each([
    ['an upload', () => UPLOAD.slice(1), 'Content-Type: application/x-ndjson'],
    ['logs', () => 'logs/acme-001', 'Content-Type: application/json'],
  ])('%s whose body comes byte by byte is cut', async (_what, path, type) => {
    const head = `POST ${API_PREFIX}/${path()} HTTP/1.1\r\n${credentials()}${type}\r\nContent-Length: 1000\r\n\r\n`;
    const answer = await converse(head, ...Array.from({ length: 60 }, () => ' '));
    expect(answer).toContain('"code":"CUERPO_CORTADO"');
    await expect.poll(countBusy).toBe(0);
  });

  test('a length that promises more than comes is a body cut short, and changes nothing', async () => {
    const socket = open();
    socket.write(
      `POST ${API_PREFIX}${UPLOAD} HTTP/1.1\r\n${credentials()}Content-Type: application/x-ndjson\r\nContent-Length: 100\r\n\r\n{"id":1}\n`,
    );
    await sleep(200);
    socket.destroy();
    await expect.poll(countBusy).toBe(0);
    expect((await server.sql.query('SELECT FROM parametros_maestros')).rowCount).toBe(0);
  });

  test.each(['1.5', '0x1', '1e0', '01', '%201', '-1', '+1', '100001', '1000000', 'NaN'])(
    'the chunk number %s is refused, not read as another',
    async (n) => {
      const body = new Uint8Array(gzipSync('{"id":1}'));
      const headers = { 'content-type': 'application/gzip', 'content-digest': formatContentDigest(digestOf(body)) };
      const response = await server.call(`/uploads/acme-001/${'0'.repeat(32)}/chunks/${n}`, {
        method: 'PUT',
        headers,
        body,
      });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ code: 'CUERPO_INVALIDO', campo: 'n' });
    },
  );

  test('past HTTP_CONNECTIONS_MAX a socket is closed at once, and the others are served', async () => {
    const response = await server.call('/config/acme-001');
    await response.text();
    const sockets = Array.from({ length: 400 }, open);
    const closed = sockets.map((socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())));
    const gone = () => sockets.filter((socket) => socket.destroyed || socket.closed).length;
    await expect.poll(gone, { timeout: 20_000 }).toBeGreaterThanOrEqual(200);
    for (const socket of sockets) socket.destroy();
    await Promise.all(closed);
    expect((await server.call('/config/acme-001')).status).toBe(200);
  });
});

test('a row of 1 GB, sent as it is, is refused in bounded memory', async () => {
  const { url, child } = await startServerProcess({
    DATABASE_URL: server.databaseUrl,
    LOG_LEVEL: 'info',
    LINE_MAX_BYTES: '8000000',
  });
  const rss = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))![1]) / 1024;
  try {
    const before = rss();
    const piece = new Uint8Array(MEGABYTE).fill(0x78);
    let sent = 0;
    const response = await fetch(`${url}${API_PREFIX}${UPLOAD}`, {
      method: 'POST',
      headers: { ...ndjson, 'x-tenant-id': server.tenant, 'x-api-key': server.key },
      body: new ReadableStream({
        pull(controller) {
          controller.enqueue(sent === 0 ? new TextEncoder().encode('{"id":"') : piece);
          sent += 1;
          if (sent === 1024) controller.close();
        },
      }),
      duplex: 'half',
    } as RequestInit);
    expect(await response.json()).toMatchObject({ code: 'DEMASIADO_GRANDE', linea: 1 });
    expect(sent).toBeLessThan(1024);
    expect(rss() - before).toBeLessThan(120);
  } finally {
    child.kill('SIGTERM');
  }
});
