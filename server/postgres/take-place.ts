import type { ClientBase } from 'pg';

type Client = Pick<ClientBase, 'query'>;

/** The table with the rows of all tenants. */
export const ROWS_TABLE = 'parametros_maestros';

/** The partitioned one, until it takes that name. */
export const NEW_TABLE = 'sync_parametros_nueva';

/**
 * Has the new table take the place of the old one, which goes: with its triggers, policies, rights and comment, whoever made them, as
 * `LIKE … INCLUDING ALL` copies all the rest. In a transaction that holds the old one in ACCESS EXCLUSIVE MODE.
 */
export async function takePlace(client: Client): Promise<void> {
  const watched = await readWatch(client);
  const { rows } = await client.query<{ sql: string }>(LEFT_OUT);
  await client.query(`DROP TABLE ${ROWS_TABLE}; ALTER TABLE ${NEW_TABLE} RENAME TO ${ROWS_TABLE}; ${RENAME_INDEXES}`);
  for (const { sql } of rows) await client.query(sql);
  await watchTruncate(client);
  // No row was changed unseen: the ledgers of agents stay good.
  if (watched !== null) {
    await client.query(
      'INSERT INTO sync_vigilancias VALUES (sync_vigilancia(), $1) ON CONFLICT (firma) DO UPDATE SET nombre = excluded.nombre',
      [watched],
    );
  }
}

async function readWatch(client: Client): Promise<string | null> {
  const { rows } = await client.query<{ vigilancia: string | null }>('SELECT sync_vigilancia() AS vigilancia');
  return rows[0]!.vigilancia;
}

/** Triggers of rows are every partition's by themselves; this one is for statements, and a partition can be emptied alone. */
async function watchTruncate(client: Client): Promise<void> {
  await client.query(`
    DO $$
    DECLARE
      parte regclass;
    BEGIN
      FOR parte IN SELECT relid FROM pg_partition_tree('${ROWS_TABLE}') WHERE isleaf LOOP
        EXECUTE format('CREATE TRIGGER sync_edicion_vaciado BEFORE TRUNCATE ON %s
          FOR EACH STATEMENT EXECUTE FUNCTION sync_anotar_edicion()', parte);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER sync_edicion_vaciado', parte);
      END LOOP;
    END
    $$`);
}

const RENAME_INDEXES = `
  DO $$
  DECLARE
    uno name;
  BEGIN
    FOR uno IN SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'I' AND relname ~ '^${NEW_TABLE}_' LOOP
      EXECUTE format('ALTER INDEX %I RENAME TO %I', uno, replace(uno, '${NEW_TABLE}', '${ROWS_TABLE}'));
    END LOOP;
  END
  $$`;

const THE_TABLE = `'${ROWS_TABLE}'::regclass`;

/** Statements that make of the table of that name what LIKE does not copy, read before it goes. */
const LEFT_OUT = `
  SELECT sql FROM (
    SELECT 1 AS orden, pg_get_triggerdef(oid) || CASE tgenabled WHEN 'O' THEN '' ELSE format('; ALTER TABLE ${ROWS_TABLE} %s TRIGGER %I',
      CASE tgenabled WHEN 'A' THEN 'ENABLE ALWAYS' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'DISABLE' END, tgname) END AS sql
    FROM pg_trigger WHERE tgrelid = ${THE_TABLE} AND NOT tgisinternal
    UNION ALL
    SELECT 2, format('CREATE POLICY %I ON ${ROWS_TABLE} AS %s FOR %s TO %s', policyname, permissive, cmd,
      (SELECT string_agg(quote_ident(rol), ', ') FROM unnest(roles) rol))
      || coalesce(' USING (' || qual || ')', '') || coalesce(' WITH CHECK (' || with_check || ')', '')
    FROM pg_policies WHERE schemaname = current_schema() AND tablename = '${ROWS_TABLE}'
    UNION ALL
    SELECT 3, 'ALTER TABLE ${ROWS_TABLE} ENABLE ROW LEVEL SECURITY' FROM pg_class WHERE oid = ${THE_TABLE} AND relrowsecurity
    UNION ALL
    SELECT 3, 'ALTER TABLE ${ROWS_TABLE} FORCE ROW LEVEL SECURITY' FROM pg_class WHERE oid = ${THE_TABLE} AND relforcerowsecurity
    UNION ALL
    SELECT 4, format('GRANT %s%s ON ${ROWS_TABLE} TO %s%s', x.privilege_type, format('(%I)', a.attname),
      coalesce(quote_ident(r.rolname), 'PUBLIC'), CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_attribute a CROSS JOIN aclexplode(a.attacl) x LEFT JOIN pg_roles r ON r.oid = x.grantee
    WHERE a.attrelid = ${THE_TABLE} AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT 4, format('GRANT %s ON ${ROWS_TABLE} TO %s%s', x.privilege_type, coalesce(quote_ident(r.rolname), 'PUBLIC'),
      CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pg_class c CROSS JOIN aclexplode(c.relacl) x LEFT JOIN pg_roles r ON r.oid = x.grantee
    WHERE c.oid = ${THE_TABLE} AND x.grantee <> c.relowner
    UNION ALL
    SELECT 5, format('COMMENT ON TABLE ${ROWS_TABLE} IS %L', obj_description(${THE_TABLE}, 'pg_class'))
    WHERE obj_description(${THE_TABLE}, 'pg_class') IS NOT NULL
  ) todo ORDER BY orden, sql`;
