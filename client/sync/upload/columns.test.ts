import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { SyncError } from '../../../protocol/errors.ts';
import { approveSchema, findWaitingSchemas } from '../../../server/rows/schema-approval.ts';
import { createDataKey } from '../../commands/data-key.ts';
import { runStatus } from '../../commands/status.ts';
import { exitCodes } from '../../errors/exit-codes.ts';
import type { ResultColumn } from '../../sqlserver/read/result-columns.ts';
import { type SqlServer, withSqlServer } from '../../sqlserver/sql-server.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import { startCuttingProxy } from '../../testing/cutting-proxy.ts';
import { startGateway } from '../../testing/gateway.ts';
import { startWorld, type World } from '../../testing/world.ts';
import { UploadBuffer } from './buffer.ts';
import { describeColumns } from './columns.ts';

/** Schema drift from end to end: columns change at SQL Server, and what the agent, the centre and the administrator see of it. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
});
afterAll(() => world?.close());

const table = { nombre: 'articulos', primaryKey: 'id', process: { query: 'SELECT * FROM articulos' } };
const dated = {
  ...table,
  cambios: 'marca',
  campoFecha: 'fecha',
  process: { query: 'SELECT * FROM articulos WHERE fecha > @ultimaSync' },
};
const setTables = (...tablasSubida: object[]) => world.setTables({ tablasSubida });

/** The table at SQL Server, made anew with these columns and rows. */
async function make(columns: string, ...rows: string[]): Promise<void> {
  await world.execute(`IF OBJECT_ID('articulos') IS NOT NULL DROP TABLE articulos`);
  await world.execute(`CREATE TABLE articulos (${columns})`);
  for (const row of rows) await world.execute(`INSERT INTO articulos VALUES (${row})`);
}

beforeEach(async () => {
  await world.backend.sql.query(
    'DELETE FROM parametros_maestros; DELETE FROM sync_logs; DELETE FROM sync_esquemas; DELETE FROM sync_commits; DELETE FROM sync_bajas_retenidas',
  );
  await rm(join(world.folder, 'last-sync.json'), { force: true });
  await rm(join(world.folder, 'spool'), { recursive: true, force: true });
  await setTables(table);
});

async function documents(): Promise<Record<string, unknown>> {
  const { rows } = await world.backend.sql.query(
    'SELECT codigo, parametros_json FROM parametros_maestros ORDER BY codigo',
  );
  return Object.fromEntries(rows.map(({ codigo, parametros_json }) => [codigo, parametros_json]));
}

async function approve(): Promise<void> {
  const connection = await world.backend.sql.connect();
  try {
    const [waiting] = await findWaitingSchemas(connection, 'acme-001');
    expect(await approveSchema(connection, { tenant: 'acme-001', id: waiting!.id })).toBeDefined();
  } finally {
    connection.release();
  }
}

async function readStatus(): Promise<string> {
  const lines: string[] = [];
  const { signal } = new AbortController();
  await runStatus({ folder: world.folder, json: false, print: (line) => lines.push(line), signal });
  return lines.join('\n');
}

async function countDescriptions(): Promise<number> {
  const { rows } = await world.backend.sql.query('SELECT count(*)::integer AS n FROM sync_esquemas');
  return rows[0].n;
}

