import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { appendFile, mkdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import ndjson from 'ndjson';
import { Compile } from 'typebox/compile';
import type { LogEntry } from '../../protocol/api.ts';
import { limits } from '../../protocol/constants.ts';
import { LogEntrySchema } from '../../protocol/endpoints/logs.ts';
import { SyncError } from '../../protocol/errors.ts';
import { visibleJson } from '../../protocol/visible.ts';
import { isCredentialCode } from '../errors/describe-error.ts';
import { endsAmidLine, isMissingFile, writeFileAtomically } from '../files/files.ts';
import { assertFormat, stampOf } from '../files/format.ts';
import type { Backend } from '../http/backend.ts';
import { traceparent } from '../http/trace.ts';
import type { Secrets } from '../ui/secrets.ts';
import { cut } from '../ui/words.ts';

/**
 * The entries of a run for the backend's `sync_logs`. Each is written to `logs/pendientes.ndjson` as it comes, so that a
 * run that is killed loses none, and sent in batches at the end of the run, or of a later one. Each has an id of its own:
 * what is sent twice is stored once. Of a file that grows too large the newest entries are kept. A line that a kill cut off is
 * lost, and it alone: the next one begins behind it.
 */
const FILE_NAME = 'pendientes.ndjson';
/** The first line says it; without one it is the first. */
const FORMAT = 1;
const MAX_PENDING = 5000;
/** A run alone may pass MAX_PENDING_BYTES; not this. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const MAX_PENDING_BYTES = 8 * 1024 * 1024;
const MAX_MESSAGE = 10_000;
const MAX_DETAIL = 20_000;

const checker = Compile(LogEntrySchema);

export class Outbox {
  readonly #folder: string;
  readonly #path: string;
  readonly #secrets: Secrets;
  /** What the disk did not take. */
  readonly #unwritten: LogEntry[] = [];
  #tail: Promise<void> = Promise.resolve();
  /** Lines of an earlier run that are no entries: it was killed while it wrote them. */
  torn = 0;

  /** Throws ARCHIVO_MAS_NUEVO where a newer agent's entries wait in `folder`. */
  static async open(folder: string, secrets: Secrets): Promise<Outbox> {
    const outbox = new Outbox(folder, secrets);
    outbox.torn = (await readPending(outbox.#path)).torn;
    return outbox;
  }

  private constructor(folder: string, secrets: Secrets) {
    this.#folder = join(folder, 'logs');
    this.#path = join(this.#folder, FILE_NAME);
    this.#secrets = secrets;
  }

  add(entry: LogEntry): void {
    const { mensaje, errorDetalle } = entry;
    const kept = {
      id: makeId(),
      traza: traceparent,
      ...entry,
      ...(typeof mensaje === 'string' ? { mensaje: cut(this.#secrets.scrub(mensaje), MAX_MESSAGE) } : {}),
      ...(typeof errorDetalle === 'string' ? { errorDetalle: cut(this.#secrets.scrub(errorDetalle), MAX_DETAIL) } : {}),
    };
    this.#tail = this.#tail.then(() => this.#write(kept));
  }

  /**
   * Sends what waits, oldest first, in batches that the API takes; answers how many entries the backend refused for good,
   * which are dropped. What is not sent stays in `pendientes.ndjson`, and the error is thrown.
   */
  async ship(backend: Backend, signal: AbortSignal): Promise<{ refused: number }> {
    await this.#tail;
    const waiting = [...(await readPending(this.#path)).entries, ...this.#unwritten.splice(0)];
    let refused = 0;
    try {
      while (waiting.length > 0) {
        const batch = takeBatch(waiting);
        refused += await sendBatch(backend, batch, signal);
        waiting.splice(0, batch.length);
      }
    } catch (error) {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await writeFileAtomically(this.#path, newest(waiting));
      throw error;
    }
    await rm(this.#path, { force: true });
    return { refused };
  }

  async #write(entry: LogEntry): Promise<void> {
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const there = await isThere(this.#path);
      const head = there ? ((await endsAmidLine(this.#path)) ? '\n' : '') : lineOf(stampOf(FORMAT));
      await appendFile(this.#path, head + lineOf(entry), { mode: 0o600 });
    } catch {
      // A full disk: they go with this run, or not at all.
      this.#unwritten.push(entry);
      if (this.#unwritten.length > MAX_PENDING) this.#unwritten.shift();
    }
  }
}

/**
 * Returns how many entries wait to be sent.
 * @throws {AgentError} ARCHIVO_MAS_NUEVO
 */
export async function countPending(folder: string): Promise<number> {
  return (await readPending(join(folder, 'logs', FILE_NAME))).entries.length;
}

/** How many of a batch the backend refuses for good: halved until the entry is alone that it does not take. */
async function sendBatch(backend: Backend, batch: LogEntry[], signal: AbortSignal): Promise<number> {
  try {
    await backend.sendLogs(batch, signal);
    return 0;
  } catch (error) {
    if (!(error instanceof SyncError) || error.retryable || isCredentialCode(error.code)) throw error;
    // An address that is wrong is no fault of an entry's.
    if (error.code !== 'CUERPO_INVALIDO' && error.code !== 'DEMASIADO_GRANDE') throw error;
    if (batch.length === 1) return 1;
    const half = batch.length >> 1;
    const first = await sendBatch(backend, batch.slice(0, half), signal);
    return first + (await sendBatch(backend, batch.slice(half), signal));
  }
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

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (cause) {
    if (isMissingFile(cause)) return false;
    throw cause;
  }
}

async function readPending(path: string): Promise<{ entries: LogEntry[]; torn: number }> {
  const entries: LogEntry[] = [];
  try {
    // Not ours to grow like that: whoever filled it, it is not read.
    if ((await stat(path)).size > MAX_FILE_BYTES) return { entries, torn: 0 };
  } catch (cause) {
    if (isMissingFile(cause)) return { entries, torn: 0 };
    throw cause;
  }
  let lines = 0;
  let parsed = 0;
  const parser = ndjson.parse({ strict: false });
  const source = Readable.from(countLines(path, () => lines++)).on('error', (error) => parser.destroy(error));
  for await (const entry of source.pipe(parser)) {
    parsed++;
    assertFormat(path, entry, FORMAT);
    if (checker.Check(entry)) entries.push(entry);
    if (entries.length > MAX_PENDING) entries.shift();
  }
  return { entries, torn: lines - parsed };
}

/**
 * The file's lines that hold something, also one that the end of the file cuts off; `onLine` hears of each. A line `null` is left out:
 * it is JSON, and the parser would take it for the end of all of them.
 */
async function* countLines(path: string, onLine: () => void): AsyncGenerator<string> {
  let rest = '';
  for await (const part of createReadStream(path, 'utf8')) {
    rest += part as string;
    if (!(part as string).includes('\n')) continue;
    const lines = rest.split('\n');
    rest = lines.pop()!;
    yield keep(lines);
  }
  yield keep([rest]);

  function keep(lines: readonly string[]): string {
    const found = lines.filter((line) => line !== '');
    for (const _ of found) onLine();
    return found
      .filter((line) => line.trim() !== 'null')
      .map((line) => `${line}\n`)
      .join('');
  }
}

function lineOf(value: object): string {
  return `${visibleJson(value)}\n`;
}

/** The lines of the newest entries that a file may keep. */
function newest(entries: readonly LogEntry[]): string {
  const head = lineOf(stampOf(FORMAT));
  const lines: string[] = [];
  let bytes = head.length;
  for (const entry of entries.slice(-MAX_PENDING).reverse()) {
    const line = lineOf(entry);
    bytes += Buffer.byteLength(line);
    if (bytes > MAX_PENDING_BYTES) break;
    lines.push(line);
  }
  return head + lines.reverse().join('');
}

/** In the form of the ids that PostgreSQL gives itself: `c` and 24 of 36 characters. */
function makeId(): string {
  return `c${Array.from(randomBytes(24), (byte) => (byte % 36).toString(36)).join('')}`;
}
