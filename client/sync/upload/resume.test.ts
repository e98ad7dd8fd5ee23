import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { startFaultProxy } from '../../../fixtures/chaos/proxy.ts';
import { type CuttingProxy, startCuttingProxy } from '../../testing/cutting-proxy.ts';
import { startWorld, type World } from '../../testing/world.ts';
import { type Progress, silentProgress } from '../../ui/progress.ts';

/** Uploads that break off, and the run after. */

let world: World;
let proxy: CuttingProxy;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  const digits = Array.from({ length: 10 }, (_, digit) => `(${digit})`).join(', ');
  await world.execute(`CREATE TABLE digitos (n int NOT NULL); INSERT INTO digitos (n) VALUES ${digits}`);
});
afterAll(() => world?.close());
beforeEach(async () => {
  await world.execute(`IF OBJECT_ID('articulos') IS NOT NULL DROP TABLE articulos`);
  await world.execute(`CREATE TABLE articulos (codigo int NOT NULL PRIMARY KEY, nombre nvarchar(400) NOT NULL)`);
  await world.execute(`INSERT INTO articulos (codigo, nombre)
    SELECT a.n * 100 + b.n * 10 + c.n, N'${'ñ'.repeat(200)}'
    FROM digitos AS a CROSS JOIN digitos AS b CROSS JOIN digitos AS c`);
  await world.backend.sql.query('DELETE FROM parametros_maestros; DELETE FROM sync_logs; DELETE FROM sync_esquemas');
  await world.backend.sql.query('UPDATE sync_uploads SET "expiresAt" = now()');
  await rm(join(world.folder, 'last-sync.json'), { force: true });
  proxy = await startCuttingProxy(world.backend.url);
  await world.init(proxy.url);
  await configure();
});
afterEach(() => proxy?.close());

/** Hardly any patience: what fails, fails soon. */
const policy = { attempts: 2, firstDelayMs: 1, maxDelayMs: 2, maxTotalMs: 60_000, maxRetryAfterMs: 10_000 };
const sync = (more: Parameters<World['sync']>[0] = {}) => world.sync({ policy, ...more });

const query = 'SELECT codigo, nombre FROM articulos';
/** 1000 rows of 430 bytes: seven chunks. */
const configure = (more: object = {}, processQuery = query) =>
  world.setTables({
    trozoKb: 64,
    tablasSubida: [{ nombre: 'vista_articulos', desactivarAusentes: true, process: { query: processQuery }, ...more }],
  });

const PUTS = /^PUT /;
const COMMITS = /^POST \S+\/commit /;
const cutAll = (requests: RegExp) => {
  proxy.cut = { afterBytes: 0, times: Number.POSITIVE_INFINITY, requests };
};

async function countStored(): Promise<number> {
  const { rows } = await world.backend.sql.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM parametros_maestros WHERE activo',
  );
  return rows[0]!.n;
}

async function countUploads(): Promise<number> {
  const { rows } = await world.backend.sql.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM sync_uploads WHERE resultado IS NULL AND "expiresAt" > now()',
  );
  return rows[0]!.n;
}

const spooled = () => readdir(join(world.folder, 'spool')).catch(() => []);

/** A run whose chunks all arrive and whose commit does not: all rows wait in the spool. */
async function leaveUncommitted(): Promise<void> {
  const uploads = await countUploads();
  // Before the request arrives: the commit itself is lost, not just its answer.
  proxy.refuse = COMMITS;
  const { reason, log } = await sync();
  expect(reason, log).toBe('error');
  expect(log).toContain('1000 filas leídas quedan en spool/: la próxima ejecución las envía sin volver a leer');
  expect(await spooled()).toHaveLength(1);
  expect(await countStored()).toBe(0);
  expect(await countUploads()).toBe(uploads + 1);
  proxy.refuse = undefined;
}

