import { createReadStream } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import ndjson from 'ndjson';
import { Compile } from 'typebox/compile';
import { type LogEntry, LogEntrySchema } from '../../protocol/api.ts';
import { limits } from '../../protocol/constants.ts';
import { isMissingFile, writeFileAtomically } from '../config/files.ts';
import type { Backend } from '../http/backend.ts';
import type { Secrets } from './secrets.ts';

/**
 * The entries of a run for the backend's `sync_logs`, sent in one batch at its end. What could not be sent waits in
 * `logs/pendientes.ndjson` for the next run; of that file the newest entries are kept.
 */
const FILE_NAME = 'pendientes.ndjson';
const MAX_PENDING = 5000;
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const MAX_MESSAGE = 10_000;
const MAX_DETAIL = 20_000;

const checker = Compile(LogEntrySchema);

export class Journal {
  readonly #folder: string;
  readonly #entries: LogEntry[] = [];
  readonly #secrets: Secrets;

  constructor(folder: string, secrets: Secrets) {
    this.#folder = join(folder, 'logs');
    this.#secrets = secrets;
  }

  add(entry: LogEntry): void {
    const { mensaje, errorDetalle } = entry;
    this.#entries.push({
      ...entry,
      ...(typeof mensaje === 'string' ? { mensaje: cut(this.#secrets.scrub(mensaje), MAX_MESSAGE) } : {}),
      ...(typeof errorDetalle === 'string' ? { errorDetalle: cut(this.#secrets.scrub(errorDetalle), MAX_DETAIL) } : {}),
    });
    if (this.#entries.length > MAX_PENDING) this.#entries.shift();
  }

  /**
   * Sends what waited from earlier runs and this run's entries, oldest first, in batches that the API takes. What is
   * not sent is written to `pendientes.ndjson`, and the error thrown.
   */
  async ship(backend: Backend, signal: AbortSignal): Promise<void> {
    const path = join(this.#folder, FILE_NAME);
    const waiting = [...(await readPending(path)), ...this.#entries.splice(0)];
    try {
      while (waiting.length > 0) {
        const batch = takeBatch(waiting);
        await backend.sendLogs(batch, signal);
        waiting.splice(0, batch.length);
      }
    } catch (error) {
      await writePending(this.#folder, path, waiting.slice(-MAX_PENDING));
      throw error;
    }
    await rm(path, { force: true });
  }
}

/** How many entries wait for the next run. */
export async function countPending(folder: string): Promise<number> {
  return (await readPending(join(folder, 'logs', FILE_NAME))).length;
}

/** As many entries as one request takes, by count and by size. */
function takeBatch(waiting: readonly LogEntry[]): LogEntry[] {
  const batch: LogEntry[] = [];
  let bytes = 100;
  for (const entry of waiting) {
    bytes += Buffer.byteLength(JSON.stringify(entry)) + 1;
    if (batch.length > 0 && (batch.length >= limits.logsMaxCount || bytes > limits.jsonBodyMaxBytes)) break;
    batch.push(entry);
  }
  return batch;
}

async function readPending(path: string): Promise<LogEntry[]> {
  try {
    // Not ours to grow like that: whoever filled it, it is not read.
    if ((await stat(path)).size > MAX_FILE_BYTES) return [];
  } catch (cause) {
    if (isMissingFile(cause)) return [];
    throw cause;
  }
  const parser = createReadStream(path).pipe(ndjson.parse({ strict: false }));
  const entries: LogEntry[] = [];
  for await (const entry of parser) {
    if (checker.Check(entry)) entries.push(entry);
    if (entries.length > MAX_PENDING) entries.shift();
  }
  return entries;
}

async function writePending(folder: string, path: string, entries: readonly LogEntry[]): Promise<void> {
  const serialiser = ndjson.stringify();
  const parts: string[] = [];
  serialiser.on('data', (line: string) => parts.push(line));
  for (const entry of entries) serialiser.write(entry);
  serialiser.end();
  await finished(serialiser);
  await mkdir(folder, { recursive: true });
  await writeFileAtomically(path, parts.join(''));
}

function cut(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
