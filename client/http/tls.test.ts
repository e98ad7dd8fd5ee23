import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { makeCertificate } from '../../fixtures/certificate.ts';
import { defined } from '../../protocol/defined.ts';
import { exchangeJson, exchangeStream } from './client.ts';

/** Whom the agent believes to be the backend: real TLS on this machine. */

let server: Server;
let own: { key: string; cert: string };
let port: number;
let asked = 0;
beforeAll(async () => {
  own = await makeCertificate('localhost');
  server = createServer(own, (_request, response) => {
    asked += 1;
    response.setHeader('content-type', 'application/json').end('{"success":true}');
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  port = (server.address() as AddressInfo).port;
});
afterAll(() => server?.close());
afterEach(() => {
  delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
});

const ask = (host: string, ca?: string) =>
  exchangeJson({
    method: 'GET',
    url: `https://${host}:${port}/`,
    timeoutMs: 10_000,
    ...defined({ ca }),
    signal: new AbortController().signal,
  });

test('a certificate that nobody known signed is refused before anything is sent, with what to do', async () => {
  asked = 0;
  await expect(ask('localhost')).rejects.toThrow(/certificado TLS .*--ca archivo\.pem/);
  const stream = {
    method: 'GET',
    url: `https://localhost:${port}/`,
    timeoutMs: 10_000,
    idleTimeoutMs: 10_000,
  } as const;
  await expect(exchangeStream({ ...stream, signal: new AbortController().signal })).rejects.toThrow(/certificado TLS/);
  expect(asked).toBe(0);
});

test('NODE_TLS_REJECT_UNAUTHORIZED=0 does not turn that off', async () => {
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  await expect(ask('localhost')).rejects.toThrow(/certificado TLS/);
});

test('with --ca the authority of that file is believed, and no other', async () => {
  expect(await ask('localhost', own.cert)).toMatchObject({ status: 200 });
  const other = await makeCertificate('localhost');
  await expect(ask('localhost', other.cert)).rejects.toThrow(/certificado TLS/);
});

test('a certificate of another name is refused', async () => {
  await expect(ask('127.0.0.1', own.cert)).rejects.toThrow(/certificado TLS es de otro nombre/);
});
