import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import type { Verificacion } from '../../../protocol/api.ts';
import { runApprove } from '../../commands/approve.ts';
import { createDataKey } from '../../commands/data-key.ts';
import { describeVerification, runVerify } from '../../commands/verify.ts';
import type { ExitReason } from '../../errors/exit-codes.ts';
import { VerificationRequests } from '../../http/verification.ts';
import { startWorld, type World } from '../../testing/world.ts';
import { silentProgress } from '../../ui/progress.ts';
import type { VerifiedTables } from './verify-tables.ts';

/** The target of a download against the centre, through all real parts. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
});
afterAll(() => world?.close());

const ROWS = 1200;
beforeEach(async () => {
  await world.execute('DROP TABLE IF EXISTS destino');
  await world.backend.sql.query('TRUNCATE parametros_maestros, sync_verificaciones, sync_bajas_retenidas');
  await centre(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, activo, parametros_json)
     SELECT 'acme-001', 'cosa', 'c' || g, 'Ñandú "' || g || '"' || chr(10), g % 11 > 0,
       jsonb_build_object('precio', (g * 0.25)::numeric(18,4), 'fecha', '2026-01-15T10:30:00.000')
     FROM generate_series(1, ${ROWS}) g`,
  );
});

const columns = [
  { name: 'codigo', type: 'VARCHAR(20)', nullable: false },
  { name: 'nombre', type: 'NVARCHAR(50)' },
  { name: 'activo', type: 'BIT' },
  { name: 'precio', type: 'DECIMAL(18,4)' },
  { name: 'fecha', type: 'DATETIME2(3)' },
];
const tabla = {
  ...{ nombre: 'destino', primaryKey: 'codigo', schema: { columns } },
  process: { query: 'parametros_maestros.tipo_campo=cosa' },
};
const setTable = (more: object = {}) => world.setTables({ tablasBajada: [{ ...tabla, ...more }] });
const centre = (sql: string) => world.backend.sql.query(sql);

async function sync(): Promise<string> {
  const { reason, log } = await world.sync();
  expect(reason, log).toBe('exitoso');
  return log;
}

interface Ended {
  reason: ExitReason;
  result: VerifiedTables;
  one: Verificacion;
  log: string;
  text: string;
  /** What the agent asked the centre for. */
  requests: { cubos?: string }[];
}

async function verify(
  options: { reparar?: boolean; maxSegundos?: number; tablas?: string[] } = {},
  afterRequest: (request: number) => Promise<void> = async () => {},
): Promise<Ended> {
  const lines: string[] = [];
  let result: VerifiedTables | undefined;
  const requests: Ended['requests'] = [];
  const real = VerificationRequests.prototype.compareDownload;
  VerificationRequests.prototype.compareDownload = async function watched(body, signal) {
    requests.push(body);
    const answer = await real.call(this, body, signal);
    await afterRequest(requests.length);
    return answer;
  };
  try {
    const reason = await runVerify({
      ...{ folder: world.folder, tablas: [], reparar: false, progress: silentProgress },
      ...{ signal: new AbortController().signal, ...options },
      echo: (line) => lines.push(line),
      onEnd: (ended) => {
        result = ended;
      },
    });
    const { tablas } = result!;
    const log = lines.join('\n');
    return { reason, result: result!, one: tablas[0]!, log, text: describeVerification(result!).join('\n'), requests };
  } finally {
    VerificationRequests.prototype.compareDownload = real;
  }
}

const figures = ({ filasOrigen, filasDestino, iguales, distintas, faltan, sobran, enVuelo }: Verificacion) => ({
  ...{ filasOrigen, filasDestino, iguales, distintas, faltan, sobran, enVuelo },
});
const equal = (rows: number) => ({
  ...{ filasOrigen: rows, filasDestino: rows, iguales: rows },
  ...{ distintas: 0, faltan: 0, sobran: 0, enVuelo: 0 },
});

test('a target that is equal is said to be so, and no row comes down for it', async () => {
  await setTable();
  await sync();
  const { reason, one, text, requests } = await verify({ tablas: ['destino'] });
  expect(figures(one)).toEqual(equal(ROWS));
  expect(one).toMatchObject({ direccion: 'download', estado: 'iguales', muestras: [], mensaje: null });
  expect([reason, requests.map(({ cubos }) => cubos)]).toEqual(['exitoso', [undefined]]);
  expect(text).toMatch(/destino: iguales/);
  const { rows } = await centre('SELECT direccion, estado, iguales FROM sync_verificaciones');
  expect(rows).toEqual([{ direccion: 'download', estado: 'iguales', iguales: String(ROWS) }]);
  const kept = JSON.parse(await readFile(join(world.folder, 'verificaciones.json'), 'utf8'));
  expect(kept.tablas['download/destino'].ultima).toMatchObject({ estado: 'iguales', iguales: ROWS });
});

