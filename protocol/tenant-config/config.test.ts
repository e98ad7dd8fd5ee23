import { describe, expect, test } from 'vitest';
import { isPhaseAt, primaryKeyOf } from './config.ts';
import { findConfigProblems } from './config-problems.ts';
import { findConnectionProblems, findUnknownConnections } from './connection-problems.ts';

const upload = { nombre: 'clientes', primaryKey: 'id', process: { query: 'SELECT id FROM clientes' } };
const changes = { ...upload, incremental: true, process: { query: 'SELECT id FROM v WHERE f > @ultimaSync' } };
const download = { nombre: 'plan_cuentas', process: { query: 'parametros_maestros.tipo_campo=cuenta' } };
const changed = { ...download, primaryKey: 'codigo', cambios: 'huellas' };

describe('findConfigProblems', () => {
  test('a valid configuration has none', () => {
    expect(findConfigProblems({ tablasSubida: [upload], tablasBajada: [download] })).toEqual([]);
    const often = { ...changes, completoCada: '12h', desactivarAusentes: true };
    expect(findConfigProblems({ tablasSubida: [often] })).toEqual([]);
    expect(findConfigProblems({})).toEqual([]);
    const post_process = (sql: string) => ({ post_process: { enabled: true, sql } });
    const handled = { ...changed, ...post_process('INSERT … {temp_table}; DELETE … {temp_bajas}') };
    expect(findConfigProblems({ tablasBajada: [changed] })).toEqual([]);
    expect(findConfigProblems({ tablasBajada: [handled] })).toEqual([]);
    const kept = { ...changed, bajas: 'ignorar', ...post_process('INSERT … {temp_table}') };
    expect(findConfigProblems({ tablasBajada: [kept] })).toEqual([]);
    const ranges = { ...upload, particion: { columna: 'id', filas: 500_000 } };
    expect(findConfigProblems({ tablasSubida: [ranges], spoolMaxMb: 512, trozoKb: 256 })).toEqual([]);
  });

  test.each([
    ['not an object', 'texto', { campo: 'configuracionTablas', valor: 'texto', regla: /objeto/ }],
    [
      'chunks that are too small',
      { trozoKb: 10 },
      { campo: 'configuracionTablas.trozoKb', valor: '10', regla: /^es menor que el mínimo \(64\)$/ },
    ],
    [
      'chunks that are too large',
      { trozoKb: 8193 },
      { campo: 'configuracionTablas.trozoKb', valor: '8193', regla: /^pasa del límite \(8192\)$/ },
    ],
    [
      'a share below nothing',
      { tablasBajada: [{ ...download, guarda: { porciento: -1 } }] },
      {
        campo: 'configuracionTablas.tablasBajada[0].guarda.porciento',
        valor: '-1',
        regla: /^es menor que el mínimo \(0\)$/,
      },
    ],
    [
      'a spool of nothing',
      { spoolMaxMb: 0 },
      { campo: 'configuracionTablas.spoolMaxMb', valor: '0', regla: /^es menor que el mínimo \(1\)$/ },
    ],
    [
      'ranges without a column',
      { tablasSubida: [{ ...upload, particion: { filas: 1000 } }] },
      { campo: 'configuracionTablas.tablasSubida[0].particion.columna', valor: '(falta)', regla: /obligatorio/ },
    ],
    [
      'no table at once',
      { tablasALaVez: 0 },
      { campo: 'configuracionTablas.tablasALaVez', valor: '0', regla: /mínimo \(1\)/ },
    ],
    [
      'too many tables at once',
      { tablasALaVez: 9 },
      { campo: 'configuracionTablas.tablasALaVez', valor: '9', regla: /^pasa del límite \(8\)$/ },
    ],
    [
      'a connection that is no name',
      { tablasBajada: [{ ...download, conexion: 'dos palabras' }] },
      { campo: 'configuracionTablas.tablasBajada[0].conexion', valor: 'dos palabras', regla: /debe ser un nombre/ },
    ],
    [
      'a missing query',
      { tablasSubida: [{ nombre: 'x' }] },
      { campo: 'configuracionTablas.tablasSubida[0].process', valor: '(falta)', regla: /obligatorio/ },
    ],
    [
      'an unknown field',
      { tablasSubida: [{ ...upload, incremenal: true }] },
      { campo: 'configuracionTablas.tablasSubida[0].incremenal', regla: /conocido/ },
    ],
    [
      'a value of another type',
      { tablasSubida: [{ ...upload, incremental: 'si' }] },
      { campo: 'configuracionTablas.tablasSubida[0].incremental', valor: 'si', regla: /true o false/ },
    ],
    [
      'an enabled phase without SQL',
      { tablasSubida: [{ ...upload, pre_process: { enabled: true } }] },
      { campo: 'configuracionTablas.tablasSubida[0].pre_process.sql', regla: /obligatorio/ },
    ],
    [
      'a column type that SQL Server does not have',
      { tablasBajada: [{ ...download, schema: { columns: [{ name: 'a', type: 'TEXTO(3)' }] } }] },
      { campo: 'configuracionTablas.tablasBajada[0].schema.columns[0].type', valor: 'TEXTO(3)', regla: /TEXTO/ },
    ],
    [
      'two columns that SQL Server takes for one',
      {
        tablasBajada: [
          {
            ...download,
            schema: {
              columns: [
                { name: 'Codigo', type: 'INT' },
                { name: 'codigo', type: 'INT' },
              ],
            },
          },
        ],
      },
      { campo: 'configuracionTablas.tablasBajada[0].schema.columns[1].name', valor: 'codigo', regla: /repetido/ },
    ],
    [
      'a table given twice',
      { tablasSubida: [upload, upload] },
      { campo: 'configuracionTablas.tablasSubida[1].nombre', valor: 'clientes', regla: /repetido/ },
    ],
    [
      'an incremental query that does not ask for changes',
      { tablasSubida: [{ ...upload, incremental: true }] },
      { campo: 'configuracionTablas.tablasSubida[0].process.query', regla: /@ultimaSync/ },
    ],
    [
      'a completoCada that is no time',
      { tablasSubida: [{ ...changes, completoCada: '7 días' }] },
      { campo: 'configuracionTablas.tablasSubida[0].completoCada', valor: '7 días', regla: /de 1h a 999d/ },
    ],
    [
      'a completoCada of a table that is read whole each time',
      { tablasSubida: [{ ...upload, completoCada: '12h' }] },
      { campo: 'configuracionTablas.tablasSubida[0].completoCada', valor: '12h', regla: /entera cada vez/ },
    ],
    [
      'cambios and incremental that say two things',
      { tablasSubida: [{ ...changes, cambios: 'huellas' }] },
      { campo: 'configuracionTablas.tablasSubida[0].cambios', valor: 'huellas', regla: /incremental: true/ },
    ],
    [
      'bajas and desactivarAusentes that say two things',
      { tablasSubida: [{ ...upload, bajas: 'borrar', desactivarAusentes: true }] },
      { campo: 'configuracionTablas.tablasSubida[0].bajas', valor: 'borrar', regla: /desactivarAusentes: true/ },
    ],
    [
      'bajas that a table of changes never learns of',
      { tablasSubida: [{ ...changes, bajas: 'borrar' }] },
      { campo: 'configuracionTablas.tablasSubida[0].bajas', valor: 'borrar', regla: /completoCada/ },
    ],
    [
      'huellas of rows whose keys may repeat',
      { tablasSubida: [{ ...upload, cambios: 'huellas', clavesRepetidas: 'ultima' }] },
      { campo: 'configuracionTablas.tablasSubida[0].clavesRepetidas', valor: 'ultima', regla: /una sola fila/ },
    ],
    [
      'huellas, which make bajas, of a tipo_campo that another table has too',
      {
        tablasSubida: [
          { ...upload, cambios: 'huellas', tipoCampo: 'x' },
          { ...upload, nombre: 'otra', tipoCampo: 'x' },
        ],
      },
      { campo: 'configuracionTablas.tablasSubida[0].bajas', valor: 'desactivar', regla: /ponga bajas: ignorar/ },
    ],
    [
      'huellas of a download without a key',
      { tablasBajada: [{ ...download, cambios: 'huellas' }] },
      { campo: 'configuracionTablas.tablasBajada[0].cambios', valor: 'huellas', regla: /necesita primaryKey/ },
    ],
    [
      'a post_process that would take what did not change for gone',
      { tablasBajada: [{ ...changed, post_process: { enabled: true, sql: 'MERGE … when not  matched BY source' } }] },
      { campo: 'configuracionTablas.tablasBajada[0].post_process.sql', regla: /quitaría lo demás; use \{temp_bajas\}/ },
    ],
    [
      'a post_process that knows nothing of what is gone',
      { tablasBajada: [{ ...changed, post_process: { enabled: true, sql: 'INSERT … {temp_table}' } }] },
      { campo: 'configuracionTablas.tablasBajada[0].post_process.sql', regla: /ponga bajas: ignorar/ },
    ],
    [
      'a post_process that asks for what is gone where that is not known',
      { tablasBajada: [{ ...download, post_process: { enabled: true, sql: 'DELETE … {temp_bajas}' } }] },
      { campo: 'configuracionTablas.tablasBajada[0].post_process.sql', regla: /solo existe con cambios: huellas/ },
    ],
    [
      'bajas of a download that knows none',
      { tablasBajada: [{ ...download, bajas: 'borrar' }] },
      { campo: 'configuracionTablas.tablasBajada[0].bajas', valor: 'borrar', regla: /solo vale con cambios: huellas/ },
    ],
    [
      'rowversion without its column',
      { tablasSubida: [{ ...upload, cambios: 'rowversion' }] },
      { campo: 'configuracionTablas.tablasSubida[0].columna', regla: /es obligatoria/ },
    ],
    [
      'a rowversion column of a table that does not use it',
      { tablasSubida: [{ ...upload, columna: 'rv' }] },
      { campo: 'configuracionTablas.tablasSubida[0].columna', valor: 'rv', regla: /solo vale con cambios: rowversion/ },
    ],
    [
      'seguimiento without its base tables',
      { tablasSubida: [{ ...upload, cambios: 'seguimiento' }] },
      { campo: 'configuracionTablas.tablasSubida[0].seguimiento', regla: /es obligatorio/ },
    ],
    [
      'base tables of a table that is not tracked',
      { tablasSubida: [{ ...upload, seguimiento: [{ tabla: 'dbo.clientes' }] }] },
      { campo: 'configuracionTablas.tablasSubida[0].seguimiento', regla: /solo vale con cambios: seguimiento/ },
    ],
    [
      'a filter by time in a table of rowversion',
      { tablasSubida: [{ ...upload, ...changes, incremental: undefined, cambios: 'rowversion', columna: 'rv' }] },
      { campo: 'configuracionTablas.tablasSubida[0].process.query', regla: /no hay @ultimaSync/ },
    ],
    [
      'one bound of rowversion without the other',
      {
        tablasSubida: [
          {
            ...upload,
            cambios: 'rowversion',
            columna: 'rv',
            process: { query: 'SELECT * FROM c WHERE rv > @desdeVersion' },
          },
        ],
      },
      { campo: 'configuracionTablas.tablasSubida[0].process.query', regla: /los dos, @desdeVersion y @hastaVersion/ },
    ],
    [
      'bounds of rowversion in a table that has none',
      { tablasSubida: [{ ...upload, process: { query: 'SELECT * FROM c WHERE rv > @DesdeVersion' } }] },
      { campo: 'configuracionTablas.tablasSubida[0].process.query', regla: /solo valen con cambios: rowversion/ },
    ],
    [
      'a base table given twice',
      {
        tablasSubida: [{ ...upload, cambios: 'seguimiento', seguimiento: [{ tabla: 'dbo.c' }, { tabla: 'dbo.C' }] }],
      },
      { campo: 'configuracionTablas.tablasSubida[0].seguimiento[1].tabla', valor: 'dbo.C', regla: /repetida/ },
    ],
    [
      'a first base table that is said to take no rows away',
      { tablasSubida: [{ ...upload, cambios: 'seguimiento', seguimiento: [{ tabla: 'dbo.c', quitaFilas: false }] }] },
      { campo: 'configuracionTablas.tablasSubida[0].seguimiento[0].quitaFilas', regla: /no vale para la primera/ },
    ],
    [
      'an incremental table that is never read whole and is to tell what is gone',
      { tablasSubida: [{ ...changes, desactivarAusentes: true }] },
      { campo: 'configuracionTablas.tablasSubida[0].desactivarAusentes', regla: /completoCada/ },
    ],
    [
      'two tables of one tipo_campo of which one deactivates what it does not have',
      {
        tablasSubida: [
          { ...upload, desactivarAusentes: true },
          { ...upload, nombre: 'vista_clientes' },
        ],
      },
      { campo: 'configuracionTablas.tablasSubida[0].desactivarAusentes', regla: /vista_clientes/ },
    ],
  ])(
    'names field, value and rule of %s',
    (_what, config, {
      campo,
      valor,
      regla,
    }: {
      campo: string;
      valor?: string;
      regla: RegExp;
    }) => {
      const problem = findConfigProblems(config).find((p) => p.campo === campo);
      expect(problem, JSON.stringify(findConfigProblems(config))).toBeDefined();
      expect(problem?.regla).toMatch(regla);
      if (valor !== undefined) expect(problem?.valor).toBe(valor);
    },
  );

  test('two upload tables of one tipo_campo are refused unless both say it outright, and then without desactivarAusentes', () => {
    const one = { ...upload, nombre: 'vista_clientes', conexion: 'norte' };
    const other = { ...upload, nombre: 'dbo.vista_clientes', conexion: 'sur' };
    const tipoCampo = 'cliente';
    const fields = (...tablasSubida: object[]) => findConfigProblems({ tablasSubida }).map(({ campo }) => campo);
    const at = (index: number, field: string) => `configuracionTablas.tablasSubida[${index}].${field}`;
    expect(fields(one, other)).toEqual([at(0, 'tipoCampo'), at(1, 'tipoCampo')]);
    expect(fields({ ...one, tipoCampo }, other)).toEqual([at(1, 'tipoCampo')]);
    expect(fields({ ...one, tipoCampo }, { ...other, tipoCampo })).toEqual([]);
    expect(fields({ ...one, tipoCampo }, { ...other, tipoCampo: 'otro' })).toEqual([]);
    expect(fields({ ...one, tipoCampo }, { ...other, tipoCampo, desactivarAusentes: true })).toEqual([
      at(1, 'desactivarAusentes'),
    ]);
  });

  test('a long value is cut where it is shown', () => {
    const [problem] = findConfigProblems({ tablasSubida: [{ ...upload, incremental: 'x'.repeat(500) }] });
    expect(problem?.valor).toHaveLength(80);
  });

  test('the list of problems is bounded', () => {
    const tablasSubida = Array.from({ length: 500 }, () => ({ nombre: 3 }));
    expect(findConfigProblems({ tablasSubida }).length).toBeLessThanOrEqual(50);
  });
});

