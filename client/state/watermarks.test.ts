import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type TablaSubida, uploadFields } from '../../protocol/tenant-config/upload-table.ts';
import { changesOf, sampleTable } from '../../protocol/testing/sample-values.ts';
import type { SensitiveColumns } from '../rows/field-encryption.ts';
import { boundMark, fingerprintsOf, Watermarks } from './watermarks.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-marks-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const h1 = { actual: 'h1', anterior: 'v1' };
const h2 = { actual: 'h2', anterior: 'v2' };
const plain = { process: { query: 'SELECT * FROM v WHERE fecha > @ultimaSync' } };
const now = { local: '2024-01-15T07:30:00.5', utc: '2024-01-15T10:30:00.5' };
const mark = { local: '2024-01-15T07:00:00.1234567', utc: '2024-01-15T10:00:00.1234567' };

test('first run: NULL where the query knows what NULL means, a day before everything otherwise', () => {
  const first = (query: string) => boundMark({ process: { query } }, undefined, now);
  expect(first('… WHERE updated_at > @ultimaSync OR @ultimaSync IS NULL')).toBeNull();
  expect(first('… WHERE updated_at > ISNULL(@ULTIMASYNC, 0)')).toBeNull();
  expect(first("… WHERE updated_at > coalesce( @ultimaSync, '1900-01-01')")).toBeNull();
  expect(first('… WHERE fecha_modificacion > @ultimaSync')).toBe('1753-01-01T00:00:00.0000000');
});

test('later runs: the mark less the overlap, with every digit', () => {
  expect(boundMark(plain, mark, now)).toBe('2024-01-15T06:59:00.1234567');
  expect(boundMark({ ...plain, solapeSegundos: 0 }, mark, now)).toBe('2024-01-15T07:00:00.1234567');
  expect(boundMark({ ...plain, solapeSegundos: 0, reloj: 'utc' }, mark, now)).toBe('2024-01-15T10:00:00.1234567');
});

test('when the clocks go back, the hour that comes twice is not passed over', () => {
  // Watermark at 02:50 summer time (UTC+2); half an hour later it is 02:20 winter time (UTC+1).
  const before = { local: '2024-10-27T02:50:00', utc: '2024-10-27T00:50:00' };
  const after = { local: '2024-10-27T02:20:00.0000003', utc: '2024-10-27T01:20:00' };
  expect(boundMark({ ...plain, solapeSegundos: 0 }, before, after)).toBe('2024-10-27T01:50:00.0000000');
});

test('when the clocks go forward, the earlier of both clocks holds', () => {
  const before = { local: '2024-03-31T01:50:00', utc: '2024-03-31T00:50:00' };
  const after = { local: '2024-03-31T03:20:00', utc: '2024-03-31T01:20:00' };
  expect(boundMark({ ...plain, solapeSegundos: 0 }, before, after)).toBe('2024-03-31T01:50:00.0000000');
});

test('zones west of UTC and with half hours', () => {
  const before = { local: '2024-01-15T07:00:00', utc: '2024-01-15T10:00:00' };
  expect(boundMark({ ...plain, solapeSegundos: 0 }, before, now)).toBe('2024-01-15T07:00:00.0000000');
  const india = { local: '2024-01-15T15:30:00', utc: '2024-01-15T10:00:00' };
  expect(boundMark({ ...plain, solapeSegundos: 0 }, india, india)).toBe('2024-01-15T15:30:00.0000000');
});

test('a mark is on disk when set, and is found by the next run with the same fingerprint only', async () => {
  const marks = await Watermarks.open(folder, () => expect.unreachable());
  await marks.set('v', { ...mark, huella: 'h1', ultimaEjecucion: '2024-01-15T10:00:01Z', filas: 3 });
  const again = await Watermarks.open(folder, () => expect.unreachable());
  expect(again.get('v', h1)).toMatchObject(mark);
  expect(again.get('v', h2)).toBeUndefined();
  expect([again.isOutdated('v', h1), again.isOutdated('v', h2), again.isOutdated('w', h1)]).toEqual([
    false,
    true,
    false,
  ]);
});

test('marks of tables that end at the same time are all on the disk, each when its own call resolves', async () => {
  const marks = await Watermarks.open(folder, () => expect.unreachable());
  const names = Array.from({ length: 20 }, (_, n) => `v${n}`);
  await Promise.all(
    names.map(async (name) => {
      await marks.set(name, { ...mark, huella: 'h1', ultimaEjecucion: '2024-01-15T10:00:01Z', filas: 3 });
      expect((await Watermarks.open(folder, () => expect.unreachable())).get(name, h1)).toBeDefined();
    }),
  );
  const again = await Watermarks.open(folder, () => expect.unreachable());
  expect(names.filter((name) => again.get(name, h1) === undefined)).toEqual([]);
  expect(await readdir(folder)).toEqual(['last-sync.json']);
});

test('a damaged file is put aside and everything starts afresh', async () => {
  for (const text of ['{"v":', '{"v":{"local":"ayer"}}', '[]']) {
    await writeFile(join(folder, 'last-sync.json'), text);
    const told: string[] = [];
    const marks = await Watermarks.open(folder, (path) => told.push(path));
    expect(marks.get('v', h1)).toBeUndefined();
    expect(told).toEqual([join(folder, 'last-sync.json.danado')]);
    expect(await readFile(told[0]!, 'utf8')).toBe(text);
    expect(await readdir(folder)).toEqual(['last-sync.json.danado']);
  }
});

