import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { startWorld, type World } from '../../testing/world.ts';

/** The last step down: what the target's columns cannot hold as it comes is refused before the target is touched. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
});
afterAll(() => world?.close());
beforeEach(async () => {
  await world.execute(
    'DROP TABLE IF EXISTS destino; DROP TABLE IF EXISTS vistas; CREATE TABLE vistas (n int); INSERT INTO vistas VALUES (0)',
  );
  await world.backend.sql.query('DELETE FROM parametros_maestros');
});

/** Rows of a tipo_campo, each its codigo and its `parametros_json`. */
async function store(tipo: string, rows: [codigo: string, json: string][]): Promise<void> {
  for (const [codigo, json] of rows) {
    await world.backend.sql.query(
      `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, parametros_json) VALUES ($1, $2, $3, $4)`,
      [world.backend.tenant, tipo, codigo, json],
    );
  }
}

const cosas = 'parametros_maestros.tipo_campo=cosa';
/** A download of `codigo` and `valor`; without a type it has no schema. */
const bajada = (type: string | undefined, rest: object = {}) => ({
  nombre: 'destino',
  primaryKey: 'codigo',
  ...(type !== undefined && {
    schema: {
      columns: [
        { name: 'codigo', type: 'VARCHAR(20)', nullable: false },
        { name: 'valor', type },
      ],
    },
  }),
  process: { query: cosas },
  ...rest,
});
const insert =
  'UPDATE vistas SET n = n + 1; INSERT INTO {tabla} (codigo, valor) SELECT codigo, valor FROM {temp_table}';
const replace =
  'DELETE FROM {tabla}; INSERT INTO {tabla} (codigo, activo, valor) SELECT codigo, activo, valor FROM {temp_table}';
const own = { post_process: { enabled: true, sql: insert } };

/** Type of the schema, type of the target, a value that fits both, one that the target alone lacks room for, and the rule. */
const narrower: [schema: string, target: string, fits: string, unfit: string, rule: RegExp][] = [
  ['DECIMAL(9,2)', 'INT', '10.00', '10.99', /0 decimales y no se redondea/],
  ['DECIMAL(19,6)', 'DECIMAL(9,2)', '3.14', '3.14159', /2 decimales y no se redondea/],
  ['DECIMAL(19,6)', 'MONEY', '0.0001', '0.00001', /4 decimales/],
  ['BIGINT', 'SMALLINT', '-5', '40000', /entre -32768 y 32767/],
  ['INT', 'BIT', '1', '5', /no es true, false, 1 ni 0/],
  ['FLOAT', 'REAL', '0.5', '3.141592653589793', /REAL/],
  ['DECIMAL(38,19)', 'FLOAT', '0.1', '0.1234567890123456789', /FLOAT/],
  ['DATETIME2(7)', 'DATETIME', '"2024-01-15T10:30:00.123"', '"2024-01-15T10:30:00.1234567"', /1\/300/],
  ['DATETIME2(7)', 'SMALLDATETIME', '"2024-01-15T10:30:00"', '"2024-01-15T10:30:31"', /no guarda segundos/],
  ['DATETIME2(7)', 'DATE', '"2024-01-15T00:00:00"', '"2024-01-15T10:30:00"', /solo guarda la fecha/],
  ['TIME(7)', 'TIME(3)', '"10:30:00.123"', '"10:30:00.1234567"', /3 decimales de segundo/],
  ['TIME(7)', 'DATETIME', '"10:30:00.123"', '"10:30:00.1234567"', /1\/300/],
  ['DATETIMEOFFSET(7)', 'DATETIME2(7)', '"2024-01-15T10:30:00+00:00"', '"2024-01-15T10:30:00-03:00"', /desfase/],
  ['NVARCHAR(200)', 'NVARCHAR(5)', '"cinco"', '"seis y más"', /tiene 10 caracteres y caben 5/],
  ['VARBINARY(10)', 'VARBINARY(2)', '"AP8="', '"AP8A"', /3 bytes y caben 2/],
];

/** What the update of ours alone refuses: SQL of the customer's own may make it of any text. */
const sentAsText: typeof narrower = [['NVARCHAR(MAX)', 'JSON', '"[1]"', '"[1"', /no es JSON/]];