test('a column that goes and comes back: last values stay, the run has a code of its own, status names it; approved, all rows lose it', async () => {
  await make('id int NOT NULL, a varchar(20), b int', `1, 'x', 7`, `2, 'y', 8`);
  expect((await world.sync()).reason).toBe('exitoso');
  const mark = JSON.parse(await world.readFile('last-sync.json'));
  expect(mark.tablas.articulos.esquema).toMatch(/^[0-9a-f]{64}$/);

  await make('id int NOT NULL, a varchar(20)', `1, 'x'`, `2, 'Y'`);
  const first = await world.sync();
  expect(first.reason).toBe('esquemaPendiente');
  expect(exitCodes[first.reason]).toBe(10);
  expect(first.log).toMatch(
    /AVISO .*«b» ya no está \(INT\)\. La tabla sigue subiendo, .* schema list y schema approve/,
  );
  expect(first.log).toContain('Sincronización parcial: 1 tablas bien, 0 con error, 1 cambios de columnas por aprobar');
  expect(await documents()).toEqual({ 1: { id: 1, a: 'x', b: 7 }, 2: { id: 2, a: 'Y', b: 8 } });
  expect(await readStatus()).toMatch(/Columnas por aprobar: articulos, pendiente desde .*: «b» ya no está \(INT\)/);
  const again = await world.sync();
  expect(again.reason).toBe('esquemaPendiente');
  expect(again.log).toMatch(/Siguen por aprobar cambios de columnas/);

  await make('id int NOT NULL, a varchar(20), b int', `1, 'x', 7`, `2, 'Y', 9`);
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await readStatus()).not.toContain('por aprobar');
  await make('id int NOT NULL, a varchar(20)', `1, 'x'`, `2, 'Y'`);
  expect((await world.sync()).reason).toBe('esquemaPendiente');
  await approve();
  const applied = await world.sync();
  expect(applied.reason).toBe('exitoso');
  expect(applied.log).toMatch(/INFO .*Cambiaron las columnas: «b» ya no está/);
  expect(await documents()).toEqual({ 1: { id: 1, a: 'x' }, 2: { id: 2, a: 'Y' } });
  expect((await world.sync()).log).not.toContain('columnas');
});

test('a table with a mark, where rows that did not change do not come: after the approval all of them do', async () => {
  await setTables(dated);
  const columns = 'id int NOT NULL, fecha datetime2 NOT NULL, a varchar(20)';
  await make(`${columns}, b int`, `1, '2020-01-01', 'x', 7`, `2, '2020-01-01', 'y', 8`);
  await world.sync();
  await make(columns, `1, '2020-01-01', 'x'`, `2, SYSDATETIME(), 'Y'`);
  expect((await world.sync()).reason).toBe('esquemaPendiente');
  expect(await documents()).toMatchObject({ 1: { a: 'x', b: 7 }, 2: { a: 'Y', b: 8 } });
  await world.execute(`UPDATE articulos SET fecha = '2020-01-01'`);
  await world.sync();
  const quiet = await world.sync();
  expect(quiet.log).toMatch(/Sin novedades/);
  expect(quiet.log).toMatch(/AVISO articulos: Siguen por aprobar 1 cambios de columnas/);
  expect(quiet.reason).toBe('esquemaPendiente');
  await approve();
  expect((await world.sync()).reason).toBe('exitoso');
  for (const document of Object.values(await documents())) expect(document).not.toHaveProperty('b');
  expect(Object.keys(await documents())).toEqual(['1', '2']);
});

test('a new column of a table with a mark: the log says that the other rows lack it, and what to do; that does it', async () => {
  await setTables(dated);
  const columns = 'id int NOT NULL, fecha datetime2 NOT NULL';
  await make(columns, `1, '2020-01-01'`, `2, '2020-01-01'`);
  await world.sync();
  await make(`${columns}, c int`, `1, '2020-01-01', 5`, `2, SYSDATETIME(), 6`);
  const { reason, log } = await world.sync();
  expect(reason).toBe('exitoso');
  expect(log).toMatch(
    /AVISO .*«c» es nueva \(INT\); las filas que no cambien no tienen las columnas nuevas .*--desde-cero, o completoCada/,
  );
  expect((await documents())['1']).not.toHaveProperty('c');
  expect(await documents()).toMatchObject({ 2: { c: 6 } });
  await world.sync({ desdeCero: true });
  expect(await documents()).toMatchObject({ 1: { c: 5 } });
});

