import { join } from 'node:path';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import { defined } from '../../protocol/defined.ts';
import { visibleEntry, visibleLine } from '../../protocol/visible.ts';
import { endsAmidLine, makePrivateFolder } from '../files/files.ts';
import { type LogName, logFileName, pruneLog, ROTATION } from './log-rotation.ts';
import type { Secrets } from './secrets.ts';
import { cut, localTimestamp } from './words.ts';

/**
 * The agent's own log: `logs/sync-combined.log` (everything) and `logs/sync-error.log` (errors), one readable line an
 * entry: `2024-01-15 10:30:00.123 INFO  vista_proveedores: texto`. rotation.ts says how long they are kept.
 */
export interface Log {
  info(text: string, tabla?: string): void;
  warn(text: string, tabla?: string): void;
  error(text: string, tabla?: string): void;
}

/** Gets every line too: as it stands in the file, and in parts. */
export type LogEcho = (line: string, level: LogLevel, entry: { hora: string; tabla?: string; texto: string }) => void;
export type LogLevel = 'info' | 'warn' | 'error';

/** Characters of an entry: what a database says may be long, and the files are bounded. */
const MAX_TEXT = 32_000;
const levelNames: Record<LogLevel, string> = { info: 'INFO ', warn: 'AVISO', error: 'ERROR' };

/**
 * Lends a log to `use`; what was written is on disk when it ends. `echo` gets every line too (the terminal).
 *
 * A folder that cannot be written does not stop the run: then `echo` alone gets the lines, and the reason first.
 */
export async function withLog<T>(
  folder: string,
  secrets: Secrets,
  echo: LogEcho,
  use: (log: Log) => Promise<T>,
): Promise<T> {
  const tell = (texto: string) => echo(texto, 'warn', { hora: localTimestamp(new Date()), texto });
  const logs = join(folder, 'logs');
  const torn: string[] = [];
  const files = await openFiles(logs, torn, (reason) => tell(`No se puede escribir en ${logs}: ${reason}`));
  const write = (level: LogLevel) => (text: string, tabla?: string) => {
    const hora = localTimestamp(new Date());
    const prefix = tabla === undefined ? '' : visibleLine(secrets.scrub(`${tabla}: `));
    // Of the backend or of SQL Server, in part; set in, no line of it looks like an entry.
    const texto = cut(visibleEntry(secrets.scrub(text)), MAX_TEXT);
    const line = `${hora} ${levelNames[level]} ${prefix}${texto}`;
    files?.combined.write(`${line}\n`);
    if (level === 'error') files?.errors.write(`${line}\n`);
    echo(line, level, { hora, texto, ...defined({ tabla }) });
  };
  try {
    const log: Log = { info: write('info'), warn: write('warn'), error: write('error') };
    if (torn.length > 0) log.warn(`${torn.join(' y ')} terminaba a medias: la ejecución que lo escribía se cortó`);
    return await use(log);
  } finally {
    if (files !== undefined) await Promise.all([finish(files.combined), finish(files.errors)]);
    await prune(logs);
  }
}

/** `torn`: gets the names of files that end amid a line, which is ended, so that the next entry is not part of it. */
async function openFiles(
  path: string,
  torn: string[],
  onFailure: (reason: string) => void,
): Promise<{ combined: RotatingFileStream; errors: RotatingFileStream } | undefined> {
  try {
    await makePrivateFolder(path);
    for (const name of ['sync-combined', 'sync-error'] as const) {
      const file = logFileName(name, null);
      if (await endsAmidLine(join(path, file))) torn.push(file);
    }
  } catch (cause) {
    onFailure((cause as Error).message);
    return undefined;
  }
  let told = false;
  const openOne = (name: LogName) => {
    const stream = createStream((time, index) => logFileName(name, time, index), {
      path,
      ...ROTATION,
      mode: 0o600,
      // A run is short: the day that is over is seen when the next one begins. It counts with intervalBoundary alone.
      initialRotation: true,
      intervalBoundary: true,
    });
    stream.on('rotated', () => void prune(path));
    // Without a listener a full disk would end the process; the run goes on without its log.
    stream.on('error', (cause) => {
      if (!told) onFailure(cause.message);
      told = true;
    });
    if (torn.includes(logFileName(name, null))) stream.write('\n');
    return stream;
  };
  return { combined: openOne('sync-combined'), errors: openOne('sync-error') };
}

async function prune(path: string): Promise<void> {
  // A folder that cannot be listed has been told of by then.
  for (const name of ['sync-combined', 'sync-error'] as const) await pruneLog(path, name).catch(() => {});
}

function finish(stream: RotatingFileStream): Promise<void> {
  return new Promise((resolve) => {
    stream.once('error', () => resolve());
    stream.end(() => resolve());
  });
}
