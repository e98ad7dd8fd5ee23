import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { defined } from '../../../protocol/defined.ts';
import type { AgentError } from '../../errors/agent-error.ts';
import { namesIn, onDisk } from '../../files/disk.ts';
import { isMissingFile, syncFolder } from '../../files/files.ts';
import { isNewerFile } from '../../files/format.ts';
import type { CompressedChunk } from '../../http/backend.ts';
import type { ComparisonResult } from '../ledger/comparison-result.ts';
import { Manifest, type ManifestRecord, readManifest, type UploadHead } from './manifest.ts';
import { chunkBytesIn, type Room, SpooledUpload, writeChunk } from './spooled-upload.ts';

/**
 * `spool/` of the install folder: uploads that the backend has not committed yet, a folder a table.
 *
 *     spool/<table>-<hash>/manifiesto     what is known of the upload (manifest.ts)
 *     spool/<table>-<hash>/<n>.trozo      one gzip member, sealed
 *
 * A chunk is written and fsynced before the manifest names it; a file that the manifest does not name is not there. The
 * whole folder goes once the backend has answered the commit. Whoever holds the lock of the install folder owns all of it.
 */
const FOLDER = 'spool';
const MANIFEST = 'manifiesto';

/** An upload that waits, as far as its manifest tells. */
export interface WaitingUpload {
  tabla: string;
  trozos: number;
  filas: number;
  /** On the disk. */
  bytes: number;
  /** Whether SQL Server has been read to the end. */
  completa: boolean;
}

export interface SpoolState {
  subidas: WaitingUpload[];
  /** Folders that cannot be read, and that the next run removes. */
  ilegibles: number;
  /** Folders of a newer agent, which stay. */
  masNuevas: number;
}

/** Returns what waits in `spool/`; what cannot be read is counted. Nothing is changed: a run may be under way. */
export async function describeSpool(folder: string, key: string): Promise<SpoolState> {
  const subidas: WaitingUpload[] = [];
  let ilegibles = 0;
  let masNuevas = 0;
  for (const name of await namesIn(join(folder, FOLDER))) {
    const path = join(folder, FOLDER, name);
    try {
      const records = (await readManifest(join(path, MANIFEST), key))?.records ?? [];
      const [first] = records;
      if (first?.tipo !== 'inicio') throw new Error('no head');
      const chunks = new Map<number, number>();
      for (const record of records) if (record.tipo === 'trozo') chunks.set(record.trozo.n, record.trozo.filas);
      const filas = [...chunks.values()].reduce((sum, rows) => sum + rows, 0);
      const completa = records.some(({ tipo }) => tipo === 'completa');
      subidas.push({
        tabla: first.subida.tabla,
        trozos: chunks.size,
        filas,
        bytes: await chunkBytesIn(path),
        completa,
      });
    } catch (error) {
      if (isNewerFile(error)) masNuevas++;
      // Damaged, another key's, or its run has just removed it.
      else ilegibles++;
    }
  }
  return { subidas, ilegibles, masNuevas };
}

export interface SpoolOptions {
  /** The install folder. */
  folder: string;
  /** makeSpoolKey; entries of another key count as damaged. */
  key: string;
  /** For the chunks of all tables together. One chunk of each table under way may pass it. */
  maxBytes: number;
}

export class Spool {
  readonly #root: string;
  readonly #key: string;
  readonly #maxBytes: number;
  #bytes = 0;

  private constructor(root: string, key: string, maxBytes: number) {
    this.#root = root;
    this.#key = key;
    this.#maxBytes = maxBytes;
  }

