import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AgentError, agentError } from '../errors/agent-error.ts';
import { isMissingFile, writeFileAtomically } from '../files/files.ts';
import { protectForMachine, unprotectForMachine } from './dpapi.ts';
import { readPasswordSettings } from './environment.ts';

/** The password of `sync-config.enc`: from the environment, a file, or sealed by Windows for this machine. */

const FILE_NAME = 'sync-password.dpapi';
const MAX_FILE_BYTES = 4096;

/**
 * Returns `SYNC_CONFIG_PASSWORD`, else what `SYNC_CONFIG_PASSWORD_FILE` holds (without its last line end; a `.dpapi` is
 * opened by Windows), else what systemd gives the service, else what `init --dpapi` left in the install folder.
 * `command`: PowerShell (dpapi.ts).
 * @throws {AgentError} `configuracion`: none of them, or one that cannot be read
 */
export async function readConfigPassword(folder: string, command?: string): Promise<string> {
  const { password, file, credential } = readPasswordSettings();
  if (password !== undefined) return password;
  if (file?.endsWith('.dpapi')) return unprotectForMachine(await readPasswordFile(file), command);
  if (file !== undefined) return readPasswordFile(file);
  // Another service may run the agent, with credentials of its own.
  if (credential !== undefined && existsSync(credential)) return readPasswordFile(credential);
  const sealed = await readSealed(folder);
  if (sealed !== undefined) return unprotectForMachine(sealed, command);
  throw agentError('CONTRASENA_AUSENTE', {});
}

const MIN_LENGTH = 12;
const MIN_DIFFERENT = 5;

/**
 * Returns whether a password of that kind is taken for something new; those of an earlier version open what they sealed
 * all the same.
 */
export function isStrongPassword(password: string): boolean {
  const characters = [...password.normalize('NFKC')];
  return characters.length >= MIN_LENGTH && new Set(characters).size >= MIN_DIFFERENT;
}

/**
 * Checks a password that is to seal something new; `origen`: where it was given.
 * @throws {AgentError} CONTRASENA_DEBIL
 */
export function assertStrongPassword(password: string, origen: string): void {
  if (isStrongPassword(password)) return;
  throw agentError('CONTRASENA_DEBIL', { origen, minimo: MIN_LENGTH, distintos: MIN_DIFFERENT });
}

/**
 * Returns, for `init --dpapi`, the password that is there, else a new one that nobody needs to know. `store` writes it.
 * `command`: PowerShell (dpapi.ts).
 * @throws {AgentError} `configuracion`
 */
export async function makeMachinePassword(
  folder: string,
  command?: string,
): Promise<{ password: string; store: () => Promise<void> }> {
  const there = await readSealed(folder);
  if (there !== undefined) return { password: await unprotectForMachine(there, command), store: async () => {} };
  const password = randomBytes(32).toString('base64url');
  const sealed = await protectForMachine(password, command);
  return { password, store: () => writeFileAtomically(join(folder, FILE_NAME), `${sealed}\n`) };
}

async function readSealed(folder: string): Promise<string | undefined> {
  try {
    return (await readFile(join(folder, FILE_NAME), 'utf8')).trim();
  } catch (cause) {
    if (isMissingFile(cause)) return undefined;
    throw unreadable(join(folder, FILE_NAME), (cause as Error).message, cause);
  }
}

async function readPasswordFile(file: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw unreadable(file, (cause as Error).message, cause);
  }
  const password = text.replace(/^\uFEFF/, '').replace(/\r?\n$/, '');
  if (password === '') throw unreadable(file, 'está vacío');
  if (/[\r\n\0]/.test(password) || text.length > MAX_FILE_BYTES) {
    throw unreadable(file, 'debe tener una sola línea de texto UTF-8, con la contraseña');
  }
  return password;
}

function unreadable(file: string, why: string, cause?: unknown): AgentError {
  return agentError('ARCHIVO_DE_CONTRASENA', { archivo: file, motivo: why }, cause);
}
