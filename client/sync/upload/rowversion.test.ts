import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, type TestContext, test } from 'vitest';
import { versionText } from '../../sqlserver/session/versions.ts';
import { type SqlServer, withSqlServer } from '../../sqlserver/sql-server.ts';
import { startWorld, type World } from '../../testing/world.ts';
import { planVersions } from './rowversion.ts';

/** `cambios: "rowversion"`, end to end, and its bounds. */

const { signal } = new AbortController();

describe('bounds', () => {
  /** mulberry32 */
  function randomOf(seed: number): () => number {
    let state = seed;
    return () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
    };
  }

  interface Row {
    version: bigint;
    committed: boolean;
    reads: number;
  }

  /** A database of which only versions matter, and an agent that reads it. */
  class Source {
    readonly random: () => number;
    readonly rows: Row[] = [];
    readonly open: Row[][] = [];
    newest = 2n ** 53n - 20n;
    mark: { version: string; quieta: string } | undefined;

    constructor(seed: number) {
      this.random = randomOf(seed);
    }

    insert(committed: boolean): Row {
      const row = { version: ++this.newest, committed, reads: 0 };
      this.rows.push(row);
      return row;
    }

    write(): void {
      const row = this.insert(false);
      const into = this.random() < 0.5 ? this.open[Math.floor(this.random() * this.open.length)] : undefined;
      if (into === undefined) this.open.push([row]);
      else into.push(row);
    }

    commit(): void {
      const [ended = []] = this.open.splice(Math.floor(this.random() * this.open.length), 1);
      for (const row of ended) row.committed = true;
    }

    read(meanwhile: () => void): void {
      const [oldest = this.newest + 1n] = this.open
        .flat()
        .map(({ version }) => version)
        .sort((a, b) => (a < b ? -1 : 1));
      const seen = { hasta: versionText(oldest - 1n), held: this.newest >= oldest };
      const { versiones, quieta } = planVersions(this.mark, seen, '2026-01-01T00:00:00', false);
      meanwhile();
      for (const row of this.rows) {
        const version = versionText(row.version);
        if (row.committed && version > versiones.desde && version <= versiones.hasta) row.reads++;
      }
      this.mark = { version: versiones.hasta, quieta };
    }
  }

  test('no row is passed over and none is read twice, whatever transactions are open at whatever reading', () => {
    for (let seed = 1; seed <= 300; seed++) {
      const source = new Source(seed);
      for (let step = 0; step < 40; step++) {
        const what = source.random();
        if (what < 0.4) source.write();
        else if (what < 0.7) source.commit();
        else source.read(() => source.random() < 0.3 && source.insert(true));
      }
      while (source.open.length > 0) source.commit();
      for (const _ of [1, 2]) source.read(() => {});
      expect(
        source.rows.filter(({ reads }) => reads !== 1),
        `seed ${seed}`,
      ).toEqual([]);
    }
  });

  const plan = (mark: Parameters<typeof planVersions>[0], hasta: string, utc = '2026-01-01T10:00:00', held = true) =>
    planVersions(mark, { hasta: versionText(BigInt(hasta)), held }, utc, false);

  test('versions compare as their bytes: past what a double holds, and past what a bigint has without a sign', () => {
    expect(versionText(-1n)).toBe('0xFFFFFFFFFFFFFFFF');
    const mark = { version: versionText(2n ** 53n) };
    expect(plan(mark, `${2n ** 53n + 1n}`)).toMatchObject({ entera: false, retrocedida: false });
    expect(plan(mark, `${2n ** 53n - 1n}`)).toMatchObject({ entera: true, retrocedida: true });
    expect(plan({ version: versionText(2n ** 63n - 1n) }, `${-(2n ** 63n)}`)).toMatchObject({ retrocedida: false });
  });

  test('no version is none: zero is a version like any other', () => {
    expect(plan({}, '5').entera).toBe(true);
    expect(plan({ version: versionText(0n) }, '5')).toMatchObject({
      entera: false,
      versiones: { desde: versionText(0n), hasta: versionText(5n) },
    });
  });

  test('a bound that stands still is told after an hour, and only where a transaction holds it', () => {
    const mark = { version: versionText(5n), quieta: '2026-01-01T09:00:00' };
    expect(plan(mark, '5', '2026-01-01T09:59:59')).toMatchObject({ parada: false, quieta: mark.quieta });
    expect(plan(mark, '5', '2026-01-01T10:00:00').parada).toBe(true);
    expect(plan(mark, '5', '2026-01-01T10:00:00', false).parada).toBe(false);
    expect(plan(mark, '6', '2026-01-01T10:00:00')).toMatchObject({ parada: false, quieta: '2026-01-01T10:00:00' });
  });
});