test('the fingerprint changes with whatever makes the mark another one: query, key, type, date, clock, phase, server, port, login', () => {
  const tabla = { nombre: 'vista_productos', primaryKey: 'codigo', process: { query: 'SELECT 1' } };
  const from = { endpoints: ['https://a'], servidor: ['sql:1433', 'ana'] };
  const of = (more: object = {}, where: object = {}) => fingerprintsOf({ ...tabla, ...more }, { ...from, ...where });
  const same = [
    of(),
    of({ solapeSegundos: 5 }),
    of({ reloj: 'local' }),
    of({ pre_process: { enabled: false, sql: 'x' } }),
  ];
  expect(new Set(same.map(({ actual }) => actual)).size).toBe(1);
  const known = [
    of({ process: { query: 'SELECT 2' } }),
    of({ primaryKey: ['codigo', 'x'] }),
    of({ tipoCampo: 'articulo' }),
    of({ campoFecha: 'f' }),
    of({}, { endpoints: ['https://b'] }),
  ];
  const newlyKnown = [
    of({ reloj: 'utc' }),
    of({ pre_process: { enabled: true, sql: 'EXEC a' } }),
    of({ pre_process: { enabled: true, sql: 'EXEC b' } }),
    of({}, { servidor: ['sql:1434', 'ana'] }),
    of({}, { servidor: ['sql:1433', 'eva'] }),
  ];
  expect(new Set([of(), ...known, ...newlyKnown].map(({ actual }) => actual)).size).toBe(11);
  expect(new Set([of(), ...known].map(({ anterior }) => anterior)).size).toBe(6);
  expect(new Set([of(), ...newlyKnown].map(({ anterior }) => anterior)).size).toBe(1);
});

/** As agents before the declarations of fields wrote them. */
const FINGERPRINTS = [
  { actual: '2:PVS8uVCUJ_pxarsn5DPRlA', anterior: '05Y38YqQ2WXOKTOxgSQZvn' },
  { actual: '2:N3VsOZUoahxKQ7glTU4eJd', anterior: 'cEi-SQOfkOOp4PjSVKDw0L' },
  { actual: '2:r9XGERSZqY9njHufcc7bHS', anterior: '4kn-8Wi5WERyyCv9o2_AjO' },
];

test('the fingerprints of marks on disks are what they were', () => {
  const from = { endpoints: ['https://a', 't', 'sql', 'empresa'], servidor: ['sql:1433', 'ana'] };
  const least = { nombre: 'vista_productos', process: { query: 'SELECT 1' } };
  const most: TablaSubida = {
    ...{ nombre: 'vista_productos', conexion: 'almacen', primaryKey: ['empresa', 'codigo'], incremental: true },
    ...{ campoFecha: 'fecha', tipoCampo: 'articulo', desactivarAusentes: true, guarda: { bajas: 9 } },
    ...{ clavesRepetidas: 'ultima', reloj: 'utc', solapeSegundos: 5, completoCada: '7d' },
    ...{ particion: { columna: 'id', filas: 10 }, camposSensibles: ['Cuit'] },
    pre_process: { enabled: true, sql: 'EXEC a' },
    process: { query: 'SELECT 1 WHERE f > @ultimaSync' },
    post_process: { enabled: true, sql: 'EXEC b' },
  };
  expect([fingerprintsOf(least, from), fingerprintsOf(most, from)]).toEqual(FINGERPRINTS.slice(0, 2));
  expect(fingerprintsOf(most, from, { keyId: 'k1', names: ['cuit'] } as SensitiveColumns)).toEqual(FINGERPRINTS[2]);
});

const ofSample = changesOf(uploadFields, sampleTable(uploadFields) as TablaSubida);
const markOf = (tabla: TablaSubida) => fingerprintsOf(tabla, { endpoints: [], servidor: [] }).actual;

test.each(ofSample)('another $name makes another mark only where its declaration says rows', ({ touches, changed }) => {
  const isAnother = markOf(changed) !== markOf(sampleTable(uploadFields) as TablaSubida);
  expect(isAnother).toBe(touches.has('rows'));
});

test('a mark with the fingerprint of an earlier agent holds where nothing differs that it knew', async () => {
  const marks = await Watermarks.open(folder, () => expect.unreachable());
  await marks.set('v', { ...mark, huella: h1.anterior, ultimaEjecucion: '2024-01-15T10:00:01Z', filas: 3 });
  expect(marks.get('v', h1)).toMatchObject(mark);
  expect(marks.isOutdated('v', h1)).toBe(false);
  expect(marks.get('v', h2)).toBeUndefined();
});

test('a mark that could not be read back is not stored, and the one before stays', async () => {
  const marks = await Watermarks.open(folder, () => expect.unreachable());
  const common = { huella: 'h1', ultimaEjecucion: '2024-01-15T10:00:01Z', filas: 3 };
  await marks.set('v', { ...mark, ...common });
  for (const wrong of [
    '10024-01-15T10:00:00',
    '2024-02-30T10:00:00.0000000',
    '2024-01-15 10:00:00',
    '0001-01-01T00:00:00',
  ]) {
    const set = marks.set('v', { ...mark, utc: wrong, ...common });
    await expect(set, wrong).rejects.toMatchObject({ code: 'RELOJ_ILEGIBLE' });
  }
  expect((await Watermarks.open(folder, () => expect.unreachable())).get('v', h1)).toMatchObject(mark);
});