describe('what a change at SQL Server becomes', () => {
  test.each([
    [
      'int to bigint, longer text, NULL',
      'id int NOT NULL, a varchar(20) NOT NULL, n int',
      'id int NOT NULL, a varchar(40), n bigint',
      'exitoso',
      /INFO .*«a» es más ancha \(VARCHAR\(20\) NOT NULL → VARCHAR\(40\)\); «n» es más ancha \(INT → BIGINT\)/,
    ],
    [
      'more digits',
      'id int NOT NULL, a varchar(20), n decimal(9,2)',
      'id int NOT NULL, a varchar(20), n decimal(12,2)',
      'exitoso',
      /«n» es más ancha \(DECIMAL\(9,2\) → DECIMAL\(12,2\)\)/,
    ],
    [
      'fewer digits',
      'id int NOT NULL, a varchar(20), n decimal(9,2)',
      'id int NOT NULL, a varchar(20), n decimal(9,1)',
      'esquemaPendiente',
      /AVISO .*«n» es más estrecha/,
    ],
    [
      'another type',
      'id int NOT NULL, a varchar(20), n int',
      'id int NOT NULL, a varchar(20), n varchar(9)',
      'esquemaPendiente',
      /AVISO .*«n» es de otro tipo \(INT → VARCHAR\(9\)\)/,
    ],
    [
      'another name',
      'id int NOT NULL, a varchar(20), n int',
      'id int NOT NULL, a varchar(20), m int',
      'esquemaPendiente',
      /«n» ya no está \(INT; ¿ahora se llama «m»\?\); «m» es nueva/,
    ],
    [
      'another order',
      'id int NOT NULL, a varchar(20), n int',
      'id int NOT NULL, n int, a varchar(20)',
      'exitoso',
      /^(?![\s\S]*columnas)/,
    ],
    [
      'another case',
      'id int NOT NULL, a varchar(20), n int',
      'id int NOT NULL, A varchar(20), N int',
      'exitoso',
      /^(?![\s\S]*columnas)/,
    ],
    [
      'the key of another type',
      'id int NOT NULL, a varchar(20), n int',
      'id varchar(9) NOT NULL, a varchar(20), n int',
      'error',
      /\[ESQUEMA_CAMBIADO\]/,
    ],
    [
      'the key gone',
      'id int NOT NULL, a varchar(20), n int',
      'clave int NOT NULL, a varchar(20), n int',
      'error',
      /«id» es de la clave y ya no está/,
    ],
  ])('%s', async (_, before, now, reason, message) => {
    await make(before, `1, 'x', 7`);
    await world.sync();
    const rows = await documents();
    await make(now, /n int, a/.test(now) ? `1, 7, 'x'` : `1, 'x', 7`);
    const result = await world.sync();
    expect(result.log).toMatch(message);
    expect(result.reason).toBe(reason);
    if (reason === 'error') expect(await documents()).toEqual(rows);
  });
});

test('a key that changed stops its table alone, before rows are sent; approved, it goes on', async () => {
  await world.execute(`IF OBJECT_ID('otra') IS NULL CREATE TABLE otra (id int NOT NULL)`);
  await world.execute('DELETE FROM otra; INSERT INTO otra VALUES (1)');
  await setTables(table, { ...table, nombre: 'otra', process: { query: 'SELECT * FROM otra' } });
  await make('id int NOT NULL', '1');
  await world.sync();
  await make('id varchar(9) NOT NULL', `'uno'`);
  const stopped = await world.sync();
  expect(stopped.reason).toBe('parcial');
  expect(stopped.log).toMatch(/«id» es de la clave y cambió \(INT NOT NULL → VARCHAR\(9\) NOT NULL\)/);
  expect(await readStatus()).toMatch(/Columnas por aprobar: articulos, rechazado/);
  expect(Object.keys(await documents())).toEqual(['1']);
  await approve();
  expect((await world.sync()).reason).toBe('exitoso');
  expect(Object.keys(await documents())).toContain('uno');
});

test('congelar stops at any change, evolucionar goes on with every one; another policy by itself makes nothing go', async () => {
  await setTables({ ...table, esquema: 'congelar' });
  await make('id int NOT NULL, a varchar(20), b int', `1, 'x', 7`);
  await world.sync();
  await make('id int NOT NULL, a varchar(20), b int, c int', `1, 'z', 7, 1`);
  const frozen = await world.sync();
  expect(frozen.reason).toBe('error');
  expect(frozen.log).toMatch(/«c» es nueva/);
  expect(await documents()).toEqual({ 1: { id: 1, a: 'x', b: 7 } });
  await setTables(table);
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await documents()).toEqual({ 1: { id: 1, a: 'z', b: 7, c: 1 } });
  await make('id int NOT NULL, a varchar(20)', `1, 'z'`);
  expect((await world.sync()).reason).toBe('esquemaPendiente');
  await setTables({ ...table, esquema: 'evolucionar' });
  expect((await world.sync()).reason).toBe('esquemaPendiente');
  expect(await documents()).toEqual({ 1: { id: 1, a: 'z', b: 7, c: 1 } });
  await approve();
  await world.sync();
  await make('id int NOT NULL', '1');
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await documents()).toEqual({ 1: { id: 1 } });
});

