import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Compile } from 'typebox/compile';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import type { Verificacion } from '../../../protocol/api.ts';
import { VerifyOutput } from '../../../protocol/cli-output.ts';
import { SyncError } from '../../../protocol/errors.ts';
import { createDataKey } from '../../commands/data-key.ts';
import { describeVerification, runVerify } from '../../commands/verify.ts';
import type { ExitReason } from '../../errors/exit-codes.ts';
import { Backend } from '../../http/backend.ts';
import { VerificationRequests } from '../../http/verification.ts';
import { startWorld, type World } from '../../testing/world.ts';
import { silentProgress } from '../../ui/progress.ts';
import type { VerifiedTables } from './verify-tables.ts';

/** Both sides of a table shown to be equal, or not, through all real parts. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  await world.execute(`CREATE TABLE dbo.filas (
    id INT NOT NULL, parte NVARCHAR(20) NOT NULL, nombre NVARCHAR(100) NULL, precio DECIMAL(18,4) NULL, peso FLOAT NULL,
    fecha DATETIME2(3) NULL, activo BIT NOT NULL)`);
});
afterAll(() => world?.close());
beforeEach(async () => {
  await world.execute('DELETE FROM dbo.filas');
  await world.backend.sql.query('TRUNCATE parametros_maestros, sync_verificaciones');
});

const query = 'SELECT * FROM dbo.filas';
const tabla = (rest: object = {}) => ({
  nombre: 'filas',
  primaryKey: 'id',
  bajas: 'desactivar',
  process: { query },
  ...rest,
});

async function fill(rows: number, { parte = "'p'" } = {}): Promise<void> {
  const AT_ONCE = 1000;
  for (let from = 1; from <= rows; from += AT_ONCE) {
    const values = Array.from({ length: Math.min(AT_ONCE, rows - from + 1) }, (_, i) => {
      const n = from + i;
      const nombre = n % 7 === 0 ? 'NULL' : `N'Ñandú "${n}" \\ ${n % 3 === 0 ? '\n' : ''}'`;
      return `(${n}, ${parte}, ${nombre}, ${n}.5, ${n % 5 === 0 ? '1e-7' : `${n}.25`}, '2026-01-15T10:30:00', ${n % 11 === 0 ? 0 : 1})`;
    });
    await world.execute(`INSERT INTO dbo.filas VALUES ${values.join(', ')}`);
  }
}

/** Does something before the next request of this kind is sent. */
function watchFor(name: 'summarize' | 'listPairs' | 'findDetails', act: () => Promise<void>): { stop(): void } {
  const real = VerificationRequests.prototype[name] as (...parameters: unknown[]) => Promise<unknown>;
  let done = false;
  const prototype = VerificationRequests.prototype as unknown as Record<string, unknown>;
  prototype[name] = async function watched(this: unknown, ...parameters: unknown[]) {
    const answer = await real.apply(this, parameters);
    if (!done) await act();
    done = true;
    return answer;
  };
  return {
    stop: () => {
      prototype[name] = real;
    },
  };
}

interface Ended {
  reason: ExitReason;
  result: VerifiedTables;
  one: Verificacion;
  log: string;
  text: string;
}

async function verify(
  options: { reparar?: boolean; maxSegundos?: number; tablas?: string[]; signal?: AbortSignal } = {},
): Promise<Ended> {
  const lines: string[] = [];
  let result: VerifiedTables | undefined;
  const reason = await runVerify({
    ...{
      folder: world.folder,
      tablas: [],
      reparar: false,
      progress: silentProgress,
      signal: new AbortController().signal,
    },
    ...options,
    echo: (line) => lines.push(line),
    onEnd: (ended) => {
      result = ended;
    },
  });
  return {
    reason,
    result: result!,
    one: result!.tablas[0]!,
    log: lines.join('\n'),
    text: describeVerification(result!).join('\n'),
  };
}

const atCentre = (sql: string) => world.backend.sql.query(sql);
const figures = ({ filasOrigen, filasDestino, iguales, distintas, faltan, sobran, enVuelo }: Verificacion) => ({
  ...{ filasOrigen, filasDestino, iguales, distintas, faltan, sobran, enVuelo },
});
const equal = (rows: number) => ({
  filasOrigen: rows,
  filasDestino: rows,
  iguales: rows,
  distintas: 0,
  faltan: 0,
  sobran: 0,
  enVuelo: 0,
});

