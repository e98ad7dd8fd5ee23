import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { makeCertificate } from '../../../fixtures/certificate.ts';
import {
  type Instance,
  makeLoopbackAddress,
  type RunningBrowser,
  startSqlBrowser,
} from '../../../fixtures/sqlserver/browser.ts';
import { type RunningSqlServer, startSqlServer } from '../../../fixtures/sqlserver/server.ts';
import { createEngine } from '../../../fixtures/sqlserver/tsql/engine.ts';
import { defined } from '../../../protocol/defined.ts';
import { type SqlServer, SqlServerError, type SqlServerSettings, withSqlServer } from '../sql-server.ts';
import { findInstancePort } from './instance.ts';

/** Named instances and Windows logins, against SQL Server Browser and NTLM as the stand-in has them. */

const LOGINS = { sync_user: 'Clave_9', 'EMPRESA\\svc.sync': 'Contraseña ñ 9' };
const signal = new AbortController().signal;
let host: string;
let engine: Awaited<ReturnType<typeof createEngine>>;
let sqlServer: RunningSqlServer;
let browser: RunningBrowser | undefined;

beforeAll(async () => {
  engine = await createEngine({ postgresUrl: inject('postgresUrl'), databases: ['EmpresaDB'] });
});
afterAll(() => engine?.close());
beforeEach(async () => {
  host = makeLoopbackAddress();
  sqlServer = await startSqlServer({ engine, host, logins: LOGINS });
});
afterEach(async () => {
  await browser?.stop();
  browser = undefined;
  await sqlServer?.stop();
});

async function startBrowser(instances: Instance[], answers?: (request: number) => boolean): Promise<RunningBrowser> {
  browser = await startSqlBrowser({ host, instances, ...defined({ answers }) });
  return browser;
}

function connect<T>(settings: Partial<SqlServerSettings>, use: (db: SqlServer) => Promise<T>): Promise<T> {
  const own = { host: `${host}\\ERP`, port: 1433, database: 'EmpresaDB', user: 'sync_user', password: 'Clave_9' };
  return withSqlServer({ ...own, trustServerCertificate: true, ...settings }, { signal }, use);
}

async function failureOf(promise: Promise<unknown>): Promise<SqlServerError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SqlServerError);
  return error as SqlServerError;
}

const one = (db: SqlServer) => db.query('SELECT 1 AS uno');

test('an instance is found by its name, whatever its case, among several', async () => {
  const running = await startBrowser([
    { name: 'OTRA', port: 1 },
    { name: 'erp', port: sqlServer.port },
    { name: 'SIN_TCP' },
  ]);
  expect(await connect({}, one)).toEqual([{ uno: 1 }]);
  expect(running.requests.map((request) => request.toString('hex'))).toEqual(['03']);
});

test('a server with its port behind a comma is reached without SQL Server Browser', async () => {
  expect(await connect({ host: `${host},${sqlServer.port}` }, one)).toEqual([{ uno: 1 }]);
});

test('an unknown instance is refused, and the error names those that there are', async () => {
  await startBrowser([{ name: 'CONTABILIDAD', port: 1 }, { name: 'VENTAS' }]);
  const error = await failureOf(connect({}, one));
  expect(error).toMatchObject({ code: 'INSTANCIA_DESCONOCIDA', retryable: true });
  expect(error.message).toContain('«ERP»');
  expect(error.message).toContain('hay: CONTABILIDAD, VENTAS.');
});

test('an instance without TCP/IP is refused with what to enable', async () => {
  await startBrowser([{ name: 'ERP' }]);
  const error = await failureOf(connect({}, one));
  expect(error).toMatchObject({ code: 'INSTANCIA_SIN_TCP', retryable: false });
  expect(error.action).toMatch(/Habilite TCP\/IP/);
});

test('questions and answers that are lost are asked for again', async () => {
  const running = await startBrowser([{ name: 'ERP', port: sqlServer.port }], (request) => request === 2);
  expect(await findInstancePort({ host, instance: 'ERP' }, { signal, timeoutMs: 10_000 })).toBe(sqlServer.port);
  expect(running.requests).toHaveLength(3);
});

