import { expect, test } from 'vitest';
import { defined } from '../../protocol/defined.ts';
import type { ConfigResponse, ConfiguracionTablas } from '../../protocol/tenant-config/config.ts';
import { approvedPins, assertPinned, guardedNames, Origins, settlePins, withoutOrigins } from './sensitive-pins.ts';

/** What is taken without a person, and what is not; sensitive.test.ts shows it in whole runs. */

const configOf = (configuracionTablas: ConfiguracionTablas) => ({ configuracionTablas }) as ConfigResponse;
const subida = (nombre: string, camposSensibles?: string[], query = 'SELECT * FROM t') => ({
  nombre,
  process: { query },
  ...defined({ camposSensibles }),
});
const tables: ConfiguracionTablas = {
  tablasSubida: [subida('clientes', ['CUIT'])],
  tablasBajada: [subida('copia', ['cuit'])],
};
const [clientes] = tables.tablasSubida!;
const [copia] = tables.tablasBajada!;
const CHANGED = expect.objectContaining({ code: 'CAMPOS_SENSIBLES_CAMBIADOS' });

test('at first what is there is taken, unless all has to be approved', () => {
  const taken = settlePins({}, configOf(tables), false);
  expect(taken).toEqual(approvedPins(tables));
  assertPinned(taken, 'download', copia!, false);
  const strict = settlePins({}, configOf(tables), true);
  expect(strict).toEqual({});
  expect(() => assertPinned(strict, 'upload', clientes!, true)).toThrow(CHANGED);
  expect(() => assertPinned(strict, 'download', copia!, true)).toThrow(CHANGED);
});

test('a table that was gone for a while comes back as it was', () => {
  const before = settlePins({}, configOf(tables), false);
  const gone = settlePins({ sensitivePins: before }, configOf({}), false);
  const back = { tablasSubida: [subida('clientes')], tablasBajada: [subida('copia')] };
  const pins = settlePins({ sensitivePins: approvedPins({}, gone) }, configOf(back), false);
  expect(() => assertPinned(pins, 'upload', back.tablasSubida[0]!, false)).toThrow(/dejaría de cifrar «cuit»/);
  expect(() => assertPinned(pins, 'download', back.tablasBajada[0]!, false)).toThrow(/dejaría de descifrar «cuit»/);
});

test('a column of a download is guarded in uploads too, under any name of a table', () => {
  for (const nombre of ['__proto__', 'constructor', 'copia']) {
    const now = { ...tables, tablasSubida: [subida(nombre, undefined, 'SELECT cuit FROM copia')] };
    const pins = settlePins(
      { sensitivePins: approvedPins({ tablasBajada: tables.tablasBajada! }) },
      configOf(now),
      false,
    );
    expect([...guardedNames(pins, now.tablasSubida[0]!)], nombre).toEqual(['cuit']);
  }
});

test('values of a download in the short form are of its tipo_campo from the first, until a person says otherwise', () => {
  const short = subida('copia', ['cuit'], "parametros_maestros.tipo_campo='cliente'");
  const pins = approvedPins({ tablasBajada: [short] });
  const first = new Origins(pins, short);
  first.see('CUIT', { tipoCampo: 'cliente' });
  const other = { tipoCampo: 'proveedor' };
  expect(() => first.see('cuit', other)).toThrow(expect.objectContaining({ code: 'CAMPO_SENSIBLE_DE_OTRA_TABLA' }));
  const free = new Origins(withoutOrigins(pins), short);
  free.see('cuit', other);
  const learnt = free.learnInto(withoutOrigins(pins));
  expect(learnt['bajada copia']!.campos).toEqual([{ campo: 'cuit', tipos: ['proveedor'], sinAntiguos: true }]);
  new Origins(learnt, short).see('cuit', other);
  expect(() => new Origins(learnt, short).see('cuit', { tipoCampo: 'cliente' })).toThrow(/deben ser de «proveedor»/);
});
