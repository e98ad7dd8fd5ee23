import { cpSync } from 'node:fs';
import { copyFile, cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { type CuttingProxy, startCuttingProxy } from '../../testing/cutting-proxy.ts';
import { startGateway } from '../../testing/gateway.ts';
import { startWorld, type World } from '../../testing/world.ts';

/** What the centre has, and what the agent believes it has: restored databases, restored folders, lost answers, old readings. */

let world: World;
let proxy: CuttingProxy;
/** Before anything was uploaded: a centre that has been built anew. */
let rebuild: () => Promise<void>;
beforeAll(async () => {
  world = await startWorld(inject('postgresUrl'));
  const digits = Array.from({ length: 10 }, (_, digit) => `(${digit})`).join(', ');
  await world.execute(`CREATE TABLE digitos (n int NOT NULL); INSERT INTO digitos (n) VALUES ${digits}`);
  await configure();
  rebuild = await world.backend.backUp();
});
afterAll(() => world?.close());
beforeEach(async () => {
  await world.execute(`IF OBJECT_ID('articulos') IS NOT NULL DROP TABLE articulos`);
  await world.execute(
    'CREATE TABLE articulos (codigo varchar(10) NOT NULL PRIMARY KEY, nombre nvarchar(400) NOT NULL, fecha datetime2(7) NOT NULL)',
  );
  await rebuild();
  await configure();
  await rm(join(world.folder, 'last-sync.json'), { force: true });
  await rm(join(world.folder, 'spool'), { recursive: true, force: true });
  proxy = await startCuttingProxy(world.backend.url);
  await world.init(proxy.url);
});
afterEach(() => proxy?.close());

/** Hardly any patience: what fails, fails soon. */
const policy = { attempts: 3, firstDelayMs: 1, maxDelayMs: 2, maxTotalMs: 60_000, maxRetryAfterMs: 10_000 };
const sync = (more: Parameters<World['sync']>[0] = {}) => world.sync({ policy, ...more });
const syncWell = async (more: Parameters<World['sync']>[0] = {}) => {
  const { reason, log } = await sync(more);
  expect(reason, log).toBe('exitoso');
  return log;
};

/** A phase at `destino` that is not idempotent: it counts how often it ran. */
const counting = {
  enabled: true,
  ejecutarEn: 'destino',
  sql: `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre) VALUES ('acme-001', 'veces', '1', '+')
        ON CONFLICT ("tenantId", tipo_campo, codigo) DO UPDATE SET nombre = parametros_maestros.nombre || '+'`,
};

function configure(more: object = {}, root: object = {}): Promise<void> {
  const query = 'SELECT codigo, nombre, fecha FROM articulos WHERE fecha > @ultimaSync';
  const tabla = { nombre: 'vista_articulos', incremental: true, campoFecha: 'fecha', solapeSegundos: 0 };
  return world.setTables({ ...root, tablasSubida: [{ ...tabla, process: { query }, ...more }] });
}

const write = (codigo: string, nombre = codigo) =>
  world.execute(`DELETE FROM articulos WHERE codigo = '${codigo}';
    INSERT INTO articulos (codigo, nombre, fecha) VALUES ('${codigo}', N'${nombre}', SYSDATETIME())`);

/** Rows that make several chunks of 64 KB. */
const fill = (rows: number) =>
  world.execute(`INSERT INTO articulos (codigo, nombre, fecha)
    SELECT CONCAT('n', a.n * 100 + b.n * 10 + c.n), N'${'ñ'.repeat(390)}', SYSDATETIME()
    FROM digitos AS a CROSS JOIN digitos AS b CROSS JOIN digitos AS c WHERE a.n * 100 + b.n * 10 + c.n < ${rows}`);

async function readStored(tipo = 'articulo'): Promise<string[]> {
  const { rows } = await world.backend.sql.query<{ codigo: string; nombre: string }>(
    'SELECT codigo, nombre FROM parametros_maestros WHERE tipo_campo = $1 ORDER BY codigo',
    [tipo],
  );
  return rows.map(({ codigo, nombre }) => (codigo === nombre ? codigo : `${codigo}=${nombre}`));
}

const timesCounted = async () => (await readStored('veces'))[0]?.replace('1=', '').length ?? 0;
/** Uploads with rows that the backend applied. */
async function timesApplied(): Promise<number> {
  const { rows } = await world.backend.sql.query(
    `SELECT FROM sync_logs WHERE "ejecutadoEn" = 'destino' AND fase = 'process' AND (metadatos ->> 'filas')::integer > 0`,
  );
  return rows.length;
}
const spooled = () => readdir(join(world.folder, 'spool')).catch(() => []);

interface MarksFile {
  tablas: Record<string, { local: string; generacion?: string }>;
}
const readMarks = async (): Promise<MarksFile> => JSON.parse(await world.readFile('last-sync.json')) as MarksFile;

/** Another agent of the tenant: a folder of its own after init. */
async function withOtherAgent(use: (folder: string) => Promise<void>): Promise<void> {
  const other = await mkdtemp(join(tmpdir(), 'ax-otro-'));
  try {
    await copyFile(join(world.folder, 'sync-config.enc'), join(other, 'sync-config.enc'));
    await use(other);
  } finally {
    await rm(other, { recursive: true, force: true });
  }
}

describe('generations', () => {
  test('a centre restored to an earlier state gets again what was written since, though the table has nothing new', async () => {
    await write('a');
    await syncWell();
    const restore = await world.backend.backUp();
    await write('b');
    await syncWell();
    await write('c');
    await syncWell();
    await restore();
    expect(await readStored()).toEqual(['a']);
    const log = await syncWell();
    expect(log).toContain('se sube desde el principio');
    expect(await readStored()).toEqual(['a', 'b', 'c']);
    // And then it is as before.
    expect(await syncWell()).toContain('Sin novedades');
  });

  test('a centre that was built anew gets everything again, and a table read whole goes on', async () => {
    await write('a');
    await syncWell();
    await rebuild();
    expect(await readStored()).toEqual([]);
    await syncWell();
    expect(await readStored()).toEqual(['a']);
  });

  test('restored between the question and the upload: the upload is refused, and the same run begins afresh', async () => {
    await write('a');
    await syncWell();
    await rebuild();
    await write('b');
    // The question finds nobody.
    proxy.refuse = /^POST \S+\/generaciones\//;
    const log = await syncWell();
    expect(log).toContain('GENERACION_DESCONOCIDA');
    expect(await readStored()).toEqual(['a', 'b']);

    // The same with an upload of several chunks.
    await configure({}, { trozoKb: 64 });
    await syncWell();
    await rebuild();
    await configure({}, { trozoKb: 64 });
    await fill(300);
    expect(await syncWell()).toContain('GENERACION_DESCONOCIDA');
    expect(await readStored()).toHaveLength(302);
    expect(await spooled()).toEqual([]);
  });

  test('a restored folder of the agent, with older marks, loses nothing and does not go back', async () => {
    await write('a');
    await syncWell();
    const marks = await readFile(join(world.folder, 'last-sync.json'));
    await write('b');
    await syncWell();
    await write('a', 'nuevo');
    await syncWell();
    await writeFile(join(world.folder, 'last-sync.json'), marks);
    await write('c');
    await syncWell();
    expect(await readStored()).toEqual(['a=nuevo', 'b', 'c']);
    expect(await syncWell()).toContain('Sin novedades');
  });

  test('two agents of one tenant, each with marks of its own, do not make each other send everything again', async () => {
    await withOtherAgent(async (folder) => {
      await write('a');
      for (let round = 0; round < 3; round++) {
        await write('b', String(round));
        for (const options of [{}, { folder }]) {
          const log = await syncWell(options);
          expect(log).not.toContain('se sube desde el principio');
          expect(log).toContain(round === 0 ? '2 filas subidas' : '1 filas subidas');
        }
      }
      await rebuild();
      await syncWell();
      expect(await syncWell({ folder })).toContain('se sube desde el principio');
      expect(await syncWell({ folder })).toContain('Sin novedades');
    });
  });

  test('a mark of an agent before there were generations is taken over, and stands from then on', async () => {
    await write('a');
    await syncWell();
    const before = await readMarks();
    delete before.tablas.vista_articulos!.generacion;
    await writeFile(join(world.folder, 'last-sync.json'), JSON.stringify(before));
    expect(await syncWell()).toContain('Sin novedades');
    expect((await readMarks()).tablas.vista_articulos!.generacion).toMatch(/^[0-9a-f]{32}$/);
    await write('b');
    expect(await syncWell()).toContain('1 filas subidas');
    await rebuild();
    await syncWell();
    expect(await readStored()).toEqual(['a', 'b']);
  });

  test('a backend from before there were generations is served as it always was', async () => {
    const gateway = await startGateway(world.backend.url);
    try {
      await world.init(gateway.url);
      const unknown = { code: 'RUTA_DESCONOCIDA', status: 404, success: false, detail: 'No hay tal dirección.' };
      const headers = { 'content-type': 'application/problem+json' };
      gateway.answer = (line) =>
        line.includes('/generaciones/') ? { status: 404, headers, body: JSON.stringify(unknown) } : undefined;
      await write('a');
      expect(await syncWell()).not.toContain('RUTA_DESCONOCIDA');
      expect(await syncWell()).toContain('Sin novedades');
      expect(gateway.lines.filter((line) => line.includes('/generaciones/'))).not.toEqual([]);
    } finally {
      await gateway.close();
    }
  });
});

describe('readings', () => {
  const ONE_SHOTS = /^POST \S+\/upload\//;
  const COMMITS = /^POST \S+\/commit /;

  test('a reading that arrives after a newer one of another agent does not win: it is read again in the same run', async () => {
    await withOtherAgent(async (folder) => {
      await write('a', 'viejo');
      proxy.late = { ms: 2500, requests: ONE_SHOTS };
      let begun = () => {};
      const sent = new Promise<void>((resolve) => {
        begun = resolve;
      });
      proxy.onRequest = (line) => {
        if (ONE_SHOTS.test(line)) begun();
      };
      const slow = sync();
      await sent;
      proxy.late = undefined;
      await write('a', 'nuevo');
      await syncWell({ folder });
      expect(await readStored()).toEqual(['a=nuevo']);
      const { reason, log } = await slow;
      expect(reason, log).toBe('exitoso');
      expect(log).toContain('LECTURA_ANTIGUA');
      expect(await readStored()).toEqual(['a=nuevo']);
    });
  });

  test.each(['of one chunk', 'of several chunks'])(
    'what was read yesterday (%s) and waits is dropped where another agent has sent newer rows since, and read again',
    async (size) => {
      const several = size === 'of several chunks';
      if (several) {
        await configure({}, { trozoKb: 64 });
        await fill(300);
      }
      await withOtherAgent(async (folder) => {
        await write('a', 'viejo');
        proxy.refuse = several ? COMMITS : ONE_SHOTS;
        expect((await sync()).log).toContain('filas leídas quedan en spool/');
        proxy.refuse = undefined;
        await write('a', 'nuevo');
        await syncWell({ folder });
        const log = await syncWell();
        expect(log).toContain('Se termina una subida pendiente');
        expect(log).toContain('LECTURA_ANTIGUA');
        expect(await readStored()).toContain('a=nuevo');
        expect(await spooled()).toEqual([]);
      });
    },
  );
});

test.for(['of one chunk', 'of several chunks'])(
  'read while the clock was behind, and waiting (%s): newer rows that another agent has sent since are not overwritten, and nothing is lost',
  async (size, context) => {
    await world.needs(context, 'the controls of the stand-in');
    const several = size === 'of several chunks';
    if (several) {
      await configure({}, { trozoKb: 64 });
      await fill(300);
    }
    await write('x');
    await syncWell();
    try {
      await world.execute('EXEC standin_set_clock @seconds_ahead = -7200');
      await write('a', 'viejo');
      if (several) await world.execute('UPDATE articulos SET fecha = SYSDATETIME()');
      proxy.refuse = several ? /^POST \S+\/commit / : /^POST \S+\/upload\//;
      const waiting = (await sync()).log;
      expect(waiting).toContain('El reloj de SQL Server se atrasó');
      expect(waiting).toContain('filas leídas quedan en spool/');
      proxy.refuse = undefined;
      await write('a', 'nuevo');
      await withOtherAgent(async (folder) => {
        await syncWell({ folder });
      });
      expect(await readStored()).toContain('a=nuevo');
      // Of the run that finishes it, the reading that comes after finds no table.
      await world.execute('SELECT codigo, nombre, fecha INTO guardados FROM articulos; DROP TABLE articulos');
      const { log } = await sync();
      expect(log).toContain('Se termina una subida pendiente');
      expect(log).toContain('LECTURA_ANTIGUA');
      expect(await readStored()).toContain('a=nuevo');
      expect(await spooled()).toEqual([]);
      await world.execute('SELECT codigo, nombre, fecha INTO articulos FROM guardados');
      await write('b');
      await syncWell();
      const stored = await readStored();
      for (const row of ['a=nuevo', 'b', 'x']) expect(stored).toContain(row);
      expect(stored).toHaveLength(several ? 303 : 3);
    } finally {
      await world.execute('EXEC standin_set_clock');
      await world.execute(`IF OBJECT_ID('guardados') IS NOT NULL DROP TABLE guardados`);
    }
  },
);

test('a clock of SQL Server that went back, unseen by this agent, holds nothing up: the reading begun later is the newer one', async () => {
  await write('a', 'antes');
  await syncWell();
  // As if all of it had been read when the clock was years ahead.
  await world.backend.sql.query(`UPDATE sync_commits SET lectura = '2090-01-01T00:00:00.0000000'`);
  await write('a', 'después');
  const log = await syncWell();
  expect(log).toContain('LECTURA_ANTIGUA');
  expect(log).toMatch(/El reloj de SQL Server \(.* UTC\) va por detrás de lo último que se leyó \(2090-/);
  expect(await readStored()).toEqual(['a=después']);
  // Its clock counts from now on.
  await write('b');
  expect(await syncWell()).not.toContain('LECTURA_ANTIGUA');
  expect(await readStored()).toEqual(['a=después', 'b']);
});

describe('nothing is applied twice', () => {
  const ONE_SHOTS = /^POST \S+\/upload\//;
  const COMMITS = /^POST \S+\/commit /;
  const lose = (requests: RegExp) => {
    proxy.cut = { afterBytes: 0, times: Number.POSITIVE_INFINITY, requests };
  };

  test('a one-shot upload whose answer is lost in run after run is applied once, with its phases at destino', async () => {
    await configure({ post_process: counting });
    await write('a');
    lose(ONE_SHOTS);
    for (let run = 0; run < 3; run++) {
      expect((await sync()).reason).toBe('error');
      expect(await timesCounted()).toBe(1);
      expect(await spooled()).toHaveLength(1);
    }
    proxy.cut = undefined;
    await syncWell();
    expect(await timesApplied()).toBe(1);
    expect(await spooled()).toEqual([]);
    expect(await readStored()).toEqual(['a']);
  });

  test('however much later the agent comes back, what was applied is answered and not applied again', async () => {
    await configure({ post_process: counting });
    await write('a');
    lose(ONE_SHOTS);
    await sync();
    await world.backend.sql.query('DELETE FROM sync_idempotency');
    proxy.cut = undefined;
    await syncWell();
    expect(await timesApplied()).toBe(1);
  });

  test('a commit whose answer is lost, and that the backend has long forgotten to have open, is not applied again', async () => {
    await configure({ post_process: counting }, { trozoKb: 64 });
    await fill(300);
    lose(COMMITS);
    expect((await sync()).reason).toBe('error');
    expect(await timesCounted()).toBe(1);
    await world.backend.sql.query('DELETE FROM sync_uploads');
    proxy.cut = undefined;
    await syncWell();
    expect(await timesApplied()).toBe(1);
    expect(await readStored()).toHaveLength(300);
  });

  test.each(['known still', 'pushed out by later ones'])(
    'an agent that died between its upload and its mark applies nothing again when it comes back, its upload being %s',
    async (state) => {
      await configure({ post_process: counting });
      await write('a', 'viejo');
      const aside = await mkdtemp(join(tmpdir(), 'ax-muerto-'));
      proxy.onRequest = (line) => {
        // On the disk as it is while the request is on its way.
        if (ONE_SHOTS.test(line)) cpSync(join(world.folder, 'spool'), join(aside, 'spool'), { recursive: true });
      };
      await syncWell();
      proxy.onRequest = undefined;
      expect(await timesApplied()).toBe(1);
      const forgotten = state !== 'known still';
      try {
        if (forgotten) {
          await world.backend.sql.query('CREATE TABLE antes AS SELECT id FROM sync_commits');
          await write('a', 'nuevo');
          await withOtherAgent((folder) => syncWell({ folder }).then(() => {}));
          await world.backend.sql.query('DELETE FROM sync_commits WHERE id IN (SELECT id FROM antes)');
        }
        await rm(join(world.folder, 'last-sync.json'));
        await cp(join(aside, 'spool'), join(world.folder, 'spool'), { recursive: true });
        await world.backend.sql.query('DELETE FROM sync_idempotency');
        const applied = await timesApplied();
        const log = await syncWell();
        expect(log).toContain('Se termina una subida pendiente');
        // Whose name is not known any more is refused for its age, and the table read again.
        expect(log.includes('LECTURA_ANTIGUA')).toBe(forgotten);
        expect(await timesApplied()).toBe(forgotten ? applied + 1 : applied);
        expect(await readStored()).toEqual([forgotten ? 'a=nuevo' : 'a=viejo']);
      } finally {
        await rm(aside, { recursive: true, force: true });
      }
    },
  );

  test('what waits of a one-shot upload is sealed, and goes up by the next run', async () => {
    await write('a', 'Secreto');
    const gateway = await startGateway(world.backend.url);
    try {
      await world.init(gateway.url);
      gateway.answer = (line) => (line.startsWith('POST /api/sync/upload/') ? { status: 503 } : undefined);
      await sync();
      const [name] = await spooled();
      const entry = join(world.folder, 'spool', name!);
      for (const file of await readdir(entry)) {
        expect((await readFile(join(entry, file))).includes('Secreto')).toBe(false);
      }
      gateway.answer = () => undefined;
      await syncWell();
      expect(await readStored()).toEqual(['a=Secreto']);
    } finally {
      await gateway.close();
    }
  });
});
