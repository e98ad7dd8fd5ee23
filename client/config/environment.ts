import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { AgentError } from '../exit-codes.ts';

/** The only place that reads the environment and the place of the program. */

/**
 * The password of `sync-config.enc`: `SYNC_CONFIG_PASSWORD`, else the first line of the file that
 * `SYNC_CONFIG_PASSWORD_FILE` names. Throws AgentError `configuracion` when neither says one.
 */
export function readConfigPassword(): string {
  const { SYNC_CONFIG_PASSWORD: password, SYNC_CONFIG_PASSWORD_FILE: path } = process.env;
  if (password !== undefined && password !== '') return password;
  if (path !== undefined && path !== '') return readPasswordFile(path);
  throw new AgentError(
    'configuracion',
    'Falta la variable de entorno SYNC_CONFIG_PASSWORD, que abre sync-config.enc.',
    'Defínala antes de ejecutar (set SYNC_CONFIG_PASSWORD=…), o nombre en SYNC_CONFIG_PASSWORD_FILE un archivo que la tenga.',
  );
}

/** `--archivo-password` stands for `SYNC_CONFIG_PASSWORD_FILE` and wins over both variables. */
export function usePasswordFile(path: string | undefined): void {
  if (path === undefined) return;
  delete process.env.SYNC_CONFIG_PASSWORD;
  process.env.SYNC_CONFIG_PASSWORD_FILE = resolve(path);
}

function readPasswordFile(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new AgentError(
      'configuracion',
      `No se puede leer la contraseña de ${path}: ${(cause as Error).message}.`,
      'Solo la cuenta de la tarea programada puede leerlo: a mano, use SYNC_CONFIG_PASSWORD.',
      cause,
    );
  }
  // Editors of Windows put a byte order mark in front and a line end behind.
  const [line = ''] = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  if (line !== '') return line;
  throw new AgentError(
    'configuracion',
    `${path} está vacío: falta la contraseña.`,
    'Ejecute de nuevo schedule install.',
  );
}

/**
 * The install folder: `--carpeta`, else the folder of the compiled exe (Task Scheduler starts it anywhere), else the
 * current folder (run from source).
 */
export function findInstallFolder(given: string | undefined): string {
  if (given !== undefined) return resolve(given);
  return isCompiled() ? dirname(process.execPath) : process.cwd();
}

/** What a scheduled task has to start: the exe, or Bun with the sources. */
export function ownCommand(): [string, ...string[]] {
  return isCompiled() ? [process.execPath] : [process.execPath, Bun.main];
}

/** Inside a compiled program Bun serves the sources from a virtual disk of this name. */
function isCompiled(): boolean {
  return /^(\/\$bunfs\/|[A-Z]:[\\/]~BUN[\\/])/i.test(Bun.main);
}