test('with row hashes: values stay while it waits, every row comes when it is approved, and then nothing comes again', async () => {
  await setTables({ ...table, cambios: 'huellas' });
  await make('id int NOT NULL, a varchar(20), b int', `1, 'x', 7`, `2, 'y', 8`);
  await world.sync();
  expect((await world.sync()).log).toMatch(/2 filas leídas, ninguna cambió/);
  await make('id int NOT NULL, a varchar(20)', `1, 'x'`, `2, 'y'`);
  for (let run = 0; run < 2; run += 1) {
    const { reason, log } = await world.sync();
    expect(reason).toBe('esquemaPendiente');
    expect(log).toMatch(run === 0 ? /2 filas leídas, 2 filas subidas/ : /2 filas leídas, ninguna cambió/);
    expect(await documents()).toEqual({ 1: { id: 1, a: 'x', b: 7 }, 2: { id: 2, a: 'y', b: 8 } });
  }
  await approve();
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await documents()).toEqual({ 1: { id: 1, a: 'x' }, 2: { id: 2, a: 'y' } });
  expect((await world.sync()).log).toMatch(/2 filas leídas, ninguna cambió/);
  // A new column is another row hash: all of them come.
  await make('id int NOT NULL, a varchar(20), c int', `1, 'x', 1`, `2, 'y', 2`);
  const { log } = await world.sync();
  expect(log).toMatch(/INFO .*«c» es nueva/);
  expect(log).not.toContain('--desde-cero');
  expect(await documents()).toMatchObject({ 1: { c: 1 }, 2: { c: 2 } });
});

test('with row hashes, another policy while a column that went waits: every row comes, and its values go', async () => {
  await setTables({ ...table, cambios: 'huellas' });
  await make('id int NOT NULL, a varchar(20) NOT NULL, b int', `1, 'x', 7`, `2, 'y', 8`);
  await world.sync();
  await make('id int NOT NULL, a varchar(20) NOT NULL', `1, 'x'`, `2, 'y'`);
  expect((await world.sync()).reason).toBe('esquemaPendiente');
  await setTables({ ...table, cambios: 'huellas', esquema: 'evolucionar' });
  // Another description, with which the old one waits for nobody; of its rows one is another one.
  await make('id int NOT NULL, a varchar(20)', `1, 'x'`, `2, 'z'`);
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await documents()).toEqual({ 1: { id: 1, a: 'x' }, 2: { id: 2, a: 'z' } });
  expect((await world.sync()).log).toMatch(/2 filas leídas, ninguna cambió/);
});

test('narrower, and no row comes: it waits run after run, and once approved no more', async () => {
  await setTables({ ...table, cambios: 'huellas' });
  await make('id int NOT NULL, a varchar(20)', `1, 'x'`, `2, 'y'`);
  await world.sync();
  await make('id int NOT NULL, a varchar(10)', `1, 'x'`, `2, 'z'`);
  for (let run = 0; run < 2; run += 1) expect((await world.sync()).reason).toBe('esquemaPendiente');
  await approve();
  expect(await world.sync()).toMatchObject({ reason: 'exitoso', log: expect.stringMatching(/ninguna cambió/) });
});

test('nothing new costs no request; the centre restored is described to again', async () => {
  await make('id int NOT NULL', '1');
  await world.sync();
  const seen: string[] = [];
  const listen = (request: { url?: string }) => seen.push(request.url ?? '');
  world.backend.app.server.on('request', listen);
  await world.sync();
  expect(seen.filter((url) => url.includes('/esquemas/'))).toEqual([]);
  expect(seen.some((url) => /\/upload\/acme-001\?.*esquema=[0-9a-f]{64}/.test(url))).toBe(true);
  // As it is where the centre's memory of it is gone and its generations are not.
  await world.backend.sql.query('DELETE FROM sync_esquemas');
  expect((await world.sync()).reason).toBe('exitoso');
  expect(seen.filter((url) => url.includes('/esquemas/'))).toHaveLength(1);
  expect(await countDescriptions()).toBe(1);
  world.backend.app.server.off('request', listen);
});

