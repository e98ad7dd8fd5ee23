import { type ConfigResponse, findConfigProblems } from '../../protocol/config.ts';
import { AgentError } from '../exit-codes.ts';
import type { Backend, KeyState } from '../http/backend.ts';
import type { SqlServerSettings } from '../sqlserver/connection.ts';
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
  const { key, changed } = await backend.fetchConfig(local.remote?.etag, signal);
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
  throw new AgentError(
    'configuracion',
    `La configuración del tenant «${config.tenantId}» en el backend no es válida:\n${lines.join('\n')}`,
    'Pida al administrador que corrija esos campos en configuracionTablas.',
  );
}

/** Where SQL Server is: what `init` was given, else what the backend says. */
export function sqlServerSettings(local: LocalConfig, config: ConfigResponse): SqlServerSettings {
  const own = local.sqlServer;
  return {
    host: own.host ?? config.sqlServerHost,
    port: own.port ?? config.sqlServerPort,
    database: own.database ?? config.sqlServerDatabase,
    user: own.user ?? config.sqlServerUser,
    password: own.password ?? config.sqlServerPassword,
    encrypt: own.encrypt,
    trustServerCertificate: own.trustServerCertificate,
  };
}
