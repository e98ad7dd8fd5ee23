import { defined } from '../../../protocol/defined.ts';
import { replaceUnstorable } from '../../../protocol/rows/values.ts';
import { type SqlServerError, sqlServerError } from '../errors.ts';
import type { SqlParameter } from '../session/request.ts';
import { quoteName } from '../tables/ddl.ts';
import type { NdjsonBlock } from '../transcoder/ndjson-block.ts';
import { keySqlOf, type RangeKey, wrapQuery } from './range-key.ts';
import type { ReadRowsOptions } from './read-rows.ts';

/**
 * A table of many millions of rows is read by bounded statements, each of which starts behind the last key of the one
 * before, so that a reading that breaks goes on from there:
 *
 *     SELECT TOP (n) WITH TIES * FROM (<query>) AS q WHERE q.[clave] > <last key> ORDER BY q.[clave]
 *
 * The key is unique in its table; a join in the query may repeat it all the same. WITH TIES then takes the rest of the
 * repeated ones into their range, where `>` would skip them; of a key that does not repeat it changes nothing.
 */

/** Who reads rows: a SqlServer. */
export interface RowReader {
  readRows(sql: string, options: ReadRowsOptions): AsyncIterable<NdjsonBlock>;
}

/** A range is whole: `ultima` is the key of its last row as exact text, and what `after` takes. */
export interface RangeEnd {
  ultima: string;
}

export interface RangeOptions {
  parameters: readonly SqlParameter[];
  key: RangeKey;
  /** Rows of a range, 1 or more; ties of its last key come on top. */
  filas: number;
  /** Starts behind this key; default: at the beginning. */
  after?: string;
  /** As of ReadRowsOptions. */
  names?: readonly string[];
  /** As of ReadRowsOptions; told of each range. */
  onColumns?: ReadRowsOptions['onColumns'];
  /** As of ReadRowsOptions. */
  blockBytes?: number;
  signal: AbortSignal;
}

/**
 * Yields the rows of `query` in the order of its key: the blocks of one range after the other, and a RangeEnd behind
 * each range that has rows. Ends after the first range with fewer than `filas`.
 * Throws `signal.reason`, what SqlServer.readRows throws, or SqlServerError PARTICION_VALOR for a key whose text is not
 * exact or that SQL Server finds behind itself.
 */
export async function* readRanges(
  db: RowReader,
  query: string,
  { parameters, key, filas, after, names = [], onColumns, blockBytes, signal }: RangeOptions,
): AsyncGenerator<NdjsonBlock | RangeEnd> {
  if (!Number.isSafeInteger(filas) || filas < 1) throw new RangeError(`filas: ${filas}`);
  const spelling = names.findLast((name) => name.toLowerCase() === key.name.toLowerCase()) ?? key.name;
  const column = `q.${quoteName(key.name)}`;
  const head = `SELECT TOP (${filas}) WITH TIES * FROM ${wrapQuery(query)} AS q`;
  const options = { names, signal, ...defined({ blockBytes, onColumns }) };
  let ultima = after;
  for (let rows = filas; rows >= filas; ) {
    rows = 0;
    const where = ultima === undefined ? '' : ` WHERE ${column} > ${keySql(key)}`;
    const position: SqlParameter[] = ultima === undefined ? [] : [{ name: 'clave', type: 'nvarchar', value: ultima }];
    const range = db.readRows(`${head}${where} ORDER BY ${column}`, {
      ...options,
      parameters: [...parameters, ...position],
    });
    let last: string | undefined;
    for await (const block of range) {
      rows += block.rows;
      if (block.rows > 0) last = lastValue(block.bytes, spelling);
      yield block;
    }
    if (last === undefined) return;
    const reached = readKey(last, spelling);
    // What is read again would be read for ever.
    if (reached === ultima) throw unusableKey(spelling, 'vuelve a salir detrás de sí mismo');
    ultima = reached;
    yield { ultima };
  }
}

/**
 * `@clave` in the type of the column, so that the comparison neither rounds nor keeps SQL Server from seeking in the
 * index.
 */
function keySql({ type, collation }: RangeKey): string {
  const write = keySqlOf(type);
  if (write === undefined) throw new Error(`no ranges of ${type}`);
  return write(type, collation);
}

/** The value of `name` in the last of some NDJSON lines, as it is written there. */
function lastValue(bytes: Uint8Array, name: string): string {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = lines.lastIndexOf(10, -2) + 1;
  const value = rawValueOf(lines.toString('utf8', start, lines.length - 1), replaceUnstorable(name).text);
  if (value === undefined) throw new Error(`no «${name}» in a row of the range`);
  return value;
}

/**
 * A number keeps its digits, which a double might lose.
 * @throws {SqlServerError} PARTICION_VALOR
 */
function readKey(json: string, name: string): string {
  if (json === 'null') throw unusableKey(name, 'es NULL');
  if (!json.startsWith('"')) return json;
  const text = JSON.parse(json) as string;
  if (text.includes('\uFFFD')) throw unusableKey(name, 'tiene un carácter que no se puede escribir (U+FFFD)');
  return text;
}

/** The value of a key of a JSON object without nested ones, as it is written; undefined when it has no such key. */
function rawValueOf(object: string, name: string): string | undefined {
  let at = 1;
  while (at < object.length) {
    const colon = endOfString(object, at);
    const start = colon + 1;
    const end = object[start] === '"' ? endOfString(object, start) : endOfLiteral(object, start);
    if (JSON.parse(object.slice(at, colon)) === name) return object.slice(start, end);
    at = end + 1;
  }
  return undefined;
}

/** Behind the quote that closes the string that opens at `from`. */
function endOfString(text: string, from: number): number {
  for (let at = from + 1; ; at++) {
    at = text.indexOf('"', at);
    if (at < 0) throw new Error('a JSON string without an end');
    let escapes = 0;
    while (text[at - 1 - escapes] === '\\') escapes++;
    if (escapes % 2 === 0) return at + 1;
  }
}

function endOfLiteral(text: string, from: number): number {
  const comma = text.indexOf(',', from);
  return comma < 0 ? text.length - 1 : comma;
}

function unusableKey(name: string, why: string): SqlServerError {
  return sqlServerError('PARTICION_VALOR', { columna: name, motivo: why });
}
