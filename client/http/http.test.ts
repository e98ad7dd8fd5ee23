import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, expect, test } from 'vitest';
import { startFaultProxy } from '../../fixtures/chaos/proxy.ts';
import { SyncError } from '../../protocol/errors.ts';
import { type RetryPolicy, withRetries } from '../errors/retry.ts';
import { Backend } from './backend.ts';
import { BackendError, backendError } from './backend-error.ts';
import { exchangeJson, exchangeStream } from './client.ts';
import { normaliseUrl } from './requests.ts';

const servers: Server[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

async function serve(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(handler);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const never = new AbortController().signal;
const fast: RetryPolicy = { attempts: 4, firstDelayMs: 1, maxDelayMs: 5, maxTotalMs: 60_000, maxRetryAfterMs: 5000 };
const backendAt = (url: string, policy = fast) => new Backend({ url, tenant: 'acme', key: 'k', retryPolicy: policy });

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => expect.unreachable('it should have failed'),
    (error: unknown) => error,
  );
}

function answerProblem(response: ServerResponse, status: number, code: string, extra = {}, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/problem+json', ...headers });
  response.end(JSON.stringify({ code, status, detail: `detalle ${code}`, success: false, ...extra }));
}

test('a busy backend is asked again, not before Retry-After, and then answers', async () => {
  const at: number[] = [];
  const url = await serve((_, response) => {
    at.push(performance.now());
    if (at.length < 3) return answerProblem(response, 503, 'OCUPADO', {}, { 'retry-after': '1' });
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"success":true,"status":"ok"}');
  });
  await backendAt(url).checkHealth(never);
  expect(at).toHaveLength(3);
  expect(at[1]! - at[0]!).toBeGreaterThanOrEqual(990);
});

test('every request, and every attempt, names the trace of the run, as W3C Trace Context has it', async () => {
  const heard: unknown[] = [];
  const url = await serve((request, response) => {
    heard.push(request.headers.traceparent);
    if (heard.length === 1) return answerProblem(response, 503, 'OCUPADO');
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"success":true,"status":"ok"}');
  });
  for (const backend of [backendAt(url), backendAt(url)]) await backend.checkHealth(never);
  expect(heard).toHaveLength(3);
  expect(heard[0]).toMatch(/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-01$/);
  expect(new Set(heard).size).toBe(1);
});

test.each([408, 425, 429, 500, 502, 503, 504])('%i is asked again, whoever answered it', async (status) => {
  let count = 0;
  const url = await serve((_, response) => {
    if (++count === 1) response.writeHead(status, { 'content-type': 'text/html' }).end('<p>proxy</p>');
    else response.writeHead(200, { 'content-type': 'application/json' }).end('{"success":true,"status":"ok"}');
  });
  await backendAt(url).checkHealth(never);
  expect(count).toBe(2);
});

test('a Retry-After longer than the policy has patience for ends the attempts', async () => {
  let count = 0;
  const url = await serve((_, response) => {
    count++;
    answerProblem(response, 503, 'OCUPADO', { reintentarEn: 3600 });
  });
  expect(await failureOf(backendAt(url).checkHealth(never))).toBeInstanceOf(SyncError);
  expect(count).toBe(1);
});

test('no attempt begins after the time that the policy gives in all', async () => {
  let attempts = 0;
  const policy = { ...fast, attempts: 1000, firstDelayMs: 20, maxDelayMs: 20, maxTotalMs: 150 };
  const run = () => {
    attempts++;
    return Promise.reject(backendError('BACKEND_SIN_RESPUESTA', { url: 'x', motivo: 'caído' }));
  };
  const startedAt = performance.now();
  await failureOf(withRetries(run, { signal: never, policy }));
  expect(performance.now() - startedAt).toBeLessThan(400);
  expect(attempts).toBeGreaterThan(2);
});

test('refused credentials are one attempt and the error of the table', async () => {
  let count = 0;
  const url = await serve((_, response) => {
    count++;
    answerProblem(response, 401, 'NO_AUTORIZADO');
  });
  const error = (await failureOf(backendAt(url).fetchConfig(undefined, never))) as SyncError;
  expect(error).toBeInstanceOf(SyncError);
  expect([error.code, error.detail, count]).toEqual(['NO_AUTORIZADO', 'detalle NO_AUTORIZADO', 1]);
});