/** After what was pending, which is of before the change, a run reads the table as it is now. */
const change = () => world.execute("UPDATE articulos SET nombre = N'nuevo'");
const FIRST_PENDING_THEN_NEW =
  /1000 filas subidas.*: 1000 nuevas[\s\S]*1000 filas subidas: 0 nuevas, 1000 actualizadas/;

test('what was read and could not be sent is sent by the next run without SQL Server, which then reads what is new', async () => {
  await leaveUncommitted();
  await change();
  const { reason, log } = await sync();
  expect(reason, log).toBe('exitoso');
  expect(log).toContain('Se termina una subida pendiente');
  expect(log).toContain('1000 filas subidas (7 de 7 trozos ya estaban): 1000 nuevas');
  expect(log).toMatch(FIRST_PENDING_THEN_NEW);
  expect(await countStored()).toBe(1000);
  expect(await spooled()).toEqual([]);
  expect(await countUploads()).toBe(0);
});

test('behind an upload that waited progress counts the reading by itself, and the next run expects as many rows as that', async () => {
  const told: unknown[] = [];
  const progress: Progress = {
    start: () => {
      let rows = 0;
      const tell = (what: unknown) => told.push(what);
      const add = (count: number) => {
        rows += count;
      };
      const again = () => {
        tell(rows);
        rows = 0;
      };
      return { ...silentProgress.start('upload', ''), expect: tell, rows: add, again, stop: () => tell(rows) };
    },
  };
  await sync();
  proxy.refuse = COMMITS;
  await sync();
  proxy.refuse = undefined;
  const asLastTime = { filas: 1000, exacto: false };
  expect((await sync({ progress })).reason).toBe('exitoso');
  // The chunks of what waited are at the backend already.
  expect(told.splice(0)).toEqual([asLastTime, { filas: 1000, exacto: true }, 0, asLastTime, 1000]);
  expect((await sync({ progress })).reason).toBe('exitoso');
  expect(told).toEqual([asLastTime, 1000]);
});

test('what waits is sent though SQL Server has lost the table, and the run says so', async () => {
  await leaveUncommitted();
  await world.execute('DROP TABLE articulos');
  const { reason, log } = await sync();
  expect(reason, log).toBe('error');
  expect(log).toContain('1000 filas subidas (7 de 7 trozos ya estaban): 1000 nuevas');
  expect(log).toMatch(/ERROR vista_articulos: .*articulos/);
  expect(await countStored()).toBe(1000);
});

test('a download of the same run has what was new when the run began, behind an upload that was pending', async () => {
  await leaveUncommitted();
  await change();
  const articulos = { nombre: 'vista_articulos', process: { query } };
  const bajada = {
    nombre: 'bajados',
    primaryKey: 'codigo',
    schema: {
      columns: [
        { name: 'codigo', type: 'INT', nullable: false },
        { name: 'nombre', type: 'NVARCHAR(400)' },
      ],
    },
    process: { query: 'parametros_maestros.tipo_campo=articulo' },
  };
  await world.setTables({
    trozoKb: 64,
    tablasSubida: [{ ...articulos, desactivarAusentes: true }],
    tablasBajada: [bajada],
  });
  const { reason, log } = await sync();
  expect(reason, log).toBe('exitoso');
  expect(await world.query('SELECT DISTINCT nombre FROM bajados')).toEqual([{ nombre: 'nuevo' }]);
});

test('a backend that is away while rows are read: they are read to the end all the same', async () => {
  proxy.refuse = /^(PUT|POST) \S+\/uploads\//;
  const { reason, log } = await sync();
  expect(reason, log).toBe('error');
  expect(log).toContain('1000 filas leídas quedan en spool/');
  proxy.refuse = undefined;
  await change();
  expect((await sync()).log).toMatch(FIRST_PENDING_THEN_NEW);
  expect(await countStored()).toBe(1000);
});

