import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Column } from '../../../fixtures/sqlserver/engine.ts';
import { parseSqlType } from '../../../protocol/rows/sql-types.ts';
import { type BulkColumn, withSqlServer } from '../sql-server.ts';
import { answerRows, type RunningWire, startWire } from '../testing/wire.ts';

/**
 * What every reader promises, held against each of them: values go in through the bulk load and come out as DESIGN §6
 * says. The expected text is written by hand.
 *
 * `json` is the value as the bulk load is given it and, unless `out` says otherwise, as it is read back. `inexact` marks
 * what tedious' row events have lost: that reader has to refuse it.
 */
interface Sample {
  json: string;
  out?: string;
  inexact?: true;
}

const s = (json: string, out?: string): Sample => (out === undefined ? { json } : { json, out });
const lost = (json: string, out?: string): Sample => ({ ...s(json, out), inexact: true });
const long = 'ñ'.repeat(4000);
const huge = '0123456789'.repeat(50_000);

const samples: Record<string, Sample[]> = {
  BIT: [s('true'), s('false'), s('1', 'true'), s('"0"', 'false')],
  TINYINT: [s('0'), s('255'), s('"7"', '7')],
  SMALLINT: [s('-32768'), s('32767')],
  INT: [s('-2147483648'), s('2147483647'), s('"5"', '5'), s('true', '1')],
  BIGINT: [s('-9223372036854775808'), s('9223372036854775807'), s('0')],
  'DECIMAL(9,2)': [s('12.50'), s('-0.50'), s('0.00'), s('"9999999.99"', '9999999.99'), s('1', '1.00')],
  'DECIMAL(18,4)': [s('0.0001'), s('-12345678901.2345'), lost('12345678901234.5678')],
  'DECIMAL(38,0)': [s('1'), lost('99999999999999999999999999999999999999'), lost('-12345678901234567890')],
  'DECIMAL(38,38)': [s(`0.${'0'.repeat(37)}1`), lost(`-0.${'9'.repeat(38)}`)],
  'NUMERIC(20,6)': [s('-0.000001'), lost('12345678901234.567890')],
  MONEY: [s('0.0003'), s('-0.5000'), lost('922337203685477.5807'), lost('-922337203685477.5808')],
  SMALLMONEY: [s('214748.3647'), s('-214748.3648')],
  FLOAT: [s('0.1'), s('1e+21'), s('5e-324'), s('-1.7976931348623157e+308'), s('3', '3')],
  REAL: [s('0.1'), s('3.4028235e+38'), s('1e-45'), s('16777216')],
  'CHAR(5)': [s('"ab"', '"ab   "')],
  'NCHAR(3)': [s('"ñ"', '"ñ  "')],
  'VARCHAR(20)': [s('""'), s('"áéíóú ñ €"'), s('"con \\"comillas\\" y \\\\"'), s('12.50', '"12.50"')],
  'NVARCHAR(50)': [
    s('"日本語 😀 e\\u0301"', '"日本語 😀 e\u0301"'),
    s('"\\u0001\\t\\n\\u001f\\u007f\\u2028"', '"\\u0001\\t\\n\\u001f\u007f\u2028"'),
  ],
  'NVARCHAR(4000)': [s(`"${long}"`)],
  'NVARCHAR(MAX)': [s('""'), s(`"${huge}"`), s('{"a":[1,2]}', '"{\\"a\\":[1,2]}"')],
  'VARCHAR(MAX)': [s(`"${huge}"`)],
  TEXT: [s('"texto largo ñ"')],
  NTEXT: [s('"日本"')],
  XML: [s('"<a>ñ</a>"')],
  'BINARY(4)': [s('"AAH+/w=="')],
  'VARBINARY(10)': [s('"AP8="'), s('""'), s('"\\\\x00ff"', '"AP8="')],
  'VARBINARY(MAX)': [s(`"${Buffer.alloc(100_000, 0xa5).toString('base64')}"`)],
  IMAGE: [s('"AP8="')],
  UNIQUEIDENTIFIER: [
    s('"6F9619FF-8B86-D011-B42D-00C04FC964FF"'),
    s('"00000000-0000-0000-0000-00000000000a"', '"00000000-0000-0000-0000-00000000000A"'),
  ],
  DATE: [s('"0001-01-01"'), s('"9999-12-31"'), s('"2024-02-29"')],
  'TIME(7)': [
    s('"00:00:00.0000000"'),
    s('"23:59:59.9999999"'),
    s('"10:30:00.1234567"'),
    s('"10:30"', '"10:30:00.0000000"'),
  ],
  'TIME(0)': [s('"23:59:59"')],
  'TIME(3)': [s('"10:30:00.123"')],
  SMALLDATETIME: [s('"1900-01-01T00:00:00"'), s('"2079-06-06T23:59:00"')],
  DATETIME: [
    s('"1753-01-01T00:00:00.000"'),
    s('"9999-12-31T23:59:59.997"'),
    s('"2024-01-15T10:30:00.123"'),
    s('"1899-12-31T23:59:59.003"'),
  ],
  'DATETIME2(7)': [
    s('"0001-01-01T00:00:00.0000000"'),
    s('"9999-12-31T23:59:59.9999999"'),
    s('"2024-01-15T10:30:00.1234567"'),
    s('"1969-12-31T23:59:59.0000001"'),
  ],
  'DATETIME2(3)': [s('"2024-03-31T02:30:00.120"')],
  'DATETIME2(0)': [s('"2024-03-31T02:30:00"'), s('"2024-03-31 02:30:00+00:00"', '"2024-03-31T02:30:00"')],
  'DATETIMEOFFSET(7)': [
    lost('"2024-01-15T10:30:00.1234567-05:00"'),
    lost('"0001-01-01T00:00:00.0000000+00:00"'),
    lost('"2024-01-15T23:00:00.0000000+14:00"'),
  ],
  'DATETIMEOFFSET(0)': [
    lost('"2024-01-15T10:30:00+05:45"'),
    lost('"2024-01-15T10:30:00Z"', '"2024-01-15T10:30:00+00:00"'),
  ],
};

