import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { type ConnectProxy, startConnectProxy } from '../../fixtures/connect-proxy.ts';
import { parseMachineSettings, parseUserSettings } from '../config/proxy.ts';
import { retryPolicy } from '../errors/retry.ts';
import { Backend } from './backend.ts';
import { chooseProxy, type HttpProxy } from './proxy.ts';

const settings = (excepciones: string[] = [], https = 'http://proxy.example:8080') => ({
  ...{ origen: 'HTTPS_PROXY', https, http: 'otro.example:3128', excepciones },
});

test('each scheme has its proxy; its name holds no password', () => {
  const given = settings([], 'http://ana:cl%40ve@proxy.example:8080');
  expect(chooseProxy('https://backend.example', given)).toEqual({
    url: 'http://ana:cl%40ve@proxy.example:8080/',
    name: 'http://proxy.example:8080 (HTTPS_PROXY)',
  });
  expect(chooseProxy('http://backend.example', given)?.url).toBe('http://otro.example:3128/');
  expect(chooseProxy('https://backend.example', undefined)).toBeUndefined();
});

test('what is not an HTTP proxy is refused, and not repeated, for it may hold a password', () => {
  for (const wrong of ['socks5://ana:secreta@proxy.example', 'http://ana:secreta@:x']) {
    const choose = () => chooseProxy('https://backend.example', settings([], wrong));
    expect(choose).toThrow(/El proxy de HTTPS_PROXY no se entiende/);
    expect(choose).not.toThrow(/secreta/);
    expect(choose).toThrow(expect.objectContaining({ code: 'PROXY_INVALIDO' }));
  }
});

test.each([
  ['backend.example', true],
  ['BACKEND.example', true],
  ['example', true],
  ['.example', true],
  ['*.example', true],
  ['*', true],
  ['backend.example:8443', true],
  ['back*', true],
  ['backend.example:443', false],
  ['ckend.example', false],
  ['backend', false],
  ['backendxexample', false],
  ['<local>', false],
  ['', false],
])('an exception «%s» holds for backend.example:8443: %s', (rule, direct) => {
  const found = chooseProxy('https://backend.example:8443/x', settings(['nada.example', rule]));
  expect(found === undefined).toBe(direct);
});

test('exceptions by address, and for names without a dot', () => {
  expect(chooseProxy('https://10.1.2.3', settings(['10.*']))).toBeUndefined();
  expect(chooseProxy('https://110.1.2.3', settings(['10.*']))).toBeDefined();
  expect(chooseProxy('https://servidor', settings(['<local>']))).toBeUndefined();
});

// What `reg query` prints on Windows, the values as its dialogs write them.
const user = (lines: string[]) =>
  ['', 'HKEY_CURRENT_USER\\Software\\Microsoft\\Windows\\CurrentVersion\\Internet Settings', ...lines, ''].join('\r\n');

test("Windows' settings of the user", () => {
  const on = '    ProxyEnable    REG_DWORD    0x1';
  const server = '    ProxyServer    REG_SZ    proxy.example:8080';
  const override = '    ProxyOverride    REG_SZ    *.local;10.*;<local>';
  expect(parseUserSettings(user([on, server, override]))).toEqual({
    ...{ origen: 'Windows, usuario', https: 'proxy.example:8080', http: 'proxy.example:8080' },
    excepciones: ['*.local', '10.*', '<local>'],
  });
  expect(parseUserSettings(user(['    ProxyEnable    REG_DWORD    0x0', server]))).toBeUndefined();
  const each = '    ProxyServer    REG_SZ    http=uno.example:80;https=dos.example:81;ftp=tres.example:82';
  expect(parseUserSettings(user([on, each]))).toMatchObject({ https: 'dos.example:81', http: 'uno.example:80' });
  expect(parseUserSettings('')).toBeUndefined();
});

test("Windows' settings of the machine, as `netsh winhttp set proxy` stores them", () => {
  const text = (value: string) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(value.length);
    return length.toString('hex') + Buffer.from(value, 'latin1').toString('hex');
  };
  const reg = (hex: string) => `\r\n    WinHttpSettings    REG_BINARY    ${hex.toUpperCase()}\r\n`;
  const proxy = `180000000000000003000000${text('proxy.example:8080')}${text('*.local;<local>')}`;
  expect(parseMachineSettings(reg(proxy))).toMatchObject({
    ...{ origen: 'Windows, equipo', https: 'proxy.example:8080', excepciones: ['*.local', '<local>'] },
  });
  // Direct access, as Windows is installed.
  expect(parseMachineSettings(reg('1800000000000000010000000000000000000000'))).toBeUndefined();
  expect(parseMachineSettings(reg(proxy.slice(0, 40)))).toBeUndefined();
  expect(parseMachineSettings('')).toBeUndefined();
});

let server: Server | undefined;
let proxy: ConnectProxy | undefined;
afterEach(async () => {
  await proxy?.close();
  server?.closeAllConnections();
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  server = undefined;
});

const never = new AbortController().signal;
const once = { ...retryPolicy, attempts: 1 };
const backendVia = (url: string, through: HttpProxy) =>
  new Backend({ url, tenant: 'acme', key: 'k', retryPolicy: once, proxy: through });

test('requests go through the proxy with its password; a refusal says that it is the proxy', async () => {
  server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"success":true,"status":"ok"}');
  });
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  proxy = await startConnectProxy({ login: 'ana:cl@ve' });
  const name = `${proxy.url} (HTTPS_PROXY)`;
  const withLogin = { url: proxy.url.replace('//', '//ana:cl%40ve@'), name };
  await backendVia(url, withLogin).checkHealth(never);
  expect(proxy.requests).toEqual([`GET ${url}/api/sync/health`]);

  const refused = backendVia(url, { url: proxy.url, name }).checkHealth(never);
  await expect(refused).rejects.toMatchObject({
    code: 'PROXY_PIDE_USUARIO',
    message: expect.stringMatching(/proxy http:\/\/127\.0\.0\.1:\d+ \(HTTPS_PROXY\) pide usuario y contraseña/),
  });
  const tunnel = backendVia(url.replace('http:', 'https:'), { url: proxy.url, name }).checkHealth(never);
  await expect(tunnel).rejects.toThrow(/por el proxy http:\/\/127\.0\.0\.1:\d+ \(HTTPS_PROXY\): pide usuario/);
  const nobody = backendVia(url, { url: 'http://127.0.0.1:1', name: 'http://127.0.0.1:1 (Windows, equipo)' });
  await expect(nobody.checkHealth(never)).rejects.toThrow(/por el proxy http:\/\/127\.0\.0\.1:1 \(Windows, equipo\)/);
});
