import { chmod, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Writes a whole file or leaves the old one: a temporary file beside it, fsync, rename. Mode 0600 (Windows ignores it).
 *
 * The name of the temporary file carries the process id, so that two writers never share one.
 */
export async function writeFileAtomically(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw cause;
  }
}

/**
 * Syncs a folder, so that the names in it survive a power cut. Windows keeps them in the file system's own journal.
 */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Makes a folder that its owner alone may enter, and closes it and the files in it where an earlier version left them open to
 * others. Windows has access lists in the place of modes. Throws what the disk says where the folder cannot be made.
 */
export async function makePrivateFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  if (process.platform === 'win32') return;
  const names = await readdir(path);
  for (const each of [path, ...names.map((name) => join(path, name))]) await closeToOthers(each);
}

/** Whose file belongs to another account cannot be closed: that is its owner's to do. */
async function closeToOthers(path: string): Promise<void> {
  const { mode } = (await stat(path).catch(() => undefined)) ?? { mode: 0 };
  if ((mode & 0o077) !== 0) await chmod(path, mode & 0o700).catch(() => {});
}

/** Returns whether the file exists, holds something, and ends amid a line: whoever wrote it was killed. */
export async function endsAmidLine(path: string): Promise<boolean> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    if (isMissingFile(cause)) return undefined;
    throw cause;
  });
  if (file === undefined) return false;
  try {
    const { size } = await file.stat();
    if (size === 0) return false;
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, size - 1);
    return buffer[0] !== 0x0a;
  } finally {
    await file.close();
  }
}

/** Returns whether `error` says that a file or folder does not exist. */
export function isMissingFile(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOENT';
}
