import { describe, expect, test } from 'vitest';
import {
  type Cambio,
  type Columna,
  changesBetween,
  decide,
  describeCambios,
  huellaOf,
  type POLITICAS,
  politicaFor,
} from './drift.ts';

/** `id int`, `nombre nvarchar(80)`; `!` behind a type is NOT NULL. */
function column(text: string): Columna {
  const [, nombre, tipo, inside = '', bang] = /^(\S+) (\w+)(?:\(([^)]*)\))?(!?)$/.exec(text)!;
  const [first, second] = inside === '' ? [] : inside.split(',');
  const common = { nombre: nombre!, tipo: tipo!, nula: bang === '' };
  if (first === undefined) return common;
  if (first === 'max') return { ...common, longitud: 'max' };
  if (['decimal', 'numeric'].includes(tipo!)) return { ...common, precision: Number(first), escala: Number(second) };
  if (['time', 'datetime2', 'datetimeoffset'].includes(tipo!)) return { ...common, escala: Number(first) };
  return { ...common, longitud: Number(first) };
}

function changes(before: string[], now: string[], primaryKey = ['id'], keyNow = primaryKey): Cambio[] {
  return changesBetween(
    { columnas: before.map(column), primaryKey },
    { columnas: now.map(column), primaryKey: keyNow },
  );
}

const classesOf = (cambios: readonly Cambio[]) => cambios.map(({ clase, columna }) => `${clase} ${columna}`);

describe('one column', () => {
  test.each([
    // From, to, class.
    ['int', 'int', undefined],
    ['tinyint', 'smallint', 'ensanchada'],
    ['int', 'bigint', 'ensanchada'],
    ['bigint', 'int', 'estrechada'],
    ['bit', 'int', 'otroTipo'],
    ['int', 'decimal(10,0)', 'otroTipo'],
    ['decimal(10,2)', 'decimal(12,2)', 'ensanchada'],
    ['decimal(10,2)', 'decimal(12,4)', 'ensanchada'],
    ['decimal(10,2)', 'decimal(10,4)', 'estrechada'],
    ['decimal(10,2)', 'decimal(11,4)', 'estrechada'],
    ['decimal(10,2)', 'decimal(12,1)', 'estrechada'],
    ['decimal(10,2)', 'numeric(10,2)', undefined],
    ['smallmoney', 'money', 'ensanchada'],
    ['money', 'smallmoney', 'estrechada'],
    ['money', 'decimal(19,4)', 'otroTipo'],
    ['real', 'float', 'ensanchada'],
    ['varchar(10)', 'varchar(20)', 'ensanchada'],
    ['varchar(20)', 'varchar(10)', 'estrechada'],
    ['varchar(8000)', 'varchar(max)', 'ensanchada'],
    ['varchar(10)', 'nvarchar(10)', 'ensanchada'],
    ['nvarchar(10)', 'varchar(10)', 'estrechada'],
    ['nvarchar(10)', 'varchar(20)', 'estrechada'],
    ['varchar(20)', 'nvarchar(10)', 'estrechada'],
    ['nvarchar(max)', 'ntext', undefined],
    ['char(10)', 'varchar(10)', 'otroTipo'],
    ['varbinary(10)', 'varbinary(max)', 'ensanchada'],
    ['varchar(20)', 'int', 'otroTipo'],
    ['datetime2(3)', 'datetime2(7)', 'ensanchada'],
    ['datetime2(7)', 'datetime2(3)', 'estrechada'],
    ['datetime', 'datetime2(3)', 'otroTipo'],
    ['uniqueidentifier', 'varchar(36)', 'otroTipo'],
    ['sql_variant', 'sql_variant', undefined],
    ['int!', 'int', 'ensanchada'],
    ['int', 'int!', undefined],
    ['int!', 'bigint', 'ensanchada'],
    ['bigint!', 'int', 'estrechada'],
  ])('%s to %s: %s', (from, to, clase) => {
    const found = changes(['id int!', `c ${from}`], ['id int!', `c ${to}`]);
    expect(found.map((change) => change.clase)).toEqual(clase === undefined ? [] : [clase]);
  });

  test('new and gone', () => {
    expect(changes(['id int'], ['id int', 'c varchar(9)'])).toEqual([
      { clase: 'nueva', columna: 'c', ahora: 'VARCHAR(9)' },
    ]);
    expect(changes(['id int', 'c decimal(9,2)!'], ['id int'])).toEqual([
      { clase: 'quitada', columna: 'c', antes: 'DECIMAL(9,2) NOT NULL' },
    ]);
  });
});

