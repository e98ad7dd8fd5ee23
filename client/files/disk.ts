import { open, readdir } from 'node:fs/promises';
import { AgentError, agentError } from '../errors/agent-error.ts';
import { isMissingFile } from './files.ts';

/** What the spool asks of the file system. */

/** Returns whether the disk did not take a chunk. The upload can go on without it. */
export function isSpoolUnusable(error: unknown): boolean {
  return error instanceof AgentError && (error.code === 'DISCO_LLENO' || error.code === 'SPOOL_NO_ESCRIBIBLE');
}

function spoolUnusable(path: string, cause: NodeJS.ErrnoException): AgentError {
  const full = cause.code === 'ENOSPC' || cause.code === 'EDQUOT';
  return full
    ? agentError('DISCO_LLENO', { carpeta: path }, cause)
    : agentError('SPOOL_NO_ESCRIBIBLE', { carpeta: path, motivo: cause.message }, cause);
}

/** Returns whether it is the file system that failed. */
export function isDiskError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}

/** Runs what writes at `path`; an error of the file system becomes AgentError DISCO_LLENO or SPOOL_NO_ESCRIBIBLE. */
export async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isDiskError(error) ? spoolUnusable(path, error) : error;
  }
}

/** Writes a file; it is on the disk when this resolves. */
export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Lists the names in a folder; none where it does not exist. */
export async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (cause) {
    if (isMissingFile(cause)) return [];
    throw cause;
  }
}
