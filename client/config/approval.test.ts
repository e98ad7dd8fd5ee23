import { expect, test } from 'vitest';
import type { ConfiguracionTablas } from '../../protocol/tenant-config/config.ts';
import { downloadFields } from '../../protocol/tenant-config/download-table.ts';
import { uploadFields } from '../../protocol/tenant-config/upload-table.ts';
import { changesOf, sampleTable } from '../../protocol/testing/sample-values.ts';
import {
  assertConnectionApproved,
  assertTableApproved,
  describeChanges,
  fingerprintOfSql,
  sqlByPlace,
} from './approval.ts';

const endpoint = { host: 'sql1', port: 1433, database: 'EmpresaDB', user: 'sync_user' };
const almacen = { ...endpoint, database: 'Almacen' };
const endpoints = new Map([
  [undefined, endpoint],
  ['almacen', almacen],
]);
const tables: ConfiguracionTablas = {
  tablasSubida: [
    {
      nombre: 'productos',
      process: { query: 'SELECT codigo\nFROM productos' },
      particion: { columna: 'id', filas: 10 },
      pre_process: { enabled: true, sql: 'EXEC preparar' },
      // Not run: disabled, and of PostgreSQL.
      post_process: { enabled: true, ejecutarEn: 'destino', sql: 'UPDATE central' },
    },
  ],
  tablasBajada: [
    {
      nombre: 'cuentas',
      conexion: 'almacen',
      primaryKey: 'codigo',
      schema: { columns: [{ name: 'codigo', type: 'VARCHAR(20)', nullable: false }] },
      process: { query: 'SELECT de_postgres' },
      post_process: { enabled: false, sql: 'MERGE' },
    },
  ],
};

test('all that is run at SQL Server is listed by its place, and nothing that is run elsewhere', () => {
  expect(sqlByPlace(endpoints, tables)).toEqual({
    conexión: 'sync_user@sql1:1433/EmpresaDB',
    'conexión almacen': 'sync_user@sql1:1433/Almacen',
    'subida productos, pre_process': 'EXEC preparar',
    'subida productos, process': 'SELECT codigo\nFROM productos',
    'subida productos, particion': 'id, 10 filas',
    'bajada cuentas, conexión': 'almacen',
    'bajada cuentas, destino': 'tabla cuentas\nclave codigo\ncodigo VARCHAR(20) NOT NULL',
  });
});

test('the fingerprint changes with any of it, and not with the order of the tables', () => {
  const sql = sqlByPlace(endpoints, tables);
  expect(fingerprintOfSql(sql)).toMatch(/^[0-9a-f]{16}$/);
  expect(fingerprintOfSql(Object.fromEntries(Object.entries(sql).reverse()))).toBe(fingerprintOfSql(sql));
  for (const place of Object.keys(sql)) {
    expect(fingerprintOfSql({ ...sql, [place]: `${sql[place]} ` }), place).not.toBe(fingerprintOfSql(sql));
  }
});

test('a change is shown line by line, with what is gone and what is new', () => {
  const before = { a: 'SELECT 1\nFROM x', b: 'igual', c: 'fuera' };
  expect(describeChanges(before, { a: 'SELECT 2\nFROM x', b: 'igual', d: 'nuevo' })).toEqual([
    'a (cambió):',
    '  - SELECT 1',
    '  + SELECT 2',
    '    FROM x',
    'c (ya no está):',
    '  - fuera',
    'd (nuevo):',
    '  + nuevo',
  ]);
  expect(describeChanges({}, { a: '1\n2\n3' }, 2).at(-1)).toBe('    … y 1 líneas más');
});

test('what a terminal would obey, or what reorders text, is shown by its code', () => {
  const hidden = 'SELECT 1 --\u001b[8m\u202e\rDROP TABLE x';
  const shown = describeChanges({}, { a: hidden }).join('\n');
  expect(shown).toContain('SELECT 1 --\\u{1b}[8m\\u{202e}\\u{d}DROP TABLE x');
});