test('each difference is found, and no other: edits of the target and of the centre, rows that are missing, rows too many', async () => {
  await setTable();
  await sync();
  await world.execute(`UPDATE destino SET precio = precio + 0.0001 WHERE codigo IN ('c7', 'c8');
    UPDATE destino SET nombre = UPPER(nombre), activo = 1 - activo WHERE codigo = 'c9';
    UPDATE destino SET fecha = NULL WHERE codigo = 'c10';
    DELETE FROM destino WHERE codigo IN ('c11', 'c12');
    INSERT INTO destino (codigo, nombre) VALUES ('suya', 'x')`);
  await centre(`UPDATE parametros_maestros SET parametros_json = parametros_json - 'fecha' WHERE codigo = 'c13'`);
  const { one, reason, text, requests } = await verify();
  expect(figures(one)).toEqual({
    ...{ filasOrigen: ROWS, filasDestino: ROWS - 1, iguales: ROWS - 7 },
    ...{ distintas: 5, faltan: 2, sobran: 1, enVuelo: 0 },
  });
  expect(one.muestras.toSorted((a, b) => a.clave.localeCompare(b.clave))).toEqual([
    { diferencia: 'distinta', clave: 'c10', columnas: ['fecha'] },
    { diferencia: 'falta', clave: 'c11', columnas: [] },
    { diferencia: 'falta', clave: 'c12', columnas: [] },
    { diferencia: 'distinta', clave: 'c13', columnas: ['fecha'] },
    { diferencia: 'distinta', clave: 'c7', columnas: ['precio'] },
    { diferencia: 'distinta', clave: 'c8', columnas: ['precio'] },
    { diferencia: 'distinta', clave: 'c9', columnas: ['nombre', 'activo'] },
    { diferencia: 'sobra', clave: 'suya', columnas: [] },
  ]);
  expect(reason).toBe('diferencias');
  expect(one.mensaje).toBe('la bajada no quita filas: lo que sobra no es una diferencia');
  expect(text).toContain('distinta «c9»: nombre, activo');
  expect(requests).toHaveLength(3);
});

test('what the two sides write otherwise is compared by the values that the download would load', async () => {
  await world.execute(`CREATE TABLE destino (codigo CHAR(12) PRIMARY KEY, nombre VARCHAR(60), activo VARCHAR(5),
    precio MONEY, fecha DATETIME, suya INT NULL, version ROWVERSION)`);
  await setTable();
  await sync();
  const { one, requests } = await verify();
  expect(figures(one)).toEqual(equal(ROWS));
  expect(requests).toHaveLength(2);
  expect(one.mensaje).toBe('no se comparan suya, version');
  await world.execute(
    `UPDATE destino SET activo = 'x' WHERE codigo = 'c5'; UPDATE destino SET codigo = 'C6' WHERE codigo = 'c6'`,
  );
  const again = await verify();
  expect(again.one.muestras).toEqual([{ diferencia: 'distinta', clave: 'c5'.padEnd(12), columnas: ['activo'] }]);
});

describe('rows too many', () => {
  const extra = `INSERT INTO destino (codigo, nombre) VALUES ('suya', 'x')`;
  const post = {
    enabled: true,
    sql: 'INSERT INTO {tabla} SELECT * FROM {temp_table}; UPDATE {tabla} SET activo = 0 WHERE codigo IN (SELECT codigo FROM {temp_bajas})',
  };
  test.each([
    ['no difference where the download takes none away', {}, 'iguales', 'exitoso'],
    ['nor with bajas: ignorar', { cambios: 'huellas', bajas: 'ignorar' }, 'iguales', 'exitoso'],
    ['nor where post_process decides', { cambios: 'huellas', post_process: post }, 'iguales', 'exitoso'],
    ['a difference where it does', { cambios: 'huellas' }, 'diferencias', 'diferencias'],
    [
      'and where post_process is said to',
      { cambios: 'huellas', bajas: 'borrar', post_process: post },
      'diferencias',
      'diferencias',
    ],
  ])('are %s', async (_, more, estado, code) => {
    await world.execute(
      `CREATE TABLE destino (codigo VARCHAR(20) PRIMARY KEY, nombre NVARCHAR(50), activo BIT, precio DECIMAL(18,4), fecha DATETIME2(3))`,
    );
    await setTable(more);
    await sync();
    await world.execute(extra);
    const { one, reason } = await verify();
    expect([one.sobran, one.estado, reason]).toEqual([1, estado, code]);
    expect(one.muestras).toEqual([{ diferencia: 'sobra', clave: 'suya', columnas: [] }]);
  });
});

