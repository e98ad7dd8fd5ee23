import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import type { Secrets } from './secrets.ts';
import { localTimestamp } from './words.ts';

/**
 * The agent's own log: `logs/sync-combined.log` (everything) and `logs/sync-error.log` (errors), one readable line an
 * entry: `2024-01-15 10:30:00.123 INFO  vista_proveedores: texto`. Each file is closed at 10 MB or after a day and the
 * last 14 are kept, so a folder of logs never passes about 300 MB.
 */
export interface Log {
  info(text: string, tabla?: string): void;
  warn(text: string, tabla?: string): void;
  error(text: string, tabla?: string): void;
}

/** Gets every line too: as it stands in the file, and in parts. */
export type LogEcho = (line: string, level: LogLevel, entry: { hora: string; tabla?: string; texto: string }) => void;
export type LogLevel = 'info' | 'warn' | 'error';

const ROTATION = { size: '10M', interval: '1d', maxFiles: 14 } as const;
const levelNames: Record<number, string> = { 30: 'INFO ', 40: 'AVISO', 50: 'ERROR' };

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
  const files = await openFiles(join(folder, 'logs'), (reason) =>
    tell(`No se puede escribir en ${join(folder, 'logs')}: ${reason}`),
  );
  const logger = pino(
    { base: null, level: 'info', timestamp: () => `,"time":"${localTimestamp(new Date())}"` },
    {
      write(entry: string) {
        const { level, time, msg, tabla } = JSON.parse(entry) as Record<string, string> & { level: number };
        const place = tabla === undefined ? '' : `${tabla}: `;
        const texto = secrets.scrub(msg!);
        const line = `${time} ${levelNames[level] ?? String(level)} ${secrets.scrub(place)}${texto}`;
        files?.combined.write(`${line}\n`);
        if (level >= 50) files?.errors.write(`${line}\n`);
        const name = level >= 50 ? 'error' : level >= 40 ? 'warn' : 'info';
        echo(line, name, { hora: time!, texto, ...(tabla === undefined ? {} : { tabla }) });
      },
    },
  );
  const write = (level: LogLevel) => (text: string, tabla?: string) =>
    logger[level](tabla === undefined ? {} : { tabla }, text);
  try {
    return await use({
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
    });
  } finally {
    if (files !== undefined) await Promise.all([finish(files.combined), finish(files.errors)]);
  }
}

async function openFiles(
  path: string,
  onFailure: (reason: string) => void,
): Promise<{ combined: RotatingFileStream; errors: RotatingFileStream } | undefined> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    onFailure((cause as Error).message);
    return undefined;
  }
  let told = false;
  const openOne = (name: string) => {
    const stream = createStream((time, index) => rotatedName(name, time, index), {
      path,
      ...ROTATION,
      initialRotation: true,
    });
    // Without a listener a full disk would end the process; the run goes on without its log.
    stream.on('error', (cause) => {
      if (!told) onFailure(cause.message);
      told = true;
    });
    return stream;
  };
  return { combined: openOne('sync-combined'), errors: openOne('sync-error') };
}

function rotatedName(name: string, time: number | Date | null, index = 1): string {
  if (time === null) return `${name}.log`;
  return `${name}-${new Date(time).toISOString().slice(0, 10)}-${index}.log`;
}

function finish(stream: RotatingFileStream): Promise<void> {
  return new Promise((resolve) => {
    stream.once('error', () => resolve());
    stream.end(() => resolve());
  });
}
