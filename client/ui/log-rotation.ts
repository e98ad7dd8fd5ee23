import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { namesIn } from '../files/disk.ts';
import { localTimestamp } from './words.ts';

/**
 * The files of one log: `<name>.log`, and behind it `<name>-2024-01-15-1.log` for each day or 10 MB that is over. Those
 * are kept for 30 days, and 100 MB of them: with the one that is written, no log passes 110 MB.
 */
export const ROTATION = { size: '10M', interval: '1d' } as const;
export const KEPT_DAYS = 30;
export const KEPT_BYTES = 100 * 1024 * 1024;

export type LogName = 'sync-combined' | 'sync-error';

/** Returns the name that rotating-file-stream asks for: `time` null for the file that is written. */
export function logFileName(name: LogName, time: number | Date | null, index = 1): string {
  if (time === null) return `${name}.log`;
  return `${name}-${localTimestamp(new Date(time)).slice(0, 10)}-${index}.log`;
}

/** Paths of the log's files, newest first, the one that is written at the head (whether it exists or not). */
export async function findLogFiles(folder: string, name: LogName): Promise<string[]> {
  const old: { file: string; day: string; index: number }[] = [];
  for (const file of await namesIn(folder)) {
    const match = /^(.+)-(\d{4}-\d\d-\d\d)-(\d+)\.log$/.exec(file);
    if (match?.[1] === name) old.push({ file, day: match[2]!, index: Number(match[3]) });
  }
  old.sort((a, b) => (a.day === b.day ? b.index - a.index : a.day < b.day ? 1 : -1));
  return [logFileName(name, null), ...old.map(({ file }) => file)].map((file) => join(folder, file));
}

/** Removes what is too old or too much. A file that cannot be removed (open in an editor) stays for the next time. */
export async function pruneLog(folder: string, name: LogName, now: Date = new Date()): Promise<void> {
  const oldest = now.getTime() - KEPT_DAYS * 86_400_000;
  let bytes = 0;
  for (const path of (await findLogFiles(folder, name)).slice(1)) {
    const file = await stat(path).catch(() => undefined);
    if (file === undefined) continue;
    bytes += file.size;
    if (bytes > KEPT_BYTES || file.mtimeMs < oldest) await rm(path, { force: true }).catch(() => {});
  }
}
