import { dirname, join, resolve } from 'node:path';
import { defined } from '../../protocol/defined.ts';
import { agentError } from '../errors/agent-error.ts';

/** The only place that reads the environment and the place of the program. */

/** What systemd gives the service of `schedule install` (schedule/systemd.ts): the password, opened for its run alone. */
export const CREDENTIAL = 'ax-sync-password';

/** Reads where the password of `sync-config.enc` comes from (password.ts); empty ones count as missing. */
export function readPasswordSettings(): Record<'password' | 'file' | 'credential', string | undefined> {
  const given = (text: string | undefined) => (text === '' ? undefined : text);
  const credentials = given(process.env.CREDENTIALS_DIRECTORY);
  return {
    password: given(process.env.SYNC_CONFIG_PASSWORD),
    file: given(process.env.SYNC_CONFIG_PASSWORD_FILE),
    credential: credentials === undefined ? undefined : join(credentials, CREDENTIAL),
  };
}

/** Applies `--archivo-password`, which stands for `SYNC_CONFIG_PASSWORD_FILE` and wins over both variables. */
export function usePasswordFile(path: string | undefined): void {
  if (path === undefined) return;
  delete process.env.SYNC_CONFIG_PASSWORD;
  process.env.SYNC_CONFIG_PASSWORD_FILE = resolve(path);
}

/**
 * Returns the password of a file of `data-key export`.
 * @throws {AgentError} `configuracion` when it is not set
 */
export function readTransferPassword(): string {
  const password = process.env.SYNC_DATA_KEY_PASSWORD;
  if (password !== undefined && password !== '') return password;
  throw agentError('CONTRASENA_DE_TRASLADO_AUSENTE', {});
}

let proxyVariables: { https?: string; http?: string; all?: string; none?: string } | undefined;

/**
 * Takes the variables that name a proxy out of the environment: the runtime would follow them by rules of its own, and
 * then what the agent says of its way to the backend might not be so.
 */
export function takeProxyVariables(): NonNullable<typeof proxyVariables> {
  const take = (name: string) => {
    const found = [name, name.toLowerCase()].map((spelling) => {
      const value = process.env[spelling];
      delete process.env[spelling];
      return value === '' ? undefined : value;
    });
    return found[0] ?? found[1];
  };
  const [https, http, all, none] = ['HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY', 'NO_PROXY'].map(take);
  proxyVariables ??= {
    ...defined({ https, http, all, none }),
  };
  return proxyVariables;
}

/**
 * Returns the install folder: `--carpeta`, else the folder of the compiled exe (Task Scheduler starts it anywhere),
 * else the current folder (run from source).
 */
export function findInstallFolder(given: string | undefined): string {
  if (given !== undefined) return resolve(given);
  return isCompiled() ? dirname(process.execPath) : process.cwd();
}

/** Returns what a scheduled task has to start: the exe, or Bun with the sources. */
export function ownCommand(): [string, ...string[]] {
  return isCompiled() ? [process.execPath] : [process.execPath, Bun.main];
}

/** Inside a compiled program Bun serves the sources from a virtual disk of this name. */
function isCompiled(): boolean {
  return /^(\/\$bunfs\/|[A-Z]:[\\/]~BUN[\\/])/i.test(Bun.main);
}