/** What SQL Server would make of a value by itself, of another kind. The built-in update has it made of nothing but the text. */
const otherKind: typeof narrower = [
  ['NVARCHAR(30)', 'DECIMAL(9,2)', '"3.14"', '"3.14159"', /2 decimales y no se redondea/],
  ['NVARCHAR(40)', 'DATE', '"2024-01-15"', '"2024-01-15T10:30:00"', /solo guarda la fecha/],
  ['FLOAT', 'VARCHAR(30)', '3.14159', '3.14159265', /6 cifras/],
  ['MONEY', 'VARCHAR(30)', '1.50', '1.5025', /2 decimales/],
  ['INT', 'VARCHAR(2)', '12', '123', /3 caracteres y caben 2/],
  ['DATETIME', 'VARCHAR(30)', '"2024-01-15T10:30:00"', '"2024-01-15T10:30:05"', /sin los segundos/],
];

test.each([
  ['the built-in update', {}, [...narrower, ...sentAsText]],
  ['a post_process', own, [...narrower, ...otherKind]],
])(
  '%s: what the narrower column of the target can hold arrives, what it cannot is named by row, column and value, and nothing is touched',
  async (_, phase, cases) => {
    const tables = cases.map(([schema, target, fits, unfit, rule], index) => {
      const tipo = `cosa_${index}`;
      const nombre = `estrecha_${index}`;
      const process = { query: `parametros_maestros.tipo_campo=${tipo}` };
      return { ...{ tipo, target, fits, unfit, rule }, tabla: { ...bajada(schema, phase), nombre, process } };
    });
    for (const { tabla, target } of tables) {
      await world.execute(
        `DROP TABLE IF EXISTS ${tabla.nombre}; CREATE TABLE ${tabla.nombre} (codigo VARCHAR(20) PRIMARY KEY, valor ${target})`,
      );
    }
    await world.setTables({ tablasBajada: tables.map(({ tabla }) => tabla) });
    for (const { tipo, fits } of tables) await store(tipo, [['a', `{"valor": ${fits}}`]]);
    const first = await world.sync();
    expect(first.reason, first.log).toBe('exitoso');
    await world.execute('UPDATE vistas SET n = 0');
    await world.backend.sql.query('DELETE FROM parametros_maestros');
    for (const { tipo, unfit } of tables) await store(tipo, [['b', `{"valor": ${unfit}}`]]);
    const { reason, log } = await world.sync();
    expect(reason, log).toBe('error');
    for (const { tabla, target, unfit, rule } of tables) {
      const line = log.split('\n').find((text) => text.includes(`ERROR ${tabla.nombre}: process`));
      const value = unfit.replace(/^"|"$/g, '');
      expect(line).toContain(`Fila 1 de la descarga, columna «valor», valor «${value}»: `);
      expect(line).toMatch(rule);
      expect(line).toContain(`(la columna del destino es ${target}). [VALOR_NO_CABE]`);
      expect(await world.query(`SELECT codigo, COUNT(valor) AS n FROM ${tabla.nombre} GROUP BY codigo`)).toEqual([
        { codigo: 'a', n: 1 },
      ]);
    }
    expect(await world.query('SELECT n FROM vistas')).toEqual([{ n: 0 }]);
  },
);

/** Type of the schema, type of the target, value, and what is read of the target as text. */
const converted: [schema: string | undefined, target: string, value: string, read: string][] = [
  ['BIT', 'CHAR(1)', 'true', '1'],
  ['DECIMAL(9,2)', 'VARCHAR(20)', '1.5', '1.50'],
  ['FLOAT', 'VARCHAR(30)', '3.141592653589793', '3.141592653589793'],
  ['MONEY', 'VARCHAR(30)', '0.0003', '0.0003'],
  ['NVARCHAR(20)', 'DATETIME', '"2024-02-03"', '2024-02-03T00:00:00'],
  ['NVARCHAR(MAX)', 'VARBINARY(10)', '"AP8="', '00FF'],
  [undefined, 'DECIMAL(19,4)', '12345678901234.5678', '12345678901234.5678'],
  [undefined, 'NVARCHAR(30)', '12345678901234567890.10', '12345678901234567890.10'],
  [undefined, 'BIT', 'true', '1'],
  ['JSON', 'NVARCHAR(50)', '"[1, 2]"', '[1, 2]'],
  ['NVARCHAR(50)', 'JSON', '"{}"', '{}'],
  [undefined, 'JSON', '{"a": [true, null]}', '{"a": [true, null]}'],
];

