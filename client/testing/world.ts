import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SqlTarget } from '../../fixtures/sql.ts';
import { type OpenSqlServer, openSqlServer } from '../../fixtures/sql-server.ts';
import { startTestServer, type TestServer } from '../../server/testing/start-test-server.ts';
import { runInit } from '../commands/init.ts';
import { runSync, type SyncOptions } from '../commands/sync.ts';
import type { ExitReason } from '../errors/exit-codes.ts';
import { withSqlServer } from '../sqlserver/sql-server.ts';
import { silentProgress } from '../ui/progress.ts';

/** Where one of its databases is, and as whom. */
export type WorldSqlServer = SqlTarget & { trustServerCertificate: boolean };

/**
 * Everything a run of the agent meets, for real: a SQL Server (fixtures/sql-server.ts), the backend on PostgreSQL, an
 * install folder after `init`.
 */
export interface World {
  backend: TestServer;
  folder: string;
  /** Of the tenant's SQL Server, in its database `EmpresaDB`. */
  settings: WorldSqlServer;
  /** Of the other database there, `Almacen`. */
  almacen: WorldSqlServer;
  /** As OpenSqlServer.needs. */
  needs: OpenSqlServer['needs'];
  /** `configuracionTablas` from now on. */
  setTables(tables: object): Promise<void>;
  /** A batch at SQL Server, in `settings` or there. */
  execute(sql: string, where?: WorldSqlServer): Promise<void>;
  query(sql: string, where?: WorldSqlServer): Promise<Record<string, unknown>[]>;
  /** One `sync`, and the lines that it wrote. */
  sync(
    options?: Partial<
      Pick<
        SyncOptions,
        | 'folder'
        | 'upload'
        | 'download'
        | 'tablas'
        | 'usesSpool'
        | 'requiresApproval'
        | 'limiteKbps'
        | 'ahora'
        | 'desdeCero'
        | 'progress'
        | 'policy'
        | 'signal'
      >
    >,
  ): Promise<{ reason: ExitReason; log: string }>;
  /** Points the agent at other addresses in the backend's and SQL Server's place (proxies that break things). */
  init(url?: string, where?: Partial<WorldSqlServer>): Promise<void>;
  readFile(name: string): Promise<string>;
  close(): Promise<void>;
}

/** Starts a world on the PostgreSQL at `postgresUrl`. Sets SYNC_CONFIG_PASSWORD. */
export async function startWorld(postgresUrl: string): Promise<World> {
  const releases: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const release of releases.reverse()) await release();
  };
  try {
    const folder = await mkdtemp(join(tmpdir(), 'ax-world-'));
    releases.push(() => rm(folder, { recursive: true, force: true }));
    const sqlServer = await openSqlServer(postgresUrl, { databases: ['EmpresaDB', 'Almacen'] });
    releases.push(() => sqlServer.stop());
    const backend = await startTestServer(postgresUrl);
    releases.push(() => backend.close());

    const [settings, almacen] = [...sqlServer.databases.values()].map((target) => ({
      ...target,
      trustServerCertificate: target.encrypt,
    })) as [WorldSqlServer, WorldSqlServer];
    const signal = new AbortController().signal;
    process.env.SYNC_CONFIG_PASSWORD = 'Mi_Password_Super_Seguro_2024!';
    const world: World = {
      backend,
      folder,
      settings,
      almacen,
      needs: sqlServer.needs,
      setTables: (tables) => backend.setTables(tables),
      execute: async (sql, where = settings) => {
        await withSqlServer(where, { signal }, (db) => db.execute(sql));
      },
      query: (sql, where = settings) => withSqlServer(where, { signal }, (db) => db.query(sql)),
      sync: async (options = {}) => {
        const lines: string[] = [];
        const reason = await runSync({
          folder,
          upload: true,
          download: true,
          tablas: [],
          usesSpool: true,
          echo: (line) => lines.push(line),
          progress: silentProgress,
          signal,
          ...options,
        });
        return { reason, log: lines.join('\n') };
      },
      init: async (url = backend.url, where = {}) => {
        await runInit({
          folder,
          url,
          tenant: backend.tenant,
          key: backend.key,
          sqlServer: { ...settings, ...where },
          print: () => {},
          signal,
        });
      },
      readFile: (name) => readFile(join(folder, name), 'utf8'),
      close,
    };
    await world.init();
    return world;
  } catch (error) {
    await close();
    throw error;
  }
}