describe('--reparar', () => {
  test.each([
    ['a whole download', {}, 1],
    [
      'a download with huellas, whose ledger is not believed then, and which takes away what is too much',
      { cambios: 'huellas' },
      0,
    ],
  ])('by %s', async (_, more, sobran) => {
    await setTable(more);
    await sync();
    await world.execute(`UPDATE destino SET precio = 1 WHERE codigo = 'c7'; DELETE FROM destino WHERE codigo = 'c8';
      INSERT INTO destino (codigo, nombre) VALUES ('suya', 'x')`);
    const { one, reason, text } = await verify({ reparar: true });
    expect(figures(one)).toEqual({ ...equal(ROWS), filasDestino: ROWS + sobran, sobran });
    expect([reason, one.estado, one.reparadas]).toEqual(['exitoso', 'iguales', ROWS]);
    expect(text).toContain('se bajaron otra vez 1.200 filas');
    if (sobran === 0) expect(await sync()).toContain('Sin novedades');
  });

  test('what the ledger holds of the target is not believed, even where SQL Server sums nothing that would show the change', async () => {
    await setTable({ cambios: 'huellas' });
    await sync();
    const file = join(world.folder, 'bajadas.json');
    const held = JSON.parse(await readFile(file, 'utf8'));
    delete held.tablas.destino.suma;
    await writeFile(file, JSON.stringify(held));
    await world.execute(`UPDATE destino SET precio = 1 WHERE codigo = 'c7'`);
    expect(await sync()).toContain('Sin novedades');
    const { one, reason } = await verify({ reparar: true });
    expect(figures(one)).toEqual(equal(ROWS));
    expect([reason, one.reparadas]).toEqual(['exitoso', ROWS]);
  });

  test('the guard stands before it: what it holds back stays, and is told', async () => {
    await setTable({ cambios: 'huellas', guarda: { bajas: 5, porciento: 1 } });
    await sync();
    await world.execute(`INSERT INTO destino (codigo) SELECT 'suya' + codigo FROM destino WHERE codigo LIKE 'c1%'`);
    const { one, reason, log } = await verify({ reparar: true });
    expect([reason, one.sobran > 300, one.sobran]).toEqual(['diferencias', true, one.filasDestino - ROWS]);
    expect(log).toMatch(/la bajada se retiene entera/);
  });

  test('a target that is missing is made', async () => {
    await setTable();
    const before = await verify();
    expect(before.one).toMatchObject({ estado: 'sin_comparar', mensaje: 'el destino no existe' });
    const { one } = await verify({ reparar: true });
    expect(figures(one)).toEqual(equal(ROWS));
  });
});

test('rows that change between the two looks were in flight', async () => {
  await setTable();
  await sync();
  await world.execute(`UPDATE destino SET precio = 1 WHERE codigo IN ('c7', 'c8')`);
  const { one, reason } = await verify({}, async (request) => {
    if (request === 3) await world.execute(`UPDATE destino SET precio = 1.75 WHERE codigo = 'c7'`);
  });
  expect([one.enVuelo, one.distintas, reason]).toEqual([1, 1, 'diferencias']);
  expect(one.muestras).toEqual([{ diferencia: 'distinta', clave: 'c8', columnas: ['precio'] }]);
});

test('a key of several columns, of a query', async () => {
  const query = `SELECT split_part(nombre, '"', 2)::int % 7 AS parte, codigo AS id, activo FROM parametros_maestros WHERE tipo_campo = 'cosa'`;
  await world.setTables({ tablasBajada: [{ nombre: 'destino', primaryKey: ['parte', 'id'], process: { query } }] });
  await world.execute('CREATE TABLE destino (id VARCHAR(20), parte INT, activo BIT, PRIMARY KEY (parte, id))');
  await sync();
  expect(figures((await verify()).one)).toEqual(equal(ROWS));
  await world.execute(`DELETE FROM destino WHERE id = 'c8'; UPDATE destino SET activo = 0 WHERE id = 'c9'`);
  const { one } = await verify();
  expect(one.muestras).toEqual([
    { diferencia: 'distinta', clave: '2|c9', columnas: ['activo'] },
    { diferencia: 'falta', clave: '1|c8', columnas: [] },
  ]);
});

