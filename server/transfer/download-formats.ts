import type { DownloadEnd, DownloadLedger, DownloadStart } from '../../protocol/api.ts';

/** The bodies that a download may have. */

export type DownloadFormat = 'envelope' | 'ndjson' | 'framed';

/** What a download is of. */
export interface Head {
  tabla: string;
  schema: { columns: { name: string; type: string; nullable?: boolean }[] };
  timestamp: string;
  /** Of a download with `huellas`; framed ones have it. */
  huellas?: DownloadLedger;
}

const LINE_FEED = 0x0a;
const COMMA = 0x2c;

/** The specification's envelope, its keys in the specification's order. Lines become elements as they pass: no row is held. */
async function* writeEnvelope(
  { tabla, schema, timestamp }: Head,
  rows: AsyncIterable<Buffer>,
  _count: () => number,
  finish: () => Promise<void>,
): AsyncGenerator<string | Buffer> {
  yield `{"success":true,"tabla":${JSON.stringify(tabla)},"data":[`;
  let between = false;
  for await (const bytes of rows) {
    if (between) yield ',';
    // Whether another row comes is not known yet.
    between = bytes.at(-1) === LINE_FEED;
    const piece = between ? bytes.subarray(0, -1) : bytes;
    for (let at = piece.indexOf(LINE_FEED); at !== -1; at = piece.indexOf(LINE_FEED, at + 1)) piece[at] = COMMA;
    yield piece;
  }
  await finish();
  yield `],"schema":${JSON.stringify(schema)},"timestamp":${JSON.stringify(timestamp)}}`;
}

async function* writeNdjson(
  _head: Head,
  rows: AsyncIterable<Buffer>,
  _count: () => number,
  finish: () => Promise<void>,
): AsyncGenerator<Buffer> {
  yield* rows;
  await finish();
}

async function* writeFramed(
  { tabla, schema, timestamp, huellas }: Head,
  rows: AsyncIterable<Buffer>,
  count: () => number,
  finish: () => Promise<void>,
): AsyncGenerator<string | Buffer> {
  const columns = schema.columns.map(({ name, type, nullable }) => ({ name, type, nullable: nullable ?? true }));
  const ledger = huellas === undefined ? {} : { huellas };
  const start: DownloadStart = { $inicio: { tabla, schema: { columns }, timestamp, ...ledger } };
  yield `${JSON.stringify(start)}\n`;
  yield* rows;
  await finish();
  const end: DownloadEnd = { $fin: { filas: count() } };
  yield `${JSON.stringify(end)}\n`;
}

/**
 * Writes the rows of PostgreSQL as a body. `count` says how many there were once they are through; `finish` ends the transaction,
 * and the body is whole only after it.
 */
export const bodyWriters = { envelope: writeEnvelope, ndjson: writeNdjson, framed: writeFramed };
