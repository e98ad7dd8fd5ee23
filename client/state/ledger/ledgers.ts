import { createHash, hkdfSync } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { namesIn, onDisk } from '../../files/disk.ts';
import { syncFolder } from '../../files/files.ts';
import { type LedgerExtent, LedgerReader, LedgerWriter, readLedgerId } from './ledger-file.ts';

/** Which ledger is meant, and how much there is of it. */
export interface LedgerName extends LedgerExtent {
  id: string;
}

/**
 * `huellas/` of the install folder: of each table with `cambios: "huellas"` the ledger that its mark names, and beside it the
 * one that is being written.
 *
 *     huellas/<table>-<hash>.libro     what the centre has
 *     huellas/<table>-<hash>.nuevo     what it will have once the upload under way is committed
 *
 * A ledger that the mark does not name is not believed, whatever it holds.
 */
export class Ledgers {
  readonly #root: string;
  readonly #key: string;

  /** `folder`: the install folder; `key`: that of its spool (makeSpoolKey). */
  constructor(folder: string, key: string) {
    this.#root = join(folder, 'huellas');
    this.#key = key;
  }

  /**
   * With what the keys and the rows of a table are hashed: nobody who does not know the folder's key can aim at a collision. The
   * key's seed is told with bajas. `kind`: what a row's bytes are; of another kind no hash is the same but by chance.
   */
  seedsOf(tabla: string, kind = ''): { key: bigint; row: bigint } {
    const key = Buffer.from(this.#key, 'base64');
    const bytes = Buffer.from(hkdfSync('sha256', key, '', `ax-sync huellas ${tabla}`, 16));
    if (kind !== '') {
      const own = createHash('sha256').update(kind).digest('hex');
      Buffer.from(hkdfSync('sha256', key, '', `ax-sync filas ${own} ${tabla}`, 8)).copy(bytes, 8);
    }
    return { key: bytes.readBigInt64BE(0), row: bytes.readBigInt64BE(8) };
  }

  /** The ledger of a table; undefined where it is not the one that is named. Throws ARCHIVO_MAS_NUEVO. */
  find(tabla: string, name: LedgerName): Promise<LedgerReader | undefined> {
    return LedgerReader.open(this.#pathOf(tabla, 'libro'), this.#key, name);
  }

  /** What is being written of a table. Throws ARCHIVO_MAS_NUEVO. */
  findNew(tabla: string, name: LedgerName): Promise<LedgerReader | undefined> {
    return LedgerReader.open(this.#pathOf(tabla, 'nuevo'), this.#key, name);
  }

  /** Begins the next ledger of a table. Throws AgentError DISCO_LLENO or SPOOL_NO_ESCRIBIBLE. */
  async begin(tabla: string): Promise<LedgerWriter> {
    await onDisk(this.#root, () => mkdir(this.#root, { recursive: true, mode: 0o700 }));
    return LedgerWriter.create(this.#pathOf(tabla, 'nuevo'), this.#key);
  }

  /** Goes on with the next ledger of a table behind what is named; undefined where that is not there. */
  resume(tabla: string, { id, ...extent }: LedgerName): Promise<LedgerWriter | undefined> {
    return LedgerWriter.reopen(this.#pathOf(tabla, 'nuevo'), this.#key, id, extent);
  }

  /** Puts the next ledger in the place of the one before. Returns whether `id` is there now, done just now or earlier. */
  async adopt(tabla: string, id: string): Promise<boolean> {
    const path = this.#pathOf(tabla, 'libro');
    if ((await readLedgerId(this.#pathOf(tabla, 'nuevo'))) === id) {
      await rename(this.#pathOf(tabla, 'nuevo'), path);
      await syncFolder(this.#root);
      return true;
    }
    return (await readLedgerId(path)) === id;
  }

  /** Removes what was begun of the next ledger of a table, as far as the disk lets it: a later one is begun in its place anyhow. */
  async dropNew(tabla: string): Promise<void> {
    await rm(this.#pathOf(tabla, 'nuevo'), { force: true }).catch(() => {});
  }

  /** Removes what belongs to none of `tablas`. */
  async prune(tablas: readonly string[]): Promise<void> {
    const known = new Set(tablas.flatMap((tabla) => [this.#nameOf(tabla, 'libro'), this.#nameOf(tabla, 'nuevo')]));
    for (const name of await namesIn(this.#root)) {
      if (!known.has(name)) await rm(join(this.#root, name), { force: true });
    }
  }

  #pathOf(tabla: string, kind: 'libro' | 'nuevo'): string {
    return join(this.#root, this.#nameOf(tabla, kind));
  }

  #nameOf(tabla: string, kind: 'libro' | 'nuevo'): string {
    const plain = tabla.replace(/[^A-Za-z0-9_]/g, '_').slice(0, 60);
    return `${plain}-${createHash('sha256').update(tabla).digest('hex').slice(0, 12)}.${kind}`;
  }
}