describe('isPhaseAt', () => {
  const sql = 'EXEC x';
  test('a phase that says nothing runs at SQL Server: origen of an upload, destino of a download', () => {
    expect(isPhaseAt({ enabled: true, sql }, 'upload', 'origen')).toBe(true);
    expect(isPhaseAt({ enabled: true, sql }, 'upload', 'destino')).toBe(false);
    expect(isPhaseAt({ enabled: true, sql }, 'download', 'destino')).toBe(true);
    expect(isPhaseAt({ enabled: true, sql }, 'download', 'origen')).toBe(false);
  });
  test('a phase runs only where ejecutarEn says, and only when enabled', () => {
    expect(isPhaseAt({ enabled: true, ejecutarEn: 'destino', sql }, 'upload', 'destino')).toBe(true);
    expect(isPhaseAt({ enabled: false, ejecutarEn: 'destino', sql }, 'upload', 'destino')).toBe(false);
    expect(isPhaseAt({ sql }, 'upload', 'origen')).toBe(false);
    expect(isPhaseAt(undefined, 'upload', 'origen')).toBe(false);
  });
});

test('primaryKeyOf lists one, several or no columns', () => {
  expect(primaryKeyOf({ primaryKey: 'id' })).toEqual(['id']);
  expect(primaryKeyOf({ primaryKey: ['a', 'b'] })).toEqual(['a', 'b']);
  expect(primaryKeyOf({})).toEqual([]);
});