const readers = [
  { reader: 'row-events', exact: false },
  { reader: 'transcoder', exact: true },
] as const;

let wire: RunningWire;

beforeAll(async () => {
  wire = await startWire(
    (sql, ...rest) => answerRows([columnOf(sql.slice('SELECT '.length))], wire.engine.loaded)(sql, ...rest),
    { tls: true },
  );
});
afterAll(() => wire?.stop());

const { signal } = new AbortController();

/** A column `v` as the stand-in declares it. */
function columnOf(type: string): Column {
  return { name: 'v', type: parseSqlType(type), nullable: true };
}

async function* bytesOf(lines: string[]): AsyncGenerator<Uint8Array> {
  yield Buffer.from(lines.map((line) => `${line}\n`).join(''));
}

/** Loads `values` into a column of `type` and reads them back in order. */
async function roundTrip(type: string, values: string[], reader: 'transcoder' | 'row-events'): Promise<string[]> {
  const columns: BulkColumn[] = [{ name: 'v', type: parseSqlType(type), nullable: true }];
  wire.engine.bulkColumns = [columnOf(type)];
  wire.engine.loaded.length = 0;
  return withSqlServer(wire.settings, { signal }, async (db) => {
    const lines = values.map((value) => `{"v":${value}}`);
    expect(await db.bulkLoad('#t', columns, bytesOf(lines), { signal })).toBe(values.length);
    let text = '';
    let rows = 0;
    for await (const block of db.readRows(`SELECT ${type}`, { signal, reader })) {
      text += Buffer.from(block.bytes).toString();
      rows += block.rows;
    }
    const read = text.split('\n');
    expect(read.pop()).toBe('');
    expect(rows).toBe(read.length);
    return read;
  });
}

describe.each(readers)('$reader', ({ reader, exact }) => {
  test.each(Object.keys(samples))('%s', async (type) => {
    const readable = samples[type]!.filter(({ inexact }) => exact || inexact === undefined);
    const values = ['null', ...readable.map(({ json }) => json), 'null'];
    const expected = ['null', ...readable.map(({ json, out }) => out ?? json), 'null'];
    expect(await roundTrip(type, values, reader)).toEqual(expected.map((value) => `{"v":${value}}`));
  });

  const refused = Object.entries(samples).flatMap(([type, list]) =>
    list.filter(({ inexact }) => inexact && !exact).map(({ json }) => [type, json] as const),
  );
  if (refused.length > 0) {
    test.each(refused)('%s %s is refused rather than rounded', async (type, json) => {
      const reading = roundTrip(type, [json], reader);
      await expect(reading).rejects.toMatchObject({ code: 'VALOR_INEXACTO' });
      await expect(reading).rejects.toThrow(/Fila 1, columna «v»/);
    });
  }
});
