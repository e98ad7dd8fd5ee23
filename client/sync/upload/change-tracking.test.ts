import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, type TestContext, test } from 'vitest';
import { withSqlServer } from '../../sqlserver/sql-server.ts';
import { startWorld, type World } from '../../testing/world.ts';
import { planTracking, underSnapshot } from './change-tracking.ts';

/** `cambios: "seguimiento"`, end to end, and how it is decided. */

const { signal } = new AbortController();

describe('the decision', () => {
  const plan = (seguimiento: string | undefined, actual: string | null, minimos: (string | null)[]) =>
    planTracking(
      ['dbo.a', 'dbo.b'],
      seguimiento === undefined ? {} : { seguimiento },
      { actual, snapshot: false, minimos },
      {
        isDue: false,
        isAsked: false,
      },
    );

  test('version 0 is no sentinel: a mark of 0 reads changes, no mark reads everything', () => {
    expect(plan('0', '5', ['0', '0'])).toEqual({ kind: 'cambios', desde: '0' });
    expect(plan(undefined, '5', ['0', '0'])).toEqual({ kind: 'entera', why: 'primera' });
  });

  test('a mark at the least valid version holds, one below it has expired; at the current version nothing is new', () => {
    expect(plan('7', '9', ['7', '7']).kind).toBe('cambios');
    expect(plan('6', '9', ['7', '6'])).toEqual({ kind: 'entera', why: 'caducada', tabla: 'dbo.a' });
    expect(plan('9', '9', ['7', '7']).kind).toBe('cambios');
    expect(plan('10', '9', ['7', '7'])).toEqual({ kind: 'entera', why: 'retrocedida' });
  });

  test('versions are compared exactly, past what a double holds', () => {
    expect(plan('9007199254740992', '9007199254740993', ['9007199254740993', '0'])).toMatchObject({ why: 'caducada' });
    expect(plan('9007199254740993', '9007199254740993', ['9007199254740993', '0']).kind).toBe('cambios');
  });

  test('a least version that is NULL is an error that says the right, even for a first reading', () => {
    const refused = expect.objectContaining({ code: 'SEGUIMIENTO_AUSENTE', message: expect.stringContaining('[b]') });
    expect(() => plan('7', '9', ['7', null])).toThrow(refused);
    expect(() => plan(undefined, '9', ['7', null])).toThrow(refused);
    expect(() => plan('7', null, ['7', '7'])).toThrow(expect.objectContaining({ code: 'SEGUIMIENTO_AUSENTE' }));
  });
});

