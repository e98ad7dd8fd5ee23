import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { startWorld, type World } from '../testing/world.ts';
import { runTest } from './test.ts';

/** `test` against everything for real. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  await world.execute('CREATE TABLE productos (codigo varchar(20) NOT NULL PRIMARY KEY, fecha datetime2(7) NULL)');
  await world.execute("INSERT INTO productos (codigo) VALUES ('a')");
});
afterAll(() => world?.close());

async function check(): Promise<{ reason: string; lines: string[] }> {
  const lines: string[] = [];
  const print = (line: string) => lines.push(line);
  const reason = await runTest({ folder: world.folder, print, signal: new AbortController().signal });
  return { reason, lines };
}

const subida = (nombre: string, query: string) => ({ nombre, primaryKey: 'codigo', process: { query } });
const cuentas = {
  nombre: 'cuentas',
  primaryKey: 'codigo',
  schema: { columns: [{ name: 'codigo', type: 'VARCHAR(20)', nullable: false }] },
  process: { query: 'parametros_maestros.tipo_campo=cuenta' },
};

test('all in order: a line for each check, and nothing is changed', async () => {
  await world.setTables({
    tablasSubida: [subida('vista_productos', 'SELECT codigo, fecha FROM productos WHERE @ultimaSync IS NULL')],
    tablasBajada: [cuentas],
  });
  const { reason, lines } = await check();
  expect(lines.filter((line) => !line.startsWith('✔'))).toEqual(['Todo en orden.']);
  expect(reason).toBe('exitoso');
  expect(lines).toContainEqual('✔ Subida vista_productos: la consulta da codigo, fecha');
  expect(lines).toContainEqual('✔ Destino cuentas: no existe todavía: se creará en la primera bajada');
  expect(await world.query("SELECT name FROM sys.tables WHERE name = 'cuentas'")).toEqual([]);
  const { rows } = await world.backend.sql.query('SELECT 1 FROM parametros_maestros');
  expect(rows).toEqual([]);
  await world.backend.sql.query(`UPDATE sync_api_keys SET "expiresAt" = '2099-01-31T00:00:00Z'`);
  expect((await check()).lines).toContainEqual(
    expect.stringMatching(
      /^✔ Credenciales y configuración: tenant «acme-001», .*, la clave vale hasta el 2099-01-31T00:00/,
    ),
  );
});

test('which columns are the key is said where it is not plainly codigo; what is ambiguous is refused', async () => {
  await world.execute(
    'CREATE TABLE socios (id int NOT NULL PRIMARY KEY, codigo varchar(20) NULL, empresa int NOT NULL)',
  );
  const socios = (nombre: string, primaryKey: string | string[], columns: string) => ({
    ...{ nombre, primaryKey, process: { query: `SELECT ${columns} FROM socios` } },
  });
  await world.setTables({
    tablasSubida: [
      socios('compuesta', ['empresa', 'codigo'], 'empresa, codigo'),
      socios('en_su_lugar', 'id', 'id AS codigo, empresa'),
      socios('propia', 'id', 'id, empresa'),
      // Without a row SQL Server is asked which columns there are.
      socios('dudosa', 'id', 'id, Codigo'),
    ],
  });
  const { reason, lines } = await check();
  expect(reason).toBe('error');
  expect(lines).toContainEqual(expect.stringMatching(/^✔ Subida compuesta: .*; clave: empresa, codigo$/));
  expect(lines).toContainEqual(expect.stringMatching(/^✔ Subida en_su_lugar: .*; clave: codigo, en el lugar de id$/));
  expect(lines).toContainEqual(expect.stringMatching(/^✔ Subida propia: .*; clave: id$/));
  expect(lines).toContainEqual(expect.stringMatching(/^✖ Subida dudosa: .*«codigo» y además «id».*\[CLAVE_DUDOSA\]/));
  await world.execute("INSERT INTO socios VALUES (1, 'a', 1)");
  expect((await check()).lines).toContainEqual(expect.stringMatching(/^✖ Subida dudosa: .*\[CLAVE_DUDOSA\]/));
});

test('each fault is a line with what to do, and the other checks still run', async () => {
  await world.execute('CREATE TABLE cuentas_viejas (codigo varchar(20) NOT NULL)');
  const wider = [...cuentas.schema.columns, { name: 'nombre', type: 'VARCHAR(200)' }];
  await world.setTables({
    tablasSubida: [
      subida('vista_mala', 'SELECT * FROM no_existe'),
      subida('vista_buena', 'SELECT codigo FROM productos'),
      { ...subida('vista_rangos', 'SELECT codigo, fecha FROM productos'), particion: { columna: 'fecha', filas: 10 } },
      { ...subida('vista_grande', 'SELECT codigo FROM productos'), particion: { columna: 'codigo', filas: 10 } },
    ],
    tablasBajada: [{ ...cuentas, nombre: 'cuentas_viejas', schema: { columns: wider } }],
  });
  const { reason, lines } = await check();
  expect(reason).toBe('error');
  expect(lines).toContainEqual(expect.stringMatching(/^✖ Subida vista_mala: .*no_existe/));
  expect(lines).toContainEqual(expect.stringMatching(/^✔ Subida vista_buena/));
  expect(lines).toContainEqual(
    expect.stringMatching(/^✖ Subida vista_rangos: No se puede leer por rangos \(particion\): .* admite NULL/),
  );
  expect(lines).toContainEqual('✔ Subida vista_grande: la consulta da codigo; se lee por rangos de codigo');
  expect(lines).toContainEqual(
    expect.stringMatching(/^✖ Destino cuentas_viejas: .*faltan las columnas nombre\. \[DESTINO_SIN_COLUMNAS\]/),
  );
  expect(lines.at(-1)).toBe('Hay comprobaciones que fallan.');
});

test('a date column that may be NULL is named, with what becomes of such rows', async () => {
  await world.execute("INSERT INTO productos (codigo, fecha) VALUES ('z', '2001-02-03')");
  const incremental = (nombre: string, filter: string, more: object = {}) => ({
    ...subida(nombre, `SELECT codigo, fecha FROM productos WHERE ${filter}`),
    ...{ tipoCampo: nombre, incremental: true, campoFecha: 'fecha', ...more },
  });
  await world.setTables({
    tablasSubida: [
      incremental('sola', 'fecha > @ultimaSync'),
      incremental('semanal', 'fecha > @ultimaSync', { completoCada: '7d' }),
      incremental('rara', 'fecha > DATEADD(day, 0, @ultimaSync) AND NOT fecha < @ultimaSync'),
      incremental('escrita', 'NOT fecha <= @ultimaSync OR fecha IS NULL'),
      incremental('clave', "codigo > 'a' AND @ultimaSync IS NULL", { campoFecha: 'codigo' }),
    ],
  });
  const { reason, lines } = await check();
  expect(reason).toBe('exitoso');
  const told =
    'la consulta da codigo, fecha\n  → «fecha» admite NULL, y una fila sin fecha no es más nueva que ninguna marca';
  const when = 'sube la primera vez, y después';
  expect(lines).toContainEqual(expect.stringMatching(`^⚠ Subida sola: ${told}: ${when} con sync --desde-cero`));
  expect(lines).toContainEqual(expect.stringMatching(`^⚠ Subida semanal: ${told}: ${when} cada 7d`));
  expect(lines).toContainEqual(
    expect.stringMatching(
      `^⚠ Subida rara: ${told}: no sube nunca. Escriba .* fecha > @ultimaSync, o añada OR fecha IS NULL`,
    ),
  );
  expect(lines).toContainEqual(expect.stringMatching(/^✔ Subida escrita:/));
  expect(lines).toContainEqual(expect.stringMatching(/^✔ Subida clave:/));
});

test('of downloads, too: row hashes where there is a key, and what a post_process has to know', async () => {
  const bajada = { nombre: 'baja', primaryKey: 'codigo', process: { query: 'parametros_maestros.tipo_campo=x' } };
  const about = async (tabla: object) => {
    await world.setTables({ tablasBajada: [tabla] });
    return (await check()).lines.filter((line) => line.includes(' Cambios de la bajada baja: '));
  };
  const post_process = { enabled: true, sql: 'SELECT COUNT(*) FROM {temp_table}' };
  const { primaryKey: _, ...keyless } = bajada;
  expect(await about(bajada)).toEqual([expect.stringMatching(/completo; mejor "cambios": "huellas": .* no está$/)]);
  expect(await about({ ...bajada, post_process })).toEqual([
    expect.stringMatching(/, si el post_process .*{temp_bajas}/),
  ]);
  expect(await about({ ...bajada, cambios: 'huellas' })).toEqual([expect.stringMatching(/: huellas: solo baja/)]);
  expect(await about(keyless)).toEqual([expect.stringMatching(/: completo: sin primaryKey/)]);
});

test('the best way to find what changed is proposed for each table, with what to write and why', async () => {
  await world.execute(`CREATE TABLE piezas (id int NOT NULL PRIMARY KEY, n int NULL, rv rowversion)
    ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 2 DAYS, AUTO_CLEANUP = ON)`);
  const tabla = (nombre: string, query: string, more: object = {}) => ({
    ...{ ...subida(nombre, query), tipoCampo: nombre, primaryKey: 'id', ...more },
  });
  const tablasSubida = [
    tabla('con_version', 'SELECT id, n, rv FROM piezas'),
    tabla('con_bajas', 'SELECT id AS codigo, n, rv FROM piezas', { bajas: 'desactivar' }),
    tabla('sin_nada', 'SELECT id, n FROM piezas'),
    tabla('fechada', 'SELECT id, n FROM piezas WHERE n > @ultimaSync', { cambios: 'marca' }),
  ];
  await world.setTables({ tablasSubida });
  const about = async (nombre: string) =>
    (await check()).lines.filter((line) => line.includes(` Cambios de ${nombre}: `));
  expect(await about('con_version')).toEqual([
    expect.stringMatching(
      /^✔ Cambios de con_version: completo; mejor "cambios": "rowversion", "columna": "rv": «rv» es rowversion/,
    ),
  ]);
  expect(await about('con_bajas')).toEqual([expect.stringContaining('mejor "cambios": "rowversion"')]);
  expect(await about('sin_nada')).toEqual([
    expect.stringContaining('completo; mejor "cambios": "huellas": vale para cualquier consulta'),
  ]);
  expect(await about('fechada')).toEqual([expect.stringMatching(/: marca: la consulta filtra por @ultimaSync/)]);
  await world.execute('ALTER TABLE piezas ENABLE CHANGE_TRACKING');
  expect(await about('con_version')).toEqual([expect.stringContaining('mejor "cambios": "rowversion"')]);
  const [proposed] = await about('con_bajas');
  expect(proposed).toContain('"seguimiento": [{ "tabla": "dbo.piezas", "clave": { "id": "codigo" } }]');
  expect(await about('sin_nada')).toEqual([expect.stringContaining('"seguimiento": [{ "tabla": "dbo.piezas" }]')]);
  const tracked = (clave: object) => ({ cambios: 'seguimiento', seguimiento: [{ tabla: 'dbo.piezas', ...clave }] });
  await world.setTables({
    tablasSubida: [
      tabla('seguida', 'SELECT id, n FROM piezas', tracked({})),
      tabla('mal_seguida', 'SELECT id, n FROM piezas', tracked({ clave: { n: 'n' } })),
    ],
  });
  expect(await about('seguida')).toEqual([
    expect.stringMatching(
      /^⚠ Cambios de seguida: seguimiento: dbo.piezas tiene Change Tracking.*→ Los cambios se conservan 48 h/s,
    ),
  ]);
  const { lines } = await check();
  expect(lines).toContainEqual(expect.stringMatching(/^✖ Subida mal_seguida: .*\[SEGUIMIENTO_CLAVE\]/));
  await world.execute('ALTER DATABASE CURRENT SET CHANGE_TRACKING (CHANGE_RETENTION = 7 DAYS)');
  expect(await about('seguida')).toEqual([expect.stringMatching(/^✔/)]);
});