describe('end to end', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld(inject('postgresUrl'));
    await world.execute('CREATE TABLE cosas (codigo varchar(20) NOT NULL PRIMARY KEY, n int NULL, rv rowversion)');
  });
  afterAll(() => world?.close());
  beforeEach(async () => {
    await world.execute('DELETE FROM cosas');
    await world.backend.sql.query(
      'DELETE FROM parametros_maestros; DELETE FROM sync_logs; DELETE FROM sync_commits; DELETE FROM sync_esquemas',
    );
    await rm(join(world.folder, 'last-sync.json'), { force: true });
    await configure();
  });

  /** What only the stand-in can be told. */
  const control = async (context: TestContext) => {
    await world.needs(context, 'the controls of the stand-in');
    context.onTestFinished(async () => {
      await world.execute('EXEC standin_set_clock');
      await world.execute('EXEC standin_deny_server_state');
    });
  };

  const table = {
    ...{ nombre: 'cosas', tipoCampo: 'cosa', cambios: 'rowversion', columna: 'rv' },
    process: { query: 'SELECT codigo, n, rv FROM cosas' },
  };
  const configure = (more: object = {}) => world.setTables({ tablasSubida: [{ ...table, ...more }] });
  const write = (codigo: string, n = 1) =>
    world.execute(`UPDATE cosas SET n = ${n} WHERE codigo = '${codigo}'
      IF @@ROWCOUNT = 0 INSERT INTO cosas (codigo, n) VALUES ('${codigo}', ${n})`);

  async function sync(): Promise<{ log: string; filas: number; modo: unknown }> {
    const { reason, log } = await world.sync();
    expect(reason, log).toBe('exitoso');
    const { rows } = await world.backend.sql.query<{ metadatos: { filas: number; modo: string } }>(
      `SELECT metadatos FROM sync_logs WHERE "ejecutadoEn" = 'origen' AND fase = 'process' ORDER BY "fechaInicio" DESC LIMIT 1`,
    );
    return { log, ...rows[0]!.metadatos };
  }

  async function stored(): Promise<string> {
    const { rows } = await world.backend.sql.query<{ codigo: string; n: string; activo: boolean }>(
      `SELECT codigo, activo, parametros_json->>'n' AS n FROM parametros_maestros WHERE tipo_campo = 'cosa' ORDER BY codigo`,
    );
    return rows.map(({ codigo, n, activo }) => `${codigo}=${n}${activo ? '' : ' (baja)'}`).join(' ');
  }

  const marks = async () =>
    (JSON.parse(await world.readFile('last-sync.json')) as { tablas: Record<string, { version?: string }> }).tablas;

  test.each([
    ['that the agent wraps', 'SELECT codigo, n, rv FROM cosas'],
    ['with placeholders', 'SELECT codigo, n, rv FROM cosas WHERE rv > @desdeVersion AND rv <= @HastaVersion'],
  ])('a query %s: everything at first, then what changed, and nothing where nothing did', async (_, query) => {
    await configure({ process: { query } });
    await write('a');
    await write('b');
    expect(await sync()).toMatchObject({ filas: 2 });
    expect(await sync()).toMatchObject({ filas: 0 });
    await write('b', 2);
    await write('c');
    expect(await sync()).toMatchObject({ filas: 2 });
    expect(await stored()).toBe('a=1 b=2 c=1');
  });

  test('a mark advances where nothing of its table changed', async () => {
    await write('a');
    await sync();
    const { version: before } = (await marks()).cosas!;
    await world.execute('CREATE TABLE otras (id int NOT NULL PRIMARY KEY, rv rowversion)');
    await world.execute('INSERT INTO otras (id) VALUES (1), (2)');
    await world.execute('DROP TABLE otras');
    expect(await sync()).toMatchObject({ filas: 0 });
    expect((await marks()).cosas!.version! > before!).toBe(true);
  });

  test('rows of a transaction that is open while others commit after it are not passed over', async () => {
    await write('a');
    await sync();
    const beside = (work: (db: SqlServer) => Promise<void>) => withSqlServer(world.settings, { signal }, work);
    await beside(async (db) => {
      await db.transaction(async () => {
        await db.execute("INSERT INTO cosas (codigo, n) VALUES ('lenta', 1)");
        await write('rapida');
        await sync();
        expect(await stored()).toBe('a=1');
      });
    });
    await sync();
    expect(await stored()).toBe('a=1 lenta=1 rapida=1');
  });

  test('a whole reading (completoCada) tells what is gone, and takes no row that an open transaction holds back for gone', async (context) => {
    await control(context);
    await configure({ completoCada: '1h', bajas: 'desactivar' });
    await write('a');
    await write('b');
    await sync();
    await world.execute("DELETE FROM cosas WHERE codigo = 'b'");
    expect((await sync()).modo).toBe('incremental');
    expect(await stored()).toBe('a=1 b=1');
    await withSqlServer(world.settings, { signal }, async (db) => {
      await db.transaction(async () => {
        await db.execute("INSERT INTO cosas (codigo, n) VALUES ('lenta', 1)");
        await write('a', 2);
        await world.execute('EXEC standin_set_clock @seconds_ahead = 7200');
        expect((await sync()).modo).toBe('completo');
        expect(await stored()).toBe('a=2 b=1 (baja)');
      });
    });
    await sync();
    expect(await stored()).toBe('a=2 b=1 (baja) lenta=1');
  });

  test('an upper bound that has stood still for an hour is told with its session', async (context) => {
    await control(context);
    await write('a');
    await sync();
    await withSqlServer(world.settings, { signal }, async (db) => {
      await db.transaction(async () => {
        await db.execute("INSERT INTO cosas (codigo, n) VALUES ('lenta', 1)");
        const [{ spid } = {}] = await db.query('SELECT @@SPID AS spid');
        await sync();
        await world.execute('EXEC standin_set_clock @seconds_ahead = 3500');
        expect((await sync()).log).not.toContain('retiene los cambios');
        await world.execute('EXEC standin_set_clock @seconds_ahead = 3700');
        expect((await sync()).log).toMatch(new RegExp(`retiene los cambios desde .*: sesión ${spid}, `));
        await world.execute('EXEC standin_deny_server_state @deny = 1');
        expect((await sync()).log).toMatch(/no se ve de quién es \(error 300\): pida VIEW SERVER STATE/);
      });
    });
  });

  test('a version that went back (a database restored): it is said, and the table goes up whole', async (context) => {
    await control(context);
    await write('a');
    await write('b');
    await sync();
    await world.execute('EXEC standin_set_rowversion @version = 2001');
    await write('c');
    const { log, filas } = await sync();
    expect(log).toContain('es anterior a la de la marca');
    expect(filas).toBe(3);
    expect(await sync()).toMatchObject({ filas: 0 });
    await world.execute('EXEC standin_set_rowversion @version = 900000');
  });

  test('a column that is no rowversion is refused with its name and type, before a row is read', async () => {
    await configure({ columna: 'n' });
    await write('a');
    const { reason, log } = await world.sync();
    expect(reason).not.toBe('exitoso');
    expect(log).toMatch(/La columna «n» de cambios: rowversion es de tipo int.*\[COLUMNA_VERSION\]/);
    await configure({ columna: 'nada' });
    expect((await world.sync()).log).toMatch(/La columna «nada» de cambios: rowversion no está en la consulta/);
  });

  test('a query that cannot be wrapped is refused with what SQL Server says', async () => {
    await configure({ process: { query: 'SELECT codigo, n, rv FROM cosas ORDER BY codigo' } });
    await write('a');
    expect((await world.sync()).log).toMatch(/no se puede filtrar por sus cambios: .*\[CONSULTA_ENVUELTA\]/);
  });

  test('a mark of rowversion is none for marca: the table goes up whole', async () => {
    await world.execute(
      'CREATE TABLE fechadas (codigo varchar(20) NOT NULL PRIMARY KEY, f datetime2(7) NOT NULL, rv rowversion)',
    );
    await world.execute("INSERT INTO fechadas (codigo, f) VALUES ('a', '2020-01-01')");
    const query = 'SELECT codigo, f, rv FROM fechadas';
    const other = { nombre: 'fechadas', tipoCampo: 'fechada' };
    await configure({ ...other, process: { query } });
    await sync();
    await configure({
      ...other,
      cambios: 'marca',
      columna: undefined,
      process: { query: `${query} WHERE f > @ultimaSync` },
    });
    expect(await sync()).toMatchObject({ filas: 1 });
    await world.execute('DROP TABLE fechadas');
  });
});
