import type { FastifyInstance } from 'fastify';
import pg from 'pg';
import { createScratchDatabase, runOnce, type ScratchDatabase } from '../../fixtures/postgres.ts';
import { API_PREFIX, headers } from '../../protocol/constants.ts';
import { buildApp } from '../app.ts';
import { type Config, loadConfig } from '../config.ts';
import { migrate } from '../postgres/migrate.ts';
import { createApiKey } from '../tenants/api-keys.ts';
import { createConfiguration } from '../tenants/configurations.ts';
import { watchAnswers } from './declared-answers.ts';

/** A server that listens, on a database of its own, with one tenant and its key. */
export interface TestServer {
  app: FastifyInstance;
  /** `http://127.0.0.1:<port>`. */
  url: string;
  databaseUrl: string;
  /** Connections as the superuser, to arrange and to look; the server itself is the owner of the database. */
  sql: pg.Pool;
  tenant: string;
  key: string;
  /** Adds a tenant with these tables; its key. */
  addTenant(tenant: string, tables?: object): Promise<string>;
  /** Replaces the tables of a tenant. */
  setTables(tables: object, tenant?: string): Promise<void>;
  /** A copy of the database as it is now; calling it restores that state, as from a backup, as often as one likes. */
  backUp(): Promise<() => Promise<void>>;
  /** fetch below /api/sync as the tenant (or another), JSON bodies serialised. */
  call(path: string, init?: CallInit): Promise<Response>;
  /** Throws where it has answered what its endpoints do not declare. */
  close(): Promise<void>;
}

export interface CallInit extends RequestInit {
  tenant?: string;
  key?: string;
  json?: unknown;
}

/** Starts one on a scratch database of the PostgreSQL at `postgresUrl`. `settings` override the configuration. */
export async function startTestServer(
  postgresUrl: string,
  { tables = {}, settings = {} }: { tables?: object; settings?: Partial<Config> } = {},
): Promise<TestServer> {
  const scratch = await createScratchDatabase(postgresUrl);
  const sql = new pg.Pool({ connectionString: scratch.adminUrl, max: 3 });
  // Connections end when the database is restored.
  sql.on('error', () => {});
  const copies: string[] = [];
  const backUp = async () => {
    const copy = `${scratch.name}_${copies.length}`;
    copies.push(copy);
    await copyDatabase(postgresUrl, scratch.name, scratch.name, copy);
    return () => copyDatabase(postgresUrl, scratch.name, copy, scratch.name);
  };
  let app: FastifyInstance | undefined;
  let undeclared: ReadonlySet<string> = new Set();
  const close = async () => {
    await app?.close();
    await sql.end();
    await runOnce(postgresUrl, ...copies.map((copy) => `DROP DATABASE IF EXISTS "${copy}" WITH (FORCE)`));
    await scratch.drop();
    if (undeclared.size > 0) throw new Error(`answers that no endpoint declares:\n${[...undeclared].join('\n')}`);
  };
  try {
    await migrate(scratch.url);
    const config = { ...loadConfig({ ...addressesOf(scratch), LOG_LEVEL: 'silent' }), ...settings };
    app = await buildApp(config);
    undeclared = watchAnswers(app.server);
    const url = await app.listen({ host: '127.0.0.1', port: 0 });
    const setTables = async (next: object, tenant = 'acme-001') => {
      await sql.query('UPDATE sync_configurations SET "configuracionTablas" = $2 WHERE "tenantId" = $1', [
        tenant,
        JSON.stringify(next),
      ]);
    };
    const addTenant = async (tenant: string, next: object = {}) => {
      const connection = await sql.connect();
      try {
        const server = {
          host: '192.168.1.100',
          port: 1433,
          database: 'EmpresaDB',
          user: 'sync_user',
          password: 'secreto',
        };
        await createConfiguration(connection, { tenantId: tenant, ...server });
        await setTables(next, tenant);
        return await createApiKey(connection, tenant, { nombre: 'prueba' });
      } finally {
        connection.release();
      }
    };
    const tenant = 'acme-001';
    const key = await addTenant(tenant, tables);
    const call = (path: string, { tenant: as = tenant, key: withKey = key, json, ...init }: CallInit = {}) => {
      const sent = new Headers(init.headers);
      sent.set(headers.tenant, as);
      sent.set(headers.apiKey, withKey);
      if (json !== undefined) sent.set('content-type', 'application/json');
      const body = json === undefined ? init.body : JSON.stringify(json);
      return fetch(`${url}${API_PREFIX}${path}`, { ...init, headers: sent, ...(body == null ? {} : { body }) });
    };
    return { app, url, databaseUrl: scratch.url, sql, tenant, key, addTenant, setTables, backUp, call, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Returns how a server reaches the database: as it is, or through the pooler and past it. */
export function addressesOf({ url, pooledUrl }: ScratchDatabase): Record<string, string> {
  return pooledUrl === undefined ? { DATABASE_URL: url } : { DATABASE_URL: pooledUrl, DATABASE_DIRECT_URL: url };
}

/** Puts a copy of the database `from` in the place of `to`. Connections to both end. */
async function copyDatabase(postgresUrl: string, owner: string, from: string, to: string): Promise<void> {
  await runOnce(
    postgresUrl,
    `DROP DATABASE IF EXISTS "${to}" WITH (FORCE)`,
    // A template may not be in use: nobody gets in while it is copied.
    `ALTER DATABASE "${from}" ALLOW_CONNECTIONS false`,
    `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${from}'`,
    `CREATE DATABASE "${to}" TEMPLATE "${from}" OWNER "${owner}"`,
    `ALTER DATABASE "${from}" ALLOW_CONNECTIONS true`,
  );
}