test('tables that are equal are said to be so', async () => {
  await world.setTables({ tablasSubida: [tabla()] });
  await fill(3000);
  expect((await world.sync()).reason).toBe('exitoso');
  const { reason, one, text } = await verify();
  expect(figures(one)).toEqual(equal(3000));
  expect(one).toMatchObject({ estado: 'iguales', muestras: [], mensaje: null });
  expect(reason).toBe('exitoso');
  expect(text).toMatch(/filas origen.*\nfilas +3\.000 +3\.000 +3\.000 +0 /);
  expect(await readdir(world.folder)).toContain('verificaciones.json');
  expect((await readdir(world.folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

test('each difference is found, and no other: a thousand of every kind, drawn at random in 20,000 rows', async () => {
  await world.setTables({ tablasSubida: [tabla()] });
  await fill(20_000);
  await world.sync();
  let state = 7;
  const draw = () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return 1 + ((state >>> 8) % 20_000);
  };
  const drawn = new Set<number>();
  while (drawn.size < 1000) drawn.add(draw());
  const all = [...drawn];
  const [changed, edited, gone, added] = [all.slice(0, 300), all.slice(300, 600), all.slice(600, 850), all.slice(850)];
  await world.execute(`UPDATE dbo.filas SET precio = precio + 0.0001 WHERE id IN (${changed.join(', ')})`);
  await atCentre(
    `UPDATE parametros_maestros SET parametros_json = jsonb_set(parametros_json, '{peso}', '77.0') WHERE codigo IN ('${edited.join("','")}')`,
  );
  await atCentre(`DELETE FROM parametros_maestros WHERE codigo IN ('${gone.join("','")}')`);
  await world.execute(`DELETE FROM dbo.filas WHERE id IN (${added.join(', ')})`);
  const { one, reason, text } = await verify();
  // Of those that are gone at the source, the ones that were not active are equal.
  const active = added.filter((n) => n % 11 !== 0).length;
  expect(figures(one)).toEqual({
    ...{ filasOrigen: 20_000 - added.length, filasDestino: 20_000 - 250 - (added.length - active) },
    ...{ distintas: 600, faltan: 250, sobran: active, enVuelo: 0, iguales: 20_000 - 1000 },
  });
  expect(reason).toBe('diferencias');
  for (const { diferencia, clave, columnas } of one.muestras) {
    const n = Number(clave);
    if (diferencia === 'distinta')
      expect([changed.includes(n), edited.includes(n), columnas]).toEqual(
        changed.includes(n) ? [true, false, ['precio']] : [false, true, ['peso']],
      );
    else expect((diferencia === 'falta' ? gone : added).includes(n)).toBe(true);
  }
  expect(one.muestras).toHaveLength(60);
  expect(text).toContain('no son iguales');
  const { rows } = await atCentre('SELECT estado, distintas, faltan, muestras FROM sync_verificaciones');
  expect(rows).toMatchObject([{ estado: 'diferencias', distintas: '600', faltan: '250', muestras: one.muestras }]);
});

describe('an edit at the centre shows', () => {
  test.each([
    ['of a value', `parametros_json = parametros_json || '{"precio": 1.50000}'`, ['precio']],
    [
      'of its scale alone',
      `parametros_json = jsonb_set(parametros_json, '{precio}', ((parametros_json ->> 'precio') || '0')::jsonb)`,
      ['precio'],
    ],
    ['of the name', `nombre = 'otro'`, ['nombre']],
    ['of a name to none', 'nombre = NULL', ['nombre']],
    ['of activo', 'activo = NOT activo', ['activo']],
    ['of a member more', `parametros_json = parametros_json || '{"nueva": null}'`, ['nueva']],
    ['of a member less', `parametros_json = parametros_json - 'peso'`, ['peso']],
  ])('%s', async (_, set, columnas) => {
    await world.setTables({ tablasSubida: [tabla()] });
    await fill(50);
    await world.sync();
    await atCentre(`UPDATE parametros_maestros SET ${set} WHERE codigo = '8'`);
    const { one } = await verify();
    expect(figures(one)).toEqual({ ...equal(50), iguales: 49, distintas: 1 });
    expect(one.muestras).toEqual([{ diferencia: 'distinta', clave: '8', columnas }]);
  });
});

test('contents that two rows have exchanged at the centre are two differences', async () => {
  await world.setTables({ tablasSubida: [tabla()] });
  await fill(20);
  await world.sync();
  await atCentre(`UPDATE parametros_maestros a SET nombre = b.nombre, activo = b.activo, parametros_json = b.parametros_json
    FROM parametros_maestros b WHERE (a.codigo, b.codigo) IN (('3', '4'), ('4', '3'))`);
  expect((await verify()).one).toMatchObject({ distintas: 2, iguales: 18 });
});

test('a key of several columns, and one whose text SQL Server does not read back', async () => {
  const keys = ['id', 'parte'];
  await world.setTables({
    tablasSubida: [
      tabla({ nombre: 'compuestas', tipoCampo: 'compuestas', primaryKey: keys }),
      tabla({ nombre: 'fechas', tipoCampo: 'fechas', primaryKey: ['fecha', 'id'] }),
    ],
  });
  await fill(300, { parte: "N'a|b\\c'" });
  await world.sync();
  await atCentre(`UPDATE parametros_maestros SET nombre = 'otro' WHERE parametros_json ->> 'id' IN ('5', '6')`);
  const { result } = await verify();
  for (const one of result.tablas) expect(figures(one)).toEqual({ ...equal(300), iguales: 298, distintas: 2 });
  expect(result.tablas[0]!.muestras.map(({ clave }) => clave).toSorted()).toEqual(['5|a\\|b\\\\c', '6|a\\|b\\\\c']);
});

test('rows that the source has no more and the centre has set inactive are equal; with bajas ignorar what is too much is no difference', async () => {
  await world.setTables({ tablasSubida: [tabla()] });
  await fill(100);
  await world.sync();
  await world.execute('DELETE FROM dbo.filas WHERE id <= 10');
  await world.sync();
  const { one, reason } = await verify();
  expect([figures(one), reason]).toEqual([equal(90), 'exitoso']);
  expect(one.mensaje).toBe('10 filas inactivas del destino ya no están en el origen: no cuentan');
  await world.setTables({ tablasSubida: [tabla({ bajas: 'ignorar' })] });
  await world.execute('DELETE FROM dbo.filas WHERE id <= 20');
  const ignored = await verify();
  expect(figures(ignored.one)).toMatchObject({ sobran: 9, iguales: 80 });
  expect([ignored.reason, ignored.one.estado]).toEqual(['exitoso', 'iguales']);
  expect(ignored.one.mensaje).toContain('bajas es «ignorar»');
});

test('an empty source, a table that was never sent, keys that are repeated and keys that are NULL are said in words', async () => {
  await world.setTables({ tablasSubida: [tabla()] });
  expect(figures((await verify()).one)).toEqual(equal(0));
  await fill(30);
  expect(figures((await verify()).one)).toMatchObject({ filasOrigen: 30, filasDestino: 0, faltan: 30 });
  await world.sync();
  await world.setTables({
    tablasSubida: [tabla({ process: { query: `${query} UNION ALL SELECT * FROM dbo.filas WHERE id = 3` } })],
  });
  const repeated = await verify();
  expect([repeated.one.mensaje, repeated.reason]).toEqual([
    '1 filas repiten la clave de otra: una subida se rechaza',
    'diferencias',
  ]);
  const nullKey =
    'SELECT CASE WHEN id = 7 THEN NULL ELSE id END AS id, parte, nombre, precio, peso, fecha, activo FROM dbo.filas';
  await world.setTables({ tablasSubida: [tabla({ process: { query: nullKey } })] });
  const without = await verify();
  expect(without.one).toMatchObject({ sobran: 0 + 1, filasOrigen: 29 });
  expect(without.one.mensaje).toContain('1 filas del origen no tienen clave');
});

test('of repeated keys the last row counts where the table says so', async () => {
  const process = {
    query: `${query} UNION ALL SELECT id, parte, 'el último', precio, peso, fecha, activo FROM dbo.filas WHERE id = 3`,
  };
  await world.setTables({ tablasSubida: [tabla({ clavesRepetidas: 'ultima', process })] });
  await fill(30);
  await world.sync();
  const { one, reason } = await verify();
  expect([figures(one), reason]).toEqual([equal(30), 'exitoso']);
  expect(one.mensaje).toBe('1 filas repiten la clave de otra: cuenta la última');
});

test('a table that fails is told, and the others are compared', async () => {
  await world.setTables({
    tablasSubida: [
      tabla({ nombre: 'rota', tipoCampo: 'rota', process: { query: 'SELECT * FROM dbo.no_esta' } }),
      tabla(),
    ],
  });
  await fill(10);
  const { result, reason, text } = await verify();
  expect(result.tablas.map((one) => one.tabla)).toEqual(['filas']);
  expect(result.errores).toMatchObject([{ tabla: 'rota' }]);
  expect(reason).toBe('sqlserver');
  expect(text).toContain('rota: no se pudo comparar');
  expect((await verify({ tablas: ['otra'] })).reason).toBe('configuracion');
});

describe('--reparar', () => {
  test('sends what is missing and what differs by itself, and it is equal then', async () => {
    await world.setTables({ tablasSubida: [tabla()] });
    await fill(500);
    await world.sync();
    await atCentre(`UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo IN ('1', '2')`);
    await atCentre(`DELETE FROM parametros_maestros WHERE codigo IN ('3', '4', '5')`);
    const { one, reason } = await verify({ reparar: true });
    expect(figures(one)).toEqual(equal(500));
    expect(one).toMatchObject({ reparadas: 5, estado: 'iguales', muestras: [] });
    expect(reason).toBe('exitoso');
    expect(figures((await verify()).one)).toEqual(equal(500));
    const { rows } = await atCentre(`SELECT mensaje FROM sync_logs WHERE mensaje LIKE '5 filas recibidas%'`);
    expect(rows).toHaveLength(1);
    expect(JSON.parse(await world.readFile('last-sync.json'))).toMatchObject({ tablas: {} });
  });

  test('rows that are too many go by the hashes of their keys, beside those that differ, and no other row is sent', async () => {
    await world.setTables({ tablasSubida: [tabla()] });
    await fill(500);
    await world.sync();
    await world.execute('DELETE FROM dbo.filas WHERE id IN (1, 2, 3)');
    await atCentre(`DELETE FROM parametros_maestros WHERE codigo = '7'`);
    const { one } = await verify({ reparar: true });
    expect(figures(one)).toEqual(equal(497));
    expect(one).toMatchObject({ reparadas: 1, estado: 'iguales', muestras: [] });
    const { rows } = await atCentre(
      `SELECT codigo FROM parametros_maestros WHERE NOT activo AND codigo IN ('1', '2', '3')`,
    );
    expect(rows).toHaveLength(3);
    await world.execute('DELETE FROM dbo.filas WHERE id IN (4, 5)');
    expect((await verify({ reparar: true })).one).toMatchObject({ ...equal(495), reparadas: 0 });
  });

  test('before them stands the guard', async () => {
    await world.setTables({ tablasSubida: [tabla({ guarda: { bajas: 5, porciento: 1 } })] });
    await fill(200);
    await world.sync();
    await world.execute('DELETE FROM dbo.filas WHERE id <= 2');
    expect(figures((await verify({ reparar: true })).one)).toEqual(equal(198));
    await world.execute('DELETE FROM dbo.filas WHERE id <= 50');
    const held = await verify({ reparar: true });
    expect(held.one).toMatchObject({ estado: 'diferencias', iguales: 150 });
    expect(held.one.sobran).toBeGreaterThan(40);
    expect(held.log).toMatch(/0 bajas, \d+ retenidas: el administrador las decide/);
    const { rows } = await atCentre('SELECT bajas FROM sync_bajas_retenidas');
    expect(rows).toHaveLength(1);
  });

  test('an empty source takes nothing away', async () => {
    await world.setTables({ tablasSubida: [tabla()] });
    await fill(20);
    await world.sync();
    await world.execute('DELETE FROM dbo.filas');
    expect((await verify({ reparar: true })).one).toMatchObject({ estado: 'diferencias', sobran: 19, filasOrigen: 0 });
  });

  test('where two keys have one hash, the table goes whole', async () => {
    await world.setTables({ tablasSubida: [tabla()] });
    await fill(30);
    await world.sync();
    await world.execute('DELETE FROM dbo.filas WHERE id = 3');
    const real = Backend.prototype.commitUpload;
    Backend.prototype.commitUpload = async function refused(id, commit, signal) {
      if (commit.bajas !== undefined)
        throw new SyncError('GENERACION_DESCONOCIDA', 'Dos claves tienen la misma huella.');
      return real.call(this, id, commit, signal);
    };
    const { one } = await verify({ reparar: true }).finally(() => {
      Backend.prototype.commitUpload = real;
    });
    expect(one).toMatchObject({ ...equal(29), reparadas: 29 });
  });
});

describe('in flight', () => {
  test.each([
    ['changed at the source after it was read', "UPDATE dbo.filas SET nombre = 'nuevo' WHERE id IN (3, 40)", '', 2],
    ['gone from the source', 'DELETE FROM dbo.filas WHERE id IN (3, 40)', '', 2],
    ['brought to the centre meanwhile', '', 'sí', 2],
  ])('rows that were %s', async (_, atSource, centre, rows) => {
    await world.setTables({ tablasSubida: [tabla()] });
    await fill(60);
    await world.sync();
    await atCentre(`UPDATE parametros_maestros SET nombre = nombre || ' antes' WHERE codigo IN ('3', '40', '50')`);
    // The first look is over once the centre is asked for the rows of a bucket.
    const asked = watchFor('listPairs', async () => {
      if (atSource !== '') await world.execute(atSource);
      if (centre !== '')
        await atCentre(`UPDATE parametros_maestros SET nombre = left(nombre, -6) WHERE codigo IN ('3', '40')`);
    });
    const { one } = await verify();
    asked.stop();
    expect(figures(one)).toMatchObject({ enVuelo: rows, distintas: 1 });
    expect(one.muestras.map(({ clave }) => clave)).toEqual(['50']);
  });
});

test('with verificar a run compares the table when it is due, says what it found, and ends as it would', async () => {
  await world.setTables({ tablasSubida: [tabla({ verificar: 'semanal' })] });
  await fill(40);
  await rm(join(world.folder, 'verificaciones.json'), { force: true });
  const first = await world.sync();
  expect(first.log).toContain('Comparada con el backend: 40 iguales, 0 distintas');
  await atCentre(`UPDATE parametros_maestros SET codigo = 'x' WHERE codigo = '5'`);
  const second = await world.sync();
  expect(second.log).not.toContain('Comparada');
  const file = join(world.folder, 'verificaciones.json');
  const old = (await readFile(file, 'utf8')).replaceAll(/"inicio": "2[^"]*"/g, '"inicio": "2020-01-01T00:00:00.000Z"');
  await writeFile(file, old);
  await world.execute('DELETE FROM dbo.filas WHERE id = 6');
  await world.setTables({
    tablasSubida: [tabla({ verificar: 'semanal', bajas: 'ignorar', process: { query: `${query} WHERE id <> 7` } })],
  });
  await atCentre(`UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo = '9'`);
  const third = await world.sync();
  expect([third.reason, third.log.match(/Comparada.*/)?.[0]]).toEqual([
    'exitoso',
    expect.stringContaining('38 iguales, 0 distintas, 0 faltan, 2 sobran'),
  ]);
});

describe('--max-segundos', () => {
  test('stops at the bound, and the next one goes on at the bucket; the totals are of both', async () => {
    await world.setTables({ tablasSubida: [tabla()] });
    await fill(3000);
    await world.sync();
    await atCentre(`UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo::int % 10 = 0`);
    // As if the time were up once a third of the parts is compared.
    const real = performance.now;
    let jump = 0;
    const asked = watchFor('listPairs', async () => {
      let calls = 0;
      performance.now = () => real.call(performance) + (++calls > 20 ? jump : 0);
      jump = 3_600_000;
    });
    const first = await verify({ maxSegundos: 600 }).finally(() => {
      performance.now = real;
      asked.stop();
    });
    expect([first.reason, first.one.estado]).toEqual(['diferencias', 'incompleta']);
    expect(first.one.mensaje).toMatch(/^se acabó el tiempo en el cubo \d+ de \d+: la próxima vez sigue ahí/);
    expect(first.one.filasOrigen).toBeGreaterThan(100);
    expect(first.one.filasOrigen).toBeLessThan(2500);
    expect(first.one.distintas).toBeGreaterThan(10);
    const second = await verify();
    expect(second.log).toContain('La comparación sigue donde quedó');
    expect(figures(second.one)).toEqual({ ...equal(3000), iguales: 2700, distintas: 300 });
    expect(figures((await verify()).one)).toEqual({ ...equal(3000), iguales: 2700, distintas: 300 });
  });

  test('that does not do for the reading compares nothing, and says so', async () => {
    await world.setTables({ tablasSubida: [tabla()] });
    await fill(100);
    await world.sync();
    const { one, reason } = await verify({ maxSegundos: 0.000001 });
    expect(one).toMatchObject({ estado: 'incompleta', filasOrigen: 0 });
    expect(one.mensaje).toContain('en el cubo 0 de');
    expect(reason).toBe('incompleta');
    expect(figures((await verify()).one)).toEqual(equal(100));
  });
});

test('what was compared is settled every ten seconds; one that is killed after that goes on there, and finds the same', async () => {
  await world.setTables({ tablasSubida: [tabla()] });
  await fill(1000);
  await world.sync();
  await atCentre(`UPDATE parametros_maestros SET nombre = 'otro' WHERE codigo::int % 4 = 0`);
  const real = performance.now;
  let jumps = 0;
  const jumping = watchFor('listPairs', async () => {
    performance.now = () => real.call(performance) + 11_000 * ++jumps;
  });
  const stop = new AbortController();
  let looks = 0;
  const { prototype } = VerificationRequests;
  const { findDetails } = prototype;
  prototype.findDetails = function counted(...parameters) {
    if (++looks === 8) stop.abort(new Error('killed'));
    return findDetails.apply(this, parameters);
  };
  const killed = await verify({ signal: stop.signal }).finally(() => {
    performance.now = real;
    prototype.findDetails = findDetails;
    jumping.stop();
  });
  expect(killed.reason).toBe('interrumpido');
  const { tablas } = JSON.parse(await world.readFile('verificaciones.json')) as {
    tablas: Record<string, { sigue?: { cubo: number; totales: { distintas: number } } }>;
  };
  expect(tablas['upload/filas']?.sigue?.cubo).toBeGreaterThan(0);
  expect(tablas['upload/filas']?.sigue?.totales.distintas).toBeGreaterThan(0);
  const resumed = await verify();
  expect(resumed.log).toContain('La comparación sigue donde quedó');
  expect(figures(resumed.one)).toEqual({ ...equal(1000), iguales: 750, distintas: 250 });
});

test('what it prints for programs is what its schema says', async () => {
  await world.setTables({
    tablasSubida: [
      tabla(),
      tabla({ nombre: 'rota', tipoCampo: 'rota', process: { query: 'SELECT * FROM dbo.no_esta' } }),
    ],
  });
  await fill(10);
  const { result } = await verify();
  const { reason: resultado, ...rest } = result;
  expect(rest.errores).toHaveLength(1);
  const event = { evento: 'fin', formato: 1, resultado, ...rest };
  const checker = Compile(VerifyOutput);
  expect([checker.Check(event), checker.Check({ ...event, otro: 1 })]).toEqual([true, false]);
});

test('an interruption leaves no file with rows behind', async () => {
  await world.setTables({ tablasSubida: [tabla()] });
  await fill(100);
  await world.sync();
  const stop = new AbortController();
  const asked = watchFor('summarize', async () => stop.abort(new Error('Ctrl-C')));
  const { reason } = await verify({ signal: stop.signal });
  asked.stop();
  expect(reason).toBe('interrumpido');
  await writeFile(join(world.folder, 'verify-1.tmp'), 'of one that was killed');
  await verify();
  expect((await readdir(world.folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});

test('sensitive columns are compared as they are stored, and named without a value', async () => {
  await createDataKey({ folder: world.folder, print: () => {} });
  await world.setTables({
    tablasSubida: [tabla({ nombre: 'secretas', tipoCampo: 'secretas', camposSensibles: ['precio'] })],
  });
  await fill(100);
  expect((await world.sync()).reason).toBe('exitoso');
  expect(figures((await verify()).one)).toEqual(equal(100));
  await world.execute('UPDATE dbo.filas SET precio = 987654321 WHERE id = 5');
  const { one, text, log } = await verify();
  expect(one.muestras).toEqual([{ diferencia: 'distinta', clave: '5', columnas: ['precio'] }]);
  const { rows } = await atCentre('SELECT to_jsonb(v)::text AS fila FROM sync_verificaciones v');
  for (const said of [text, log, ...rows.map(({ fila }) => fila)]) expect(said).not.toContain('987654321');
});