test('nobody listens: a bounded number of attempts and a sentence', async () => {
  const url = await serve(() => {});
  const [server] = servers.splice(0);
  await new Promise((resolve) => server!.close(resolve));
  let attempts = 0;
  const run = () =>
    withRetries(
      () => {
        attempts++;
        return exchangeJson({ method: 'GET', url, timeoutMs: 1000, signal: never });
      },
      { signal: never, policy: fast },
    );
  const error = (await failureOf(run())) as BackendError;
  expect(error).toBeInstanceOf(BackendError);
  expect(error.code).toBe('BACKEND_INALCANZABLE');
  expect(error.message).toContain('la conexión fue rechazada');
  expect(attempts).toBe(4);
});

test("a proxy's page is not taken for the backend's word", async () => {
  const url = await serve((_, response) => {
    response.writeHead(502, { 'content-type': 'text/html' }).end('<html><h1>Bad Gateway</h1></html>');
  });
  const error = (await failureOf(exchangeJson({ method: 'GET', url, timeoutMs: 1000, signal: never }))) as BackendError;
  expect(error.code).toBe('SERVICIO_CAIDO');
  expect(error.message).toContain('respondió 502 y no es una respuesta del backend: Bad Gateway');
  expect(error.retryable).toBe(true);
});

test('an answer that is not the backend of synchronisation, or has no end, is refused', async () => {
  let text = '{"hola":1}';
  const url = await serve((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(text);
  });
  expect(await failureOf(backendAt(url).checkHealth(never))).toMatchObject({ code: 'RESPUESTA_AJENA' });
  text = `"${'x'.repeat(17 * 1024 * 1024)}"`;
  expect(await failureOf(backendAt(url).checkHealth(never))).toMatchObject({
    code: 'RESPUESTA_GRANDE',
    retryable: false,
  });
});

test.each([200, 500])('an answer without an end (%i) is cut at its bound, and the line with it', async (status) => {
  let sent = 0;
  const closed = Promise.withResolvers<void>();
  const url = await serve((_, response) => {
    const piece = Buffer.alloc(64 * 1024, 'x');
    response.on('close', closed.resolve);
    response.writeHead(status, { 'content-type': 'application/json' });
    const write = () => {
      while (!response.destroyed) {
        sent += piece.length;
        if (!response.write(piece)) return void response.once('drain', write);
      }
    };
    write();
  });
  const asked = exchangeJson({ method: 'GET', url, timeoutMs: 20_000, signal: never });
  expect(await failureOf(asked)).toMatchObject({ code: 'RESPUESTA_GRANDE' });
  await closed.promise;
  // The bound, and what the two sockets hold.
  expect(sent).toBeLessThan(48 * 1024 * 1024);
});

test('a chunk has the time that it takes on a slow line', async () => {
  const url = await serve(async (request, response) => {
    let size = 0;
    for await (const piece of request) size += (piece as Buffer).length;
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ size }));
  });
  const line = await startFaultProxy({ host: '127.0.0.1', port: Number(new URL(url).port) });
  try {
    line.arm({ kind: 'slow', direction: 'subida', bytesPerSecond: 64 * 1024 });
    const request = { method: 'PUT', url: `http://127.0.0.1:${line.port}`, timeoutMs: 200, signal: never } as const;
    const { body } = await exchangeJson({ ...request, body: new Uint8Array(48 * 1024) });
    expect(body).toEqual({ size: 48 * 1024 });
    // What is small has no more time than it says.
    const small = failureOf(exchangeJson({ ...request, body: ' '.repeat(48 * 1024) }));
    expect(await small).toMatchObject({ code: 'BACKEND_SIN_RESPUESTA' });
  } finally {
    await line.close();
  }
});

test('the key does not follow a redirection', async () => {
  let leaked = false;
  const elsewhere = await serve((request, response) => {
    leaked = request.headers['x-api-key'] !== undefined;
    response.end('{}');
  });
  const url = await serve((_, response) => response.writeHead(301, { location: elsewhere }).end());
  const error = (await failureOf(backendAt(url).checkHealth(never))) as BackendError;
  expect(error.code).toBe('REDIRECCION');
  expect(error.message).toContain(`redirige a ${elsewhere}`);
  expect(leaked).toBe(false);
});

