import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import type { Connection } from './pool.ts';

/**
 * NDJSON through COPY verbatim: as CSV of one column whose delimiter and quote are control characters, which JSON
 * cannot hold raw. A line is then a value, a blank line a NULL.
 */
const NDJSON_AS_CSV = String.raw`(FORMAT csv, DELIMITER E'\x01', QUOTE E'\x02')`;

/** The quote: a line that holds it is not JSON, and COPY would not take it for the line that it is. */
export const COPY_QUOTE = 0x02;

/**
 * Returns a sink of NDJSON into the column `doc` of `table`; blank lines are passed over. `rowCount` once it has
 * finished.
 */
export function copyLinesInto(connection: Connection, table: string) {
  return connection.query(copyFrom(`COPY ${table} (doc) FROM STDIN WITH ${NDJSON_AS_CSV} WHERE doc IS NOT NULL`));
}

/**
 * Returns a source of NDJSON: one line for each row of `query`, which yields one column of JSON without raw line
 * breaks.
 */
export function copyLinesFrom(connection: Connection, query: string) {
  return connection.query(copyTo(`COPY (${query}) TO STDOUT WITH ${NDJSON_AS_CSV}`));
}

/** Returns `text` as a literal of SQL. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** Returns `name` as an identifier of SQL. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