test('the lost answer of a chunk is harmless', async () => {
  proxy.cut = { afterBytes: 0, times: 1, requests: PUTS };
  const { reason, log } = await sync();
  expect(reason, log).toBe('exitoso');
  expect(proxy.cuts).toBe(1);
  expect(await countStored()).toBe(1000);
});

test('the lost answer of a commit is asked for again, by the next run too, and it is applied once', async () => {
  cutAll(COMMITS);
  expect((await sync()).reason).toBe('error');
  expect(proxy.cuts).toBe(2);
  expect(await countStored()).toBe(1000);
  proxy.cut = undefined;
  const { reason, log } = await sync();
  expect(reason, log).toBe('exitoso');
  expect(log).toContain('1000 filas subidas (7 de 7 trozos ya estaban): 1000 nuevas');
  const { rows } = await world.backend.sql.query(
    `SELECT (metadatos->>'registrosSinCambios')::int AS iguales FROM sync_logs WHERE "ejecutadoEn" = 'destino' ORDER BY 1`,
  );
  // What the same run reads after it is another upload.
  expect(rows).toEqual([{ iguales: 0 }, { iguales: 1000 }]);
});

test('a PostgreSQL crash empties staging and ledger; the agent sends again what it holds', async () => {
  await leaveUncommitted();
  const { rows } = await world.backend.sql.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u'`,
  );
  // What a crash does to UNLOGGED tables.
  for (const { name } of rows) await world.backend.sql.query(`TRUNCATE "${name}"`);
  await change();
  const { reason, log } = await sync();
  expect(reason, log).toBe('exitoso');
  expect(log).toMatch(FIRST_PENDING_THEN_NEW);
  expect(await countStored()).toBe(1000);
});

test('an upload that the backend has forgotten is sent again under a new name', async () => {
  await leaveUncommitted();
  await world.backend.sql.query(`UPDATE sync_uploads SET "expiresAt" = now() - interval '1 hour'`);
  await change();
  const { reason, log } = await sync();
  expect(reason, log).toBe('exitoso');
  expect(log).toMatch(FIRST_PENDING_THEN_NEW);
  expect(await countStored()).toBe(1000);
});

test('a reading that breaks midway leaves nothing, neither here nor at the backend', async () => {
  await configure({}, 'SELECT codigo, nombre, 1 / (900 - codigo) AS cociente FROM articulos');
  const { reason, log } = await sync();
  expect(reason).toBe('error');
  expect(log).toMatch(/error 8134/);
  expect(await spooled()).toEqual([]);
  expect(await countUploads()).toBe(0);
  expect(await countStored()).toBe(0);
});

test('an upload that is being opened when the reading breaks is not left open', async () => {
  let opening = false;
  proxy.late = { ms: 1000, requests: /^POST \S+\/uploads\/\S+ / };
  proxy.onRequest = (line) => {
    opening ||= proxy.late!.requests.test(line);
  };
  const keys = 'codigo * 10 + n AS codigo, nombre, 1 / (9900 - codigo * 10 - n) AS cociente';
  await configure({}, `SELECT ${keys} FROM articulos CROSS JOIN digitos`);
  const { reason, log } = await sync();
  expect(reason).toBe('error');
  expect(log).toMatch(/error 8134/);
  expect(opening).toBe(true);
  // Long enough for a request that nobody waited for.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(await countUploads()).toBe(0);
});

test('rows that the backend refuses for good are not kept: they may have been corrected by the next run', async () => {
  await world.execute('UPDATE articulos SET nombre = nombre WHERE codigo = 1');
  await configure(
    {},
    "SELECT codigo, nombre, CASE WHEN codigo = 990 THEN 'quizás' ELSE '1' END AS activo FROM articulos",
  );
  const { reason, log } = await sync();
  expect(reason).toBe('error');
  expect(log).toContain('VALOR_INVALIDO');
  expect(await spooled()).toEqual([]);
  expect(await countUploads()).toBe(0);
});

