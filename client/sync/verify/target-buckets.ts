import type { CompareDownload } from '../../../protocol/api.ts';
import { TextHash } from '../../../protocol/rows/hash.ts';
import { LineKeys } from '../../rows/line-keys.ts';
import { quoteName, quoteTable, type SqlServer } from '../../sqlserver/sql-server.ts';
import type { SyncContext } from '../context.ts';
import { readFrame } from '../download/frame.ts';
import { makeCollector } from '../memory.ts';
import { Buckets } from './buckets.ts';
import { TimeIsUp, textLinesOf } from './comparison.ts';

/** A download's rows and its target's, as buckets of the hashes of their lines. */

export interface BothSides {
  /** What of a row both sides have, as the centre spells it. */
  columns: { name: string; type: string; nullable: boolean }[];
  /** The centre's digest of query and columns. */
  consulta: string;
  centre: Buckets;
  target: Buckets;
}

/** What every request of one comparison says. */
export type Asked = Omit<CompareDownload, 'cubos'>;

/** Asks the centre for its buckets, and then reads the target. Throws TimeIsUp, and what asking and reading throw. */
export async function readBothSides(
  { backend, progress, signal }: SyncContext,
  db: SqlServer,
  asked: Asked,
  { keys, deadline }: { keys: readonly string[]; deadline: number },
): Promise<BothSides> {
  progress.waiting(() => 'huellas del backend');
  const centre = new Buckets(asked.bits);
  const { start, rows } = await readFrame(await backend.verification.compareDownload(asked, signal));
  for await (const line of textLinesOf(rows)) centre.take(line);
  const { columns } = start.schema;
  const target = new Buckets(asked.bits);
  const names = columns.map(({ name }) => name);
  const sql = `SELECT ${names.map((name) => `t.${quoteName(name)}`).join(', ')} FROM ${quoteTable(asked.tabla)} AS t`;
  const hashed = new HashedLines(keys, BigInt(asked.semilla));
  const collect = makeCollector('comparison');
  for await (const { bytes, rows: read } of db.readRows(sql, { signal, names })) {
    if (performance.now() > deadline) throw new TimeIsUp();
    progress.rows(read);
    progress.bytes(bytes.length);
    collect(bytes.length);
    hashed.each(bytes, (keyHigh, rowHigh, rowLow) => target.add(target.bucketOf(keyHigh), rowHigh, rowLow));
  }
  return { columns, consulta: start.huellas?.consulta ?? '', centre, target };
}

/** Hashes lines as the centre does: key and row, whose lowest bit is set. */
class HashedLines {
  readonly #keys: LineKeys;
  readonly #hash: TextHash;

  constructor(keys: readonly string[], seed: bigint) {
    this.#keys = new LineKeys(keys);
    this.#hash = new TextHash(seed);
  }

  each(bytes: Uint8Array, take: (keyHigh: number, rowHigh: number, rowLow: number) => void): void {
    const hash = this.#hash;
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      this.#keys.hash(bytes, start, end, hash);
      const { high, low } = hash;
      hash.update(bytes, start, end, high | 0, low | 0);
      take(high, hash.high, hash.low | 1);
      start = end + 1;
    }
  }
}

const NEWLINE = 0x0a;