  static async open({ folder, key, maxBytes }: SpoolOptions): Promise<Spool> {
    const spool = new Spool(join(folder, FOLDER), key, maxBytes);
    for (const name of await namesIn(spool.#root)) spool.#bytes += await chunkBytesIn(join(spool.#root, name));
    return spool;
  }

  /**
   * The upload of `tabla` that an earlier run left behind. `'damaged'`: there was one that cannot be read (another key,
   * a bad disk); it has been removed. Throws ARCHIVO_MAS_NUEVO, and leaves it as it is.
   */
  async find(tabla: string): Promise<SpooledUpload | 'damaged' | undefined> {
    const path = this.#pathOf(tabla);
    let opened: Awaited<ReturnType<typeof Manifest.open>>;
    try {
      opened = await Manifest.open(join(path, MANIFEST), this.#key);
    } catch (cause) {
      if (!isMissingFile(cause)) throw cause;
      await this.#removeFolder(path);
      return undefined;
    }
    const upload = opened && (await SpooledUpload.restore(path, opened, this.#room(path)));
    if (upload?.head.tabla === tabla) return upload;
    await opened?.manifest.close();
    await this.#removeFolder(path);
    return 'damaged';
  }

  /** Whether something waits of that table, readable or not. */
  async has(tabla: string): Promise<boolean> {
    return (await namesIn(this.#pathOf(tabla))).includes(MANIFEST);
  }

  /** Begins an upload, in the place of what there was of that table. Throws AgentError DISCO_LLENO or SPOOL_NO_ESCRIBIBLE. */
  async create(head: UploadHead): Promise<SpooledUpload> {
    const path = this.#pathOf(head.tabla);
    return onDisk(path, async () => {
      await this.#removeFolder(path);
      await mkdir(path, { recursive: true, mode: 0o700 });
      const manifest = await Manifest.create(join(path, MANIFEST), this.#key, { tipo: 'inicio', subida: head });
      try {
        await syncFolder(path);
        await syncFolder(this.#root);
      } catch (error) {
        await manifest.close();
        await this.#removeFolder(path);
        throw error;
      }
      return new SpooledUpload(path, manifest, head, this.#room(path));
    });
  }

  /**
   * Keeps an upload that goes in one request, under this Idempotency-Key, as `create` does; all of it is on the disk when this
   * resolves. `sustituidos`: characters that became U+FFFD.
   */
  async keep(
    head: UploadHead,
    chunk: CompressedChunk,
    { clave, sustituidos, huellas }: { clave: string; sustituidos: number; huellas?: ComparisonResult },
  ): Promise<SpooledUpload> {
    const path = this.#pathOf(head.tabla);
    return onDisk(path, async () => {
      await this.#removeFolder(path);
      await mkdir(path, { recursive: true, mode: 0o700 });
      const { n, digest, rows: filas, body } = chunk;
      const records: ManifestRecord[] = [
        { tipo: 'inicio', subida: head },
        { tipo: 'trozo', trozo: { n, digest, filas, bytes: body.length } },
        { tipo: 'unica', clave },
        { tipo: 'completa', sustituidos, ...defined({ huellas }) },
      ];
      const manifest = await Manifest.create(join(path, MANIFEST), this.#key, ...records);
      try {
        this.#bytes += await writeChunk(path, manifest, chunk);
        await syncFolder(path);
        await syncFolder(this.#root);
        return (await SpooledUpload.restore(path, { manifest, records }, this.#room(path)))!;
      } catch (error) {
        await manifest.close();
        await this.#removeFolder(path);
        throw error;
      }
    });
  }

  /**
   * Removes what belongs to none of `tablas`; their ids at the backend, for it to forget them as well. What a newer agent
   * wrote stays, and `onKept` is told.
   */
  async prune(tablas: readonly string[], onKept: (error: AgentError) => void): Promise<string[]> {
    const known = new Set(tablas.map((tabla) => this.#pathOf(tabla)));
    const ids: string[] = [];
    for (const name of await namesIn(this.#root)) {
      const path = join(this.#root, name);
      if (known.has(path)) continue;
      const opened = await Manifest.open(join(path, MANIFEST), this.#key).catch((error: unknown) =>
        isNewerFile(error) ? error : undefined,
      );
      if (isNewerFile(opened)) {
        onKept(opened);
        continue;
      }
      const id = opened?.records.findLast((record) => record.tipo === 'id')?.id;
      if (typeof id === 'string') ids.push(id);
      await opened?.manifest.close();
      await this.#removeFolder(path);
    }
    return ids;
  }

  #pathOf(tabla: string): string {
    const plain = tabla.replace(/[^A-Za-z0-9_]/g, '_').slice(0, 60);
    const hash = createHash('sha256').update(tabla).digest('hex').slice(0, 12);
    return join(this.#root, `${plain}-${hash}`);
  }

  #room(path: string): Room {
    return {
      reserve: (bytes) => {
        if (this.#bytes + bytes > this.#maxBytes) return false;
        this.#bytes += bytes;
        return true;
      },
      take: (bytes) => {
        this.#bytes += bytes;
      },
      remove: () => this.#removeFolder(path),
    };
  }

  async #removeFolder(path: string): Promise<void> {
    const freed = await chunkBytesIn(path);
    // Read after the wait: other tables take and give room meanwhile.
    this.#bytes = Math.max(0, this.#bytes - freed);
    // The manifest first: without it nothing of the folder counts, wherever the removal stops.
    await rm(join(path, MANIFEST), { force: true });
    await rm(path, { recursive: true, force: true });
  }
}
