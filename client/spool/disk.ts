import { open, readdir } from 'node:fs/promises';
import { isMissingFile } from '../config/files.ts';
import { AgentError } from '../exit-codes.ts';

/** What the spool asks of the file system. */

/** The disk does not take a chunk. The upload can go on without it. */
export class SpoolUnusable extends AgentError {
  constructor(path: string, cause: NodeJS.ErrnoException) {
    const full = cause.code === 'ENOSPC' || cause.code === 'EDQUOT';
    const what = full ? 'no queda espacio en el disco' : cause.message;
    super(
      'error',
      `No se puede escribir en ${path}: ${what}.`,
      full ? 'Libere espacio o baje spoolMaxMb.' : 'Revise la carpeta y sus permisos.',
      cause,
    );
    this.name = 'SpoolUnusable';
  }
}

/** Whether it is the file system that failed. */
export function isDiskError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}

/** Runs what writes at `path`; an error of the file system becomes SpoolUnusable. */
export async function onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isDiskError(error) ? new SpoolUnusable(path, error) : error;
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

/** The names in a folder; none where it does not exist. */
export async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (cause) {
    if (isMissingFile(cause)) return [];
    throw cause;
  }
}
