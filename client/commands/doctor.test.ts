import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer as createPlainServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import { generate } from 'selfsigned';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { checkFolder, checkName, describeClock, judgeDisk } from '../checks/machine.ts';
import { judgePermissions } from '../checks/permissions.ts';
import { checkTls } from '../checks/tls.ts';
import { withSqlServer } from '../sqlserver/sql-server.ts';
import { startWorld, type World } from '../testing/world.ts';
import { runDoctor } from './doctor.ts';

/** `doctor` against everything for real. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  await world.execute(`CREATE TABLE productos (codigo varchar(20) NOT NULL PRIMARY KEY, fecha datetime2(7) NULL,
    cambio datetime2(7) NULL)`);
  await world.execute('CREATE INDEX IX_cambio ON productos (cambio, codigo)');
  await world.execute("INSERT INTO productos (codigo) VALUES ('a')");
});
afterAll(() => world?.close());

interface Told {
  reason: string;
  lines: string[];
  report: string;
}

const signal = new AbortController().signal;

async function doctor(): Promise<Told> {
  const lines: string[] = [];
  const reason = await runDoctor({ folder: world.folder, json: false, print: (line) => lines.push(line), signal });
  return { reason, lines, report: await world.readFile('diagnostico.txt') };
}

const subida = (nombre: string, campoFecha: string) => ({
  ...{ nombre, primaryKey: 'codigo', incremental: true, campoFecha },
  process: {
    query: `SELECT codigo, fecha, cambio, DATEADD(day, 1, fecha) AS despues FROM productos WHERE ${campoFecha} > @ultimaSync`,
  },
});
const cuentas = {
  nombre: 'cuentas',
  primaryKey: 'codigo',
  schema: { columns: [{ name: 'codigo', type: 'VARCHAR(20)', nullable: false }] },
  process: { query: 'parametros_maestros.tipo_campo=cuenta' },
};

test('everything that support would ask for, a line each, in a report without secrets; nothing is changed', async () => {
  await world.setTables({
    tablasSubida: [subida('vista_cambio', 'cambio')],
    tablasBajada: [cuentas],
    limiteKbps: 9000,
  });
  const before = (await readdir(world.folder)).filter((name) => name !== 'logs');
  const { reason, lines, report } = await doctor();
  expect(lines.filter((line) => line.startsWith('✖'))).toEqual([]);
  expect(reason).toBe('exitoso');
  const named = lines.map((line) => /^[✔⚠] ([^:]+(?::\d+)?): /.exec(line)?.[1]).filter((name) => name !== undefined);
  expect(named).toEqual([
    ...['Agente', 'Carpeta', 'Configuración local', 'Proxy', 'DNS del backend', 'TLS del backend', 'Backend'],
    ...['Credenciales y configuración', 'Reloj del backend', 'SQL del backend'],
    ...['DNS de SQL Server', 'Cifrado de SQL Server'],
    ...[`SQL Server 127.0.0.1:${world.settings.port}`, 'Versión de SQL Server', 'Reloj de SQL Server'],
    'Transacciones de SQL Server',
    ...[
      'Subida vista_cambio',
      'Cambios de vista_cambio',
      'Índices de vista_cambio',
      'Bajada cuentas',
      'Cambios de la bajada cuentas',
      'Destino cuentas',
      'Permisos en cuentas',
    ],
    ...[
      'Disco',
      'Contraseña',
      'Marcas',
      'Spool',
      'Registros por enviar',
      'Última ejecución',
      'Programación',
      'Informe',
    ],
  ]);
  expect(lines).toContainEqual(
    expect.stringMatching(
      /^✔ Índices de vista_cambio: campoFecha «cambio» tiene el índice IX_cambio; clave «codigo» tiene el índice /,
    ),
  );
  expect(lines).toContainEqual('✔ Programación: ninguna tarea con el nombre «AX Sync»; limitado a 9.000 kbps');
  expect(lines).toContainEqual(expect.stringMatching(/^⚠ TLS del backend: .*no es https/));
  for (const line of lines.slice(0, -2)) expect(report).toContain(line);
  const { key } = world.backend;
  for (const secret of [key, world.settings.password, 'Mi_Password_Super_Seguro_2024!']) {
    expect(report).not.toContain(secret);
  }
  expect((await readdir(world.folder)).filter((name) => name !== 'logs').sort()).toEqual(
    [...before, 'diagnostico.txt'].sort(),
  );
  expect(await readdir(join(world.folder, 'logs'))).toEqual([]);
  expect(await world.query("SELECT name FROM sys.tables WHERE name = 'cuentas'")).toEqual([]);
});

test('each fault is named with what to do, and the rest is checked all the same', async () => {
  const tablasSubida = [
    subida('vista_sin_indice', 'fecha'),
    {
      ...subida('vista_calculada', 'despues'),
      process: { query: 'SELECT codigo, DATEADD(day, 1, fecha) AS despues FROM productos WHERE fecha > @ultimaSync' },
    },
    { ...subida('vista_mala', 'cambio'), process: { query: 'SELECT * FROM no_existe WHERE x > @ultimaSync' } },
  ];
  await world.setTables({ tablasSubida });
  await world.sync();
  const { reason, lines, report } = await doctor();
  expect(reason).toBe('error');
  expect(lines).toContainEqual(
    expect.stringMatching(
      /^⚠ Índices de vista_sin_indice: .*\n {2}→ .*CREATE INDEX \[IX_productos_fecha\] ON \[dbo\]\.\[productos\] \(\[fecha\]\)/,
    ),
  );
  expect(lines).toContainEqual(expect.stringMatching(/^✔ Índices de vista_calculada: .*«despues» es calculada/));
  expect(lines).toContainEqual(expect.stringMatching(/^✖ Subida vista_mala: .*no_existe/));
  expect(lines).toContainEqual(expect.stringMatching(/^⚠ Última ejecución: .* 1 con error\n {2}→ Mire logs/));
  expect(lines.at(-1)).toMatch(/^\d+ bien, \d+ avisos, 1 fallas\.$/);
  // The report ends with what the log says of it.
  expect(report).toMatch(/Últimos avisos y errores del registro: \d+\n.*ERROR vista_mala: .*no_existe/s);
});

test('a password in plain beside sync-config.enc, as an earlier version left it, is told', async () => {
  const told = async () => (await doctor()).lines.filter((line) => line.includes(' Contraseña: '));
  expect(await told()).toEqual(['✔ Contraseña: no está en claro en la carpeta']);
  const file = join(world.folder, 'sync-password.key');
  await writeFile(file, process.env.SYNC_CONFIG_PASSWORD!);
  expect(await told()).toEqual([
    expect.stringMatching(/^⚠ Contraseña: sync-password\.key.* en claro .*\n {2}→ .*schedule install otra vez/),
  ]);
  await rm(file);
});

test('without a password that opens the configuration the machine is checked all the same', async () => {
  const password = process.env.SYNC_CONFIG_PASSWORD;
  process.env.SYNC_CONFIG_PASSWORD = 'otra contraseña';
  try {
    const { reason, lines } = await doctor();
    expect(reason).toBe('error');
    expect(lines).toContainEqual(expect.stringMatching(/^✖ Configuración local: .*no se abre/));
    expect(lines).toContainEqual(expect.stringMatching(/^✔ Disco: /));
  } finally {
    process.env.SYNC_CONFIG_PASSWORD = password;
  }
});

test('disk, clocks, names and permissions: what is judged, and how', async () => {
  expect(() => judgeDisk(100e6, 1e9)).toThrow(
    expect.objectContaining({ code: 'POCO_DISCO', message: 'Quedan 100,0 MB libres.' }),
  );
  expect(judgeDisk(1.1e9, 1e9).advice).toMatch(/spoolMaxMb/);
  expect(judgeDisk(2e9, 1e9).advice).toBeUndefined();
  expect(describeClock('SQL Server', 1_000_000, 1_050_000).advice).toBeUndefined();
  expect(describeClock('SQL Server', 1_000_000, 1_090_000).note).toContain('va 90 s por detrás');
  expect(describeClock('SQL Server', 1_090_000, 1_000_000)).toMatchObject({ advice: expect.stringContaining('w32tm') });
  await expect(checkName('no-existe.invalid', signal)).rejects.toMatchObject({ code: 'DNS_SIN_NOMBRE' });
  expect((await checkName('localhost', signal)).note).toMatch(/127\.0\.0\.1|::1/);
  const place = { object: '[dbo].[cuentas]', user: 'sync_user' };
  expect(judgePermissions(['SELECT', 'INSERT'], { p0: 1, p1: 1 }, place).note).toBe('sync_user tiene SELECT, INSERT');
  expect(() => judgePermissions(['SELECT', 'INSERT', 'UPDATE'], { p0: 1, p1: 0, p2: null }, place)).toThrow(
    expect.objectContaining({
      code: 'PERMISOS_AUSENTES',
      action: 'Déselo: GRANT INSERT, UPDATE ON [dbo].[cuentas] TO sync_user.',
    }),
  );
});

test('a folder in which no log can be written is told', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'ax-doctor-'));
  await writeFile(join(folder, 'logs'), 'a file where the folder should be');
  await expect(checkFolder(folder)).rejects.toMatchObject({ code: 'CARPETA_NO_ESCRIBIBLE' });
  await rm(folder, { recursive: true });
});

test('TLS: a certificate that nobody vouches for, a server that speaks none, and one that says nothing', async () => {
  const { private: key, cert } = await generate([{ name: 'commonName', value: 'prueba' }], {
    keySize: 2048,
    extensions: [
      { name: 'basicConstraints' as const, cA: true, critical: true },
      { name: 'subjectAltName' as const, altNames: [{ type: 7 as const, ip: '127.0.0.1' }] },
    ],
  });
  const own = createServer({ key, cert }, (socket) => socket.on('error', () => {}).end());
  const plain = createPlainServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  const silent = createPlainServer((socket) => socket.on('error', () => {}));
  const servers = [own, plain, silent];
  try {
    const urls: string[] = [];
    for (const server of servers) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      urls.push(`https://127.0.0.1:${(server.address() as AddressInfo).port}`);
    }
    await expect(checkTls({ url: urls[0]! }, undefined, signal)).rejects.toMatchObject({
      code: 'CERTIFICADO_NO_ACEPTADO',
      message: expect.stringMatching(/certificado de prueba.*no se acepta/),
    });
    expect((await checkTls({ url: urls[0]!, ca: cert }, undefined, signal)).note).toContain('certificado de prueba');
    await expect(checkTls({ url: urls[1]! }, undefined, signal)).rejects.toMatchObject({ code: 'TLS_FALLO' });
    // The plain server in a proxy's place, which answers 400.
    const proxy = (url: string) => ({ url, name: 'uno' });
    const through = (url: string) => checkTls({ url: urls[0]! }, proxy(url), signal);
    await expect(through(urls[1]!.replace('https', 'http'))).rejects.toMatchObject({ code: 'PROXY_NO_DEJA' });
    await expect(through(urls[1]!)).rejects.toMatchObject({ code: 'PROXY_HTTPS' });
    await expect(checkTls({ url: urls[2]! }, undefined, AbortSignal.timeout(200))).rejects.toThrow();
  } finally {
    for (const server of servers) server.close();
  }
});

test('--json: one object with every check', async () => {
  await world.setTables({});
  const lines: string[] = [];
  await runDoctor({ folder: world.folder, json: true, print: (line) => lines.push(line), signal });
  const { comprobaciones, informe } = JSON.parse(lines.join('\n')) as { comprobaciones: object[]; informe: string };
  expect(comprobaciones).toContainEqual({ nombre: 'Spool', estado: 'bien', mensaje: expect.any(String), accion: '' });
  expect(await readFile(informe, 'utf8')).toContain('✔ Spool');
});

test('the oldest open transaction: none, one that is long open, and a login that may not see it', async (context) => {
  await world.needs(context, 'the controls of the stand-in');
  await world.setTables({ tablasSubida: [subida('vista_cambio', 'cambio')] });
  const about = async () => (await doctor()).lines.filter((line) => line.includes('Transacciones de SQL Server'));
  expect(await about()).toEqual(['✔ Transacciones de SQL Server: ninguna abierta que haya escrito']);
  await withSqlServer(world.settings, { signal }, async (db) => {
    await db.execute("BEGIN TRAN; INSERT INTO productos (codigo) VALUES ('b')");
    expect(await about()).toEqual([
      expect.stringMatching(/^✔ .*: la más antigua que ha escrito está abierta desde 20/),
    ]);
    await world.execute('EXEC standin_set_clock @seconds_ahead = 7200');
    const late = await about();
    await world.execute('EXEC standin_set_clock');
    expect(late).toEqual([expect.stringMatching(/^⚠ .* está abierta desde 20.*\n {2}→ Las marcas se quedan ahí/)]);
  });
  await world.execute('EXEC standin_deny_server_state @deny = 1');
  const denied = await about();
  await world.execute('EXEC standin_deny_server_state');
  expect(denied).toEqual([
    expect.stringMatching(
      /^⚠ .*: sync_user no ve las transacciones abiertas \(error 300\)\n {2}→ Dé a sync_user el permiso VIEW SERVER STATE/,
    ),
  ]);
});