describe('end to end', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld(inject('postgresUrl'));
    for (const sql of [
      'CREATE TABLE grupos (id int NOT NULL PRIMARY KEY, nombre varchar(20) NOT NULL, visible bit NOT NULL)',
      'CREATE TABLE cosas (id int NOT NULL PRIMARY KEY, n int NULL, grupo int NULL, oculta bit NOT NULL DEFAULT 0)',
      'CREATE TABLE ajenas (id int NOT NULL PRIMARY KEY, n int NULL)',
      `CREATE VIEW v_cosas AS SELECT c.id AS codigo, c.n, c.grupo, g.nombre AS nombre_grupo FROM cosas AS c
       LEFT JOIN grupos AS g ON g.id = c.grupo WHERE c.oculta = 0 AND (g.visible IS NULL OR g.visible = 1)`,
    ]) {
      await world.execute(sql);
    }
  });
  afterAll(() => world?.close());
  beforeEach(async (context) => {
    await control(context);
    await world.execute(`IF NOT EXISTS (SELECT 1 FROM sys.change_tracking_databases WHERE database_id = DB_ID())
      ALTER DATABASE CURRENT SET CHANGE_TRACKING = ON (CHANGE_RETENTION = 7 DAYS, AUTO_CLEANUP = ON)`);
    for (const tabla of ['cosas', 'grupos', 'ajenas']) {
      await world.execute(`DELETE FROM ${tabla}
        IF EXISTS (SELECT 1 FROM sys.change_tracking_tables WHERE object_id = OBJECT_ID('${tabla}')) ALTER TABLE ${tabla} DISABLE CHANGE_TRACKING
        ALTER TABLE ${tabla} ENABLE CHANGE_TRACKING`);
    }
    await world.backend.sql.query(
      'DELETE FROM parametros_maestros; DELETE FROM sync_logs; DELETE FROM sync_commits; DELETE FROM sync_bajas_retenidas',
    );
    await rm(join(world.folder, 'last-sync.json'), { force: true });
    await configure();
  });

  /** What only the stand-in can be told. */
  const control = async (context: TestContext) => {
    await world.needs(context, 'the controls of the stand-in');
    context.onTestFinished(async () => {
      await world.execute('EXEC standin_deny_change_tracking');
      await world.execute('ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION OFF');
    });
  };

  const principal = { tabla: 'dbo.cosas', clave: { id: 'codigo' } };
  const table = {
    ...{ nombre: 'v_cosas', tipoCampo: 'cosa', cambios: 'seguimiento', seguimiento: [principal] },
    process: { query: 'SELECT codigo, n, grupo, nombre_grupo FROM v_cosas' },
  };
  const configure = (more: object = {}) => world.setTables({ tablasSubida: [{ ...table, ...more }] });
  const insert = (...ids: number[]) =>
    world.execute(`INSERT INTO cosas (id, n) VALUES ${ids.map((id) => `(${id}, 1)`).join(', ')}`);

  async function sync(expected = 'exitoso'): Promise<{ log: string; filas: number; modo: unknown }> {
    const { reason, log } = await world.sync();
    expect(reason, log).toBe(expected);
    const { rows } = await world.backend.sql.query<{ metadatos: { filas: number; modo: string } }>(
      `SELECT metadatos FROM sync_logs WHERE "ejecutadoEn" = 'origen' AND fase = 'process' ORDER BY "fechaInicio" DESC LIMIT 1`,
    );
    return { log, ...rows[0]!.metadatos };
  }

  async function stored(): Promise<string> {
    const { rows } = await world.backend.sql.query<{ codigo: string; n: string; activo: boolean }>(
      `SELECT codigo, activo, parametros_json->>'n' AS n FROM parametros_maestros WHERE tipo_campo = 'cosa' ORDER BY codigo::int`,
    );
    return rows.map(({ codigo, n, activo }) => `${codigo}=${n}${activo ? '' : ' (baja)'}`).join(' ');
  }

  const versionOf = async () =>
    (JSON.parse(await world.readFile('last-sync.json')) as { tablas: Record<string, { seguimiento?: string }> }).tablas
      .v_cosas?.seguimiento;
  const current = async () => String((await world.query('SELECT CHANGE_TRACKING_CURRENT_VERSION() AS v'))[0]!.v);

  test('everything at first, then what changed, and what was deleted or filtered out is a baja', async () => {
    await insert(1, 2, 3, 4);
    expect(await sync()).toMatchObject({ filas: 4 });
    expect(await sync()).toMatchObject({ filas: 0 });
    await world.execute(
      'UPDATE cosas SET n = 2 WHERE id = 1; DELETE FROM cosas WHERE id = 2; UPDATE cosas SET oculta = 1 WHERE id = 3',
    );
    await insert(5);
    expect(await sync()).toMatchObject({ filas: 2, modo: 'incremental' });
    expect(await stored()).toBe('1=2 2=1 (baja) 3=1 (baja) 4=1 5=1');
    await world.execute('UPDATE cosas SET oculta = 0 WHERE id = 3');
    expect(await sync()).toMatchObject({ filas: 1 });
    expect(await stored()).toBe('1=2 2=1 (baja) 3=1 4=1 5=1');
  });

  test('bajas: borrar deletes them; ignorar leaves them', async () => {
    await configure({ bajas: 'borrar' });
    await insert(1, 2);
    await sync();
    await world.execute('DELETE FROM cosas WHERE id = 2');
    await sync();
    expect(await stored()).toBe('1=1');
    await configure({ bajas: 'ignorar' });
    await insert(3);
    await sync();
    await world.execute('DELETE FROM cosas WHERE id = 3');
    await sync();
    expect(await stored()).toBe('1=1 3=1');
  });

  test('an expired mark: the whole table is compared, behind the guard; nothing is emptied', async () => {
    await insert(1, 2, 3);
    await sync();
    await world.execute('DELETE FROM cosas WHERE id = 2');
    await insert(4);
    await world.execute(`EXEC standin_clean_changes @version = ${await current()}`);
    const { log, filas, modo } = await sync();
    expect(log).toMatch(
      /AVISO v_cosas: Los cambios desde la última vez ya no se conservan.*dbo\.cosas: se compara la tabla entera/,
    );
    expect({ filas, modo }).toEqual({ filas: 3, modo: 'completo' });
    expect(await stored()).toBe('1=1 2=1 (baja) 3=1 4=1');
    expect(await sync()).toMatchObject({ filas: 0, modo: 'incremental' });
  });

  test('an expired mark and a source that lost its rows: the guard holds them back', async () => {
    await insert(1, 2, 3);
    await sync();
    await world.execute('TRUNCATE TABLE cosas');
    await sync('bajasRetenidas');
    expect(await stored()).toBe('1=1 2=1 3=1');
  });

  test('expiry is of each table by itself: another one that was truncated or cleaned up changes nothing', async () => {
    await insert(1);
    await sync();
    await insert(2);
    await world.execute('INSERT INTO ajenas VALUES (1, 1); TRUNCATE TABLE ajenas');
    const [{ id } = {}] = await world.query("SELECT OBJECT_ID('ajenas') AS id");
    await world.execute(`EXEC standin_clean_changes @version = ${await current()}, @object_id = ${id}`);
    const { log, filas, modo } = await sync();
    expect(log).not.toContain('ya no se conservan');
    expect({ filas, modo }).toEqual({ filas: 1, modo: 'incremental' });
  });

  test('the mark of an idle table advances, so that it does not age out', async () => {
    await insert(1);
    await sync();
    const before = await versionOf();
    for (let n = 0; n < 3; n++) await world.execute(`INSERT INTO ajenas VALUES (${n}, 1)`);
    expect(await sync()).toMatchObject({ filas: 0 });
    expect(BigInt((await versionOf())!)).toBe(BigInt(before!) + 3n);
    await world.execute(`EXEC standin_clean_changes @version = ${await versionOf()}`);
    expect((await sync()).modo).toBe('incremental');
  });

  test('a version that went back (a database restored): it is said, and the whole table is compared', async () => {
    await insert(1);
    await sync();
    await insert(2);
    await sync();
    await world.execute('EXEC standin_set_change_version @version = 1');
    const { log, modo } = await sync();
    expect(log).toContain('La versión de Change Tracking es anterior a la de la marca');
    expect(modo).toBe('completo');
  });

  test('cleanup between the check and the reading: what was read is thrown away, and the whole table compared', async () => {
    await insert(1, 2);
    await sync();
    await world.execute('DELETE FROM cosas WHERE id = 2');
    await insert(3);
    const cleanup = `EXEC standin_clean_changes @version = ${await current()}`;
    // Another pre_process makes another mark: the mark is made with it, then what it does is changed.
    await world.execute('CREATE PROCEDURE antes AS SELECT 1 AS nada');
    await configure({ pre_process: { enabled: true, sql: 'EXEC antes' } });
    await sync();
    await world.execute('UPDATE cosas SET n = 7 WHERE id = 1; DELETE FROM cosas WHERE id = 3');
    await world.execute(`ALTER PROCEDURE antes AS ${cleanup.replace(/\d+$/, String(BigInt(await current())))}`);
    const { log, modo } = await sync();
    expect(log).toContain('SQL Server olvidó cambios mientras se leían: la tabla se sube entera');
    expect(modo).toBe('completo');
    expect(await stored()).toBe('1=7 2=1 (baja) 3=1 (baja)');
    await world.execute('DROP PROCEDURE antes');
  });

  const withGroups = (quitaFilas?: boolean) =>
    configure({
      seguimiento: [
        principal,
        { tabla: 'dbo.grupos', clave: { id: 'grupo' }, ...(quitaFilas === undefined ? {} : { quitaFilas }) },
      ],
    });

  test('a change in another base table that takes no rows away brings the rows that it is joined to', async () => {
    await withGroups(false);
    await world.execute("INSERT INTO grupos VALUES (1, 'uno', 1), (2, 'dos', 1)");
    await world.execute('INSERT INTO cosas (id, n, grupo) VALUES (1, 1, 1), (2, 1, 2), (3, 1, 1), (4, 1, NULL)');
    await sync();
    await world.execute("UPDATE grupos SET nombre = 'otro' WHERE id = 1");
    expect(await sync()).toMatchObject({ filas: 2, modo: 'incremental' });
    await world.execute('DELETE FROM grupos WHERE id = 2');
    expect(await sync()).toMatchObject({ filas: 1, modo: 'incremental' });
  });

  test('a change in another base table that may take rows away: the whole table is compared, and said', async () => {
    await withGroups();
    await world.execute("INSERT INTO grupos VALUES (1, 'uno', 1), (2, 'dos', 1)");
    await world.execute('INSERT INTO cosas (id, n, grupo) VALUES (1, 1, 1), (2, 1, 2)');
    await sync();
    await world.execute('UPDATE grupos SET visible = 0 WHERE id = 2');
    const { log, modo } = await sync();
    expect(log).toContain('Cambió dbo.grupos, que puede quitar filas de la consulta: se compara la tabla entera');
    expect(modo).toBe('completo');
    expect(await stored()).toBe('1=1 2=1 (baja)');
    await world.execute('UPDATE cosas SET n = 2 WHERE id = 1');
    expect(await sync()).toMatchObject({ filas: 1, modo: 'incremental' });
  });

  test('a table that is not tracked, and a login without the right: an error that says what to run', async () => {
    await insert(1);
    await world.execute('EXEC standin_deny_change_tracking @deny = 1');
    const { log } = await world.sync();
    expect(log).toMatch(/\[SEGUIMIENTO_AUSENTE\] .*GRANT VIEW CHANGE TRACKING ON \[dbo\]\.\[cosas\] TO su_usuario/);
    await world.execute('EXEC standin_deny_change_tracking');
    await world.execute('ALTER TABLE cosas DISABLE CHANGE_TRACKING');
    expect((await world.sync()).log).toContain('ALTER TABLE [dbo].[cosas] ENABLE CHANGE_TRACKING');
  });

  test.each([
    [
      'a key column that the table has not',
      { seguimiento: [{ tabla: 'dbo.cosas', clave: { nada: 'codigo' } }] },
      /no tiene «nada» en su clave primaria \(id\)/,
    ],
    [
      'a key column that the query does not give',
      { seguimiento: [{ tabla: 'dbo.cosas' }] },
      /tiene «id», que la consulta no da como «id»/,
    ],
    [
      'a key that is not that of each row',
      { seguimiento: [{ tabla: 'dbo.cosas', clave: { id: 'grupo' } }] },
      /no tiene en su clave la columna «codigo»/,
    ],
    [
      'a key of another type in the query',
      { process: { query: 'SELECT CAST(codigo AS varchar(10)) AS codigo, n FROM v_cosas' } },
      /tiene «id» de tipo int, y la consulta da «codigo» de tipo varchar\(10\)/,
    ],
  ])('%s is refused before a row is read', async (_, more, said) => {
    await configure(more);
    const { log } = await world.sync();
    expect(log).toMatch(said);
    expect(log).toContain('[SEGUIMIENTO_CLAVE]');
  });

  test('bajas that the guard holds back are asked for again until somebody has decided', async () => {
    await configure({ guarda: { bajas: 10, porciento: 5 } });
    await insert(...Array.from({ length: 120 }, (_, n) => n + 1));
    await sync();
    await world.execute('DELETE FROM cosas WHERE id > 100');
    await sync('bajasRetenidas');
    const held = await versionOf();
    await world.execute('UPDATE cosas SET n = 2 WHERE id = 1');
    await sync('bajasRetenidas');
    expect(await versionOf()).toBe(held);
    await world.backend.sql.query(
      'UPDATE sync_bajas_retenidas SET estado = \'aprobada\', "resueltaPor" = \'ana\', "resueltaAt" = now()',
    );
    await sync();
    expect((await stored()).match(/\(baja\)/g)).toHaveLength(20);
    expect(await versionOf()).toBe(await current());
  });

  test('more bajas than travel: the whole table is compared', async () => {
    await configure({ guarda: { bajas: 1_000_000, porciento: 100 } });
    await insert(1);
    await world.execute(`DECLARE @n int = 1
      WHILE @n < 65536 BEGIN INSERT INTO cosas (id, n) SELECT id + @n, 1 FROM cosas; SET @n = @n * 2 END`);
    await sync();
    await world.execute('DELETE FROM cosas WHERE id > 10');
    const { log, filas, modo } = await sync();
    expect(log).toContain('Faltan más de 50000 filas en el origen: la tabla se sube entera');
    expect({ filas, modo }).toEqual({ filas: 10, modo: 'completo' });
    expect((await stored()).match(/\(baja\)/g)).toHaveLength(65_526);
  });

  test('with SNAPSHOT allowed, rows and bajas are of one moment, and the session has its own level again', async () => {
    await world.execute('ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON');
    await insert(1, 2);
    await sync();
    await world.execute('DELETE FROM cosas WHERE id = 2');
    await insert(3);
    await sync();
    expect(await stored()).toBe('1=1 2=1 (baja) 3=1');
    await withSqlServer(world.settings, { signal }, async (db) => {
      const count = async () => (await db.query('SELECT COUNT(*) AS n FROM cosas', { signal }))[0]!.n;
      await underSnapshot(db, true, async () => {
        expect(await count()).toBe(2);
        await insert(4);
        expect(await count()).toBe(2);
      });
      await db.transaction(async () => {
        expect(await count()).toBe(3);
        await insert(5);
        expect(await count()).toBe(4);
      });
    });
  });

  test('a query that also reads a database which does not allow SNAPSHOT is read without it, by the next runs at once', async () => {
    await world.execute('ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON');
    await world.execute('CREATE TABLE existencias (id int NOT NULL PRIMARY KEY, cuantas int NOT NULL)', world.almacen);
    const query = `SELECT c.id AS codigo, c.n, e.cuantas FROM cosas AS c
      LEFT JOIN ${world.almacen.database}.dbo.existencias AS e ON e.id = c.id`;
    const tabla = { nombre: 'con_existencias', process: { query } };
    const refused = 'La tabla se lee sin SNAPSHOT';
    await configure(tabla);
    await insert(1, 2);
    expect((await sync()).log).toContain(refused);
    await world.execute('DELETE FROM cosas WHERE id = 2; UPDATE cosas SET n = 5 WHERE id = 1');
    const { log, filas } = await sync();
    expect(log).not.toContain(refused);
    expect(filas).toBe(1);
    expect(await stored()).toBe('1=5 2=1 (baja)');
    // It is tried again where the query is another one, and where that was long ago.
    await configure({ ...tabla, process: { query: `${query} ` } });
    expect((await sync()).log).toContain(refused);
    const file = join(world.folder, 'sin-snapshot.json');
    await writeFile(
      file,
      (await readFile(file, 'utf8')).replace(/"desde": "2[^"]*"/, '"desde": "2020-01-01T00:00:00.000Z"'),
    );
    await insert(3);
    expect((await sync()).log).toContain(refused);
  });

  test.each([1, 2, 3])(
    'whatever happens between readings, the centre ends as the source is (seed %i)',
    async (seed) => {
      let state = seed;
      const random = (below: number) => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
        return Math.floor((state / 0x80000000) * below);
      };
      await insert(100);
      await sync();
      for (let step = 0; step < 30; step++) {
        const id = random(8) + 1;
        const sql = [
          `IF NOT EXISTS (SELECT 1 FROM cosas WHERE id = ${id}) INSERT INTO cosas (id, n) VALUES (${id}, ${step})`,
          `UPDATE cosas SET n = ${step} WHERE id = ${id}`,
          `DELETE FROM cosas WHERE id = ${id}`,
          `UPDATE cosas SET oculta = ${random(2)} WHERE id = ${id}`,
          `EXEC standin_clean_changes @version = ${BigInt(await current()) - BigInt(random(4))}`,
        ];
        await world.execute(sql[random(sql.length)]!);
        if (random(3) === 0) await sync();
      }
      await sync();
      const rows = await world.query('SELECT codigo, n FROM v_cosas ORDER BY codigo');
      const active = (await stored()).split(' ').filter((row, at, all) => row !== '(baja)' && all[at + 1] !== '(baja)');
      expect(active).toEqual(rows.map(({ codigo, n }) => `${codigo}=${n}`));
    },
  );
});