test('a browser that is silent, or is not there, is given up in time, with what to do', async () => {
  for (const answers of [() => false, undefined]) {
    if (answers !== undefined) await startBrowser([], answers);
    const start = performance.now();
    const error = await failureOf(connect({ connectTimeoutMs: 1500 }, one));
    expect(performance.now() - start).toBeLessThan(4000);
    expect(error).toMatchObject({ code: 'INSTANCIA_SIN_RESPUESTA', retryable: true });
    expect(error.action).toMatch(/servicio SQL Server Browser y abra UDP 1434, o indique el puerto/);
    await browser?.stop();
    browser = undefined;
  }
});

test('without a shorter limit it is given up after five questions', async () => {
  const running = await startBrowser([], () => false);
  await failureOf(findInstancePort({ host, instance: 'ERP' }, { signal, timeoutMs: 60_000 }));
  expect(running.requests).toHaveLength(5);
});

test('waiting for a silent browser is aborted at once, with the reason', async () => {
  await startBrowser([], () => false);
  const stop = new AbortController();
  const reason = new Error('Ctrl-C');
  setTimeout(() => stop.abort(reason), 50);
  const start = performance.now();
  const settings = { host: `${host}\\ERP`, port: 1433, database: 'EmpresaDB', user: 'sync_user', password: 'Clave_9' };
  await expect(withSqlServer(settings, { signal: stop.signal }, one)).rejects.toBe(reason);
  expect(performance.now() - start).toBeLessThan(900);
});

test('a server whose name is unknown is told as such', async () => {
  const error = await failureOf(connect({ host: 'no-existe.invalid\\ERP' }, one));
  expect(error).toMatchObject({ code: 'CONEXION', retryable: true });
  expect(error.message).toContain('no-existe.invalid\\ERP, base EmpresaDB');
  expect(error.message).toMatch(/ENOTFOUND|EAI_AGAIN/);
});

test('the port that a browser answers is believed no more than its certificate', async () => {
  await startBrowser([{ name: 'ERP', port: sqlServer.port }]);
  const error = await failureOf(connect({ trustServerCertificate: false }, one));
  expect(error.code).toBe('CIFRADO');
  const { cert } = await makeCertificate(host);
  expect((await failureOf(connect({ trustServerCertificate: false, ca: cert }, one))).code).toBe('CIFRADO');
});

const WINDOWS = { user: 'EMPRESA\\svc.sync', password: 'Contraseña ñ 9' };

test.each([true, false])(
  'a Windows login gets in by NTLM, and its rows go through the transcoder (TLS: %s)',
  async (encrypt) => {
    await startBrowser([{ name: 'ERP', port: sqlServer.port }]);
    const lines = await connect({ ...WINDOWS, encrypt }, async (db) => {
      let text = '';
      const sql = 'SELECT CAST(12345678901234567.89 AS DECIMAL(19,2)) AS importe';
      for await (const block of db.readRows(sql, { signal })) text += Buffer.from(block.bytes).toString();
      return text;
    });
    expect(lines).toBe('{"importe":12345678901234567.89}\n');
  },
);

test.each([
  ['a wrong password', { password: 'otra' }],
  ['an unknown domain', { user: 'OTRA\\svc.sync' }],
  ['an unknown account', { user: 'EMPRESA\\nadie' }],
])('a Windows login with %s is refused as CREDENCIALES', async (_what, change) => {
  await startBrowser([{ name: 'ERP', port: sqlServer.port }]);
  const error = await failureOf(connect({ ...WINDOWS, ...change }, one));
  expect(error).toMatchObject({ code: 'CREDENCIALES', number: 18452, retryable: false });
  expect(error.message).toContain(`${host}\\ERP, base EmpresaDB`);
  expect(error.action).toMatch(/Si es DOMINIO.usuario, son los de Windows/);
  expect(error.message).not.toContain(WINDOWS.password);
});

test('a host or a user that cannot be read is refused before anything is sent', async () => {
  await startBrowser([{ name: 'ERP', port: sqlServer.port }]);
  await expect(connect({ port: 14330 }, one)).rejects.toThrow(/una instancia, y además hay un puerto/);
  await expect(connect({ user: '.\\ana' }, one)).rejects.toThrow(/nombre del equipo/);
  expect(browser?.requests).toEqual([]);
});
