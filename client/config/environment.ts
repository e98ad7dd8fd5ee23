import { dirname, resolve } from 'node:path';
import { AgentError } from '../exit-codes.ts';

/** The only place that reads the environment and the place of the program. */

/** The password of `sync-config.enc`. Throws AgentError `configuracion` when it is not set. */
export function readConfigPassword(): string {
  const password = process.env.SYNC_CONFIG_PASSWORD;
  if (password === undefined || password === '') {
    throw new AgentError(
      'configuracion',
      'Falta la variable de entorno SYNC_CONFIG_PASSWORD, que abre sync-config.enc.',
      'Defínala antes de ejecutar (set SYNC_CONFIG_PASSWORD=…) o, en el servidor, como variable del sistema.',
    );
  }
  return password;
}

let proxyVariables: { https?: string; http?: string; all?: string; none?: string } | undefined;

/**
 * The variables that name a proxy. They are taken away: the runtime would follow them by rules of its own, and then what
 * the agent says of its way to the backend might not be so.
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
    ...(https === undefined ? {} : { https }),
    ...(http === undefined ? {} : { http }),
    ...(all === undefined ? {} : { all }),
    ...(none === undefined ? {} : { none }),
  };
  return proxyVariables;
}

/**
 * The install folder: `--carpeta`, else the folder of the compiled exe (Task Scheduler starts it anywhere), else the
 * current folder (run from source).
 */
export function findInstallFolder(given: string | undefined): string {
  if (given !== undefined) return resolve(given);
  // Inside a compiled program Bun serves the sources from a virtual disk of this name.
  const compiled = /^(\/\$bunfs\/|[A-Z]:[\\/]~BUN[\\/])/i.test(Bun.main);
  return compiled ? dirname(process.execPath) : process.cwd();
}
