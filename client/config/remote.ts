import { isSealedForAgent, openAsAgent, passwordPlaceOf } from '../../protocol/crypto/agent-key.ts';
import { defined } from '../../protocol/defined.ts';
import type { Conexion, ConfigResponse } from '../../protocol/tenant-config/config.ts';
import { findConfigProblems } from '../../protocol/tenant-config/config-problems.ts';
import { findConnectionProblems } from '../../protocol/tenant-config/connection-problems.ts';
import {
  DEFAULT_SQL_PORT,
  parseLogin,
  parseServerName,
  SqlServerNameError,
  saysWhere,
} from '../../protocol/tenant-config/sql-server-name.ts';
import { agentError } from '../errors/agent-error.ts';
import type { Backend, KeyState } from '../http/backend.ts';
import type { SqlServerSettings } from '../sqlserver/sql-server.ts';
import { agentIdIn } from './agent-key.ts';
import type { Endpoint, Endpoints } from './approval.ts';
import type { LocalConfig, LocalConnection } from './local.ts';

/**
 * Returns the configuration that holds for this run: the backend's, or the sealed copy where the backend says that it
 * has not changed. `changed` says that `local` (returned anew) is to be written, `key` until when the key holds.
 * @throws {AgentError} `configuracion` that names every problem of an invalid configuration; the old copy is then kept
 */
export async function refreshConfig(
  backend: Backend,
  local: LocalConfig,
  signal: AbortSignal,
): Promise<{ local: LocalConfig; config: ConfigResponse; changed: boolean; key: KeyState }> {
  const { key, changed } = await backend.fetchConfig(local.remote?.etag, signal, agentIdIn(local));
  if (changed === undefined) {
    if (local.remote === undefined) throw new Error('304 without If-None-Match');
    return { local, config: local.remote.config, changed: false, key };
  }
  assertValidConfig(changed.config);
  return { local: { ...local, remote: changed }, config: changed.config, changed: true, key };
}

/** @throws {AgentError} TABLAS_INVALIDAS with one line for each problem */
export function assertValidConfig(config: ConfigResponse): void {
  const problems = [
    ...findConfigProblems(config.configuracionTablas),
    ...findConnectionProblems(config.sqlServerConexiones ?? {}),
  ];
  if (problems.length === 0) return;
  const lines = problems.map(({ campo, valor, regla }) => `  ${campo} = ${valor}: ${regla}`);
  throw agentError('TABLAS_INVALIDAS', { tenant: config.tenantId, campos: lines.join('\n') });
}

/**
 * Returns every SQL Server of the tenant, and as whom, by name: first the one without.
 * @throws {AgentError} `SERVIDOR_SQL_INVALIDO`
 */
export function sqlServerEndpoints(local: LocalConfig, config: ConfigResponse): Endpoints {
  const names = [undefined, ...connectionNames(config)];
  return new Map(names.map((name) => [name, endpointOf(findConnection(local, config, name))]));
}

/**
 * Checks that `host` can be read. `givenPort` is that of `--sql-port`: beside it `host` says no other. What is
 * undefined is not looked at.
 * @throws {AgentError} `SERVIDOR_SQL_INVALIDO`
 */
export function assertReadable(
  { host, port, user }: { host?: string; port?: number; user?: string },
  givenPort: number | undefined,
): void {
  try {
    if (host !== undefined && givenPort !== undefined && saysWhere(host)) {
      throw new SqlServerNameError(`«${host}» dice ya la instancia o el puerto, y además hay --sql-port ${givenPort}`);
    }
    if (host !== undefined) parseServerName(host, port);
    if (user !== undefined) parseLogin(user);
  } catch (cause) {
    if (!(cause instanceof SqlServerNameError)) throw cause;
    throw agentError('SERVIDOR_SQL_INVALIDO', { motivo: cause.message }, cause);
  }
}

/** Returns the connections that the backend's configuration has beside the one without a name. */
export function connectionNames({ sqlServerConexiones = {} }: ConfigResponse): string[] {
  return Object.keys(sqlServerConexiones);
}

/**
 * Returns where the SQL Server of a connection is: what this machine was told of it (`init`, `connection set`), else
 * what the backend says.
 * @throws {AgentError} `configuracion`
 */
export function sqlServerSettings(
  local: LocalConfig,
  config: ConfigResponse,
  name?: string,
): SqlServerSettings & Endpoint {
  const found = findConnection(local, config, name);
  const { own } = found;
  return {
    ...endpointOf(found),
    password: own.password ?? openPassword(local, config.tenantId, found),
    encrypt: own.encrypt,
    trustServerCertificate: own.trustServerCertificate,
    ...defined({ ca: own.ca, certificateName: own.certificateName }),
  };
}

/** A connection whose certificate is checked: what holds where this machine was told nothing. */
export const untouched: LocalConnection = { encrypt: true, trustServerCertificate: false };

interface FoundConnection {
  name: string | undefined;
  told: Conexion;
  own: LocalConnection;
}

function findConnection(local: LocalConfig, config: ConfigResponse, name: string | undefined): FoundConnection {
  if (name === undefined) {
    const { sqlServerHost: host, sqlServerPort: port, sqlServerDatabase: database, sqlServerUser: user } = config;
    return { name, told: { host, port, database, user, password: config.sqlServerPassword }, own: local.sqlServer };
  }
  const told = entryOf(config.sqlServerConexiones, name);
  if (told !== undefined) return { name, told, own: entryOf(local.conexiones, name) ?? untouched };
  const names = connectionNames(config);
  throw agentError('CONEXION_DESCONOCIDA', {
    ...{ nombre: name, tenant: config.tenantId, hay: names.join(', ') || '(ninguna)' },
  });
}

function endpointOf({ told, own }: FoundConnection): Endpoint {
  // The backend's port belongs to the backend's server: it says nothing of another that brings its own.
  const known = own.host !== undefined && saysWhere(own.host) ? undefined : told.port;
  const endpoint = {
    host: own.host ?? told.host,
    port: own.port ?? known ?? DEFAULT_SQL_PORT,
    database: own.database ?? told.database,
    user: own.user ?? told.user,
  };
  assertReadable(endpoint, own.port);
  return endpoint;
}

/** The copy on the disk keeps it sealed; one that a backend without agents' keys answered is plain. */
function openPassword({ agentKey }: LocalConfig, tenant: string, { name, told }: FoundConnection): string {
  const { password: sent } = told;
  const which = name === undefined ? 'SQL Server' : `la conexión «${name}»`;
  if (sent === undefined) {
    throw agentError('CONEXION_SIN_CONTRASENA', { nombre: name! });
  }
  if (!isSealedForAgent(sent)) return sent;
  const password = agentKey === undefined ? undefined : openAsAgent(agentKey, passwordPlaceOf(tenant, name), sent);
  if (password !== undefined) return password;
  throw agentError('CONTRASENA_SQL_AJENA', { conexion: which });
}

function entryOf<T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined {
  return record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;
}
