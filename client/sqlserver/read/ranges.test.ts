import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest';
import { type OpenSqlServer, openSqlServer } from '../../../fixtures/sql-server.ts';
import type { Column, SqlValue } from '../../../fixtures/sqlserver/engine.ts';
import { parseSqlType } from '../../../protocol/rows/sql-types.ts';
import { type SqlServer, SqlServerError, type SqlServerErrorCode, withSqlServer } from '../sql-server.ts';
import { answerRows, startWire } from '../testing/wire.ts';
import { findRangeKey, type RangeKey } from './range-key.ts';
import { type RangeOptions, readRanges } from './ranges.ts';

const { signal } = new AbortController();
let server: OpenSqlServer;

beforeAll(async () => {
  server = await openSqlServer(inject('postgresUrl'), { databases: ['EmpresaDB', 'Otra]Base'] });
});
afterAll(() => server?.stop());
afterEach(() => run('DROP VIEW IF EXISTS v; DROP TABLE IF EXISTS lineas; DROP TABLE IF EXISTS t'));

function use<T>(work: (db: SqlServer) => Promise<T>): Promise<T> {
  return withSqlServer({ ...server.target, trustServerCertificate: true }, { signal }, work);
}

/** Batches in a session of their own. */
async function run(...batches: string[]): Promise<void> {
  await use(async (db) => {
    for (const sql of batches) await db.execute(sql);
  });
}

type Options = Partial<Omit<RangeOptions, 'signal' | 'key'>>;

/** The lines of each range, and the key that it ended with. */
async function read(
  db: SqlServer,
  query: string,
  columna: string,
  { parameters = [], filas = 2, ...more }: Options = {},
): Promise<{ ranges: string[][]; ends: string[] }> {
  const key = await findRangeKey(db, query, parameters, columna, signal);
  const ranges: string[][] = [];
  const ends: string[] = [];
  let lines: string[] = [];
  for await (const item of readRanges(db, query, { parameters, filas, key, signal, ...more })) {
    if ('ultima' in item) {
      ends.push(item.ultima);
      ranges.push(lines);
      lines = [];
    } else {
      const text = Buffer.from(item.bytes).toString();
      expect(text.endsWith('\n')).toBe(true);
      lines.push(...text.slice(0, -1).split('\n'));
    }
  }
  expect(lines).toEqual([]);
  return { ranges, ends };
}

async function failureOf(promise: Promise<unknown>): Promise<SqlServerError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof SqlServerError)) throw new Error('no SqlServerError', { cause: error });
  return error;
}

function textOf({ message, action }: SqlServerError): string {
  return `${message} ${action}`;
}

function quoted(...values: string[]): [literal: string, json: string][] {
  return values.map((value) => [`N'${value.replaceAll("'", "''")}'`, JSON.stringify(value)]);
}

/** Type, and keys in their order: as a literal of T-SQL, and as NDJSON where that is another text. */
const families: [type: string, keys: (string | [literal: string, json: string])[]][] = [
  ['TINYINT', ['0', '1', '255']],
  ['SMALLINT', ['-32768', '0', '32767']],
  ['INT', ['-2147483648', '-1', '2147483647']],
  ['BIGINT', ['-9223372036854775808', '9007199254740992', '9007199254740993', '9223372036854775807']],
  [
    'DECIMAL(38,10)',
    [
      '-1234567890123456789012345678.0123456789',
      '0.0000000001',
      '1234567890123456789012345678.0123456788',
      '1234567890123456789012345678.0123456789',
    ],
  ],
  ['NUMERIC(9,2)', ['-0.50', '0.50', '0.51']],
  ['MONEY', ['-922337203685477.5808', '0.0003', '922337203685477.5806', '922337203685477.5807']],
  ['SMALLMONEY', ['-214748.3648', '0.0001', '214748.3647']],
  ['DATE', quoted('0001-01-01', '2024-02-29', '9999-12-31')],
  ['TIME(7)', quoted('00:00:00.0000000', '10:30:00.1234567', '10:30:00.1234568', '23:59:59.9999999')],
  ['DATETIME', quoted('1753-01-01T00:00:00.000', '2024-01-15T10:30:00.123', '2024-01-15T10:30:00.127')],
  ['SMALLDATETIME', quoted('1900-01-01T00:00:00', '2079-06-06T23:59:00')],
  ['DATETIME2(7)', quoted('0001-01-01T00:00:00.0000000', '2024-01-15T10:30:00.1234567', '2024-01-15T10:30:00.1234568')],
  ['DATETIME2(0)', quoted('2024-01-15T10:30:00', '2024-01-15T10:30:01')],
  [
    // In the order of the instants, not of the text.
    'DATETIMEOFFSET(7)',
    quoted(
      '2024-01-15T10:30:00.1234567+02:00',
      '2024-01-15T09:30:00.1234567+00:00',
      '2024-01-15T05:30:00.1234567-05:00',
    ),
  ],
  ['UNIQUEIDENTIFIER', quoted('6F9619FF-8B86-D011-B42D-00C04FC964FE', '6F9619FF-8B86-D011-B42D-00C04FC964FF')],
  ['CHAR(4)', quoted('Á   ', 'ab  ', 'B c ')],
  ['VARCHAR(20)', quoted('a', 'Á', 'b', 'niño', 'ÑU', 'z€')],
  ['NCHAR(3)', quoted('ñé ', '日本 ')],
  ['NVARCHAR(20)', quoted('', '"comillas"', '\\barra\t', 'É', 'f', '日本 😀')],
];