test('with another query, what waits is dropped on both sides and read afresh', async () => {
  await leaveUncommitted();
  await configure({}, `${query} WHERE codigo < 500`);
  const { log } = await sync();
  expect(log).toContain('Lo que quedaba en spool/ no vale (la configuración cambió)');
  expect(await countStored()).toBe(500);
  expect(await spooled()).toEqual([]);
  expect(await countUploads()).toBe(0);
});

test('--desde-cero drops what waits, here and at the backend, and reads afresh', async () => {
  await leaveUncommitted();
  await world.execute('DELETE FROM articulos WHERE codigo >= 500');
  const { reason, log } = await sync({ desdeCero: true });
  expect(reason, log).toBe('exitoso');
  expect(log).toContain('Lo que quedaba en spool/ se descarta (--desde-cero)');
  expect(log).not.toContain('Se termina una subida pendiente');
  expect(await countStored()).toBe(500);
  expect(await spooled()).toEqual([]);
  expect(await countUploads()).toBe(0);
});

test('when somebody removes the mark to send everything again, what waits does not bring it back', async () => {
  const changed = 'codigo >= 500 AND @ultimaSync IS NOT NULL';
  await configure({ incremental: true, desactivarAusentes: false }, `${query} WHERE @ultimaSync IS NULL OR ${changed}`);
  await sync();
  await world.backend.sql.query('DELETE FROM parametros_maestros');
  proxy.refuse = COMMITS;
  expect((await sync()).log).toContain('500 filas leídas quedan en spool/');
  proxy.refuse = undefined;
  await rm(join(world.folder, 'last-sync.json'));
  expect((await sync()).log).toContain('no vale (la marca es otra)');
  expect(await countStored()).toBe(1000);
});

test('a table that is no longer configured leaves nothing behind', async () => {
  await leaveUncommitted();
  await world.setTables({ tablasSubida: [] });
  expect((await sync()).reason).toBe('exitoso');
  expect(await spooled()).toEqual([]);
  expect(await countUploads()).toBe(0);
});

test('--sin-spool leaves nothing on the disk, and finishes what an earlier run left there', async () => {
  proxy.refuse = COMMITS;
  const { reason, log } = await sync({ usesSpool: false });
  expect(reason, log).toBe('error');
  expect(await spooled()).toEqual([]);
  expect(await countUploads()).toBe(0);
  await leaveUncommitted();
  await change();
  expect((await sync({ usesSpool: false })).log).toMatch(FIRST_PENDING_THEN_NEW);
  expect(await countStored()).toBe(1000);
});

test('a spool smaller than the table: the reading waits for the backend, and everything arrives', async () => {
  await world.execute(
    `UPDATE articulos SET nombre = CONVERT(varchar(36), NEWID()) + CONVERT(varchar(36), NEWID()) + CONVERT(varchar(36), NEWID())`,
  );
  await world.setTables({
    ...{ trozoKb: 64, spoolMaxMb: 1 },
    tablasSubida: [
      {
        nombre: 'vista_articulos',
        process: {
          query: `SELECT a.codigo * 100 + b.n * 10 + c.n AS codigo, a.nombre, NEWID() AS x, NEWID() AS y FROM articulos AS a CROSS JOIN digitos AS b CROSS JOIN digitos AS c WHERE a.codigo < 300`,
        },
      },
    ],
  });
  const { reason, log } = await sync();
  expect(reason, log).toBe('exitoso');
  expect(await countStored()).toBe(30_000);
});

