import { SyncError } from '../../protocol/errors.ts';
import type { Config } from '../config.ts';
import { copyLinesFrom } from '../postgres/copy.ts';
import type { DatabaseClock } from '../postgres/database-clock.ts';
import type { Connection } from '../postgres/pool.ts';
import { nextRows, setTimeouts } from '../postgres/tenant.ts';
import { collecting } from './memory.ts';

/** Rows of a download's cursor, in batches: a batch is whole in PostgreSQL before its first bytes come. */

/**
 * Bytes to fetch at a time, as far as the rows before let guess. PostgreSQL keeps them meanwhile: less than the 4 MB of
 * work_mem, past which they would go to the disk.
 */
const BATCH_BYTES = 1024 * 1024;
const FIRST_BATCH_ROWS = 10;
const BATCH_MAX_ROWS = 50_000;
/** Maximum growth from one batch to the next: the next rows may be of another size. */
const BATCH_GROWTH = 20;

/** What has been read. */
export interface Tally {
  filas: number;
  bytes: number;
}

/**
 * Reads the open cursor to its end, one batch after the other; `clock` bounds the time that PostgreSQL takes.
 * @throws {SyncError} SQL_FALLO: more than DOWNLOAD_MAX_ROWS
 */
export async function* readBatches(
  connection: Connection,
  config: Config,
  tally: Tally,
  clock: DatabaseClock,
): AsyncGenerator<Buffer> {
  let max = FIRST_BATCH_ROWS;
  while (true) {
    const before = { ...tally };
    // The clock bounds them; anew for each, because the query may have changed it.
    await setTimeouts(connection, { statementMs: 0 });
    yield* clock.count(readLines(connection, nextRows(max), tally));
    const filas = tally.filas - before.filas;
    if (filas === 0) return;
    if (tally.filas > config.DOWNLOAD_MAX_ROWS) {
      throw new SyncError('SQL_FALLO', `La consulta pasa de ${config.DOWNLOAD_MAX_ROWS} filas (DOWNLOAD_MAX_ROWS).`);
    }
    const rowBytes = Math.max(tally.bytes / tally.filas, (tally.bytes - before.bytes) / filas);
    max = Math.min(BATCH_MAX_ROWS, max * BATCH_GROWTH, Math.max(1, Math.floor(BATCH_BYTES / rowBytes)));
  }
}

async function* readLines(connection: Connection, select: string, tally: Tally): AsyncGenerator<Buffer> {
  const source = copyLinesFrom(connection, select);
  for await (const bytes of collecting(source)) {
    tally.bytes += bytes.length;
    yield bytes;
  }
  tally.filas += source.rowCount;
}
