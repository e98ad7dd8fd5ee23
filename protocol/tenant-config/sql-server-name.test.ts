import { expect, test } from 'vitest';
import { describeServer, parseLogin, parseServerName, SqlServerNameError } from './sql-server-name.ts';

test.each([
  ['SRV', 1433, { host: 'SRV', port: 1433 }],
  ['192.168.1.100', 14330, { host: '192.168.1.100', port: 14330 }],
  ['SRV\\ERP', 1433, { host: 'SRV', instance: 'ERP' }],
  ['srv.empresa.local\\SQL_2019$', 1433, { host: 'srv.empresa.local', instance: 'SQL_2019$' }],
  ['.\\SQLEXPRESS', 1433, { host: 'localhost', instance: 'SQLEXPRESS' }],
  ['(local)', 1433, { host: 'localhost', port: 1433 }],
  ['SRV,51433', 1433, { host: 'SRV', port: 51433 }],
  ['SRV, 51433', 51433, { host: 'SRV', port: 51433 }],
  ['tcp:SRV,1433', 1433, { host: 'SRV', port: 1433 }],
  ['fe80::1', 1433, { host: 'fe80::1', port: 1433 }],
  ['::1,51433', 1433, { host: '::1', port: 51433 }],
])('%s and port %d are %o', (host, port, address) => {
  expect(parseServerName(host, port)).toEqual(address);
});

test.each([
  ['SRV\\ERP', 14330, /una instancia, y además hay un puerto \(14330\): quite uno/],
  ['SRV\\ERP,51433', 1433, /una instancia, y además hay un puerto \(51433\): quite uno/],
  ['SRV,51433', 14330, /otro puerto \(14330\)/],
  ['SRV:1433', 1433, /detrás de una coma/],
  ['SRV,0', 1433, /de 1 a 65535/],
  ['SRV,65536', 1433, /de 1 a 65535/],
  ['SRV,', 1433, /de 1 a 65535/],
  ['SRV\\', 1433, /nombre de una instancia/],
  ['SRV\\ERP;tcp', 1433, /nombre de una instancia/],
  ['\\\\SRV\\ERP', 1433, /como mucho una «\\»/],
  ['', 1433, /falta/],
  ['\\ERP', 1433, /falta/],
  ['np:SRV', 1433, /solo por TCP/],
])('%s and port %d are refused with the rule', (host, port, rule) => {
  expect(() => parseServerName(host, port)).toThrow(SqlServerNameError);
  expect(() => parseServerName(host, port)).toThrow(rule);
});

test.each([
  ['sync_user', { user: 'sync_user' }],
  ['sync@empresa', { user: 'sync@empresa' }],
  ['EMPRESA\\svc.sync', { domain: 'EMPRESA', user: 'svc.sync' }],
  ['empresa.local\\Ana', { domain: 'empresa.local', user: 'Ana' }],
])('the user %s is %o', (text, login) => {
  expect(parseLogin(text)).toEqual(login);
});

test.each([
  ['\\ana', /DOMINIO\\usuario/],
  ['EMPRESA\\', /DOMINIO\\usuario/],
  ['EMPRESA\\\\ana', /DOMINIO\\usuario/],
  ['.\\ana', /nombre del equipo/],
])('the user %s is refused with the rule', (text, rule) => {
  expect(() => parseLogin(text)).toThrow(rule);
});

test('a server is shown as it was written, with the port that stands beside it', () => {
  expect(['SRV', 'SRV\\ERP', 'SRV,51433'].map((host) => describeServer(host, 1433))).toEqual([
    'SRV:1433',
    'SRV\\ERP',
    'SRV,51433',
  ]);
});
