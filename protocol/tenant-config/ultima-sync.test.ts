import { describe, expect, test } from 'vitest';
import { mentionsMark, undatedRowsOf, withUndatedRows } from './ultima-sync.ts';

const NEW = 'SELECT a FROM v';

describe('a comparison of a column with the mark lets rows without a date through', () => {
  test.each([
    ['WHERE fecha > @ultimaSync', 'WHERE (fecha > @ultimaSync OR fecha IS NULL)'],
    ['WHERE x = 1 AND v.[f x] >= @ULTIMASYNC;', 'WHERE x = 1 AND (v.[f x] >= @ULTIMASYNC OR v.[f x] IS NULL);'],
    ['where @ultimaSync<dbo . v."f" order by 1', 'where (@ultimaSync<dbo . v."f" OR dbo.v."f" IS NULL) order by 1'],
    [
      'WHERE (creado > @ultimaSync OR (cambiado > @ultimaSync))',
      'WHERE ((creado > @ultimaSync OR creado IS NULL) OR ((cambiado > @ultimaSync OR cambiado IS NULL)))',
    ],
    [
      "WHERE f > ISNULL(CAST(@ultimaSync AS date), '1900-01-01') AND z = ')'",
      "WHERE (f > ISNULL(CAST(@ultimaSync AS date), '1900-01-01') OR f IS NULL) AND z = ')'",
    ],
    [
      'JOIN (SELECT b FROM w WHERE f > @ultimaSync) AS w ON w.b = v.b',
      'JOIN (SELECT b FROM w WHERE (f > @ultimaSync OR f IS NULL)) AS w ON w.b = v.b',
    ],
    [
      'WHERE EXISTS (SELECT 1 FROM w WHERE w.f > @ultimaSync)',
      'WHERE EXISTS (SELECT 1 FROM w WHERE (w.f > @ultimaSync OR w.f IS NULL))',
    ],
    [
      "WHERE a = '@ultimaSync' /* f > /* @ultimaSync */ */ AND f > @ultimaSync -- @ultimaSync",
      "WHERE a = '@ultimaSync' /* f > /* @ultimaSync */ */ AND (f > @ultimaSync OR f IS NULL) -- @ultimaSync",
    ],
    ['WHERE [@ultimaSync] = 1', 'WHERE [@ultimaSync] = 1'],
  ])('%s', (query, expected) => {
    expect(withUndatedRows(`${NEW} ${query}`)?.sql).toBe(`${NEW} ${expected}`);
  });

  test('the columns are named as the query writes them, each once', () => {
    const found = withUndatedRows(
      'SELECT a FROM v WHERE v.f > @ultimaSync UNION ALL SELECT a FROM w AS v WHERE v.f > @ultimaSync',
    );
    expect(found?.columns).toEqual(['v.f']);
  });
});

test.each([
  'SELECT a FROM v WHERE NOT f > @ultimaSync',
  'SELECT a FROM v WHERE NOT (a = 1 OR f > @ultimaSync)',
  'SELECT a FROM v WHERE NOT EXISTS (SELECT 1 FROM w WHERE f > @ultimaSync)',
  'SELECT a FROM v WHERE a NOT IN (SELECT a FROM w WHERE f > @ultimaSync)',
  'SELECT a FROM v EXCEPT SELECT a FROM w WHERE f > @ultimaSync',
  'SELECT CASE WHEN a = 1 AND f > @ultimaSync THEN 1 END FROM v',
  'SELECT a, (SELECT max(b) FROM w WHERE f > @ultimaSync) FROM v',
  'SELECT IIF(f > @ultimaSync, 1, 0) FROM v',
  'SELECT a FROM v WHERE f + 1 > @ultimaSync',
  'SELECT a FROM v WHERE f > @ultimaSync + 1',
  'SELECT a FROM v WHERE YEAR(f) > @ultimaSync',
  'SELECT a FROM v WHERE f BETWEEN @ultimaSync AND SYSDATETIME()',
  'SELECT a FROM v WHERE f < @ultimaSync',
  'SELECT a FROM v WHERE a = CASE b WHEN 1 THEN 2 END AND CASE WHEN 1 = 1 THEN f END > @ultimaSync',
  'EXEC cambios @ultimaSync',
  'SELECT a FROM v WHERE f > @ultimaSync AND g <> @ultimaSync',
  "SELECT a FROM v WHERE f > @ultimaSync AND b = 'sin final",
  'SELECT a FROM v /* sin final WHERE f > @ultimaSync',
])('left alone, for it cannot be told what it would mean: %s', (query) => {
  expect(withUndatedRows(query)).toBeUndefined();
});

test.each([
  'SELECT a FROM v WHERE f > @ultimaSync OR @ultimaSync IS NULL',
  'SELECT a FROM v WHERE (@ultimaSync IS NULL AND activo = 1) OR f > @ultimaSync',
  'SELECT a FROM v',
])('what says itself what a first reading brings stays as it is: %s', (query) => {
  expect(withUndatedRows(query)?.sql).toBe(query);
});

test.each([{ incremental: true }, { cambios: 'marca' as const }])(
  'rows without a date are told of a table of marks, however it says so: %j',
  (said) => {
    const tabla = { nombre: 'v', campoFecha: 'f', process: { query: 'SELECT a FROM v WHERE f > @ultimaSync' } };
    expect(undatedRowsOf({ ...tabla, ...said })).toBe('enteras');
    expect(undatedRowsOf(tabla)).toBeUndefined();
  },
);

test('the parameter is found in any case and not inside another name', () => {
  expect(mentionsMark('x > @ULTIMASYNC')).toBe(true);
  expect(mentionsMark('x > @ultimaSync2')).toBe(false);
});
