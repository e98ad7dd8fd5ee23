import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startSqlServer } from '../../fixtures/sqlserver/server.ts';
import { createEngine } from '../../fixtures/sqlserver/tsql/engine.ts';
import { startTestServer, type TestServer } from '../../server/testing/start-test-server.ts';
import { runInit } from '../commands/init.ts';
import { runSync, type SyncOptions } from '../commands/sync.ts';
import type { ExitReason } from '../errors/exit-codes.ts';
import { type SqlServer, type SqlServerSettings, withSqlServer } from '../sqlserver/sql-server.ts';
import { silentProgress } from '../ui/progress.ts';

/**
 * Everything a run of the agent meets, for real: a SQL Server (the stand-in), the backend on PostgreSQL, an install
 * folder after `init`.
 */
export interface World {
  backend: TestServer;
  folder: string;
  settings: SqlServerSettings;
  /** `configuracionTablas` from now on. */
  setTables(tables: object): Promise<void>;
  /** A batch at SQL Server, in `EmpresaDB` or in the other database, `Almacen`. */
  execute(sql: string, database?: string): Promise<void>;
  query(sql: string, database?: string): Promise<Record<string, unknown>[]>;
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
  init(url?: string, sqlPort?: number): Promise<void>;
  readFile(name: string): Promise<string>;
  close(): Promise<void>;
}

const LOGIN = { user: 'sync_user', password: 'Clave_SQL_9' };

/** Starts a world on the PostgreSQL at `postgresUrl`. Sets SYNC_CONFIG_PASSWORD. */
export async function startWorld(postgresUrl: string): Promise<World> {
  const releases: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const release of releases.reverse()) await release();
  };
  try {
    const folder = await mkdtemp(join(tmpdir(), 'ax-world-'));
    releases.push(() => rm(folder, { recursive: true, force: true }));
    const engine = await createEngine({ postgresUrl, databases: ['EmpresaDB', 'Almacen'] });
    releases.push(() => engine.close());
    const sqlServer = await startSqlServer({ engine, logins: { [LOGIN.user]: LOGIN.password }, encrypt: 'off' });
    releases.push(() => sqlServer.stop());
    const backend = await startTestServer(postgresUrl);
    releases.push(() => backend.close());

    const settings = { ...LOGIN, host: '127.0.0.1', port: sqlServer.port, database: 'EmpresaDB', encrypt: false };
    const signal = new AbortController().signal;
    const use = <T>(database: string, work: (db: SqlServer) => Promise<T>) =>
      withSqlServer({ ...settings, database }, { signal }, work);
    process.env.SYNC_CONFIG_PASSWORD = 'Mi_Password_Super_Seguro_2024!';
    const world: World = {
      backend,
      folder,
      settings,
      setTables: (tables) => backend.setTables(tables),
      execute: async (sql, database = settings.database) => {
        await use(database, (db) => db.execute(sql));
      },
      query: (sql, database = settings.database) => use(database, (db) => db.query(sql)),
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
      init: async (url = backend.url, port = sqlServer.port) => {
        const { encrypt, ...rest } = settings;
        await runInit({
          folder,
          url,
          tenant: backend.tenant,
          key: backend.key,
          sqlServer: { ...rest, port, encrypt, trustServerCertificate: false },
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