test('a table is refused unless all of its SQL is approved as it is; so is the connection', () => {
  const approved = sqlByPlace(endpoints, tables);
  const [subida] = tables.tablasSubida!;
  const [bajada] = tables.tablasBajada!;
  assertTableApproved(approved, 'upload', subida!);
  assertTableApproved(approved, 'download', bajada!);
  assertConnectionApproved(approved, undefined, endpoint);
  assertConnectionApproved(approved, 'almacen', almacen);
  const other = { ...subida!, pre_process: { enabled: true, sql: 'EXEC preparar; DROP TABLE x' } };
  expect(() => assertTableApproved(approved, 'upload', other)).toThrow(/«productos».*subida productos, pre_process/);
  expect(() => assertTableApproved(approved, 'download', { ...bajada!, nombre: 'usuarios' })).toThrow(/«usuarios»/);
  expect(() => assertConnectionApproved(approved, undefined, { ...endpoint, host: 'otro' })).toThrow(/@otro:/);
  // Approved as another connection.
  expect(() => assertConnectionApproved(approved, 'almacen', endpoint)).toThrow(/conexión almacen/);
  expect(() => assertTableApproved(approved, 'download', { ...bajada!, conexion: 'otra' })).toThrow(/, conexión/);
  expect(() => assertConnectionApproved({}, undefined, endpoint)).toThrow(
    expect.objectContaining({ code: 'SQL_SIN_APROBAR' }),
  );
  const instance = { ...endpoint, host: 'sql1\\ERP', user: 'EMPRESA\\ana' };
  expect(() => assertConnectionApproved(approved, undefined, instance)).toThrow('EMPRESA\\ana@sql1\\ERP/EmpresaDB');
});

test('the fingerprint of SQL that was approved is what it was', () => {
  const post = { enabled: true, ejecutarEn: 'destino', sql: 'MERGE' } as const;
  const columns = [
    { name: 'a', type: 'INT', nullable: false },
    { name: 'b', type: 'VARCHAR(20)' },
  ];
  const subida = {
    ...{ nombre: 'vista_productos', conexion: 'almacen', primaryKey: ['empresa', 'codigo'], guarda: { bajas: 9 } },
    ...{ particion: { columna: 'id', filas: 10 }, camposSensibles: ['Cuit'] },
    pre_process: { enabled: true, sql: 'EXEC a' },
    process: { query: 'SELECT 1 WHERE f > @ultimaSync' },
    post_process: { enabled: true, sql: 'EXEC b' },
  };
  const bajada = {
    ...{ nombre: 'cuentas', conexion: 'almacen', primaryKey: ['a', 'b'], guarda: { bajas: 9 }, schema: { columns } },
    ...{ camposSensibles: ['b'], pre_process: { enabled: true, sql: 'EXEC c' }, post_process: post },
    process: { query: 'SELECT de_postgres' },
  };
  const sql = sqlByPlace(new Map([[undefined, endpoint]]), {
    tablasSubida: [subida, { nombre: 'vista_productos', process: { query: 'SELECT 1' } }],
    tablasBajada: [bajada, { nombre: 'otra', process: { query: 'x' } }],
  });
  expect(fingerprintOfSql(sql)).toBe('2bbb7582774fa005');
});

const sampleUpload = sampleTable(uploadFields);
const sampleDownload = sampleTable(downloadFields);
const atSqlServer = { enabled: true, ejecutarEn: 'destino', sql: 'a' };
const changes = [
  ...changesOf(uploadFields, sampleUpload).map((change) => ({ ...change, list: 'tablasSubida', base: sampleUpload })),
  ...changesOf(downloadFields, { ...sampleDownload, pre_process: atSqlServer, post_process: atSqlServer }).map(
    (change) => ({
      ...change,
      list: 'tablasBajada',
      base: { ...sampleDownload, pre_process: atSqlServer, post_process: atSqlServer },
    }),
  ),
];

test.each(changes)(
  'another $name in $list has to be approved only where its declaration says sql, secrecy or identity',
  ({ list, base, changed, touches }) => {
    const listed = (tabla: object) => fingerprintOfSql(sqlByPlace(new Map(), { [list]: [tabla] }));
    const says = ['sql', 'secrecy', 'identity'].some((effect) => touches.has(effect));
    expect(listed(changed) !== listed(base)).toBe(says);
  },
);

test('a guard at SQL Server that lets more rows go than the default is approved; a stricter one, and one at the centre, is not', () => {
  const [bajada] = tables.tablasBajada!;
  const approved = sqlByPlace(endpoints, tables);
  const withGuard = (guarda: { bajas?: number; porciento?: number }) => () =>
    assertTableApproved(approved, 'download', { ...bajada!, guarda });
  for (const strict of [{}, { bajas: 500 }, { porciento: 20 }, { bajas: 0, porciento: 1 }]) withGuard(strict)();
  for (const loose of [{ bajas: 501 }, { porciento: 20.5 }, { bajas: 1_000_000_000, porciento: 100 }]) {
    expect(withGuard(loose), JSON.stringify(loose)).toThrow(/bajada cuentas, guarda/);
  }
  const opened = { tablasBajada: [{ ...bajada!, guarda: { bajas: 9000 } }] };
  expect(sqlByPlace(new Map(), opened)['bajada cuentas, guarda']).toBe(
    'hasta 9000 bajas, o el 20 % de la tabla, sin preguntar',
  );
  const [subida] = tables.tablasSubida!;
  assertTableApproved(approved, 'upload', { ...subida!, guarda: { bajas: 9000 }, clavesRepetidas: 'ultima' });
});
