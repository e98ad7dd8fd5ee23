import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { startCuttingProxy } from '../../testing/cutting-proxy.ts';
import { startWorld, type World } from '../../testing/world.ts';

/** Downloads end to end: PostgreSQL, the backend, the agent, SQL Server. */

let world: World;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
});
afterAll(() => world?.close());
beforeEach(async () => {
  await world.execute('DROP TABLE IF EXISTS plan_cuentas');
  await world.backend.sql.query('DELETE FROM parametros_maestros; DELETE FROM sync_logs');
});

const merge =
  'MERGE plan_cuentas AS t USING {temp_table} AS s ON t.codigo = s.codigo WHEN MATCHED THEN UPDATE SET t.nombre = s.nombre, t.tipo = s.tipo, t.activo = s.activo WHEN NOT MATCHED BY TARGET THEN INSERT (codigo, nombre, tipo, activo) VALUES (s.codigo, s.nombre, s.tipo, s.activo) WHEN NOT MATCHED BY SOURCE THEN UPDATE SET t.activo = 0;';
const create =
  "IF NOT EXISTS (SELECT * FROM sys.tables WHERE name='plan_cuentas') BEGIN CREATE TABLE plan_cuentas (codigo VARCHAR(20) PRIMARY KEY, nombre VARCHAR(200) NOT NULL, tipo VARCHAR(50), activo BIT NOT NULL DEFAULT 1) END";

/** The specification's example. */
const planCuentas = {
  nombre: 'plan_cuentas',
  primaryKey: 'codigo',
  schema: {
    columns: [
      { name: 'codigo', type: 'VARCHAR(20)', nullable: false },
      { name: 'nombre', type: 'VARCHAR(200)', nullable: false },
      { name: 'tipo', type: 'VARCHAR(50)', nullable: true },
      { name: 'activo', type: 'BIT', nullable: false },
    ],
  },
  pre_process: { enabled: true, ejecutarEn: 'destino', sql: create },
  process: { query: 'parametros_maestros.tipo_campo=cuenta' },
  post_process: { enabled: true, ejecutarEn: 'destino', sql: merge },
};
const { pre_process: _pre, post_process: _post, ...plain } = planCuentas;

