import { randomUUID } from 'node:crypto';
import { readSync } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { openBytes, sealBytes } from '../../../protocol/crypto/sealed.ts';
import { onDisk } from '../../files/disk.ts';
import { isMissingFile, syncFolder } from '../../files/files.ts';
import { newerFile } from '../../files/format.ts';
import { version } from '../../version.ts';
import { deriveEntryKey } from '../spool/spool-key.ts';

/**
 * A ledger on the disk: what the rows of a table were at one reading, as pairs of two hashes of 64 bits, in the order of that reading.
 *
 *     {"version":1,"id":"…","agente":"…"}\n       plain
 *     <length, 4 bytes LE><sealed pairs>          again and again
 *
 * A block is sealed under the ledger's own key with its number, so that none can be changed, left out in the middle or moved. How many
 * pairs there are in all stands where the ledger is named (last-sync.json, the spool's manifest).
 */
const FORMAT = 1;
/** Words of 32 bits of a pair: upper and lower half of the key's hash, upper and lower half of the row's. */
export const PAIR_WORDS = 4;
/** 64 KB. */
export const BLOCK_PAIRS = 4096;
const HEAD_MAX_BYTES = 1024;
const LENGTH_BYTES = 4;
const BLOCK_MAX_BYTES = BLOCK_PAIRS * PAIR_WORDS * 4 + 64;

/** How far a ledger has been written. */
export interface LedgerExtent {
  pares: number;
  /** Of the file. */
  bytes: number;
}

/** Writes a ledger. `close` or `remove` it. */
export class LedgerWriter {
  readonly id: string;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #key: Buffer;
  readonly #block = new Uint32Array(BLOCK_PAIRS * PAIR_WORDS);
  #inBlock = 0;
  #blocks: number;
  #pairs: number;
  #bytes: number;

  private constructor(path: string, file: FileHandle, id: string, key: Buffer, at: LedgerExtent & { blocks: number }) {
    this.#path = path;
    this.#file = file;
    this.id = id;
    this.#key = key;
    this.#blocks = at.blocks;
    this.#pairs = at.pares;
    this.#bytes = at.bytes;
  }

  /** Begins one in the place of what lies at `path`. Throws AgentError DISCO_LLENO or SPOOL_NO_ESCRIBIBLE. */
  static create(path: string, spoolKey: string): Promise<LedgerWriter> {
    return onDisk(path, async () => {
      const id = randomUUID();
      const head = Buffer.from(`${JSON.stringify({ version: FORMAT, id, agente: version })}\n`);
      const file = await open(path, 'w', 0o600);
      try {
        await file.writeFile(head);
      } catch (error) {
        await file.close();
        throw error;
      }
      const at = { pares: 0, bytes: head.length, blocks: 0 };
      return new LedgerWriter(path, file, id, deriveEntryKey(spoolKey, id), at);
    });
  }

  /** Goes on with the ledger `id` behind `extent`; undefined where it is not there so far. Throws as `create` does. */
  static async reopen(
    path: string,
    spoolKey: string,
    id: string,
    { pares, bytes }: LedgerExtent,
  ): Promise<LedgerWriter | undefined> {
    const reader = await LedgerReader.open(path, spoolKey, { id, pares, bytes });
    if (reader === undefined) return undefined;
    let blocks = 0;
    try {
      for (const _ of reader.blocks()) blocks++;
    } catch (error) {
      if (error instanceof LedgerDamaged) return undefined;
      throw error;
    } finally {
      await reader.close();
    }
    return onDisk(path, async () => {
      const file = await open(path, 'r+', 0o600);
      await file.truncate(bytes);
      return new LedgerWriter(path, file, id, deriveEntryKey(spoolKey, id), { pares, bytes, blocks });
    });
  }

