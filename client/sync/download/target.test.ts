import { expect, test } from 'vitest';
import { quoteTable } from '../../sqlserver/tables/ddl.ts';
import { builtInUpdate, columnsOf, fillNames, keyNames, makeTempName } from './target.ts';

const tabla = { nombre: 'dbo.plan cuentas', primaryKey: ['CODIGO'], process: { query: 'x' } };
const columns = columnsOf(tabla, {
  columns: [
    { name: 'codigo', type: 'VARCHAR(20)', nullable: false },
    { name: 'tipo]de', type: 'INT' },
  ],
});

test('the columns come from the configuration, else from the download; what says nothing may be null', () => {
  expect(columns.map(({ nullable }) => nullable)).toEqual([false, true]);
  const own = { ...tabla, schema: { columns: [{ name: 'a', type: 'BIT' }] } };
  expect(columnsOf(own, { columns: [{ name: 'b', type: 'INT' }] })).toEqual([
    { name: 'a', type: { name: 'bit' }, nullable: true },
  ]);
});

test('a name for #temp that needs no brackets, another each time', () => {
  expect(makeTempName('dbo.plan cuentas')).toMatch(/^#temp_dbo_plan_cuentas_\d{5,6}$/);
  expect(makeTempName('x'.repeat(128)).length).toBeLessThan(116);
  expect(new Set(Array.from({ length: 5000 }, () => makeTempName('t'))).size).toBe(5000);
});

test('with a key: update what is known, insert the rest; names are quoted and the key is found in any case', () => {
  expect(keyNames(tabla, columns)).toEqual(['codigo']);
  expect(builtInUpdate(tabla, columns, { temp: '#t', bajas: undefined })).toEqual([
    'UPDATE t SET [tipo]]de] = s.[tipo]]de] FROM [dbo].[plan cuentas] AS t INNER JOIN #t AS s ON t.[codigo] = s.[codigo]',
    'INSERT INTO [dbo].[plan cuentas] ([codigo], [tipo]]de]) SELECT s.[codigo], s.[tipo]]de] FROM #t AS s ' +
      'WHERE NOT EXISTS (SELECT 1 FROM [dbo].[plan cuentas] AS t WHERE t.[codigo] = s.[codigo])',
  ]);
});

test('nothing but a key: there is nothing to update', () => {
  expect(builtInUpdate(tabla, columns.slice(0, 1), { temp: '#t', bajas: undefined })).toEqual([
    expect.stringMatching(/^INSERT /),
  ]);
});

test('a key that the schema has not got is refused by name', () => {
  expect(() => keyNames({ ...tabla, primaryKey: 'id' }, columns)).toThrow(
    expect.objectContaining({ code: 'CLAVE_SIN_COLUMNA', message: expect.stringContaining('La primaryKey «id»') }),
  );
});

test("a table's name is text in its place: no pattern of it splices SQL, and none of its braces is filled in turn", () => {
  const names = { temp_table: '#temp_x_1', tabla: quoteTable("$&a$'{temp_table}$$") };
  expect(
    fillNames("DELETE FROM {tabla}; INSERT INTO {tabla} SELECT * FROM {temp_table} WHERE x = '{otra}'", names),
  ).toBe(
    "DELETE FROM [$&a$'{temp_table}$$]; INSERT INTO [$&a$'{temp_table}$$] SELECT * FROM #temp_x_1 WHERE x = '{otra}'",
  );
});