async function store(codigo: string, nombre: string): Promise<void> {
  await world.backend.sql.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, parametros_json)
     VALUES ($1, 'cuenta', $2, $3, '{"tipo": "Activo"}')
     ON CONFLICT ("tenantId", tipo_campo, codigo) DO UPDATE SET nombre = excluded.nombre`,
    [world.backend.tenant, codigo, nombre],
  );
}

async function readTarget(): Promise<string[]> {
  const rows = await world.query('SELECT codigo, nombre, tipo, activo FROM plan_cuentas ORDER BY codigo');
  return rows.map(
    ({ codigo, nombre, tipo, activo }) => `${codigo} ${nombre} ${tipo}${activo === true ? '' : ' inactiva'}`,
  );
}

test("the specification's plan de cuentas: created, merged, and what is gone deactivated", async () => {
  await world.setTables({ tablasBajada: [planCuentas] });
  await store('1.1.01', 'Caja');
  await store('1.1.02', 'Banco Ñandú');
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await readTarget()).toEqual(['1.1.01 Caja Activo', '1.1.02 Banco Ñandú Activo']);
  await world.backend.sql.query(`DELETE FROM parametros_maestros WHERE codigo = '1.1.02'`);
  await store('1.1.01', 'Caja general');
  await world.sync();
  expect(await readTarget()).toEqual(['1.1.01 Caja general Activo', '1.1.02 Banco Ñandú Activo inactiva']);
  const { rows } = await world.backend.sql.query<{ fase: string; estado: string }>(
    `SELECT fase, estado FROM sync_logs WHERE "ejecutadoEn" = 'destino' ORDER BY "fechaInicio"`,
  );
  const once = ['pre_process', 'process', 'post_process'];
  expect(rows).toEqual([...once, ...once].map((fase) => ({ fase, estado: 'exitoso' })));
});

test.each([
  ['VARCHAR of the schema', planCuentas, 'VARCHAR(200)'],
  ['VARCHAR of the target alone', plain, 'NVARCHAR(200)'],
])(
  "a character that the target's code page lacks (%s) refuses the table, and names row and column",
  async (_, tabla, type) => {
    const columns = planCuentas.schema.columns.map((column) =>
      column.name === 'nombre' ? { ...column, type } : column,
    );
    await world.setTables({ tablasBajada: [{ ...tabla, schema: { columns } }] });
    await world.execute(create);
    await store('1.1.01', 'Caja «€» Ñandú');
    expect((await world.sync()).reason).toBe('exitoso');
    await store('1.1.01', 'Caja');
    await store('1.1.02', 'Banco Ω');
    const { reason, log } = await world.sync();
    expect(reason).not.toBe('exitoso');
    expect(log).toMatch(/Fila 2 de la descarga, columna «nombre», valor «Banco Ω»: .*CP1252.*«Ω»/);
    expect(await readTarget()).toEqual(['1.1.01 Caja «€» Ñandú Activo']);
  },
);

test('without post_process: the target is created and rows are inserted or updated by key, none deleted', async () => {
  await world.setTables({ tablasBajada: [plain] });
  await store('1.1.01', 'Caja');
  await store('1.1.02', 'Banco');
  await world.sync();
  await world.backend.sql.query(`DELETE FROM parametros_maestros WHERE codigo = '1.1.02'`);
  await store('1.1.01', 'Caja general');
  await store('1.1.03', 'Deudores');
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await readTarget()).toEqual(['1.1.01 Caja general Activo', '1.1.02 Banco Activo', '1.1.03 Deudores Activo']);
});

test('without post_process nor primaryKey: the target becomes a copy', async () => {
  const { primaryKey: _, ...copy } = plain;
  await world.setTables({ tablasBajada: [copy] });
  await store('1.1.01', 'Caja');
  await world.sync();
  await world.backend.sql.query('DELETE FROM parametros_maestros');
  await store('1.1.02', 'Banco');
  await world.sync();
  expect(await readTarget()).toEqual(['1.1.02 Banco Activo']);
});

test('a download without rows into a target without rows is no error', async () => {
  await world.setTables({ tablasBajada: [planCuentas] });
  expect((await world.sync()).reason).toBe('exitoso');
  expect(await readTarget()).toEqual([]);
});

test('a post_process that fails halfway leaves the target as it was', async () => {
  const sql = `UPDATE plan_cuentas SET nombre = 'roto'; INSERT INTO plan_cuentas (codigo, nombre) SELECT codigo, NULL FROM {temp_table}`;
  await world.setTables({ tablasBajada: [planCuentas] });
  await store('1.1.01', 'Caja');
  await world.sync();
  await world.setTables({ tablasBajada: [{ ...planCuentas, post_process: { enabled: true, sql } }] });
  const { reason, log } = await world.sync();
  expect(reason).toBe('error');
  expect(log).toMatch(/ERROR plan_cuentas: post_process/);
  expect(await readTarget()).toEqual(['1.1.01 Caja Activo']);
});

test('a download that is cut starts afresh; one that is always cut leaves the target untouched', async () => {
  await world.setTables({ tablasBajada: [planCuentas] });
  await store('1.1.01', 'Caja');
  await world.sync();
  for (let index = 0; index < 3000; index++) await store(`2.${index}`, `Cuenta ${index}`);
  const proxy = await startCuttingProxy(world.backend.url);
  try {
    await world.init(proxy.url);
    proxy.cut = { afterBytes: 4000, times: Number.POSITIVE_INFINITY, requests: /^GET \/api\/sync\/download\// };
    const failed = await world.sync();
    expect(failed.reason).toBe('error');
    expect(failed.log).toMatch(/ERROR plan_cuentas: process .*cortó la respuesta/);
    expect(proxy.cuts).toBeGreaterThan(1);
    expect(await readTarget()).toEqual(['1.1.01 Caja Activo']);

    proxy.cut = { ...proxy.cut, times: 1 };
    expect((await world.sync()).reason).toBe('exitoso');
    expect(await readTarget()).toHaveLength(3001);
  } finally {
    await proxy.close();
    await world.init();
  }
}, 120_000);