  /** Takes the first `count` pairs of `words`. Throws as `create` does. */
  async add(words: Uint32Array, count: number): Promise<void> {
    for (let from = 0; from < count; ) {
      const taken = Math.min(count - from, BLOCK_PAIRS - this.#inBlock);
      const part = words.subarray(from * PAIR_WORDS, (from + taken) * PAIR_WORDS);
      this.#block.set(part, this.#inBlock * PAIR_WORDS);
      this.#inBlock += taken;
      from += taken;
      if (this.#inBlock === BLOCK_PAIRS) await this.#write();
    }
  }

  /** What was added is on the disk when this resolves. Throws as `create` does. */
  async flush(): Promise<LedgerExtent> {
    await this.#write();
    await onDisk(this.#path, async () => {
      await this.#file.sync();
      await syncFolder(dirname(this.#path));
    });
    return { pares: this.#pairs, bytes: this.#bytes };
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async remove(): Promise<void> {
    await this.#file.close();
    await rm(this.#path, { force: true });
  }

  async #write(): Promise<void> {
    if (this.#inBlock === 0) return;
    const plain = new Uint8Array(this.#block.buffer, 0, this.#inBlock * PAIR_WORDS * 4);
    const sealed = sealBytes(this.#key, blockName(this.id, this.#blocks), plain);
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt32LE(sealed.length);
    const bytes = Buffer.concat([length, sealed]);
    await onDisk(this.#path, () => this.#file.write(bytes, 0, bytes.length, this.#bytes));
    this.#blocks++;
    this.#pairs += this.#inBlock;
    this.#bytes += bytes.length;
    this.#inBlock = 0;
  }
}

/** A ledger that is not what it should be: nothing of it is believed. */
export class LedgerDamaged extends Error {
  override readonly name = 'LedgerDamaged';
}

/** Reads a ledger, or as much of it as is asked for. */
export class LedgerReader {
  readonly id: string;
  readonly pairs: number;
  readonly #file: FileHandle;
  readonly #key: Buffer;
  readonly #start: number;
  readonly #end: number;

  private constructor(file: FileHandle, id: string, key: Buffer, at: { pairs: number; start: number; end: number }) {
    this.#file = file;
    this.id = id;
    this.#key = key;
    this.pairs = at.pairs;
    this.#start = at.start;
    this.#end = at.end;
  }

  /** Undefined where there is no ledger `id` at `path` that reaches so far. Throws ARCHIVO_MAS_NUEVO. */
  static async open(
    path: string,
    spoolKey: string,
    { id, pares, bytes }: LedgerExtent & { id: string },
  ): Promise<LedgerReader | undefined> {
    const file = await openIfThere(path);
    if (file === undefined) return undefined;
    try {
      const head = await readHead(path, file);
      const { size } = await file.stat();
      if (head?.id === id && size >= bytes) {
        const at = { pairs: pares, start: head.length, end: bytes };
        return new LedgerReader(file, id, deriveEntryKey(spoolKey, id), at);
      }
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
    return undefined;
  }

  /**
   * The pairs, in blocks of at most BLOCK_PAIRS; each is valid until the next. May be called again. Reads from the disk while it is
   * asked, 64 KB at a time: rows are compared where nothing can wait. Throws LedgerDamaged.
   */
  *blocks(): Generator<Uint32Array> {
    let at = this.#start;
    let pairs = 0;
    const buffer = Buffer.alloc(LENGTH_BYTES + BLOCK_MAX_BYTES);
    const block = new Uint32Array(BLOCK_PAIRS * PAIR_WORDS);
    const blockBytes = new Uint8Array(block.buffer);
    for (let n = 0; at < this.#end; n++) {
      const bytesRead = readSync(this.#file.fd, buffer, 0, Math.min(buffer.length, this.#end - at), at);
      const length = bytesRead < LENGTH_BYTES ? 0 : buffer.readUInt32LE(0);
      if (length === 0 || LENGTH_BYTES + length > bytesRead) throw new LedgerDamaged('a block that is cut');
      const plain = openBytes(this.#key, blockName(this.id, n), buffer.subarray(LENGTH_BYTES, LENGTH_BYTES + length));
      if (plain === undefined) throw new LedgerDamaged('a block that does not open');
      blockBytes.set(plain);
      const words = block.subarray(0, plain.length / 4);
      pairs += words.length / PAIR_WORDS;
      at += LENGTH_BYTES + length;
      yield words;
    }
    if (pairs !== this.pairs) throw new LedgerDamaged('not all pairs are there');
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/**
 * Returns the id of the ledger at `path`; undefined where there is none.
 * @throws {AgentError} ARCHIVO_MAS_NUEVO
 */
export async function readLedgerId(path: string): Promise<string | undefined> {
  const file = await openIfThere(path);
  if (file === undefined) return undefined;
  try {
    return (await readHead(path, file))?.id;
  } finally {
    await file.close();
  }
}

function openIfThere(path: string): Promise<FileHandle | undefined> {
  return open(path, 'r').catch((cause: unknown) => {
    if (isMissingFile(cause)) return undefined;
    throw cause;
  });
}

async function readHead(path: string, file: FileHandle): Promise<{ id: string; length: number } | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_MAX_BYTES), 0, HEAD_MAX_BYTES, 0);
  const end = buffer.subarray(0, bytesRead).indexOf(0x0a);
  if (end < 0) return undefined;
  let head: { version?: unknown; id?: unknown; agente?: unknown };
  try {
    head = JSON.parse(buffer.toString('utf8', 0, end)) as typeof head;
  } catch {
    return undefined;
  }
  const { version: format, id, agente } = head;
  if (typeof format === 'number' && format > FORMAT) throw newerFile(path, FORMAT, { formato: format, agente });
  return format === FORMAT && typeof id === 'string' ? { id, length: end + 1 } : undefined;
}

function blockName(id: string, n: number): string {
  return `${id}/huellas/${n}`;
}