test('a table read in ranges goes on behind the last whole range, in the same run and in the next one', async () => {
  const sqlProxy = await startFaultProxy(world.settings);
  try {
    await world.init(proxy.url, { host: '127.0.0.1', port: sqlProxy.port });
    await configure({ primaryKey: 'codigo', particion: { columna: 'codigo', filas: 200 } });
    sqlProxy.arm({ kind: 'cut', direction: 'bajada', after: 300_000 });
    const lines: string[] = [];
    proxy.onRequest = (line) => lines.push(line);
    const once = await world.sync({ policy: { ...policy, attempts: 1 } });
    expect(once.reason, once.log).toBe('error');
    const kept = Number(
      /(\d+) filas leídas quedan en spool\/: la próxima ejecución sigue leyendo detrás/.exec(once.log)?.[1],
    );
    expect(kept % 200).toBe(0);
    expect(kept).toBeGreaterThan(0);

    // What has been read is not looked at again for it; the reading that follows finds it gone.
    await world.execute('DELETE FROM articulos WHERE codigo < 200');
    const { reason, log } = await sync();
    expect(reason, log).toBe('exitoso');
    expect(log).toMatch(/1000 filas subidas( \(\d+ de \d+ trozos ya estaban\))?: 1000 nuevas/);
    expect(await countStored()).toBe(800);
    expect(await spooled()).toEqual([]);
    const chunks = lines.filter((line) => PUTS.test(line)).map((line) => line.split(' ')[1]);
    // One a connection was on its way when the run ended.
    expect(chunks.length - new Set(chunks).size).toBeLessThanOrEqual(2);

    // In one run: the connection is made again, and the ranges before are not read again.
    await world.execute("UPDATE articulos SET nombre = N'otro'");
    sqlProxy.arm({ kind: 'cut', direction: 'bajada', after: 300_000 });
    expect((await sync()).reason).toBe('exitoso');
  } finally {
    await sqlProxy.close();
  }
});

test('particion on a column without a unique index is refused, with what to do', async () => {
  await configure({ particion: { columna: 'nombre', filas: 200 } });
  const { reason, log } = await sync();
  expect(reason).toBe('error');
  expect(log).toMatch(/la columna «nombre» .* no es única: .*\[PARTICION_COLUMNA\].*CREATE UNIQUE INDEX/);
});

test('two agents of one tenant at once, and two runs in one folder, do not spoil each other', async () => {
  const other = await mkdtemp(join(tmpdir(), 'ax-otro-'));
  try {
    await copyFile(join(world.folder, 'sync-config.enc'), join(other, 'sync-config.enc'));
    const runs = await Promise.all([sync(), sync(), sync({ folder: other })]);
    expect(runs.map(({ reason }) => reason).sort()).toEqual(['exitoso', 'exitoso', 'ocupado']);
    expect(await countStored()).toBe(1000);
    // Also when one of them hangs on to rows that the other has long sent, and newer ones.
    const rename = (nombre: string) => world.execute(`UPDATE articulos SET nombre = N'${nombre}${'ñ'.repeat(150)}'`);
    await rename('viejo');
    proxy.refuse = COMMITS;
    expect((await sync()).reason).toBe('error');
    proxy.refuse = undefined;
    await rename('nuevo');
    expect((await sync({ folder: other })).reason).toBe('exitoso');
    await sync();
    await sync();
    const { rows } = await world.backend.sql.query(
      'SELECT DISTINCT left(nombre, 5) AS nombre FROM parametros_maestros',
    );
    expect(rows).toEqual([{ nombre: 'nuevo' }]);
  } finally {
    await rm(other, { recursive: true, force: true });
  }
});

test('interrupted: the chunk under way is dropped whole, the lock is free, the log says so', async () => {
  const controller = new AbortController();
  proxy.onRequest = (head) => {
    if (PUTS.test(head)) controller.abort(new DOMException('interrupted', 'AbortError'));
  };
  const { reason, log } = await sync({ signal: controller.signal });
  proxy.onRequest = undefined;
  expect(reason).toBe('interrumpido');
  expect(log).toContain('Interrumpido antes de terminar.');
  expect(await readdir(world.folder)).not.toContain('sync.lock');
  expect(await countStored()).toBe(0);
  expect((await sync()).reason).toBe('exitoso');
  expect(await countStored()).toBe(1000);
  expect(await countUploads()).toBe(0);
});