test('an upload in chunks names its columns, also where a later run finishes it', async () => {
  await world.setTables({ trozoKb: 64, tablasSubida: [table] });
  await make('id int NOT NULL, t varchar(8000), b int');
  const fill = async (columns: string) => {
    for (let n = 0; n < 6; n += 1) {
      const rows = Array.from({ length: 20 }, (_, at) => `(${n * 20 + at}, REPLICATE('${n}', 4000)${columns})`);
      await world.execute(`INSERT INTO articulos VALUES ${rows.join(', ')}`);
    }
  };
  await fill(', 1');
  expect((await world.sync()).reason).toBe('exitoso');
  await make('id int NOT NULL, t varchar(8000)');
  await fill('');
  const proxy = await startCuttingProxy(world.backend.url);
  try {
    await world.init(proxy.url);
    // Before the request arrives: all rows wait in the spool, with their columns.
    proxy.refuse = /^POST \S+\/commit /;
    const policy = { attempts: 2, firstDelayMs: 1, maxDelayMs: 2, maxTotalMs: 60_000, maxRetryAfterMs: 10_000 };
    expect((await world.sync({ policy })).log).toContain('120 filas leídas quedan en spool/');
    proxy.refuse = undefined;
    const { reason, log } = await world.sync({ policy });
    expect(reason).toBe('esquemaPendiente');
    expect(log).toMatch(/Se termina una subida pendiente[\s\S]*«b» ya no está[\s\S]*Siguen por aprobar/);
    expect(await documents()).toMatchObject({ 0: { b: 1 }, 119: { b: 1 } });
  } finally {
    await proxy.close();
    await world.init();
  }
});

test('columns that change while rows are read: nothing of it is sent, and it is read again', () => {
  const buffer = new UploadBuffer({ tabla: 't' } as UploadHead);
  const described = (...types: string[]) =>
    describeColumns(
      types.map((type, n) => ({ name: `c${n}`, type, nullable: true })),
      () => false,
    );
  buffer.describe(described('int', 'bit'));
  buffer.describe(described('int', 'bit'));
  expect(buffer.kind).toMatchObject({ esquema: { columnas: [{ tipo: 'int' }, { tipo: 'bit' }] } });
  expect(() => buffer.describe(described('int'))).toThrow(expect.objectContaining({ code: 'COLUMNAS_CAMBIADAS' }));
});

test('two agents in two folders: bounded, and each says what it sees', async () => {
  const other = await mkdtemp(join(tmpdir(), 'ax-otro-'));
  try {
    await make('id int NOT NULL, b int', '1, 7');
    await world.sync();
    await cp(world.folder, other, { recursive: true });
    for (let round = 0; round < 3; round += 1) {
      await make('id int NOT NULL', '1');
      expect((await world.sync({ folder: other })).reason).toBe('esquemaPendiente');
      await make('id int NOT NULL, b int', '1, 7');
      expect((await world.sync()).reason).toBe('exitoso');
    }
    expect(await countDescriptions()).toBe(2);
    expect(await documents()).toEqual({ 1: { id: 1, b: 7 } });
  } finally {
    await rm(other, { recursive: true, force: true });
  }
});