test('the key, nombre and activo cannot be sensitive, in any spelling; other columns can', () => {
  const tabla = (camposSensibles: string[]) => ({
    tablasSubida: [
      { nombre: 'clientes', primaryKey: ['Empresa', 'id'], process: { query: 'SELECT 1' }, camposSensibles },
    ],
  });
  const refused = (camposSensibles: string[]) =>
    findConfigProblems(tabla(camposSensibles)).map(({ campo, valor }) => `${campo} ${valor}`);
  expect(refused(['cuit', 'email'])).toEqual([]);
  for (const name of ['codigo', 'CODIGO', 'nombre', 'Activo', 'empresa', 'ID']) {
    expect(refused(['cuit', name])).toEqual([`configuracionTablas.tablasSubida[0].camposSensibles[1] ${name}`]);
  }
  const bajada = { nombre: 'b', primaryKey: 'clave', process: { query: 'SELECT 1' }, camposSensibles: ['Clave'] };
  expect(findConfigProblems({ tablasBajada: [bajada] })).toHaveLength(1);
});

describe('sqlServerConexiones', () => {
  const almacen = { host: 'sql2', port: 1433, database: 'Almacen', user: 'sync', password: 'un secreto' };

  test('a port and a password may be missing; of what is wrong nothing is shown that could be a secret', () => {
    const { port: _, password: __, ...least } = almacen;
    expect(findConnectionProblems({ almacen, 'sede-2': least })).toEqual([]);
    const found = findConnectionProblems({
      'dos palabras': almacen,
      sinBase: { ...least, database: undefined, clave: 'un secreto' },
      mal: 'un secreto',
      puerto: { ...least, port: 70_000 },
    });
    expect(found.map(({ campo }) => campo).sort()).toEqual([
      'sqlServerConexiones',
      'sqlServerConexiones.mal',
      'sqlServerConexiones.puerto.port',
      'sqlServerConexiones.sinBase.clave',
      'sqlServerConexiones.sinBase.database',
    ]);
    expect(JSON.stringify(found)).not.toContain('un secreto');
  });

  test('a server or a user that cannot be read is refused by its rule', () => {
    const { port: _, ...least } = almacen;
    expect(findConnectionProblems({ a: { ...least, host: 'SQL\\UNO', user: 'DOMINIO\\sync' } })).toEqual([]);
    expect(findConnectionProblems({ a: { ...almacen, port: 0 } })).toEqual([
      { campo: 'sqlServerConexiones.a.port', valor: '…', regla: 'es menor que el mínimo (1)' },
    ]);
    const wrong = { a: { ...almacen, host: 'SQL\\UNO', port: 1500 }, b: { ...almacen, user: '.\\sync' } };
    expect(findConnectionProblems(wrong).map(({ campo, regla }) => [campo, regla])).toEqual([
      ['sqlServerConexiones.a.host', expect.stringMatching(/dice una instancia, y además hay un puerto/)],
      ['sqlServerConexiones.b.user', expect.stringMatching(/va el nombre del equipo/)],
    ]);
  });

  test('at most 32', () => {
    const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, n) => [`c${n}`, almacen]));
    expect(findConnectionProblems(many(32))).toEqual([]);
    expect(findConnectionProblems(many(33))).toEqual([
      { campo: 'sqlServerConexiones', valor: '33', regla: expect.stringMatching(/límite \(32\)/) },
    ]);
  });

  test('a table that names a connection which the tenant has not got is named, with those there are', () => {
    const config = { tablasSubida: [upload], tablasBajada: [{ ...download, conexion: 'almacen' }] };
    expect(findUnknownConnections(config, ['almacen'])).toEqual([]);
    expect(findUnknownConnections(config, ['sede', 'otra'])).toEqual([
      {
        campo: 'configuracionTablas.tablasBajada[0].conexion',
        valor: 'almacen',
        regla: expect.stringMatching(/las que hay: sede, otra/),
      },
    ]);
  });
});
