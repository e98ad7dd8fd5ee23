import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { chown, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { findFreePort } from '../fixtures/postgres.ts';
import { makeUploads, toLines } from './testing/ledger-uploads.ts';
import { startTestServer } from './testing/start-test-server.ts';

/** «Copias» of docs/servidor.md, with Debian's PostgreSQL: the packaged binaries have no pg_basebackup. */

const run = promisify(execFile);

/** The newest that is installed, and who may run it: PostgreSQL refuses to be root. */
function findDebianPostgres(): { bin: string; uid: number; gid: number } | undefined {
  const root = '/usr/lib/postgresql';
  const bin = (existsSync(root) ? readdirSync(root) : [])
    .sort((one, two) => Number(two) - Number(one))
    .map((version) => join(root, version, 'bin'))
    .find((one) => ['initdb', 'pg_ctl', 'pg_basebackup'].every((name) => existsSync(join(one, name))));
  if (bin === undefined) return undefined;
  const [uid, gid] = [process.getuid!(), process.getgid!()];
  if (uid !== 0) return { bin, uid, gid };
  const idOf = (flag: string) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { bin, uid: idOf('-u'), gid: idOf('-g') };
}

const debian = findDebianPostgres();
if (debian === undefined)
  console.warn('SKIPPED: the test of backups needs postgresql of Debian (apt install postgresql)');

test.skipIf(debian === undefined)(
  'restored from pg_basebackup, the centre is as it was: an agent that is ahead of it is told, and sends its table again',
  async () => {
    const { bin, uid, gid } = debian!;
    const folder = await mkdtemp(join(tmpdir(), 'ax-copias-'));
    await chown(folder, uid, gid);
    const [data, copy] = [join(folder, 'data'), join(folder, 'copia')];
    const port = String(await findFreePort());
    const command = (name: string, ...args: string[]) => run(join(bin, name), args, { uid, gid, cwd: folder });
    const flags = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off`;
    const start = () => command('pg_ctl', 'start', '-w', '-D', data, '-l', join(folder, 'log'), '-o', flags);
    const stop = () => command('pg_ctl', 'stop', '-w', '-D', data, '-m', 'immediate');
    await command('initdb', '-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync');
    await start();
    try {
      const tabla = { nombre: 'vista_clientes', primaryKey: 'id', process: { query: 'SELECT 1' } };
      const server = await startTestServer(`postgres://postgres@127.0.0.1:${port}/postgres`, {
        tables: { tablasSubida: [tabla] },
      });
      try {
        const uploads = makeUploads(server, 'vista_clientes');
        const count = async () => (await server.sql.query('SELECT FROM parametros_maestros')).rowCount;
        const saved = await uploads.sendWhole(toLines([{ id: 1 }, { id: 2 }]));
        await command(
          'pg_basebackup',
          '-h',
          '127.0.0.1',
          '-p',
          port,
          '-U',
          'postgres',
          '-D',
          copy,
          '-X',
          'stream',
          '-c',
          'fast',
        );
        const lost = await uploads.send(toLines([{ id: 3 }]), { base: saved });
        expect([lost.status, await count()]).toEqual([200, 3]);

        await stop();
        await rm(data, { recursive: true });
        await rename(copy, data);
        await start();

        await expect.poll(count, { timeout: 20_000 }).toBe(2);
        const ahead = lost.result.generacion!;
        const known = expect.poll(() => uploads.ask({ vista_clientes: ahead }).catch(() => undefined), {
          timeout: 20_000,
        });
        await known.toEqual({ vista_clientes: null });
        expect(await uploads.ask({ vista_clientes: saved })).toEqual({ vista_clientes: saved });
        const refused = await uploads.open(toLines([{ id: 4 }]), { base: ahead });
        expect(refused.opened.problem).toMatchObject({ status: 409, code: 'GENERACION_DESCONOCIDA' });
        await uploads.sendWhole(toLines([{ id: 1 }, { id: 2 }, { id: 3 }, { id: 4 }]));
        expect(await count()).toBe(4);
      } finally {
        await server.close();
      }
    } finally {
      await stop();
      await rm(folder, { recursive: true, force: true });
    }
  },
  120_000,
);