test('what a result is described as: type, length, digits, NULL, collation, in its order', async () => {
  await world.execute(`CREATE TABLE tipos (i int NOT NULL, n nvarchar(30), v varchar(max), d decimal(18,4), t datetime2(3),
    r rowversion, u uniqueidentifier, b varbinary(16), x bit NOT NULL)`);
  const { signal } = new AbortController();
  let seen: ResultColumn[] = [];
  await withSqlServer(world.settings, { signal }, async (db: SqlServer) => {
    const onColumns = (columns: ResultColumn[]) => {
      seen = columns;
    };
    for await (const _ of db.readRows('SELECT * FROM tipos', { signal, onColumns }));
  });
  expect(seen.map(({ collation: _, ...rest }) => rest)).toEqual([
    { name: 'i', type: 'int', nullable: false },
    { name: 'n', type: 'nvarchar', length: 30, nullable: true },
    { name: 'v', type: 'varchar', length: 'max', nullable: true },
    { name: 'd', type: 'decimal', precision: 18, scale: 4, nullable: true },
    { name: 't', type: 'datetime2', scale: 3, nullable: true },
    { name: 'r', type: 'rowversion', nullable: false },
    { name: 'u', type: 'uniqueidentifier', nullable: true },
    { name: 'b', type: 'varbinary', length: 16, nullable: true },
    { name: 'x', type: 'bit', nullable: false },
  ]);
  expect(seen[1]!.collation).toMatch(/^\d+\/\d+\/\d+$/);
  const { columnas } = describeColumns(seen, (name) => name === 'n')!;
  expect(columnas[1]).toMatchObject({ nombre: 'n', tipo: 'nvarchar', longitud: 30, sensible: true });
  expect(columnas[0]).not.toHaveProperty('sensible');
});

test('camposSensibles: described with the type at SQL Server and no value; what stays of a row stays encrypted', async () => {
  await createDataKey({ folder: world.folder, print: () => {} });
  await setTables({ ...table, nombre: 'secretos', camposSensibles: ['cuit'] });
  await make('id int NOT NULL, a varchar(20), cuit varchar(20)', `1, 'x', '20-11111111-1'`);
  expect((await world.sync()).reason).toBe('exitoso');
  const before = (await documents())['1'] as { cuit: string };
  expect(before.cuit).toMatch(/^cs2:/);
  const { rows } = await world.backend.sql.query('SELECT columnas::text AS texto FROM sync_esquemas');
  expect(JSON.parse(rows[0].texto)[2]).toMatchObject({ nombre: 'cuit', tipo: 'varchar', longitud: 20, sensible: true });
  expect(rows[0].texto).not.toMatch(/20-11111111-1|cs2:/);
  await make('id int NOT NULL, cuit varchar(30)', `1, '20-11111111-1'`);
  const { reason, log } = await world.sync();
  expect([reason, log]).toEqual(['esquemaPendiente', expect.stringMatching(/«a» ya no está .*«cuit» es más ancha/)]);
  expect((await documents())['1']).toEqual({ id: 1, a: 'x', cuit: before.cuit });
  // One that goes is refused before anything is sent: nobody could tell it from a query that names it otherwise.
  await make('id int NOT NULL, a varchar(20)', `1, 'z'`);
  expect((await world.sync()).reason).toBe('error');
  expect((await documents())['1']).toEqual({ id: 1, a: 'x', cuit: before.cuit });
});

describe('bounds, and a backend of before', () => {
  const many = (count: number, length: number): ResultColumn[] =>
    Array.from({ length: count }, (_, n) => ({ name: `${n}`.padEnd(length, 'ñ'), type: 'int', nullable: true }));

  test('1,024 columns with names of 128 characters are described; what no request holds is not, and the upload names nothing', () => {
    expect(describeColumns(many(1024, 128), () => false)!.columnas).toHaveLength(1024);
    expect(describeColumns(many(4096, 128), () => false)).toBeUndefined();
    expect(describeColumns(many(4097, 4), () => false)).toBeUndefined();
  });

  test('a backend that knows no descriptions is asked, and the upload names nothing', async () => {
    await make('id int NOT NULL', '1');
    const gateway = await startGateway(world.backend.url);
    gateway.answer = (line) => {
      if (!line.includes('/esquemas/')) return undefined;
      const problem = new SyncError('RUTA_DESCONOCIDA', 'No hay tal ruta.').toProblem();
      return { status: 404, headers: { 'content-type': 'application/problem+json' }, body: JSON.stringify(problem) };
    };
    try {
      await world.init(gateway.url);
      expect((await world.sync()).reason).toBe('exitoso');
      expect(gateway.lines.filter((line) => line.includes('/esquemas/'))).toHaveLength(1);
      expect(gateway.lines.some((line) => line.includes('esquema='))).toBe(false);
      expect(await countDescriptions()).toBe(0);
    } finally {
      await gateway.close();
      await world.init();
    }
  });
});
