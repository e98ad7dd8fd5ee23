import { describe, expect, test } from 'vitest';
import { formatSqlType, parseSqlType } from './sql-types.ts';

describe('parseSqlType', () => {
  test.each([
    ['VARCHAR(20)', { name: 'varchar', length: 20 }],
    [' nvarchar ( max ) ', { name: 'nvarchar', length: 'max' }],
    ['decimal(18, 4)', { name: 'decimal', precision: 18, scale: 4 }],
    ['NUMERIC(38)', { name: 'numeric', precision: 38, scale: 0 }],
    ['Decimal', { name: 'decimal', precision: 18, scale: 0 }],
    ['BIT', { name: 'bit' }],
    ['[int]', { name: 'int' }],
    ['datetime2', { name: 'datetime2', scale: 7 }],
    ['time(0)', { name: 'time', scale: 0 }],
    ['float(24)', { name: 'real' }],
    ['float(53)', { name: 'float' }],
    ['char', { name: 'char', length: 1 }],
    ['json', { name: 'json' }],
    ['VECTOR(1536)', { name: 'vector', dimensions: 1536 }],
  ])('reads %s', (text, expected) => {
    expect(parseSqlType(text)).toEqual(expected);
  });

  test.each([
    ['VARCHAR(0)', /longitud/],
    ['VARCHAR(8001)', /8000/],
    ['NVARCHAR(4001)', /4000/],
    ['CHAR(MAX)', /MAX/],
    ['DECIMAL(39)', /precisión/],
    ['DECIMAL(10,11)', /escala/],
    ['DATETIME2(8)', /escala/],
    ['INT(4)', /paréntesis/],
    ['VARCHAR(10,2)', /un solo número/],
    ['JSON(3)', /paréntesis/],
    ['VECTOR', /lleva sus dimensiones/],
    ['VECTOR(0)', /entre 1 y 1998/],
    ['VECTOR(1999)', /entre 1 y 1998/],
    ['VECTOR(MAX)', /dimensiones/],
    ['GEOGRAPHY', /no se admite/],
    ['toString', /no se admite/],
    ['VARCHAR(20); DROP TABLE x', /no es un tipo/],
    ['', /no es un tipo/],
  ])('refuses %s and says why', (text, rule) => {
    expect(() => parseSqlType(text)).toThrow(rule);
  });

  test.each([
    'VARCHAR(20)',
    'NVARCHAR(MAX)',
    'DECIMAL(18,4)',
    'BIT',
    'DATETIME2(7)',
    'FLOAT',
    'TIME(3)',
    'JSON',
    'VECTOR(3)',
  ])('writes %s as it reads it', (text) => {
    expect(formatSqlType(parseSqlType(text))).toBe(text);
  });
});
