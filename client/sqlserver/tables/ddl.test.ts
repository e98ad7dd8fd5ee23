import { describe, expect, test } from 'vitest';
import { parseSqlType } from '../../../protocol/rows/sql-types.ts';
import { createTableSql, createTempTableSql, quoteName, quoteTable } from './ddl.ts';

const column = (name: string, type: string, nullable = true) => ({ name, type: parseSqlType(type), nullable });

describe('names', () => {
  test.each([
    ['codigo', '[codigo]'],
    ['[a]b', '[[a]]b]'],
    ['x]; DROP TABLE t --', '[x]]; DROP TABLE t --]'],
    ['con punto.y espacio', '[con punto.y espacio]'],
  ])('quoteName %s', (name, quoted) => {
    expect(quoteName(name)).toBe(quoted);
  });

  test.each([
    ['clientes', '[clientes]'],
    ['dbo.plan_cuentas', '[dbo].[plan_cuentas]'],
    ['[dbo].[a.b]', '[dbo].[a.b]'],
    ['[a]]b].c', '[a]]b].[c]'],
    ['base..tabla', '[base]..[tabla]'],
    ['#temp_x_1', '[#temp_x_1]'],
    ['t; DROP TABLE x', '[t; DROP TABLE x]'],
  ])('quoteTable %s', (name, quoted) => {
    expect(quoteTable(name)).toBe(quoted);
  });
});

test('#temp takes characters as NVARCHAR in the collation of the database', () => {
  const columns = [
    column('a', 'VARCHAR(20)', false),
    column('b', 'VARCHAR(4001)'),
    column('c', 'NVARCHAR(MAX)'),
    column('d', 'CHAR(3)'),
    column('e', 'TEXT'),
    column('f', 'DECIMAL(18,4)'),
    column('g]', 'IMAGE'),
    column('h', 'XML'),
    column('i', 'CHAR(8000)'),
    column('j', 'JSON'),
    column('k', 'VECTOR(3)', false),
  ];
  expect(createTempTableSql('#temp_t_1', columns)).toBe(
    'CREATE TABLE #temp_t_1 ([a] NVARCHAR(20) COLLATE DATABASE_DEFAULT NOT NULL, ' +
      '[b] NVARCHAR(MAX) COLLATE DATABASE_DEFAULT NULL, [c] NVARCHAR(MAX) COLLATE DATABASE_DEFAULT NULL, ' +
      '[d] NCHAR(3) COLLATE DATABASE_DEFAULT NULL, [e] NVARCHAR(MAX) COLLATE DATABASE_DEFAULT NULL, ' +
      '[f] DECIMAL(18,4) NULL, [g]]] VARBINARY(MAX) NULL, [h] NVARCHAR(MAX) COLLATE DATABASE_DEFAULT NULL, ' +
      '[i] NVARCHAR(MAX) COLLATE DATABASE_DEFAULT NULL, [j] NVARCHAR(MAX) COLLATE DATABASE_DEFAULT NULL, ' +
      '[k] NVARCHAR(MAX) COLLATE DATABASE_DEFAULT NOT NULL)',
  );
});

test('a missing target is made as configured, its key NOT NULL', () => {
  const columns = [column('codigo', 'VARCHAR(20)'), column('n', 'INT', false), column('x', 'DATETIME2(3)')];
  expect(createTableSql('dbo.cuentas', columns, ['codigo', 'n'])).toBe(
    'CREATE TABLE [dbo].[cuentas] ([codigo] VARCHAR(20) NOT NULL, [n] INT NOT NULL, [x] DATETIME2(3) NULL, ' +
      'PRIMARY KEY ([codigo], [n]))',
  );
  expect(createTableSql('t', [column('x', 'JSON'), column('y', 'VECTOR(3)', false)], [])).toBe(
    'CREATE TABLE [t] ([x] JSON NULL, [y] VECTOR(3) NOT NULL)',
  );
  expect(createTableSql('t', [column('x', 'BIT')], [])).toBe('CREATE TABLE [t] ([x] BIT NULL)');
});
