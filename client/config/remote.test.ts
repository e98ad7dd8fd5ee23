import { expect, test } from 'vitest';
import { makeAgentKeyPair, sealForAgent } from '../../protocol/crypto/agent-key.ts';
import type { ConfigResponse } from '../../protocol/tenant-config/config.ts';
import { assertValidConfig, sqlServerEndpoints, sqlServerSettings, untouched } from './remote.ts';

const config: ConfigResponse = {
  success: true,
  id: 'c1',
  tenantId: 'acme',
  sqlServerHost: '192.168.1.100',
  sqlServerPort: 1433,
  sqlServerDatabase: 'EmpresaDB',
  sqlServerUser: 'sync_user',
  sqlServerPassword: 'una',
  configuracionTablas: {},
  version: 1,
  ultimaModificacion: '2024-01-15T10:30:00Z',
};
const local = { url: 'https://a', tenant: 'acme', key: 'k' };

test("what init was given wins over the backend's SQL Server data, field by field", () => {
  const own = { port: 14330, password: 'otra', encrypt: false, trustServerCertificate: true };
  expect(sqlServerSettings({ ...local, sqlServer: own }, config)).toEqual({
    host: '192.168.1.100',
    port: 14330,
    database: 'EmpresaDB',
    user: 'sync_user',
    password: 'otra',
    encrypt: false,
    trustServerCertificate: true,
  });
});

test('the port of the backend is not that of another server that brings its own', () => {
  const own = { encrypt: true, trustServerCertificate: false };
  const backend = { ...config, sqlServerPort: 14330 };
  const endpointOf = (given: object, from = backend) =>
    sqlServerEndpoints({ ...local, sqlServer: { ...own, ...given } }, from).get(undefined);
  expect(endpointOf({ host: 'OTRO\\ERP' })).toMatchObject({ host: 'OTRO\\ERP', port: 1433 });
  expect(endpointOf({ host: 'OTRO' })).toMatchObject({ host: 'OTRO', port: 14330 });
  expect(endpointOf({}, { ...config, sqlServerHost: 'SRV\\ERP' })).toMatchObject({ host: 'SRV\\ERP', port: 1433 });
});

test('an instance and a port of another place, or half a Windows account, is refused with what to write', () => {
  const own = { encrypt: true, trustServerCertificate: false };
  const check = (given: object, backend: Partial<ConfigResponse>) => () =>
    sqlServerEndpoints({ ...local, sqlServer: { ...own, ...given } }, { ...config, ...backend });
  for (const wrong of [
    check({}, { sqlServerHost: 'SRV\\ERP', sqlServerPort: 14330 }),
    check({ port: 1433 }, { sqlServerHost: 'SRV\\ERP' }),
    check({ port: 1433, host: 'SRV,51433' }, {}),
    check({ user: '.\\ana' }, {}),
  ]) {
    expect(wrong).toThrow(expect.objectContaining({ code: 'SERVIDOR_SQL_INVALIDO', kind: 'configuracion' }));
  }
});

test('a connection with a name is as the backend and connection set say; TLS is checked unless this machine was told otherwise', () => {
  const told = { host: 'sql2', database: 'Almacen', user: 'u', password: 'p' };
  const withTwo = { ...config, sqlServerConexiones: { almacen: told, sede: { ...told, host: 'sql3', port: 1500 } } };
  const own = { sede: { password: 'mia', encrypt: true, trustServerCertificate: true } };
  const all = { ...local, sqlServer: untouched, conexiones: own };
  expect(sqlServerSettings(all, withTwo, 'almacen')).toEqual({
    ...{ ...told, port: 1433, encrypt: true, trustServerCertificate: false },
  });
  expect(sqlServerSettings(all, withTwo, 'sede')).toMatchObject({
    ...{ host: 'sql3', port: 1500, password: 'mia', trustServerCertificate: true },
  });
  expect([...sqlServerEndpoints(all, withTwo).keys()]).toEqual([undefined, 'almacen', 'sede']);
  expect(() => sqlServerSettings(all, withTwo, 'almacén')).toThrow(/«almacén» no está en la configuración/);
  expect(() => sqlServerSettings(all, withTwo, 'constructor')).toThrow(
    expect.objectContaining({
      code: 'CONEXION_DESCONOCIDA',
      action: expect.stringMatching(/^Las que hay: almacen, sede\./),
    }),
  );
  const { password: _, ...unlocked } = told;
  const without = { ...config, sqlServerConexiones: { almacen: unlocked } };
  expect(() => sqlServerSettings(all, without, 'almacen')).toThrow(
    expect.objectContaining({ code: 'CONEXION_SIN_CONTRASENA' }),
  );
});

test('the password of a connection opens in its own place alone', () => {
  const agentKey = makeAgentKeyPair();
  const password = sealForAgent(agentKey.publica, 'acme/almacen', 'secreta');
  const told = { host: 'sql2', database: 'Almacen', user: 'u', password };
  const both = { ...config, sqlServerConexiones: { almacen: told, sede: told } };
  const all = { ...local, sqlServer: untouched, agentKey };
  expect(sqlServerSettings(all, both, 'almacen').password).toBe('secreta');
  expect(() => sqlServerSettings(all, both, 'sede')).toThrow(/conexión «sede» .* sellada para otro agente/);
});

test('an invalid configuration is refused with every field that is wrong', () => {
  assertValidConfig(config);
  const broken = { tablasSubida: [{ nombre: 'v' }, { nombre: 'w', process: { query: '' }, otro: 1 }] };
  const check = () => assertValidConfig({ ...config, configuracionTablas: broken as never });
  expect(check).toThrow(/tablasSubida\[0\]\.process = \(falta\): es obligatorio/);
  expect(check).toThrow(/tablasSubida\[1\]\.otro/);
  expect(check).toThrow(expect.objectContaining({ code: 'TABLAS_INVALIDAS' }));
});

test('a password that is sealed for another agent is not taken for a password', () => {
  const sealed = sealForAgent(makeAgentKeyPair().publica, 'acme', 'Clave_SQL_9');
  const other = { ...local, agentKey: makeAgentKeyPair(), sqlServer: { encrypt: true, trustServerCertificate: false } };
  expect(() => sqlServerSettings(other, { ...config, sqlServerPassword: sealed })).toThrow(
    expect.objectContaining({ code: 'CONTRASENA_SQL_AJENA' }),
  );
});
