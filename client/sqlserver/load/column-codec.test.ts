import type { DataType } from 'tedious/lib/data-type.js';
import WritableTrackingBuffer from 'tedious/lib/tracking-buffer/writable-tracking-buffer.js';
import { describe, expect, test } from 'vitest';
import { parseSqlType } from '../../../protocol/rows/sql-types.ts';
import { SqlServerError, sqlServerError } from '../errors.ts';
import type { Cell } from '../tds/row-scanner.ts';
import { exactType } from '../types/tedious-type.ts';
import { columnCodec } from './column-codec.ts';

type Out = Parameters<DataType['writeValue']>[0];
const options = {} as Parameters<DataType['writeValue']>[2];
const makeBuffer = () => new (WritableTrackingBuffer as unknown as new () => Out)();

function typeOf(text: string, nullable = true, codePage?: string): DataType {
  const refuse = (value: string, rule: string) => sqlServerError('VALOR_NO_CABE', { lugar: value, regla: rule });
  const type = parseSqlType(text);
  return exactType(type, {
    nullable,
    refuse,
    codec: columnCodec(codePage === undefined ? { type } : { type, codePage }),
  });
}

function valueHex(text: string, value: Cell, nullable = true, codePage?: string): string {
  const out = makeBuffer();
  typeOf(text, nullable, codePage).writeValue(out, { value }, options);
  return Buffer.from(out.data).toString('hex');
}

function typeHex(text: string): string {
  const out = makeBuffer();
  typeOf(text).writeTypeInfo(out, { value: null }, options);
  return Buffer.from(out.data).toString('hex');
}

// Bytes by hand from [MS-TDS] 2.2.5.4 (TYPE_INFO) and 2.2.5.5 (values), little-endian unless it says otherwise.
describe('the bytes of a value', () => {
  test.each([
    ['bit', true, '0101'],
    ['bit', '0', '0100'],
    ['bit', 'TRUE', '0101'],
    ['tinyint', '255', '01ff'],
    ['smallint', '-32768', '020080'],
    ['int', '5', '0405000000'],
    ['int', '-1', '04ffffffff'],
    ['int', ' 5.00 ', '0405000000'],
    ['int', '1e3', '04e8030000'],
    ['int', true, '0401000000'],
    ['bigint', '9223372036854775807', '08ffffffffffffff7f'],
    ['bigint', '-9223372036854775808', '080000000000000080'],
    ['decimal(9,2)', '12.5', '0501e2040000'],
    ['decimal(9,2)', '-0.5', '050032000000'],
    ['decimal(9,2)', '1.2300', '05017b000000'],
    ['decimal(9,2)', '0', '050100000000'],
    ['decimal(18,4)', '12345678901234.5678', '09014ef330a64b9bb601'],
    ['decimal(20,0)', '1', '0d01010000000000000000000000'],
    ['numeric(38,0)', '99999999999999999999999999999999999999', '1101ffffffff3f228a097ac4865aa84c3b4b'],
    ['decimal(38,38)', `-0.${'0'.repeat(37)}1`, '110001000000000000000000000000000000'],
    ['money', '0.0003', '080000000003000000'],
    ['money', '922337203685477.5807', '08ffffff7fffffffff'],
    ['money', '-922337203685477.5808', '080000008000000000'],
    ['money', '-0.0001', '08ffffffffffffffff'],
    ['smallmoney', '214748.3647', '04ffffff7f'],
    ['float', '0.1', '089a9999999999b93f'],
    ['float', '5e-324', '080100000000000000'],
    ['float', '-0', '080000000000000080'],
    ['real', '0.1', '04cdcccc3d'],
    ['uniqueidentifier', '6F9619FF-8B86-D011-B42D-00C04FC964FF', '10ff19966f868b11d0b42d00c04fc964ff'],
    ['uniqueidentifier', '{6f9619ff-8b86-d011-b42d-00c04fc964ff}', '10ff19966f868b11d0b42d00c04fc964ff'],
    ['date', '0001-01-01', '03000000'],
    ['date', '9999-12-31', '03dab937'],
    ['date', '2024-01-15T00:00:00', '0353460b'],
    ['time(0)', '23:59:59', '037f5101'],
    ['time(7)', '23:59:59.9999999', '05ffbf692ac9'],
    ['time(7)', '00:00:00.0000001', '050100000000'],
    ['datetime2(7)', '2024-01-15T10:30:00.1234567', '08871aa1025853460b'],
    ['datetime2(0)', '0001-01-01', '06000000000000'],
    ['datetime2(3)', '2024-01-15 00:00:00.120000', '077800000053460b'],
    ['datetime2(0)', '2024-01-15T10:30:00+00:00', '06a8930053460b'],
    ['datetimeoffset(0)', '2024-01-15T00:00:00-05:00', '0850460053460bd4fe'],
    ['datetimeoffset(0)', '2024-01-15T00:00:00+14:00', '08a08c0052460b4803'],
    ['datetimeoffset(0)', '2024-01-15T00:00:00', '0800000053460b0000'],
    ['datetime', '1900-01-01T00:00:00.003', '080000000001000000'],
    ['datetime', '1753-01-01', '08462effff00000000'],
    ['datetime', '9999-12-31T23:59:59.997', '087f242d00ff818b01'],
    ['datetime', '1900-01-01T00:00:00.1233333', '080000000025000000'],
    ['smalldatetime', '2079-06-06T23:59:00', '04ffff9f05'],
    ['nvarchar(3)', 'añ', '04006100f100'],
    ['nvarchar(3)', '', '0000'],
    ['nvarchar(2)', '😀', '04003dd800de'],
    [
      'nvarchar(22)',
      '12345678901234567.8900',
      `2c00${Buffer.from('12345678901234567.8900', 'utf16le').toString('hex')}`,
    ],
    ['nvarchar(5)', true, '08007400720075006500'],
    ['nvarchar(max)', 'a', 'feffffffffffffff02000000610000000000'],
    ['nvarchar(max)', '', 'feffffffffffffff00000000'],
    ['nchar(2)', 'a', '02006100'],
    ['varbinary(4)', 'AP8=', '020000ff'],
    ['varbinary(4)', '0x00fF', '020000ff'],
    // Base64 of real bytes, though it looks like hexadecimal.
    ['varbinary(4)', '0x12', '0300d31d76'],
    ['varbinary(4)', '\\x00ff', '020000ff'],
    ['varbinary(max)', 'AP8=', 'feffffffffffffff0200000000ff00000000'],
    ['binary(8)', '0x00000000000007D1', '080000000000000007d1'],
    ['json', '[]', 'feffffffffffffff040000005b005d0000000000'],
    ['json', true, 'feffffffffffffff080000007400720075006500' + '00000000'],
    ['vector(1)', '[2]', 'feffffffffffffff060000005b0032005d0000000000'],
  ] as [string, Cell, string][])('%s %s', (type, value, hex) => {
    expect(valueHex(type, value)).toBe(hex);
  });

  test.each([
    ['int', '00'],
    ['decimal(38,2)', '00'],
    ['datetime2(7)', '00'],
    ['nvarchar(10)', 'ffff'],
    ['nvarchar(max)', 'ffffffffffffffff'],
    ['varbinary(10)', 'ffff'],
    ['varbinary(max)', 'ffffffffffffffff'],
  ])('NULL of %s', (type, hex) => {
    expect(valueHex(type, null)).toBe(hex);
  });
});