test('an answer that does not come in time is retryable', async () => {
  const url = await serve(() => {});
  const error = (await failureOf(exchangeJson({ method: 'GET', url, timeoutMs: 80, signal: never }))) as BackendError;
  expect(error.code).toBe('BACKEND_SIN_RESPUESTA');
  expect(error.message).toContain('no respondió: nada en 0.08 s');
  expect(error.retryable).toBe(true);
});

test('giving up ends a request that waits, and the wait between attempts', async () => {
  const url = await serve(() => {});
  const first = new AbortController();
  setTimeout(() => first.abort(), 50);
  const waiting = await failureOf(exchangeJson({ method: 'GET', url, timeoutMs: 60_000, signal: first.signal }));
  expect((waiting as Error).name).toBe('AbortError');

  const second = new AbortController();
  setTimeout(() => second.abort(), 50);
  const between = withRetries(
    () => Promise.reject(backendError('SERVICIO_CAIDO', { url: 'x', estado: 503, texto: 'x' }, { retryAfter: 30 })),
    {
      signal: second.signal,
      policy: { ...fast, maxRetryAfterMs: 60_000 },
    },
  );
  expect(((await failureOf(between)) as Error).name).toBe('AbortError');
});

test('a phase is not repeated when the connection breaks, for it may have run', async () => {
  let count = 0;
  const url = await serve((request) => {
    count++;
    request.socket.destroy();
  });
  const error = await failureOf(backendAt(url).runPhase({ tabla: 't', fase: 'pre_process' }, never));
  expect(error).toBeInstanceOf(BackendError);
  expect(count).toBe(1);
});

test('If-None-Match is sent and 304 means unchanged', async () => {
  const config = {
    ...{ success: true, id: 'c1', tenantId: 'acme', sqlServerHost: 'h', sqlServerPort: 1433, sqlServerDatabase: 'd' },
    ...{ sqlServerUser: 'u', sqlServerPassword: 'p', configuracionTablas: {}, version: 7, ultimaModificacion: 'x' },
  };
  const url = await serve((request, response) => {
    if (request.headers['if-none-match'] === '"7"') response.writeHead(304, { etag: '"7"' }).end();
    else response.writeHead(200, { etag: '"7"', 'content-type': 'application/json' }).end(JSON.stringify(config));
  });
  const backend = backendAt(url);
  expect(await backend.fetchConfig(undefined, never)).toMatchObject({ changed: { etag: '"7"' } });
  expect(await backend.fetchConfig('"7"', never)).toEqual({ key: { end: undefined, renew: false } });
});

test('a gzip stream is read inflated; one that is cut fails instead of ending', async () => {
  const sealed = gzipSync(Buffer.from('{"a":1}\n'.repeat(200_000)));
  let cut = false;
  const url = await serve((_, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': sealed.length });
    if (!cut) return response.end(sealed);
    response.write(sealed.subarray(0, sealed.length >> 1), () => setTimeout(() => response.destroy(), 20));
  });
  const read = async () => {
    const request = { method: 'GET', url, timeoutMs: 5000, idleTimeoutMs: 5000, signal: never } as const;
    let size = 0;
    for await (const piece of (await exchangeStream(request)).body) size += piece.length;
    return size;
  };
  expect(await read()).toBe(8 * 200_000);
  cut = true;
  const error = (await failureOf(read())) as BackendError;
  expect(error).toBeInstanceOf(BackendError);
  expect(error.retryable).toBe(true);
});

test('a stream that is idle for too long is given up', async () => {
  const url = await serve((_, response) => {
    response.writeHead(200);
    response.write('x');
  });
  const request = { method: 'GET', url, timeoutMs: 5000, idleTimeoutMs: 100, signal: never } as const;
  const { body } = await exchangeStream(request);
  const read = async () => {
    for await (const piece of body) expect(piece.length).toBe(1);
  };
  expect(((await failureOf(read())) as Error).message).toContain('no envió nada durante 0.1 s');
});

test('the address may end in / or in /api/sync', () => {
  expect(normaliseUrl('https://a.example/')).toBe('https://a.example');
  expect(normaliseUrl('https://a.example:8443/x/api/sync/')).toBe('https://a.example:8443/x');
  expect(() => normaliseUrl('ftp://a')).toThrow(TypeError);
  expect(() => normaliseUrl('backend')).toThrow(TypeError);
});
