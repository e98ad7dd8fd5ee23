import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterEach, expect, test } from 'vitest';
import { Backend } from './backend.ts';
import { Bandwidth } from './bandwidth.ts';
import { exchangeJson, exchangeStream } from './client.ts';

let server: Server | undefined;
afterEach(async () => {
  server?.closeAllConnections();
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  server = undefined;
});

async function listen(handler: Parameters<typeof createServer>[1]): Promise<string> {
  server = createServer(handler);
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const never = new AbortController().signal;
/** 400 KB a second. */
const KBPS = 3200;

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return (performance.now() - startedAt) / 1000;
}

test('two chunks at a time keep to the limit together, arrive whole, and say their length', async () => {
  const seen: string[] = [];
  const url = await listen(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    seen.push(`${request.headers['content-length']} ${createHash('sha256').update(body).digest('base64')}`);
    const answer = { success: true, trozo: Number(request.url!.split('/').at(-1)), filas: 1, repetido: false };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
  const backend = new Backend({ url, tenant: 't', key: 'k', bandwidth: new Bandwidth(KBPS) });
  const chunks = [0, 1].map((n) => {
    const body = new Uint8Array(randomBytes(400_000));
    return { n, body, digest: createHash('sha256').update(body).digest('base64'), rows: 1 };
  });
  const took = await seconds(() => Promise.all(chunks.map((chunk) => backend.putChunk('u', chunk, never))));
  expect(seen.sort()).toEqual(chunks.map(({ digest }) => `400000 ${digest}`).sort());
  // 800 KB, less what may pass at once.
  expect(took).toBeGreaterThan(1.85);
});

test('a download keeps to the limit by what the line carries, not by what it inflates to', async () => {
  const random = randomBytes(200_000).toString('base64');
  const noise = gzipSync(random);
  const zeros = gzipSync(Buffer.alloc(20_000_000));
  const url = await listen((request, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(request.url === '/ruido' ? noise : zeros);
  });
  const read = async (path: string) => {
    const bandwidth = new Bandwidth(KBPS);
    const way = { bandwidth, timeoutMs: 5000, idleTimeoutMs: 5000, signal: never };
    const { body } = await exchangeStream({ method: 'GET', url: url + path, ...way });
    const parts: Uint8Array[] = [];
    for await (const part of body) parts.push(part);
    return Buffer.concat(parts);
  };
  expect(await seconds(async () => expect((await read('/ruido')).toString()).toBe(random))).toBeGreaterThan(0.4);
  expect(await seconds(async () => expect((await read('/ceros')).length).toBe(20_000_000))).toBeLessThan(5);
});

test('a compressed answer that is cut fails, and a refusal is understood', async () => {
  const sealed = gzipSync(randomBytes(300_000));
  const url = await listen((request, response) => {
    if (request.url === '/no') {
      const problem = JSON.stringify({ success: false, code: 'TABLA_DESCONOCIDA', detail: 'No hay esa tabla.' });
      response.writeHead(404, { 'content-type': 'application/problem+json', 'content-encoding': 'gzip' });
      return response.end(gzipSync(problem));
    }
    response.writeHead(200, { 'content-encoding': 'gzip' });
    response.end(sealed.subarray(0, 150_000));
  });
  const way = { bandwidth: new Bandwidth(1_000_000), timeoutMs: 5000, idleTimeoutMs: 5000, signal: never };
  const read = async () => {
    for await (const _ of (await exchangeStream({ method: 'GET', url, ...way })).body);
  };
  await expect(read()).rejects.toMatchObject({
    code: 'RESPUESTA_CORTADA',
    message: expect.stringContaining('lo comprimido llegó incompleto o dañado'),
  });
  await expect(exchangeStream({ method: 'GET', url: `${url}/no`, ...way })).rejects.toThrow('No hay esa tabla.');
});

test('giving up ends the wait; time limits give way to a slow limit', async () => {
  const url = await listen(async (request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'));
  });
  const controller = new AbortController();
  const body = new Uint8Array(1_000_000);
  const put = { method: 'PUT', url, body } as const;
  const waiting = exchangeJson({ ...put, bandwidth: new Bandwidth(64), timeoutMs: 60_000, signal: controller.signal });
  setTimeout(() => controller.abort(), 200);
  expect(await seconds(() => expect(waiting).rejects.toThrow(/abort/i))).toBeLessThan(3);

  const slow = new Uint8Array(40_000);
  const patient = exchangeJson({ ...put, body: slow, bandwidth: new Bandwidth(400), timeoutMs: 500, signal: never });
  expect(await seconds(() => patient)).toBeGreaterThan(0.6);
});
