import { readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { openBytes, sealBytes } from '../../../protocol/crypto/sealed.ts';
import { defined } from '../../../protocol/defined.ts';
import { Condition } from '../../async/condition.ts';
import { namesIn, onDisk, writeDurably } from '../../files/disk.ts';
import { isMissingFile, syncFolder } from '../../files/files.ts';
import type { CompressedChunk } from '../../http/backend.ts';
import type { ComparisonResult } from '../ledger/comparison-result.ts';
import type { LedgerName } from '../ledger/ledgers.ts';
import type { ChunkStore, StoredChunk } from './chunk-store.ts';
import type { ChunkInfo, Manifest, ManifestRecord, UploadHead } from './manifest.ts';

const CHUNK_SUFFIX = '.trozo';

/** What an entry may do to the spool's account of bytes. */
export interface Room {
  /** Takes so many where they fit, in one step: other tables ask at the same time. Answers whether they did. */
  reserve(bytes: number): boolean;
  /** Takes them whether they fit or not; gives them back where they are negative. */
  take(bytes: number): void;
  remove(): Promise<void>;
}

/** One upload on the disk. `close` when the process is done with it and it is to stay, `remove` when it is to go. */
export class SpooledUpload implements ChunkStore {
  readonly durable = true;
  readonly head: UploadHead;
  readonly #path: string;
  readonly #manifest: Manifest;
  readonly #room: Room;
  readonly #changes = new Condition();
  readonly #chunks: ChunkInfo[] = [];
  /** On the disk. */
  readonly #kept = new Set<number>();
  /** Delivered, oldest first, and still on the disk: their place may be given away. */
  readonly #delivered = new Set<number>();
  #ready = 0;
  #id: string | undefined;
  #complete = false;
  #full = false;
  #replaced = 0;
  #closed = false;
  #range: { ultima: string; trozos: number; huellas?: LedgerName } | undefined;
  #huellas: ComparisonResult | undefined;
  #idempotencyKey: string | undefined;

  constructor(path: string, manifest: Manifest, head: UploadHead, room: Room) {
    this.#path = path;
    this.#manifest = manifest;
    this.head = head;
    this.#room = room;
  }

  /** What the records say; undefined when they do not begin as they should. */
  static async restore(
    path: string,
    { manifest, records }: { manifest: Manifest; records: readonly ManifestRecord[] },
    room: Room,
  ): Promise<SpooledUpload | undefined> {
    const [first, ...rest] = records;
    if (first?.tipo !== 'inicio') return undefined;
    const upload = new SpooledUpload(path, manifest, first.subida, room);
    const chunks = upload.#chunks;
    for (const record of rest) {
      if (record.tipo === 'trozo') {
        if (record.trozo.n > chunks.length) return undefined;
        chunks[record.trozo.n] = record.trozo;
      } else if (record.tipo === 'id') upload.#id = record.id ?? undefined;
      else if (record.tipo === 'rango') {
        upload.#range = record;
        upload.#replaced = record.sustituidos;
        chunks.length = record.trozos;
      } else if (record.tipo === 'unica') upload.#idempotencyKey = record.clave;
      else if (record.tipo === 'completa') {
        upload.#complete = true;
        upload.#replaced = record.sustituidos;
        upload.#huellas = record.huellas;
      } else return undefined;
    }
    // Of a reading that broke within a range, that range is read again.
    if (!upload.#complete && first.subida.particion !== null) chunks.length = upload.#range?.trozos ?? 0;
    upload.#ready = chunks.length;
    await upload.#removeStrays();
    return upload;
  }

  get ready(): number {
    return this.#ready;
  }

  info(n: number): ChunkInfo {
    return this.#chunks[n]!;
  }

  get complete(): boolean {
    return this.#complete;
  }

  get full(): boolean {
    return this.#full;
  }

  get id(): string | undefined {
    return this.#id;
  }

  /** Of the one request in which its only chunk goes; undefined where it goes as a resumable upload. */
  get idempotencyKey(): string | undefined {
    return this.#idempotencyKey;
  }

  /** Characters that became U+FFFD in the chunks that count. */
  get replaced(): number {
    return this.#replaced;
  }

  /** The key that the last whole range ended with: where the reading goes on. */
  get lastKey(): string | undefined {
    return this.#range?.ultima;
  }

  /** How far the next ledger had come there. */
  get lastLedger(): LedgerName | undefined {
    return this.#range?.huellas;
  }

  /** What the comparison with a ledger came to; undefined: there was none, or it is not complete. */
  get huellas(): ComparisonResult | undefined {
    return this.#huellas;
  }

  async setId(id: string | undefined): Promise<void> {
    this.#id = id;
    await this.#append({ tipo: 'id', id: id ?? null });
  }

  async add({ n, digest, rows: filas, body, range }: StoredChunk, signal: AbortSignal): Promise<void> {
    const sealed = sealBytes(this.#manifest.key, this.#associatedDataOf(n), body);
    await this.#takeRoom(sealed.length, signal);
    this.#kept.add(n);
    await onDisk(this.#path, async () => {
      await writeDurably(this.#fileOf(n), sealed);
      await syncFolder(this.#path);
    });
    const chunk = { n, digest, filas, bytes: body.length };
    this.#chunks[n] = chunk;
    if (range === undefined) await this.#append({ tipo: 'trozo', trozo: chunk });
    else {
      const { ultima, sustituidos, huellas } = range;
      const place = { ultima, trozos: n + 1, ...defined({ huellas }) };
      await this.#append({ tipo: 'trozo', trozo: chunk }, { tipo: 'rango', ...place, sustituidos });
      this.#range = place;
      this.#replaced = sustituidos;
    }
    // Within a range nothing is sent: were it read again, other bytes would bear the same numbers.
    if (range !== undefined || this.head.particion === null) this.#publish();
  }

  async finish(sustituidos: number, huellas?: ComparisonResult): Promise<void> {
    this.#replaced = sustituidos;
    this.#huellas = huellas;
    await this.#append({ tipo: 'completa', sustituidos, ...defined({ huellas }) });
    this.#complete = true;
    this.#publish();
  }

  async read(n: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      return openBytes(this.#manifest.key, this.#associatedDataOf(n), await readFile(this.#fileOf(n)));
    } catch (cause) {
      if (isMissingFile(cause)) return undefined;
      throw cause;
    }
  }

  delivered(n: number): void {
    if (this.#kept.has(n)) this.#delivered.add(n);
    this.#changes.notify();
  }

  changed(signal: AbortSignal): Promise<void> {
    return this.#changes.next(signal);
  }

  async remove(): Promise<void> {
    await this.close();
    await this.#room.remove();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#manifest.close();
  }

  #append(...records: ManifestRecord[]): Promise<void> {
    return onDisk(this.#path, () => this.#manifest.append(...records));
  }

  /** Gives away the places of what the backend has already, oldest first; then waits until it has more. */
  async #takeRoom(bytes: number, signal: AbortSignal): Promise<void> {
    try {
      while (!this.#room.reserve(bytes)) {
        // With nothing of its own to wait for, it would wait for what others may never give away.
        if (this.#kept.size === 0) {
          this.#room.take(bytes);
          return;
        }
        const [oldest] = this.#delivered;
        if (oldest !== undefined) {
          this.#delivered.delete(oldest);
          this.#kept.delete(oldest);
          await this.#removeFile(chunkFile(oldest));
          continue;
        }
        this.#full = true;
        // A range that does not fit is sent before it is whole.
        this.#publish();
        await this.#changes.next(signal);
      }
    } finally {
      this.#full = false;
    }
  }

  #publish(): void {
    this.#ready = this.#chunks.length;
    this.#changes.notify();
  }

  /** Removes files of chunks that do not count, and counts the others. */
  async #removeStrays(): Promise<void> {
    for (const name of await namesIn(this.#path)) {
      const n = numberOf(name);
      if (n !== undefined && n < this.#chunks.length) this.#kept.add(n);
      else if (n !== undefined) await this.#removeFile(name);
    }
  }

  async #removeFile(name: string): Promise<void> {
    const path = join(this.#path, name);
    const { size } = await stat(path);
    await rm(path);
    this.#room.take(-size);
  }

  #fileOf(n: number): string {
    return join(this.#path, chunkFile(n));
  }

  #associatedDataOf(n: number): string {
    return associatedDataOf(this.#manifest.id, n);
  }
}

/** Writes a chunk of the upload whose manifest that is; it is on the disk when this resolves. Answers its size there. */
export async function writeChunk(path: string, { id, key }: Manifest, { n, body }: CompressedChunk): Promise<number> {
  const sealed = sealBytes(key, associatedDataOf(id, n), body);
  await writeDurably(join(path, chunkFile(n)), sealed);
  return sealed.length;
}

/** Bytes of the chunks in a folder. */
export async function chunkBytesIn(path: string): Promise<number> {
  let bytes = 0;
  for (const name of await namesIn(path)) {
    if (numberOf(name) !== undefined) bytes += (await stat(join(path, name))).size;
  }
  return bytes;
}

function associatedDataOf(id: string, n: number): string {
  return `${id}/trozo/${n}`;
}

function numberOf(name: string): number | undefined {
  return name.endsWith(CHUNK_SUFFIX) ? Number(name.slice(0, -CHUNK_SUFFIX.length)) : undefined;
}

function chunkFile(n: number): string {
  return `${String(n).padStart(6, '0')}${CHUNK_SUFFIX}`;
}
