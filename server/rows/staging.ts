import { SyncError } from '../../protocol/errors.ts';
import { primaryKeyOf, type TablaSubida } from '../../protocol/tenant-config/config.ts';
import { quoteLiteral, quoteName } from '../postgres/copy.ts';
import { keyAmbiguous, keyMissing } from '../postgres/errors.ts';
import type { Connection } from '../postgres/pool.ts';

/**
 * Where received lines wait for their merge: `doc jsonb`, in a table that only one upload writes.
 *
 * A resumable upload has an UNLOGGED table of its own, whose key column PostgreSQL generates while it copies, so that a
 * row without key is refused in its chunk. A one-shot upload shares one temporary table per connection (made once:
 * thousands of small uploads an hour must not churn the catalogue), whose key is computed by the merge.
 */
export interface ReceivedRows {
  /** SQL name of the table. */
  table: string;
  /** SQL expression of the key: NULL where the row has none. */
  key: string;
  /** SQL condition of a row whose `codigo` is not what `campo`, its primaryKey, has; undefined: there is no such row. */
  ambiguous: { campo: string; when: string } | undefined;
  /** Members of the document that have a column of their own. */
  dropped: readonly string[];
  /** SQL order in which a later line of the same key comes first. */
  latestFirst: string;
  /** SQL expression: which row of the upload it is, from 1. */
  rowNumber: string;
}

const activoRule = `CONSTRAINT activo CHECK (sync_activo(doc -> 'activo') IS NOT NULL)`;

/** What a document's key is, in SQL. */
export type RowKey = Pick<ReceivedRows, 'key' | 'ambiguous' | 'dropped'>;

/**
 * Returns the key of a table's rows (SPEC.md, R2). Several columns of primaryKey are the key, joined with |. A single
 * one is, or `codigo` in its place, which a query may call it: a row that has both, and different, is ambiguous.
 * Without primaryKey it is `codigo`.
 */
export function rowKeyOf(tabla: TablaSubida): RowKey {
  const columns = primaryKeyOf(tabla);
  const scalar = (column: string) => `sync_escalar(doc -> ${quoteLiteral(column)})`;
  const codigo = scalar('codigo');
  const asCodigo = ['codigo', 'nombre', 'activo'];
  if (isCodigo(columns)) return { key: codigo, ambiguous: undefined, dropped: asCodigo };
  const escaped = (column: string) => String.raw`replace(replace(${scalar(column)}, '\', '\\'), '|', '\|')`;
  const key = columns.length === 1 ? scalar(columns[0]!) : columns.map(escaped).join(` || '|' || `);
  // Where codigo is a part of the key, or beside it, its value is in no column.
  if (columns.length > 1) return { key, ambiguous: undefined, dropped: ['nombre', 'activo'] };
  const campo = columns[0]!;
  const when = `(doc ? 'codigo' AND doc ? ${quoteLiteral(campo)} AND ${codigo} IS DISTINCT FROM ${key})`;
  const codigoFirst = `CASE WHEN doc ? 'codigo' THEN ${codigo} ELSE ${key} END`;
  return { key: codigoFirst, ambiguous: { campo, when }, dropped: asCodigo };
}

/** Returns whether the key of these columns is plainly `codigo`. */
export function isCodigo(columns: readonly string[]): boolean {
  return columns.length === 0 || (columns.length === 1 && columns[0] === 'codigo');
}

/** Opens the connection's temporary table, empty, its line numbers set to 1. */
export async function openTemporary(connection: Connection): Promise<void> {
  await connection.query(`
    SET LOCAL client_min_messages = warning;
    CREATE TEMP SEQUENCE IF NOT EXISTS sync_recibido_linea;
    CREATE TEMP TABLE IF NOT EXISTS sync_recibido (
      doc jsonb NOT NULL, linea bigint NOT NULL DEFAULT nextval('pg_temp.sync_recibido_linea'), ${activoRule}
    ) ON COMMIT DELETE ROWS;
    SELECT setval('pg_temp.sync_recibido_linea', 1, false);
  `);
}

/** SQL name of the connection's temporary table. */
export const TEMPORARY_TABLE = 'pg_temp.sync_recibido';

/** Returns what it holds. */
export function temporaryRows(key: RowKey): ReceivedRows {
  return { table: TEMPORARY_TABLE, ...key, latestFirst: 'linea DESC', rowNumber: 'linea' };
}

/**
 * @throws {SyncError} CLAVE_AUSENTE or CLAVE_AMBIGUA with the line of the first such row in the connection's temporary
 * table
 */
