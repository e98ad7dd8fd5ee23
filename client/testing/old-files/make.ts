import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startPostgres } from '../../../fixtures/postgres.ts';
import { createDataKey, exportDataKey } from '../../commands/data-key.ts';
import { runInit } from '../../commands/init.ts';
import { runSync } from '../../commands/sync.ts';
import { silentProgress } from '../../ui/progress.ts';
import { startWorld } from '../world.ts';
import { oldInstall, oldRows, oldTables, startNamedBackend } from './old-install.ts';

/**
 * `bun client/testing/old-files/make.ts FOLDER`: leaves in FOLDER what real runs of the agent leave behind that are cut
 * off: a table that is through, one that is read and not committed, one of which two ranges are read, a run's entries that
 * the backend has not got. Run once for each format; see README.md.
 */
const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error('which FOLDER?');
const postgres = await startPostgres({ durable: false });
const backend = await startNamedBackend();
const world = await startWorld(postgres.url);
try {
  backend.target = world.backend.url;
  process.env.SYNC_CONFIG_PASSWORD = oldInstall.password;
  process.env.SYNC_DATA_KEY_PASSWORD = oldInstall.transferPassword;
  await world.execute(oldTables);
  for (const table of ['articulos', 'movimientos']) await world.execute(oldRows(table));
  await world.setTables(oldInstall.tables);
  await world.backend.sql.query('DELETE FROM sync_agents');
  const { url, tenant } = oldInstall;
  const { encrypt, host, port, database, user, password } = world.settings as Required<typeof world.settings>;
  const print = console.log;
  const never = new AbortController().signal;
  const sqlServer = { host, port, database, user, password, encrypt, trustServerCertificate: false };
  await runInit({
    ...{ folder, url, tenant, key: world.backend.key, allowsHttp: true, sqlServer, print, signal: never },
  });
  await createDataKey({ folder, print });
  await exportDataKey({ folder, file: join(folder, 'clave.axk'), print });

  const policy = { attempts: 1, firstDelayMs: 1, maxDelayMs: 1, maxTotalMs: 1, maxRetryAfterMs: 1 };
  const options = { folder, upload: true, download: true, usesSpool: true, echo: print, policy };
  backend.refuse = /^(PUT \S+\/chunks\/|POST \S+\/(commit$|logs\/))/;
  const tablas = ['vista_proveedores', 'vista_articulos'];
  console.log(await runSync({ ...options, tablas, progress: silentProgress, signal: never }));
  const stop = new AbortController();
  let rows = 0;
  const progress = {
    ...silentProgress,
    rows: (more: number) => {
      rows += more;
      if (rows >= 600) stop.abort(new DOMException('interrupted', 'AbortError'));
    },
  };
  console.log(await runSync({ ...options, tablas: ['vista_movimientos'], progress, signal: stop.signal }));
  await writeFile(join(folder, 'sync-password.key'), `${oldInstall.password}\n`);
} finally {
  await backend.close();
  await world.close();
  await postgres.stop();
}
