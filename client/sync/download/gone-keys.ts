import { TextHash } from '../../../protocol/rows/hash.ts';
import { LineKeys } from '../../rows/line-keys.ts';
import { type BulkColumn, quoteName, quoteTable, type SqlServer } from '../../sqlserver/sql-server.ts';
import { createTempTableSql } from '../../sqlserver/tables/ddl.ts';
import { type HashList, HashSet } from '../../state/ledger/hash-list.ts';
import type { KeyColumn } from './equal-keys.ts';
import { GoesWhole } from './held.ts';
import { makeTempName } from './target.ts';

/** `{temp_bajas}`: the keys of the target's rows that the centre no longer has, in the primaryKey's columns. */

interface GoneKeysJob {
  tabla: string;
  /** With the rows that came. */
  temp: string;
  columns: readonly BulkColumn[];
  keys: readonly KeyColumn[];
  /** With which keys are hashed. */
  seed: bigint;
}

/**
 * Makes and fills `{temp_bajas}`, and returns its name. `gone`: hashes of keys; undefined: every row came, and gone is
 * what the target has beside them. `ignored`: it stays empty.
 * @throws {GoesWhole} where a key that is gone is not found: SQL Server may write it otherwise than the backend
 */
export async function makeGoneKeys(
  db: SqlServer,
  job: GoneKeysJob,
  { gone, ignored }: { gone: HashList | undefined; ignored: boolean },
  signal: AbortSignal,
): Promise<string> {
  const { tabla, temp, keys } = job;
  const name = makeTempName(tabla, 'bajas');
  const columns = keys.map((key) => {
    const column = job.columns.find((one) => one.name === key.name)!;
    return { ...column, nullable: false };
  });
  await db.execute(createTempTableSql(name, columns), { signal });
  if (ignored) return name;
  const target = quoteTable(tabla);
  const list = (alias: string) => keys.map((key) => `${alias}.${quoteName(key.name)}`).join(', ');
  if (gone === undefined) {
    const names = keys.map((key) => quoteName(key.name)).join(', ');
    const sql = `INSERT INTO ${name} (${names}) SELECT ${list('t')} FROM ${target} AS t WHERE NOT EXISTS
      (SELECT 1 FROM ${temp} AS s WHERE ${sameKey(keys)}) AND ${keys.map((key) => `t.${quoteName(key.name)} IS NOT NULL`).join(' AND ')}`;
    await db.execute(sql, { signal });
  } else if (gone.length > 0) {
    const lines = await findLines(db, `SELECT ${list('t')} FROM ${target} AS t`, job, gone, signal);
    await db.bulkLoad(name, columns, lines, { signal });
    // A key that SQL Server takes for one that came is not gone: `ab` that has become `AB`.
    await db.execute(`DELETE t FROM ${name} AS t WHERE EXISTS (SELECT 1 FROM ${temp} AS s WHERE ${sameKey(keys)})`, {
      signal,
    });
  }
  return name;
}

/** Returns the condition on a row `s` of a temporary table and a row `t` of the target. */
export function sameKey(keys: readonly KeyColumn[]): string {
  const equal = keys.map(({ name, collation }) => {
    const collate = collation === undefined ? '' : ` COLLATE ${collation}`;
    return `s.${quoteName(name)}${collate} = t.${quoteName(name)}`;
  });
  return equal.join(' AND ');
}

/** The lines of `sql` whose key is gone. */
async function findLines(
  db: SqlServer,
  sql: string,
  { keys, seed }: GoneKeysJob,
  gone: HashList,
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const lineKeys = new LineKeys(keys.map(({ name }) => name));
  const hash = new TextHash(seed);
  const wanted = new HashSet(gone);
  const found: Uint8Array[] = [];
  for await (const { bytes } of db.readRows(sql, { signal })) {
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      lineKeys.hash(bytes, start, end, hash);
      if (wanted.mark(hash.high, hash.low, 1)) found.push(bytes.slice(start, end + 1));
      start = end + 1;
    }
  }
  const missing = gone.length - wanted.count(1);
  if (missing > 0) throw new GoesWhole(`${missing} claves que ya no están no se encuentran en el destino`);
  return (async function* () {
    yield* found;
  })();
}

const NEWLINE = 0x0a;