describe('the key', () => {
  test.each([
    ['gone', ['id int'], ['otra int'], ['id'], ['clave id', 'nueva otra']],
    ['another type', ['id int'], ['id varchar(9)'], ['id'], ['clave id']],
    ['narrower', ['id bigint'], ['id int'], ['id'], ['clave id']],
    [
      'wider, written alike',
      ['id int!', 'c varchar(9)'],
      ['id bigint!', 'c varchar(10)'],
      ['id', 'c'],
      ['ensanchada id', 'ensanchada c'],
    ],
    [
      'more digits behind the point: written otherwise',
      ['id decimal(9,0)'],
      ['id decimal(12,2)'],
      ['id'],
      ['clave id'],
    ],
    ['padded further', ['id char(5)'], ['id char(6)'], ['id'], ['clave id']],
    ['NULL now: a row without a key is refused by itself', ['id int!'], ['id int'], ['id'], ['ensanchada id']],
    ['codigo in the place of a single one', ['codigo int'], ['codigo varchar(9)'], ['id'], ['clave codigo']],
    [
      'codigo beside several is none of it',
      ['a int', 'b int', 'codigo int'],
      ['a int', 'b int', 'codigo varchar(9)'],
      ['a', 'b'],
      ['otroTipo codigo'],
    ],
    ['codigo where none is configured', ['codigo int'], ['otra int'], [], ['clave codigo', 'nueva otra']],
    ['written in another case', ['ID int'], ['id varchar(9)'], ['Id'], ['clave id']],
  ])('%s', (_, before, now, primaryKey, expected) => {
    expect(classesOf(changes(before, now, primaryKey))).toEqual(expected);
  });

  test('another primaryKey, in whatever columns; another case of it is none', () => {
    const same = ['a int', 'b int'];
    expect(classesOf(changes(same, same, ['a'], ['a', 'b']))).toEqual(['clave primaryKey']);
    expect(classesOf(changes(same, same, ['a', 'b'], ['b', 'a']))).toEqual(['clave primaryKey']);
    expect(changes(same, same, ['a'], ['A'])).toEqual([]);
    expect(changes(['codigo int'], ['codigo int'], [], ['codigo'])).toEqual([]);
  });
});

test('order, case of names and collation are no change, of classes or of the digest', () => {
  const before = ['id int', 'Nombre varchar(9)', 'x bit'].map(column);
  const now = ['x bit', 'NOMBRE varchar(9)', 'ID int'].map(column).map((one) => ({ ...one, colacion: '3082/13/0' }));
  expect(changesBetween({ columnas: before, primaryKey: [] }, { columnas: now, primaryKey: [] })).toEqual([]);
  expect(huellaOf(now)).toBe(huellaOf(before));
  for (const other of ['id bigint', 'id int!', 'id2 int']) {
    expect(huellaOf([column(other), ...before.slice(1)])).not.toBe(huellaOf(before));
  }
});

test('one gone and one new of the same type: named as a hint, and both are what they are; otherwise no hint', () => {
  const hint = changes(['id int', 'tel varchar(20)'], ['id int', 'telefono varchar(20)']);
  expect(hint).toEqual([
    { clase: 'quitada', columna: 'tel', antes: 'VARCHAR(20)', renombrada: 'telefono' },
    { clase: 'nueva', columna: 'telefono', ahora: 'VARCHAR(20)' },
  ]);
  expect(describeCambios(hint)).toBe(
    '«tel» ya no está (VARCHAR(20); ¿ahora se llama «telefono»?); «telefono» es nueva (VARCHAR(20))',
  );
  for (const now of [
    ['id int', 'telefono varchar(30)'],
    ['id int', 'a varchar(20)', 'b varchar(20)'],
  ]) {
    expect(changes(['id int', 'tel varchar(20)'], now).some(({ renombrada }) => renombrada !== undefined)).toBe(false);
  }
});

describe('policies', () => {
  const of = (politica?: (typeof POLITICAS)[number]) =>
    (['nueva', 'ensanchada', 'quitada', 'estrechada', 'otroTipo', 'clave'] as const).map((clase) =>
      politicaFor(clase, politica),
    );
  test.each([
    [undefined, ['evolucionar', 'evolucionar', 'avisar', 'avisar', 'avisar', 'congelar']],
    ['avisar', ['evolucionar', 'evolucionar', 'avisar', 'avisar', 'avisar', 'congelar']],
    ['evolucionar', ['evolucionar', 'evolucionar', 'evolucionar', 'evolucionar', 'evolucionar', 'congelar']],
    ['congelar', ['congelar', 'congelar', 'congelar', 'congelar', 'congelar', 'congelar']],
  ] as const)('%s', (politica, expected) => {
    expect(of(politica)).toEqual(expected);
  });

  const gone: Cambio = { clase: 'quitada', columna: 'c', antes: 'INT' };
  const added: Cambio = { clase: 'nueva', columna: 'd', ahora: 'INT' };
  test('the strictest change decides; what waits for a person goes on waiting for him whatever the policy becomes', () => {
    expect(decide([added], undefined, false).kind).toBe('evolve');
    expect(decide([added, gone], undefined, false).kind).toBe('wait');
    expect(decide([added, gone], 'evolucionar', false).kind).toBe('evolve');
    expect(decide([added, gone], 'evolucionar', true).kind).toBe('wait');
    expect(decide([added], 'evolucionar', true).kind).toBe('evolve');
    expect(decide([gone], 'congelar', true).kind).toBe('stop');
  });
});

test('1,024 columns with names of 128 characters: compared, and told in a line', () => {
  const many = Array.from({ length: 1024 }, (_, n) => column(`${String(n).padEnd(128, 'ñ')} int`));
  const found = changesBetween({ columnas: many, primaryKey: [] }, { columnas: [], primaryKey: [] });
  expect(found).toHaveLength(1024);
  expect(describeCambios(found)).toMatch(/; y 1016 más$/);
  expect(describeCambios(found).length).toBeLessThan(2000);
});