test.each([
  ['bit', '6801'],
  ['bigint', '2608'],
  ['decimal(9,2)', '6a050902'],
  ['numeric(19,2)', '6c091302'],
  ['decimal(28,0)', '6a0d1c00'],
  ['decimal(38,38)', '6a112626'],
  ['money', '6e08'],
  ['real', '6d04'],
  ['uniqueidentifier', '2410'],
  ['date', '28'],
  ['time(3)', '2903'],
  ['datetime2(7)', '2a07'],
  ['datetimeoffset(0)', '2b00'],
  ['datetime', '6f08'],
  ['smalldatetime', '6f04'],
  ['nvarchar(10)', 'e714000000000000'],
  ['nvarchar(max)', 'e7ffff0000000000'],
  ['nchar(10)', 'ef14000000000000'],
  ['varbinary(10)', 'a50a00'],
  ['varbinary(max)', 'a5ffff'],
  ['binary(10)', 'ad0a00'],
])('TYPE_INFO of %s', (type, hex) => {
  expect(typeHex(type)).toBe(hex);
});

describe('a value that does not fit is refused, never rounded or cut', () => {
  test.each([
    ['bit', '2', /true, false/],
    ['bit', '', /true, false/],
    ['tinyint', '256', /entre 0 y 255/],
    ['tinyint', '-1', /entre 0 y 255/],
    ['int', '2147483648', /entre -2147483648 y 2147483647/],
    ['int', '1.5', /decimales/],
    ['int', 'uno', /no es un número/],
    ['int', '', /no es un número/],
    ['int', '.', /no es un número/],
    ['int', '0x10', /no es un número/],
    ['bigint', '9223372036854775808', /entre/],
    ['decimal(9,2)', '1.234', /más de 2 decimales/],
    ['decimal(9,2)', '12345678.00', /más de 7 cifras enteras/],
    ['decimal(9,2)', '0.001', /más de 2 decimales/],
    ['decimal(9,2)', '1e-9', /más de 2 decimales/],
    ['decimal(9,2)', '1e9999', /cifras enteras/],
    ['decimal(38,38)', '1', /más de 0 cifras enteras/],
    ['money', '0.00003', /decimales/],
    ['money', '922337203685477.5808', /pasa de/],
    ['smallmoney', '214748.3648', /pasa de/],
    ['float', '1e309', /FLOAT/],
    ['float', 'NaN', /no es un número/],
    ['real', '1e39', /REAL/],
    ['uniqueidentifier', '6F9619FF', /UNIQUEIDENTIFIER/],
    ['date', '2023-02-29', /calendario/],
    ['date', '2024-01-15T00:00:01', /hora/],
    ['date', '20240115', /ISO/],
    ['date', '0000-01-01', /calendario/],
    ['time(0)', '24:00:00', /hora del día/],
    ['time(0)', '10:00:00.5', /decimales/],
    ['time(7)', '2024-01-15T10:00:00', /sin fecha/],
    ['datetime2(7)', '2024-01-15T10:30:00.12345678', /7 decimales/],
    ['datetime2(3)', '2024-01-15T10:30:00.1234', /3 decimales/],
    ['datetime2(7)', '2024-01-15T10:30:00-05:00', /DATETIMEOFFSET/],
    ['datetime2(7)', '10:30:00', /falta la fecha/],
    ['datetime2(7)', true, /booleano/],
    ['datetime', '1900-01-01T00:00:00.001', /1\/300/],
    ['datetime', '1752-12-31', /1753/],
    ['smalldatetime', '2024-01-15T10:30:01', /segundos/],
    ['smalldatetime', '2079-06-07', /2079/],
    ['datetimeoffset(0)', '0001-01-01T00:00:00+01:00', /años/],
    ['datetimeoffset(0)', '2024-01-15T00:00:00+14:01', /14:00/],
    ['nvarchar(3)', 'abcd', /4 caracteres y caben 3/],
    ['nvarchar(1)', '😀', /2 caracteres y caben 1/],
    ['varbinary(1)', 'AP8=', /2 bytes y caben 1/],
    ['varbinary(10)', 'AP8', /base64/],
    ['varbinary(10)', '0x0', /base64/],
    ['json', '{"a":}', /no es JSON/],
    ['json', '', /no es JSON/],
    ['vector(2)', '{"a":1}', /lista JSON de números/],
    ['vector(2)', '[1,"2"]', /lista JSON de números/],
    ['vector(2)', '[1,2,3]', /tiene 3 números y la columna 2 dimensiones/],
  ] as [string, Cell, RegExp][])('%s %j', (type, value, rule) => {
    const failed = expect(() => valueHex(type, value));
    failed.toThrow(SqlServerError);
    failed.toThrow(rule);
  });

  test('NULL where the column has none', () => {
    expect(() => valueHex('int', null, false)).toThrow(/no admite NULL/);
  });
});

