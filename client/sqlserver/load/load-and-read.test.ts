import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { type OpenSqlServer, openSqlServer } from '../../../fixtures/sql-server.ts';
import { parseSqlType } from '../../../protocol/rows/sql-types.ts';
import {
  type BulkColumn,
  createTableSql,
  createTempTableSql,
  quoteTable,
  type SqlServer,
  withSqlServer,
} from '../sql-server.ts';

/** The way of a download and back, in T-SQL: `#temp`, bulk load, into a table made from the schema, read as NDJSON. */
const { signal } = new AbortController();
let server: OpenSqlServer;

beforeAll(async () => {
  server = await openSqlServer(inject('postgresUrl'));
});
afterAll(() => server?.stop());

function use<T>(run: (db: SqlServer) => Promise<T>): Promise<T> {
  return withSqlServer({ ...server.target, trustServerCertificate: true }, { signal }, run);
}

/** Type, and a value that comes back as it went. */
const fields: [type: string, json: string][] = [
  ['BIT', 'true'],
  ['TINYINT', '255'],
  ['SMALLINT', '-32768'],
  ['INT', '-2147483648'],
  ['BIGINT', '9223372036854775807'],
  ['DECIMAL(38,10)', '1234567890123456789012345678.0123456789'],
  ['NUMERIC(9,2)', '-0.50'],
  ['MONEY', '-922337203685477.5808'],
  ['SMALLMONEY', '0.0003'],
  ['FLOAT', '0.1'],
  ['REAL', '3.4028235e+38'],
  ['CHAR(3)', '"abc"'],
  ['VARCHAR(20)', '"áéíóú ñ"'],
  ['TEXT', '"texto"'],
  ['NCHAR(2)', '"ñé"'],
  ['NVARCHAR(20)', '"日本 😀"'],
  ['NVARCHAR(MAX)', '""'],
  ['VARBINARY(10)', '"AP8="'],
  ['UNIQUEIDENTIFIER', '"6F9619FF-8B86-D011-B42D-00C04FC964FF"'],
  ['DATE', '"0001-01-01"'],
  ['TIME(7)', '"23:59:59.9999999"'],
  ['SMALLDATETIME', '"2079-06-06T23:59:00"'],
  ['DATETIME', '"2024-01-15T10:30:00.123"'],
  ['DATETIME2(7)', '"9999-12-31T23:59:59.9999999"'],
  ['DATETIMEOFFSET(7)', '"2024-01-15T10:30:00.1234567-05:00"'],
  ['JSON', '"{\\"a\\":[1,\\"ñ 😀\\"]}"'],
  ['VECTOR(2)', '"[1.0000000e+000,-2.5000000e-001]"'],
];

test('every type goes through #temp into its table and comes back the same', async () => {
  const columns: BulkColumn[] = [
    { name: 'codigo', type: parseSqlType('VARCHAR(10)'), nullable: false },
    ...fields.map(([type], index) => ({ name: `c${index}] ${type}`, type: parseSqlType(type), nullable: true })),
  ];
  const line = (codigo: string, value: (index: number) => string) =>
    `{"codigo":"${codigo}",${fields.map(([type], index) => `${JSON.stringify(`c${index}] ${type}`)}:${value(index)}`).join(',')}}\n`;
  const sent = line('a', (index) => fields[index]![1]) + line('b', () => 'null');
  async function* pieces() {
    yield Buffer.from(sent);
  }
  await use(async (db) => {
    await db.execute(createTempTableSql('#temp_x_1', columns), { signal });
    expect(await db.bulkLoad('#temp_x_1', columns, pieces(), { signal })).toBe(2);
    await db.execute(createTableSql('dbo.destino', columns, ['codigo']), { signal });
    const { rowsAffected } = await db.execute(`INSERT INTO ${quoteTable('dbo.destino')} SELECT * FROM #temp_x_1`, {
      signal,
    });
    expect(rowsAffected).toBe(2);
    let read = '';
    for await (const { bytes } of db.readRows('SELECT * FROM dbo.destino ORDER BY codigo', { signal })) {
      read += Buffer.from(bytes).toString();
    }
    expect(read.split('\n')).toEqual(sent.split('\n'));
  });
});

test('a transaction that fails leaves nothing; one that does not, all', async () => {
  await use(async (db) => {
    await db.execute('CREATE TABLE t (n INT PRIMARY KEY)');
    const insert = (n: number) => db.execute(`INSERT INTO t VALUES (${n})`);
    await expect(db.transaction(() => insert(1).then(() => insert(1)))).rejects.toMatchObject({
      code: 'RESTRICCION',
      number: 2627,
    });
    expect(await db.query('SELECT n FROM t')).toEqual([]);
    await db.transaction(() => insert(2));
    expect(await db.query('SELECT n FROM t')).toEqual([{ n: 2 }]);
  });
});

test('@ultimaSync with 100 ns is compared as it is', async () => {
  await use(async (db) => {
    await db.execute(
      "CREATE TABLE m (n INT, f DATETIME2(7)); INSERT INTO m VALUES (1, '2024-01-15T10:30:00.1234567'), (2, '2024-01-15T10:30:00.1234568')",
    );
    const parameters = [{ name: 'ultimaSync', type: 'datetime2', value: '2024-01-15T10:30:00.1234567' }] as const;
    expect(await db.query('SELECT n FROM m WHERE f > @ultimaSync', { parameters })).toEqual([{ n: 2 }]);
  });
});
