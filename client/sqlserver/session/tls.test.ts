import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { makeCertificate } from '../../../fixtures/certificate.ts';
import { type RunningSqlServer, startSqlServer } from '../../../fixtures/sqlserver/server.ts';
import { createEngine } from '../../../fixtures/sqlserver/tsql/engine.ts';
import { type SqlServerSettings, withSqlServer } from '../sql-server.ts';

/** Whom the agent believes to be SQL Server. */

let sqlServer: RunningSqlServer;
let engine: Awaited<ReturnType<typeof createEngine>>;
let own: { key: string; cert: string };
beforeAll(async () => {
  own = await makeCertificate('sql.empresa.local');
  engine = await createEngine({ postgresUrl: inject('postgresUrl'), databases: ['EmpresaDB'] });
  sqlServer = await startSqlServer({ engine, logins: { u: 'Clave_9' }, certificate: own });
});
afterAll(async () => {
  await sqlServer?.stop();
  await engine?.close();
});

const connect = (settings: Partial<SqlServerSettings>) =>
  withSqlServer(
    { host: '127.0.0.1', port: sqlServer.port, database: 'EmpresaDB', user: 'u', password: 'Clave_9', ...settings },
    { signal: new AbortController().signal },
    (db) => db.query('SELECT 1 AS uno'),
  );

test('TLS is the default, and a certificate that nobody known signed is refused', async () => {
  await expect(connect({})).rejects.toMatchObject({ code: 'CIFRADO' });
});

test('with its authority and its name the certificate is accepted', async () => {
  expect(await connect({ ca: own.cert, certificateName: 'sql.empresa.local' })).toEqual([{ uno: 1 }]);
});

test('of another authority or another name it is refused', async () => {
  const other = await makeCertificate('sql.empresa.local');
  await expect(connect({ ca: other.cert, certificateName: 'sql.empresa.local' })).rejects.toMatchObject({
    code: 'CIFRADO',
  });
  await expect(connect({ ca: own.cert, certificateName: 'otro.empresa.local' })).rejects.toMatchObject({
    code: 'CIFRADO',
  });
});

test('unchecked it is accepted where that was asked for', async () => {
  expect(await connect({ trustServerCertificate: true })).toEqual([{ uno: 1 }]);
});