describe('text for a column of a code page', () => {
  // What each page has and lacks: https://www.unicode.org/Public/MAPPINGS/VENDORS/MICSFT/.
  test.each([
    ['CP1252', 'Ñandú €', undefined],
    ['CP1252', 'ÿ\x81\x9d', undefined],
    ['CP1252', 'abcΩdșf', 'Ω'],
    ['CP1252', 'emoji 😀', '😀'],
    ['CP1252', 'a\u2212b', '\u2212'],
    ['CP1252', '\uFFFD', '\uFFFD'],
    ['CP1250', 'șț', 'ș'],
    ['CP1250', 'şţ', undefined],
    ['CP1251', 'Жук', undefined],
    ['CP1251', 'caño', 'ñ'],
    ['CP932', 'あア漢', undefined],
    ['CP932', 'あé', 'é'],
    ['CP936', '你好', undefined],
    ['CP437', '─ñ', undefined],
    ['CP437', '€', '€'],
    ['utf-8', 'Ω😀\uFFFD', undefined],
    [undefined, 'Ω😀', undefined],
  ])('%s: %j', (codePage, text, unfit) => {
    const write = () => valueHex('nvarchar(20)', text, true, codePage);
    if (unfit === undefined) expect(write()).toBe(valueHex('nvarchar(20)', text));
    else expect(write).toThrow(`la columna es de la página de códigos ${codePage}, que no tiene «${unfit}»`);
  });
});

test.each([
  ['CP932', 'ああ', 4],
  ['CP936', '你好', 4],
  ['utf-8', 'Ñ€😀', 9],
])('a varchar in %s counts bytes: %j takes %i', (codePage, text, bytes) => {
  const write = (length: number) => {
    const refuse = (value: string, rule: string) => sqlServerError('VALOR_NO_CABE', { lugar: value, regla: rule });
    const type = parseSqlType(`VARCHAR(${length})`);
    const nvarchar = parseSqlType(`NVARCHAR(${length})`);
    const exact = exactType(nvarchar, { nullable: true, refuse, codec: columnCodec({ type, codePage }) });
    exact.writeValue(makeBuffer(), { value: text }, options);
  };
  expect(() => write(bytes)).not.toThrow();
  expect(() => write(bytes - 1)).toThrow(`ocupa ${bytes} bytes`);
});

test('the time zone of the agent has no say', () => {
  const zone = process.env.TZ;
  try {
    for (const tz of ['America/Bogota', 'Asia/Kathmandu', 'Europe/Madrid']) {
      process.env.TZ = tz;
      // 2024-03-31T02:30 does not exist in Madrid.
      expect(new Date(2024, 0, 1).getTimezoneOffset()).toBe(
        { Bogota: 300, Kathmandu: -345, Madrid: -60 }[tz.split('/')[1]!],
      );
      expect(valueHex('datetime2(0)', '2024-03-31T02:30:00')).toBe('062823009f460b');
      expect(valueHex('datetimeoffset(0)', '2024-03-31T02:30:00')).toBe('082823009f460b0000');
    }
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});