describe('a key of every type comes back as it is, and reading goes on behind it', () => {
  test.each(families)('%s', async (type, keys) => {
    const rows = keys.map((key) => (typeof key === 'string' ? [key, key] : key)) as [string, string][];
    const inserts = rows.toReversed().map(([literal]) => `INSERT INTO t VALUES (1, ${literal})`);
    const lines = rows.map(([, json]) => `{"n":1,"clave":${json}}`);
    await use(async (db) => {
      await db.execute(`CREATE TABLE t (n INT, clave ${type} NOT NULL PRIMARY KEY); ${inserts.join('; ')}`);
      const { ranges, ends } = await read(db, 'SELECT * FROM t', 'clave', { filas: 1 });
      expect(ranges).toEqual(lines.map((line) => [line]));
      expect(ends).toEqual(rows.map(([, json]) => (json.startsWith('"') ? JSON.parse(json) : json)));
      expect((await read(db, 'SELECT * FROM t', 'clave', { filas: 7 })).ranges).toEqual([lines]);
      for (const [i, after] of ends.entries()) {
        const rest = await read(db, 'SELECT * FROM t', 'clave', { filas: 2, after });
        expect(rest.ranges.flat()).toEqual(lines.slice(i + 1));
      }
    });
  });

  test('UNIQUEIDENTIFIER, whatever order the server puts them in', async () => {
    const ids = Array.from({ length: 20 }, (_, i) => createHash('md5').update(`${i}`).digest('hex').toUpperCase());
    const dashed = ids.map((hex) => hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'));
    await run(
      'CREATE TABLE t (id UNIQUEIDENTIFIER NOT NULL PRIMARY KEY)',
      `INSERT INTO t VALUES ${dashed.map((id) => `('${id}')`).join(', ')}`,
    );
    const { ranges } = await use((db) => read(db, 'SELECT id FROM t', 'id', { filas: 3 }));
    expect(ranges.flat().sort()).toEqual(dashed.map((id) => `{"id":"${id}"}`).sort());
  });
});

describe('every row exactly once', () => {
  const rows = (count: number) => Array.from({ length: count }, (_, i) => `{"id":${i + 1},"nombre":"n${i + 1}"}`);
  const fill = async (db: SqlServer, count: number) => {
    await db.execute('CREATE TABLE t (id INT NOT NULL PRIMARY KEY, nombre VARCHAR(10))');
    for (let n = 1; n <= count; n++) await db.execute(`INSERT INTO t VALUES (${n}, 'n${n}')`);
  };

  test.each([
    [0, 2, []],
    [1, 1, [1]],
    [1, 2, [1]],
    [3, 1, [1, 1, 1]],
    [6, 2, [2, 2, 2]],
    [7, 2, [2, 2, 2, 1]],
    [14, 7, [7, 7]],
    [15, 7, [7, 7, 1]],
  ])('%i rows in ranges of %i', async (count, filas, sizes) => {
    await use(async (db) => {
      await fill(db, count);
      // Blocks of a line each: a range is the sum of its blocks.
      const { ranges, ends } = await read(db, 'SELECT * FROM t;', 'id', { filas, blockBytes: 1 });
      expect(ranges.map(({ length }) => length)).toEqual(sizes);
      expect(ranges.flat()).toEqual(rows(count));
      expect(ends).toEqual(sizes.map((_, i) => String(sizes.slice(0, i + 1).reduce((sum, size) => sum + size, 0))));
    });
  });

  test('of a key that a join repeats', async () => {
    await use(async (db) => {
      await fill(db, 3);
      await db.execute('CREATE TABLE lineas (id INT, linea INT)');
      await db.execute('INSERT INTO lineas VALUES (1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 2)');
      const query = 'SELECT t.id, l.linea FROM t JOIN lineas AS l ON l.id = t.id';
      const { ranges, ends } = await read(db, query, 'id', { filas: 2 });
      const expected = ['1,1', '1,2', '1,3', '2,1', '3,1', '3,2'].map((pair) => {
        const [id, linea] = pair.split(',');
        return `{"id":${id},"linea":${linea}}`;
      });
      expect(ranges.flat().sort()).toEqual(expected);
      expect(ends).toEqual(['1', '3']);
    });
  });

  test('with @ultimaSync in the query, and a comment at its end', async () => {
    await run(
      'CREATE TABLE t (id INT NOT NULL PRIMARY KEY, f DATETIME2(7) NOT NULL)',
      "INSERT INTO t VALUES (1, '2024-01-01'), (2, '2024-06-01'), (3, '2024-06-02'), (4, '2024-06-03')",
    );
    const query = 'SELECT id FROM t WHERE f > @ultimaSync OR @ultimaSync IS NULL -- nuevas';
    const since = (value: string | null) =>
      use((db) => read(db, query, 'id', { parameters: [{ name: 'ultimaSync', type: 'datetime2', value }] }));
    expect((await since('2024-03-01T00:00:00')).ranges).toEqual([['{"id":2}', '{"id":3}'], ['{"id":4}']]);
    expect((await since(null)).ends).toEqual(['2', '4']);
  });

  test('through a view, by a name in another case, with brackets, spelled as the caller wants it', async () => {
    await run(
      'CREATE TABLE t (texto NVARCHAR(20), [Cla]]ve "1"] INT NOT NULL PRIMARY KEY)',
      `INSERT INTO t VALUES (N'{"cla]ve \\"1\\"":9', 1), (N'","Cla]ve 1":8', 2), (NULL, 3)`,
      'CREATE VIEW v AS SELECT * FROM t',
    );
    const { ranges, ends } = await use((db) =>
      read(db, 'SELECT * FROM v', 'CLA]VE "1"', { filas: 1, names: ['otra', 'cla]ve "1"'] }),
    );
    expect(ends).toEqual(['1', '2', '3']);
    expect(ranges.flat().map((line) => JSON.parse(line)['cla]ve "1"'])).toEqual([1, 2, 3]);
  });

  test('of a table in another database and schema', async () => {
    await run("USE [Otra]]Base]; EXEC('CREATE SCHEMA ventas'); CREATE TABLE ventas.f (id INT NOT NULL UNIQUE)");
    await run('INSERT INTO [Otra]]Base].ventas.f VALUES (1), (2), (3)');
    const { ends } = await use((db) => read(db, 'SELECT id FROM [Otra]]Base].ventas.f', 'id', { filas: 2 }));
    expect(ends).toEqual(['2', '3']);
  });

  test('a caller that leaves in the middle of a range leaves a usable session', async () => {
    await use(async (db) => {
      await fill(db, 5);
      const key = await findRangeKey(db, 'SELECT * FROM t', [], 'id', signal);
      for await (const _ of readRanges(db, 'SELECT * FROM t', { parameters: [], filas: 3, key, signal, blockBytes: 1 }))
        break;
      expect((await read(db, 'SELECT id FROM t', 'id')).ends).toEqual(['2', '4', '5']);
    });
  });

  test('an abort between ranges ends the reading', async () => {
    await use(async (db) => {
      await fill(db, 5);
      const controller = new AbortController();
      const key = await findRangeKey(db, 'SELECT * FROM t', [], 'id', signal);
      const options = { parameters: [], filas: 2, key, signal: controller.signal };
      const ends: string[] = [];
      const reading = (async () => {
        for await (const item of readRanges(db, 'SELECT * FROM t', options)) {
          if (!('ultima' in item)) continue;
          ends.push(item.ultima);
          controller.abort(new Error('basta'));
        }
      })();
      await expect(reading).rejects.toThrow('basta');
      expect(ends).toEqual(['2']);
    });
  });

  test('a key with a character that becomes U+FFFD cannot be gone on from', async () => {
    await run('CREATE TABLE t (k NVARCHAR(10) NOT NULL PRIMARY KEY)', "INSERT INTO t VALUES (N'a' + NCHAR(0)), (N'b')");
    await use(async (db) => {
      // The range ends with the other one.
      expect((await read(db, 'SELECT k FROM t', 'k', { filas: 2 })).ends).toEqual(['b']);
      const error = await failureOf(read(db, 'SELECT k FROM t', 'k', { filas: 1 }));
      expect(error).toMatchObject({ code: 'PARTICION_VALOR', retryable: false });
      expect(textOf(error)).toMatch(/«k».*U\+FFFD.*particion\.columna/);
    });
  });
});

test('a server that answers the same rows for ever is not read for ever', async () => {
  const wire = await startWire(answerRows([{ name: 'id', type: parseSqlType('INT'), nullable: false }], [[1], [2]]));
  const key: RangeKey = { name: 'id', type: 'int' };
  const ends: unknown[] = [];
  const reading = withSqlServer(wire.settings, { signal }, async (db) => {
    for await (const item of readRanges(db, 'SELECT id FROM t', { parameters: [], filas: 2, key, signal })) {
      if ('ultima' in item) ends.push(item.ultima);
    }
  });
  const error = await failureOf(reading);
  await wire.stop();
  expect(error.code).toBe('PARTICION_VALOR');
  expect(error.message).toMatch(/vuelve a salir detrás de sí mismo/);
  expect(ends).toEqual(['2']);
});

describe('findRangeKey', () => {
  test('answers name, type and collation', async () => {
    await run(
      `CREATE TABLE t (Id DECIMAL(12,3) NOT NULL PRIMARY KEY, a VARCHAR(5) COLLATE Modern_Spanish_CS_AS NOT NULL UNIQUE)`,
    );
    await use(async (db) => {
      expect(await findRangeKey(db, 'SELECT * FROM t', [], 'ID', signal)).toEqual({
        name: 'Id',
        type: 'decimal(12,3)',
      });
      const collation = 'Modern_Spanish_CS_AS';
      const key: RangeKey = { name: 'b', type: 'varchar(5)', collation };
      expect(await findRangeKey(db, 'SELECT a AS b FROM t', [], 'b', signal)).toEqual(key);
    });
  });

  test('text that differs in case alone, where the collation tells it apart', async () => {
    await run(
      `CREATE TABLE t (k VARCHAR(5) COLLATE Modern_Spanish_CS_AS NOT NULL PRIMARY KEY)`,
      `INSERT INTO t VALUES ('a'), ('A'), ('b'), ('B')`,
    );
    const { ranges } = await use((db) => read(db, 'SELECT k FROM t', 'k', { filas: 1 }));
    expect(ranges.flat().sort()).toEqual(['{"k":"A"}', '{"k":"B"}', '{"k":"a"}', '{"k":"b"}']);
  });

  const table = `CREATE TABLE t (id INT NOT NULL, otro INT NOT NULL, nulo INT NULL UNIQUE, f FLOAT NOT NULL UNIQUE,
    par INT NOT NULL, b VARBINARY(8) NOT NULL UNIQUE, x XML NOT NULL, largo VARCHAR(MAX) NOT NULL, PRIMARY KEY (par, id),
    activo INT NOT NULL, incluida INT NOT NULL)
    CREATE INDEX ix_otro ON t (otro) CREATE UNIQUE INDEX fx ON t (activo) WHERE par > 0
    CREATE UNIQUE INDEX ux ON t (nulo) INCLUDE (incluida)`;
  const every = 'SELECT * FROM t';

  test.each<[string, string, SqlServerErrorCode, RegExp]>([
    [every, 'nada', 'PARTICION_COLUMNA', /la consulta no devuelve la columna «nada»\. Añádala al SELECT, o elija/],
    // A hidden key column of the description is no column of the result.
    ['SELECT otro FROM t', 'par', 'PARTICION_COLUMNA', /no devuelve la columna «par»/],
    ['SELECT id + 0 AS id FROM t', 'id', 'PARTICION_COLUMNA', /«id» de la consulta es calculada/],
    ['SELECT id FROM t UNION ALL SELECT id FROM t', 'id', 'PARTICION_COLUMNA', /«id» de la consulta es calculada/],
    [every, 'nulo', 'PARTICION_COLUMNA', /«nulo» de la consulta \(dbo\.t, columna nulo\) admite NULL.*NOT NULL/],
    [
      'SELECT a.id FROM t AS b LEFT JOIN t AS a ON a.id = b.id',
      'id',
      'PARTICION_COLUMNA',
      /«id» de la consulta \(dbo\.t, columna id\) admite NULL/,
    ],
    [
      every,
      'f',
      'PARTICION_COLUMNA',
      /«f» de la consulta \(dbo\.t, columna f\) es de tipo float, que no se puede ordenar/,
    ],
    [every, 'b', 'PARTICION_COLUMNA', /es de tipo varbinary\(8\)/],
    [every, 'x', 'PARTICION_COLUMNA', /es de tipo xml/],
    [every, 'largo', 'PARTICION_COLUMNA', /no es única: no hay un índice sobre ella sola/],
    [
      'SELECT id AS numero FROM t',
      'numero',
      'PARTICION_COLUMNA',
      /«numero» de la consulta \(dbo\.t, columna id\) no es única: no hay.*: CREATE UNIQUE INDEX \[UX_t_id\] ON \[dbo\]\.\[t\] \(\[id\]\), o elija/,
    ],
    [every, 'par', 'PARTICION_COLUMNA', /no es única: no hay un índice sobre ella sola/],
    [every, 'incluida', 'PARTICION_COLUMNA', /no es única: no hay un índice sobre ella sola/],
    [every, 'otro', 'PARTICION_COLUMNA', /no es única: su índice «ix_otro» no es UNIQUE.*CREATE UNIQUE INDEX/],
    [every, 'activo', 'PARTICION_COLUMNA', /no es única: su índice «fx» tiene un filtro/],
    [
      'SELECT id FROM t ORDER BY id',
      'id',
      'PARTICION_CONSULTA',
      /particion pide.*un solo SELECT, sin ORDER BY.*error 1033/,
    ],
    [
      'WITH c AS (SELECT id FROM t) SELECT id FROM c',
      'id',
      'PARTICION_CONSULTA',
      /un solo SELECT.*sin WITH.*error 156/,
    ],
    ['SELECT id FROM t; SELECT 1 AS a', 'id', 'PARTICION_CONSULTA', /ni otras sentencias.*error 102/],
    ['EXEC algo', 'id', 'PARTICION_CONSULTA', /particion pide/],
    ['SELECT id, otro AS ID FROM t', 'id', 'PARTICION_CONSULTA', /nombre distinto en cada columna.*error 8156/],
    ['SELECT id, otro + 1 FROM t', 'id', 'PARTICION_CONSULTA', /nombre distinto en cada columna.*error 8155/],
    ['SELECT id FROM #t', 'id', 'PARTICION_CONSULTA', /no admite tablas #temporales.*error 11526/],
    ['SELECT id FROM no_existe', 'id', 'CONSULTA', /error 208 .*no_existe/],
    ['SELECT id FROM t WHERE otro > @ultimaSync', 'id', 'CONSULTA', /error 137 /],
  ])('refuses %s, column %s', async (query, columna, code, message) => {
    await use(async (db) => {
      await db.execute(table);
      await db.execute('CREATE TABLE #t (id INT)');
      const error = await failureOf(findRangeKey(db, query, [], columna, signal));
      expect(textOf(error)).toMatch(message);
      expect(error).toMatchObject({ code, retryable: false });
    });
  });

  /** What the stand-in does not have: a description, and the indexes that the login sees. */
  async function answering(source: Record<string, SqlValue>): Promise<SqlServerError> {
    const described: Record<string, SqlValue> = {
      is_hidden: false,
      name: 'id',
      is_nullable: false,
      system_type_name: 'int',
      collation_name: null,
      source_server: null,
      source_database: 'EmpresaDB',
      source_schema: 'dbo',
      source_table: 't',
      source_column: 'id',
      ...source,
    };
    const columns = Object.entries(described).map(([name, value]): Column => {
      return { name, type: parseSqlType(typeof value === 'boolean' ? 'BIT' : 'NVARCHAR(128)'), nullable: true };
    });
    const wire = await startWire(async (sql, _parameters, out) => {
      const isDescription = sql.includes('sp_describe_first_result_set');
      await out.columns(columns);
      if (isDescription) await out.row(Object.values(described));
      await out.statementDone(isDescription ? 1 : 0, true);
    });
    try {
      return await failureOf(
        withSqlServer(wire.settings, { signal }, (db) => findRangeKey(db, 'SELECT id FROM t', [], 'id', signal)),
      );
    } finally {
      await wire.stop();
    }
  }

  test('a table that the login does not see', async () => {
    const error = await answering({});
    expect(error.code).toBe('PARTICION_PERMISO');
    expect(textOf(error)).toMatch(/no ve la tabla dbo\.t.*GRANT VIEW DEFINITION ON dbo\.t/);
  });

  test('a table of a linked server', async () => {
    const error = await answering({ source_server: 'OTRO' });
    expect(error.code).toBe('PARTICION_COLUMNA');
    expect(error.message).toMatch(/servidor vinculado \(OTRO\)/);
  });

  test('a type of the CLR', async () => {
    const error = await answering({ system_type_name: null });
    expect(error.code).toBe('PARTICION_COLUMNA');
    expect(error.message).toMatch(/es de tipo CLR/);
  });
});
