import { join } from 'node:path';
import { runner } from 'node-pg-migrate';
import pg from 'pg';
import { REVOKE } from './revoked.ts';

/**
 * Brings the database to this version, under an advisory lock: processes that start together do it once, the others
 * wait. Returns the names of the migrations that ran.
 *
 * Run by a superuser, it hands everything to the owner of the database, as whom the server connects, and takes from the
 * tenants' roles what only a superuser can take (revoked.ts).
 */
export async function migrate(databaseUrl: string, onMessage: (message: string) => void = () => {}): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'ax-sync-server migrate' });
  await client.connect();
  try {
    const done = await runner({
      dbClient: client,
      dir: join(import.meta.dirname, '..', 'migrations'),
      migrationsTable: 'sync_migrations',
      direction: 'up',
      advisoryLockMode: 'wait',
      singleTransaction: true,
      log: onMessage,
    });
    await client.query(HAND_OVER);
    const { rows } = await client.query('SELECT rolsuper FROM pg_roles WHERE rolname = current_user');
    if (rows[0]?.rolsuper === true) await client.query(REVOKE);
    return done.map(({ name }) => name);
  } finally {
    await client.end();
  }
}

/** Does nothing for a user that is no superuser, or where the owner of the database is one. */
const HAND_OVER = `
DO $$
DECLARE
  dueno name := (SELECT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
                 WHERE d.datname = current_database() AND NOT r.rolsuper);
  uno text;
BEGIN
  IF dueno IS NULL OR NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN RETURN; END IF;
  EXECUTE format('GRANT ax_sync_tenant, ax_sync_consulta TO %I', dueno);
  FOR uno IN SELECT oid::regclass FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND relname ~ '^(sync_|parametros_maestros$)'
      AND relowner = current_user::regrole
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO %I', uno, dueno);
  END LOOP;
  FOR uno IN SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND proname ~ '^sync_' AND proowner = current_user::regrole
  LOOP
    EXECUTE format('ALTER FUNCTION %s OWNER TO %I', uno, dueno);
  END LOOP;
  FOR uno IN SELECT oid::regprocedure FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND proname IN ('sync_ejecutar', 'sync_abrir', 'sync_leer')
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', uno, dueno);
  END LOOP;
END
$$`;