test('a value that changes its kind in the target arrives exact, with a schema and without', async () => {
  const tables = converted.map(([schema, ,], index) => {
    const process = { query: `parametros_maestros.tipo_campo=otra_${index}` };
    return { ...bajada(schema), nombre: `otra_${index}`, process };
  });
  for (const [index, [, target, value]] of converted.entries()) {
    await world.execute(
      `CREATE TABLE otra_${index} (codigo VARCHAR(20) PRIMARY KEY, nombre VARCHAR(10), activo BIT, valor ${target})`,
    );
    await store(`otra_${index}`, [['a', `{"valor": ${value}}`]]);
  }
  await world.setTables({ tablasBajada: tables });
  const { reason, log } = await world.sync();
  expect(reason, log).toBe('exitoso');
  for (const [index, [, target, , read]] of converted.entries()) {
    const style = target === 'DATETIME' ? ', 126' : target.startsWith('VARBINARY') ? ', 2' : '';
    expect(await world.query(`SELECT CONVERT(VARCHAR(50), valor${style}) AS v FROM otra_${index}`)).toEqual([
      { v: read },
    ]);
  }
});

const conTexto = (rest: object = {}) => bajada('NVARCHAR(50)', rest);
const createDestino = (collation = '') =>
  world.execute(`CREATE TABLE destino (codigo VARCHAR(20) ${collation} NOT NULL, valor NVARCHAR(50) NULL)`);

test('a key that is NULL is refused with its row, however often it is asked for, and nothing is inserted', async () => {
  await world.execute('CREATE TABLE destino (codigo VARCHAR(20) NULL, valor NVARCHAR(50) NULL)');
  const query = `SELECT NULL AS codigo, 'a' AS valor`;
  const schema = {
    columns: [
      { name: 'codigo', type: 'VARCHAR(20)' },
      { name: 'valor', type: 'NVARCHAR(50)' },
    ],
  };
  await world.setTables({ tablasBajada: [conTexto({ schema, process: { query } })] });
  for (let run = 0; run < 2; run++) {
    const { reason, log } = await world.sync();
    expect(reason, log).toBe('error');
    expect(log).toMatch(/Fila 1 de la descarga, columna «codigo», valor «NULL»: la columna no admite NULL/);
  }
  expect(await world.query('SELECT COUNT(*) AS n FROM destino')).toEqual([{ n: 0 }]);
});

test.each([
  ['equal', ['x', 'x']],
  ['equal but for their case, which the target does not tell apart', ['ab', 'AB']],
])('two rows whose keys are %s are refused and named, and nothing is touched', async (_, [one, other]) => {
  await createDestino();
  await world.execute("INSERT INTO destino VALUES ('ab', N'antes')");
  const query = `SELECT '${one}' AS codigo, 'uno' AS valor UNION ALL SELECT '${other}', 'dos' UNION ALL SELECT 'z', 'tres'`;
  await world.setTables({ tablasBajada: [conTexto({ process: { query } })] });
  const { reason, log } = await world.sync();
  expect(reason, log).toBe('error');
  expect(log).toContain('[CLAVES_IGUALES]');
  expect(log).toMatch(
    new RegExp(`misma clave \\(codigo\\) para destino: (?=.*«${one}»)(?=.*«${other}»)«\\w+» y «\\w+»`),
  );
  expect(await world.query('SELECT codigo, valor FROM destino')).toEqual([{ codigo: 'ab', valor: 'antes' }]);
});

test('keys that differ by case are two where the target tells them apart', async () => {
  await createDestino('COLLATE Modern_Spanish_CS_AS');
  const query = `SELECT 'ab' AS codigo, 'uno' AS valor UNION ALL SELECT 'AB', 'dos'`;
  await world.setTables({ tablasBajada: [conTexto({ process: { query } })] });
  for (let run = 0; run < 2; run++) {
    const { reason, log } = await world.sync();
    expect(reason, log).toBe('exitoso');
  }
  expect(await world.query('SELECT COUNT(*) AS n FROM destino')).toEqual([{ n: 2 }]);
});

test.each([
  ['a post_process', own],
  ['a copy, by a unique index alone,', { primaryKey: [] as string[] }],
])('%s that fails over two equal keys (2627) says which two', async (_, phase) => {
  await world.execute('CREATE TABLE destino (codigo VARCHAR(20) PRIMARY KEY, valor NVARCHAR(50) NULL)');
  const query = `SELECT 'ab' AS codigo, 'uno' AS valor UNION ALL SELECT 'AB', 'dos'`;
  const { primaryKey, ...rest } = conTexto({ ...phase, process: { query } }) as { primaryKey: string | string[] };
  await world.setTables({ tablasBajada: [primaryKey.length === 0 ? rest : { ...rest, primaryKey }] });
  const { reason, log } = await world.sync();
  expect(reason, log).toBe('error');
  expect(log).toMatch(/ERROR destino: post_process .*«(ab» y «AB|AB» y «ab)».*\[CLAVES_IGUALES\]/);
  expect(await world.query('SELECT n FROM vistas')).toEqual([{ n: 0 }]);
});