export async function assertKeys(connection: Connection, rows: ReceivedRows, tabla: TablaSubida): Promise<void> {
  const { rows: found } = await connection.query<{ ausente: string | null; ambigua: string | null }>(
    `SELECT min(linea) FILTER (WHERE (${rows.key}) IS NULL) AS ausente,
       min(linea) FILTER (WHERE ${rows.ambiguous?.when ?? 'false'}) AS ambigua FROM ${rows.table}`,
  );
  const { ausente, ambigua } = found[0]!;
  const place = (linea: string) => ({ tabla: tabla.nombre, linea: Number(linea) });
  if (ausente !== null) throw keyMissing(place(ausente));
  if (ambigua !== null) throw keyAmbiguous({ ...place(ambigua), campo: rows.ambiguous!.campo });
}

/** @throws {SyncError} CLAVE_REPETIDA, with the key and its first two rows, where a key comes more than once */
export async function assertNoRepetition(
  connection: Connection,
  rows: ReceivedRows,
  tabla: TablaSubida,
): Promise<void> {
  const { rows: found } = await connection.query<{ clave: string; una: string; otra: string; claves: number }>(
    `SELECT clave, filas[1] AS una, filas[2] AS otra, count(*) OVER ()::integer AS claves
     FROM (SELECT clave, array_agg(fila ORDER BY fila) AS filas
           FROM (SELECT ${rows.key} AS clave, ${rows.rowNumber} AS fila FROM ${rows.table}) todas
           GROUP BY clave HAVING count(*) > 1) repetidas
     ORDER BY filas[2] LIMIT 1`,
  );
  const [first] = found;
  if (first === undefined) return;
  const { clave, una, otra, claves } = first;
  const more = claves === 1 ? '' : `; se repiten ${claves} claves`;
  const detail = `La clave «${cutKey(clave)}» está en la fila ${una} y en la ${otra}${more}.`;
  const campo = primaryKeyOf(tabla).join(', ') || 'codigo';
  throw new SyncError('CLAVE_REPETIDA', detail, { tabla: tabla.nombre, linea: Number(otra), campo });
}

/** Returns a key as an error shows it. */
export function cutKey(key: string): string {
  return key.length > 200 ? `${key.slice(0, 200)}…` : key;
}

/** Returns what the table of a resumable upload holds. */
export function uploadRows(uploadId: string, { dropped }: Pick<RowKey, 'dropped'>): ReceivedRows {
  const key = { key: 'codigo', ambiguous: undefined, dropped };
  const rowNumber = 'row_number() OVER (ORDER BY trozo, seq)';
  return { table: uploadTable(uploadId), ...key, latestFirst: 'trozo DESC, seq DESC', rowNumber };
}

/** Its SQL name. */
export function uploadTable(uploadId: string): string {
  return quoteName(`sync_recibido_${uploadId}`);
}

/** Makes it. `seq` keeps the order within a chunk; blocks of the sequence are cached, so chunks do not contend for it. */
export async function createUploadTable(
  connection: Connection,
  uploadId: string,
  { key, ambiguous }: RowKey,
): Promise<void> {
  // Its name is what the error has of it (postgres/errors.ts).
  const rule =
    ambiguous === undefined ? '' : `CONSTRAINT ${quoteName(`clave ${ambiguous.campo}`)} CHECK (NOT ${ambiguous.when}),`;
  await connection.query(`
    CREATE UNLOGGED TABLE ${uploadTable(uploadId)} (
      doc jsonb NOT NULL,
      codigo text COLLATE "C" NOT NULL GENERATED ALWAYS AS (${key}) STORED,
      trozo integer NOT NULL DEFAULT current_setting('app.trozo')::integer,
      seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY (CACHE 1000),
      ${rule}
      ${activoRule}
    ) WITH (autovacuum_enabled = false)`);
}

/** Says that what is copied next in this transaction belongs to chunk `n`. */
export async function setChunk(connection: Connection, n: number): Promise<void> {
  await connection.query(`SELECT set_config('app.trozo', $1, true)`, [String(n)]);
}

/** Drops it, if it is still there. */
export async function dropUploadTable(connection: Connection, uploadId: string): Promise<void> {
  await connection.query(`DROP TABLE IF EXISTS ${uploadTable(uploadId)}`);
}

/** Uploads in chunks that are not committed, and the bytes of their staging tables with what of them is out of line. */
export async function readStaging(connection: Connection): Promise<{ abiertas: number; bytes: number }> {
  const { rows } = await connection.query<{ abiertas: number; bytes: number }>(
    `SELECT count(*)::integer AS abiertas,
       (SELECT coalesce(sum(pg_table_size(oid)), 0)::float8 FROM pg_class WHERE relkind = 'r' AND relname ~ '^sync_recibido_') AS bytes
     FROM sync_uploads WHERE resultado IS NULL AND "expiresAt" > now()`,
  );
  return rows[0]!;
}
