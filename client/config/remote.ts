import { isSealedForAgent, openAsAgent } from '../../protocol/agent-key.ts';
import { type ConfigResponse, findConfigProblems } from '../../protocol/config.ts';
import {
  DEFAULT_SQL_PORT,
  parseLogin,
  parseServerName,
  SqlServerNameError,
  saysWhere,
} from '../../protocol/sql-server-name.ts';
import { agentError } from '../agent-error.ts';
import type { Backend, KeyState } from '../http/backend.ts';
import type { SqlServerSettings } from '../sqlserver/connection.ts';
import type { Endpoint } from '../sync/approval.ts';
import { agentIdIn } from './agent-key.ts';
import type { LocalConfig } from './local.ts';

/**
 * The configuration that holds for this run: the backend's, or the sealed copy where the backend says that it has not
 * changed. `changed` says that `local` (returned anew) is to be written, `key` until when the key holds.
 *
 * Throws AgentError `configuracion` that names every problem of an invalid configuration; the old copy is then kept.
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

/** Throws AgentError `configuracion` with one line for each problem. */
export function assertValidConfig(config: ConfigResponse): void {
  const problems = findConfigProblems(config.configuracionTablas);
  if (problems.length === 0) return;
  const lines = problems.map(({ campo, valor, regla }) => `  ${campo} = ${valor}: ${regla}`);
  throw agentError('TABLAS_INVALIDAS', { tenant: config.tenantId, campos: lines.join('\n') });
}

/**
 * Which SQL Server, and as whom: what `init` was given, else what the backend says. Throws AgentError
 * `SERVIDOR_SQL_INVALIDO`.
 */
export function sqlServerEndpoint({ sqlServer: own }: LocalConfig, config: ConfigResponse): Endpoint {
  const host = own.host ?? config.sqlServerHost;
  // The backend's port belongs to the backend's server: it says nothing of another that brings its own.
  const known = own.host !== undefined && saysWhere(own.host) ? DEFAULT_SQL_PORT : config.sqlServerPort;
  const endpoint = {
    host,
    port: own.port ?? known,
    database: own.database ?? config.sqlServerDatabase,
    user: own.user ?? config.sqlServerUser,
  };
  assertReadable(endpoint, own.port);
  return endpoint;
}

/**
 * `givenPort` is that of `init --sql-port`: beside it `host` says no other. What is undefined is not looked at. Throws
 * AgentError `SERVIDOR_SQL_INVALIDO`.
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

/** Where SQL Server is: what `init` was given, else what the backend says. Throws AgentError `configuracion`. */
export function sqlServerSettings(local: LocalConfig, config: ConfigResponse): SqlServerSettings {
  const own = local.sqlServer;
  return {
    ...sqlServerEndpoint(local, config),
    password: own.password ?? openPassword(local, config),
    encrypt: own.encrypt,
    trustServerCertificate: own.trustServerCertificate,
    ...(own.ca === undefined ? {} : { ca: own.ca }),
    ...(own.certificateName === undefined ? {} : { certificateName: own.certificateName }),
  };
}

/** The copy on the disk keeps it sealed; one that a backend without agents' keys answered is plain. */
function openPassword({ agentKey }: LocalConfig, { tenantId, sqlServerPassword }: ConfigResponse): string {
  if (!isSealedForAgent(sqlServerPassword)) return sqlServerPassword;
  const password = agentKey === undefined ? undefined : openAsAgent(agentKey, tenantId, sqlServerPassword);
  if (password !== undefined) return password;
  throw agentError('CONTRASENA_SQL_AJENA', {});
}