test('a column that the built-in update has nowhere to put, and one that SQL Server would make something else of, are refused by name', async () => {
  await world.execute('CREATE TABLE destino (codigo VARCHAR(20) PRIMARY KEY)');
  await world.setTables({ tablasBajada: [conTexto()] });
  const missing = await world.sync();
  expect(missing.reason, missing.log).toBe('error');
  expect(missing.log).toMatch(/destino existe y le faltan las columnas valor\. \[DESTINO_SIN_COLUMNAS\]/);
  await world.execute('ALTER TABLE destino ADD valor VARCHAR(20)');
  await world.setTables({ tablasBajada: [bajada('VARBINARY(8)')] });
  const other = await world.sync();
  expect(other.log).toMatch(
    /«valor» de destino es VARBINARY\(8\) en la descarga y VARCHAR\(20\) en la tabla.*\[TIPO_DE_DESTINO\]/,
  );
});

test('a post_process that asks for a column which one side has not: the error says which side', async () => {
  const asks = (sql: string) => world.setTables({ tablasBajada: [conTexto({ post_process: { enabled: true, sql } })] });
  await store('cosa', [['a', '{"valor": "x"}']]);
  await world.execute('CREATE TABLE destino (codigo VARCHAR(20) PRIMARY KEY, extra INT)');
  await asks('UPDATE vistas SET n = n + 1; INSERT INTO {tabla} (codigo, valor) SELECT codigo, valor FROM {temp_table}');
  const target = await world.sync();
  expect(target.reason, target.log).toBe('error');
  expect(target.log).toMatch(/«valor», que no está en la tabla destino: .*error 207.*\[COLUMNA_AUSENTE\]/);
  await asks('INSERT INTO {tabla} (codigo) SELECT extra FROM {temp_table}');
  expect((await world.sync()).log).toMatch(
    /«extra», que no está en la descarga \(\{temp_table\}\): .*\[COLUMNA_AUSENTE\]/,
  );
  await asks('INSERT INTO {tabla} (codigo) SELECT ninguna FROM {temp_table}');
  expect((await world.sync()).log).toMatch(/error 207.*\[CONSULTA\]/);
  expect(await world.query('SELECT n FROM vistas')).toEqual([{ n: 0 }]);
});

test.each([
  ['the built-in update', {}],
  ['a post_process', { post_process: { enabled: true, sql: replace } }],
])(
  'without a schema the types are not those of the first day: what comes later arrives with every digit (%s)',
  async (_, phase) => {
    await world.setTables({ tablasBajada: [bajada(undefined, phase)] });
    await store('cosa', [['a', '{"valor": 1.5}']]);
    expect((await world.sync()).reason).toBe('exitoso');
    await store('cosa', [
      ['b', '{"valor": 12345678901234567890.123456}'],
      ['c', '{"valor": "texto"}'],
    ]);
    const { reason, log } = await world.sync();
    expect(reason, log).toBe('exitoso');
    const rows = await world.query('SELECT CONVERT(NVARCHAR(50), valor) AS v FROM destino ORDER BY codigo');
    expect(rows.map(({ v }) => v)).toEqual(['1.5', '12345678901234567890.123456', 'texto']);
  },
);

test('a post_process may be given a primaryKey that the download has not got', async () => {
  await world.execute('CREATE TABLE destino (id INT NULL, codigo VARCHAR(20), valor NVARCHAR(50))');
  await world.setTables({ tablasBajada: [conTexto({ ...own, primaryKey: 'id' })] });
  await store('cosa', [['a', '{"valor": "x"}']]);
  const { reason, log } = await world.sync();
  expect(reason, log).toBe('exitoso');
});

test('a post_process may make another kind of value of it, and of text that is no number', async () => {
  await world.execute('CREATE TABLE destino (codigo VARCHAR(20), valor BIT)');
  const sql =
    "INSERT INTO destino (codigo, valor) SELECT codigo, CASE WHEN valor = 'S' THEN 1 ELSE 0 END FROM {temp_table}";
  await world.setTables({ tablasBajada: [bajada('CHAR(1)', { post_process: { enabled: true, sql } })] });
  await store('cosa', [['a', '{"valor": "S"}']]);
  const { reason, log } = await world.sync();
  expect(reason, log).toBe('exitoso');
  expect(await world.query('SELECT valor FROM destino')).toEqual([{ valor: true }]);
});
