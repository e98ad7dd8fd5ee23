import type { DownloadEnd, DownloadStart } from '../../protocol/api.ts';
import { SyncError } from '../../protocol/errors.ts';

/** The bodies that a download may have. */

export type DownloadFormat = 'envelope' | 'ndjson' | 'framed';

/** What a download is of. */
export interface Head {
  tabla: string;
  schema: { columns: { name: string; type: string; nullable?: boolean }[] };
  timestamp: string;
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
  { tabla, schema, timestamp }: Head,
  rows: AsyncIterable<Buffer>,
  count: () => number,
  finish: () => Promise<void>,
): AsyncGenerator<string | Buffer> {
  const columns = schema.columns.map(({ name, type, nullable }) => ({ name, type, nullable: nullable ?? true }));
  const start: DownloadStart = { $inicio: { tabla, schema: { columns }, timestamp } };
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

/**
 * Returns where `Accept` leads, by its preferences.
 *
 * @throws SyncError NO_ACEPTABLE
 */
export function chooseFormat(accept: string | undefined): DownloadFormat {
  const ranges = (accept ?? '*/*').split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const weight = Number(/^q=([\d.]+)$/.exec(parameters.find((parameter) => /^q=/.test(parameter)) ?? '')?.[1] ?? 1);
    return { type, framed: parameters.includes('marco=1'), weight };
  });
  // Sorting is stable: of equal weights the first named wins.
  for (const { type, framed } of ranges.filter(({ weight }) => weight > 0).sort((a, b) => b.weight - a.weight)) {
    if (['application/json', 'application/*', '*/*'].includes(type)) return 'envelope';
    if (['application/x-ndjson', 'application/jsonl'].includes(type)) return framed ? 'framed' : 'ndjson';
  }
  throw new SyncError('NO_ACEPTABLE', `No se puede responder como «${(accept ?? '').slice(0, 100)}».`);
}
