import { primaryKeyOf, type TablaSubida } from '../../protocol/config.ts';
import { quoteLiteral, quoteName } from '../postgres/copy.ts';
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
  /** SQL order in which a later line of the same key comes first. */
  latestFirst: string;
}

const activoRule = `CONSTRAINT activo CHECK (sync_activo(doc -> 'activo') IS NOT NULL)`;

/** The key of a document: `codigo` when it is there, else the columns of primaryKey, joined with | when several. */
export function keyExpression(tabla: TablaSubida): string {
  const columns = primaryKeyOf(tabla);
  const codigo = `sync_escalar(doc -> 'codigo')`;
  if (columns.length === 0 || (columns.length === 1 && columns[0] === 'codigo')) return codigo;
  const scalar = (column: string) => `sync_escalar(doc -> ${quoteLiteral(column)})`;
  const escaped = (column: string) => String.raw`replace(replace(${scalar(column)}, '\', '\\'), '|', '\|')`;
  const key = columns.length === 1 ? scalar(columns[0]!) : columns.map(escaped).join(` || '|' || `);
  return `CASE WHEN doc ? 'codigo' THEN ${codigo} ELSE ${key} END`;
}

/** The connection's temporary table, empty, its line numbers set to 1. */
export async function openTemporary(connection: Connection, tabla: TablaSubida | undefined): Promise<ReceivedRows> {
  await connection.query(`
    SET LOCAL client_min_messages = warning;
    CREATE TEMP SEQUENCE IF NOT EXISTS sync_recibido_linea;
    CREATE TEMP TABLE IF NOT EXISTS sync_recibido (
      doc jsonb NOT NULL, linea bigint NOT NULL DEFAULT nextval('pg_temp.sync_recibido_linea'), ${activoRule}
    ) ON COMMIT DELETE ROWS;
    SELECT setval('pg_temp.sync_recibido_linea', 1, false);
  `);
  return temporaryRows(tabla);
}

function temporaryRows(tabla: TablaSubida | undefined): ReceivedRows {
  const key = tabla === undefined ? 'NULL::text' : keyExpression(tabla);
  return { table: 'pg_temp.sync_recibido', key, latestFirst: 'linea DESC' };
}

/** The line of the first row without key in the connection's temporary table. */
export async function findLineWithoutKey(connection: Connection, rows: ReceivedRows): Promise<number | undefined> {
  const { rows: found } = await connection.query<{ linea: string | null }>(
    `SELECT min(linea) AS linea FROM ${rows.table} WHERE (${rows.key}) IS NULL`,
  );
  const linea = found[0]?.linea;
  return linea === null || linea === undefined ? undefined : Number(linea);
}

/** The table of a resumable upload. */
export function uploadRows(uploadId: string): ReceivedRows {
  return { table: quoteName(`sync_recibido_${uploadId}`), key: 'codigo', latestFirst: 'trozo DESC, seq DESC' };
}

/** Makes it. `seq` keeps the order within a chunk; blocks of the sequence are cached, so chunks do not contend for it. */
export async function createUploadTable(connection: Connection, uploadId: string, tabla: TablaSubida): Promise<void> {
  await connection.query(`
    CREATE UNLOGGED TABLE ${uploadRows(uploadId).table} (
      doc jsonb NOT NULL,
      codigo text COLLATE "C" NOT NULL GENERATED ALWAYS AS (${keyExpression(tabla)}) STORED,
      trozo integer NOT NULL DEFAULT current_setting('app.trozo')::integer,
      seq bigint NOT NULL GENERATED ALWAYS AS IDENTITY (CACHE 1000),
      ${activoRule}
    ) WITH (autovacuum_enabled = false)`);
}

/** What is copied next in this transaction belongs to chunk `n`. */
export async function setChunk(connection: Connection, n: number): Promise<void> {
  await connection.query(`SELECT set_config('app.trozo', $1, true)`, [String(n)]);
}

/** Drops it, if it is still there. */
export async function dropUploadTable(connection: Connection, uploadId: string): Promise<void> {
  await connection.query(`DROP TABLE IF EXISTS ${uploadRows(uploadId).table}`);
}
