import QueryStream from 'pg-query-stream';
import { quoteName } from '../postgres/copy.ts';
import { type Connection, inTransaction } from '../postgres/pool.ts';
import { NEW_TABLE } from '../postgres/take-place.ts';
import { deleteUpload } from './uploads.ts';

/** All that the database has of one tenant: which tables, a copy of it, and its end. */

export interface TenantTable {
  tabla: string;
  /** What its rows are ordered by where they have numbers of their own. */
  numero: string | null;
}

/**
 * Finds the tables with rows of tenants, as the catalogue knows them: those with a column "tenantId". A new table needs
 * no word here; one that mirrors another (postgres/partition.ts) is none. sync_configurations is the last: without it nobody is let in.
 */
export async function findTenantTables(connection: Connection): Promise<TenantTable[]> {
  const { rows } = await connection.query<TenantTable>(
    `SELECT c.relname AS tabla,
       (SELECT n.attname FROM pg_attribute n WHERE n.attrelid = c.oid AND n.attidentity <> '' AND NOT n.attisdropped) AS numero
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenantId' AND NOT a.attisdropped
     WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> '${NEW_TABLE}'
     ORDER BY c.relname = 'sync_configurations', c.relname`,
  );
  return rows;
}

/** The audit outlives what it tells of, and nothing is ever put into it. */
export const AUDIT = 'sync_audit';

/** Uploads under way, whose rows lie elsewhere: their agent sends them again. */
const PASSING = 'sync_uploads';

/** Reads every row of a tenant as `[table, row as JSON text]`. For one state of all, in a transaction that sees one snapshot. */
export async function* readTenant(connection: Connection, tenant: string): AsyncGenerator<[string, string]> {
  for (const { tabla, numero } of await findTenantTables(connection)) {
    if (tabla === PASSING) continue;
    const order = numero === null ? '' : `ORDER BY ${quoteName(numero)}`;
    const rows = connection.query(
      new QueryStream(`SELECT to_jsonb(t)::text AS fila FROM ${quoteName(tabla)} t WHERE "tenantId" = $1 ${order}`, [
        tenant,
      ]),
    );
    for await (const { fila } of rows as AsyncIterable<{ fila: string }>) yield [tabla, fila];
  }
}

/**
 * Inserts rows of a tenant that `readTenant` gave. Numbers that a table draws itself are drawn anew, in the order of
 * `rows`.
 * @returns how many: fewer than `rows` where some are of another tenant, which are left out
 */
export async function insertRows(
  connection: Connection,
  tenant: string,
  tabla: string,
  rows: readonly string[],
): Promise<number> {
  const given = `unnest($1::text[]) WITH ORDINALITY AS dada (fila, n)`;
  if (tabla === 'sync_logs') {
    await connection.query(
      `SELECT sync_semana_logs(semana) FROM (
         SELECT DISTINCT date_trunc('week', (fila::jsonb ->> 'createdAt')::timestamptz, 'UTC') AS semana FROM ${given}) s`,
      [rows],
    );
  }
  const { rowCount } = await connection.query(
    `INSERT INTO ${quoteName(tabla)} OVERRIDING USER VALUE
     SELECT r.* FROM ${given}, jsonb_populate_record(NULL::${quoteName(tabla)}, fila::jsonb) AS r
     WHERE r."tenantId" = $2 ORDER BY n`,
    [rows, tenant],
  );
  return rowCount ?? 0;
}

/**
 * Makes what was inserted, in the same transaction, as good as it was: that it was written is no edit, and the ledgers of agents stay
 * good where they were under `vigilancia`, the triggers of the database that they come from.
 */
export async function settleInserted(connection: Connection, tenant: string, vigilancia: string | null): Promise<void> {
  await connection.query('DELETE FROM sync_ediciones WHERE "tenantId" = $1 AND transaccion = pg_current_xact_id()', [
    tenant,
  ]);
  await connection.query(
    'UPDATE sync_commits SET vigilancia = CASE WHEN vigilancia = $2 THEN sync_vigilancia() END WHERE "tenantId" = $1',
    [tenant, vigilancia],
  );
}

/** Rows in one DELETE. */
const BATCH = 5000;

/**
 * Deletes every row of a tenant but the audit's, in short transactions, sync_configurations last; what others wrote meanwhile is looked
 * for until there is nothing. Broken off, it is simply begun again. Returns how many rows of each table.
 */
export async function deleteTenant(connection: Connection, tenant: string): Promise<Map<string, number>> {
  const deleted = new Map<string, number>();
  const tables = (await findTenantTables(connection)).filter(({ tabla }) => tabla !== AUDIT);
  let found: number;
  do {
    found = await deleteUploads(connection, tenant);
    for (const { tabla } of tables) {
      const count = await deleteRows(connection, tenant, tabla);
      deleted.set(tabla, (deleted.get(tabla) ?? 0) + count);
      found += count;
    }
  } while (found > 0);
  return deleted;
}

/** With the tables that hold their rows. */
async function deleteUploads(connection: Connection, tenant: string): Promise<number> {
  const { rows } = await connection.query<{ id: string }>('SELECT id FROM sync_uploads WHERE "tenantId" = $1', [
    tenant,
  ]);
  for (const { id } of rows) await inTransaction(connection, () => deleteUpload(connection, id));
  return rows.length;
}

async function deleteRows(connection: Connection, tenant: string, tabla: string): Promise<number> {
  // A place (ctid) is that of a row in one partition.
  const { rows: leaves } = await connection.query<{ hoja: string }>(
    'SELECT relid::regclass::text AS hoja FROM pg_partition_tree(to_regclass(quote_ident($1))) WHERE isleaf',
    [tabla],
  );
  const names = leaves.length === 0 ? [quoteName(tabla)] : leaves.map(({ hoja }) => hoja);
  let deleted = 0;
  for (const name of names) {
    let count: number;
    do {
      const { rowCount } = await connection.query(
        `DELETE FROM ${name} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${name} WHERE "tenantId" = $1 LIMIT ${BATCH}))`,
        [tenant],
      );
      count = rowCount ?? 0;
      deleted += count;
    } while (count === BATCH);
  }
  return deleted;
}