test('sensitive columns are compared by what they decrypt to, and named without a value', async () => {
  await createDataKey({ folder: world.folder, print: () => {} });
  await world.execute(`DROP TABLE IF EXISTS origen; DROP TABLE IF EXISTS secretos; CREATE TABLE origen (codigo VARCHAR(20) PRIMARY KEY, secreto NVARCHAR(50));
    INSERT INTO origen VALUES ('a', N'uno'), ('b', N'dos')`);
  const sellada = { primaryKey: 'codigo', camposSensibles: ['secreto'] };
  const subida = { ...sellada, process: { query: 'SELECT codigo, secreto FROM origen' } };
  await world.setTables({
    tablasSubida: [{ nombre: 'origen', tipoCampo: 'sellada', ...subida }],
    tablasBajada: [
      {
        ...{ nombre: 'secretos', ...sellada, process: { query: 'parametros_maestros.tipo_campo=sellada' } },
        schema: { columns: [columns[0], { name: 'secreto', type: 'NVARCHAR(50)' }] },
      },
    ],
  });
  // What is decrypted, a person at this machine decides.
  const { folder } = world;
  const lines: string[] = [];
  const print = (line: string) => lines.push(line);
  const approval = { folder, forgetsOrigins: false, print, signal: AbortSignal.timeout(60_000) };
  await runApprove({ ...approval, huella: undefined });
  await runApprove({ ...approval, huella: /--huella (\S+)/.exec(lines.join('\n'))?.[1] });
  await sync();
  expect(figures((await verify({ tablas: ['secretos'] })).one)).toEqual(equal(2));
  await world.execute(`UPDATE secretos SET secreto = N'987654321' WHERE codigo = 'b'`);
  const { one, text, log } = await verify({ tablas: ['secretos'] });
  expect(one.muestras).toEqual([{ diferencia: 'distinta', clave: 'b', columnas: ['secreto'] }]);
  const { rows } = await centre('SELECT to_jsonb(v)::text AS fila FROM sync_verificaciones v');
  for (const said of [text, log, ...rows.map(({ fila }) => fila)]) expect(said).not.toMatch(/987654321|dos/);
});

test('without a key nothing is compared, and that is said', async () => {
  const { primaryKey: _, ...rest } = tabla;
  await world.setTables({ tablasBajada: [rest] });
  await sync();
  const { one, reason } = await verify();
  expect([one.estado, reason, one.mensaje]).toEqual([
    'sin_comparar',
    'exitoso',
    'sin primaryKey no se sabe qué fila es cuál',
  ]);
});

test('stops at the bound, and says so', async () => {
  await setTable();
  await sync();
  const { one, reason } = await verify({ maxSegundos: 1e-9 });
  expect([one.estado, reason]).toEqual(['incompleta', 'incompleta']);
  expect(one.mensaje).toContain('se acabó el tiempo');
});

test('no phase runs, and nothing of the target changes', async () => {
  await setTable();
  await sync();
  const pre_process = { enabled: true, sql: 'DELETE FROM {tabla}' };
  await setTable({ pre_process });
  const { one } = await verify();
  expect(figures(one)).toEqual(equal(ROWS));
});

test('with verificar a run compares the target when it is due, says what it found, and ends as it would', async () => {
  await rm(join(world.folder, 'verificaciones.json'), { force: true });
  const sql =
    'INSERT INTO {tabla} SELECT * FROM {temp_table} AS s WHERE NOT EXISTS (SELECT 1 FROM {tabla} AS t WHERE t.codigo = s.codigo)';
  await setTable({ verificar: 'semanal', post_process: { enabled: true, sql } });
  expect(await sync()).toContain('Comparada con el backend: 1.200 iguales, 0 distintas');
  await world.execute(`UPDATE destino SET precio = 1 WHERE codigo = 'c7'`);
  expect(await sync()).not.toContain('Comparada');
  const file = join(world.folder, 'verificaciones.json');
  const old = (await readFile(file, 'utf8')).replaceAll(/"inicio": "2[^"]*"/g, '"inicio": "2020-01-01T00:00:00.000Z"');
  await writeFile(file, old);
  expect(await sync()).toContain('Comparada con el backend (diferencias): 1.199 iguales, 1 distintas');
  // How often it is compared is nothing that its rows depend on.
  await setTable({ cambios: 'huellas' });
  await sync();
  await setTable({ verificar: 'diario', cambios: 'huellas' });
  expect(await sync()).toContain('Sin novedades');
});
