import type { Config } from '../config.ts';
import type { Connection } from './pool.ts';
import { RolesError } from './tenant.ts';

/**
 * Functions of PostgreSQL with which SQL of a tenant would reach past its own transaction. PostgreSQL lets everybody call them,
 * and only a superuser takes that back: `migrate`, run by an administrator.
 *
 * - Advisory locks: one table of locks for the whole cluster, whose size is fixed; and `migrate` waits for one.
 * - set_config: a query that raises work_mem takes the machine's memory.
 * - setseed: random() of whoever has the connection next.
 * - pg_export_snapshot: a file each. pg_notify: commits of all sessions in a row. pg_logical_emit_message: WAL.
 * - Large objects: shared by all tenants, and never removed.
 */
const NAMES =
  '^(pg_(try_)?advisory_.*|set_config|setseed|pg_export_snapshot|pg_notify|pg_logical_emit_message|lo_.*|loread|lowrite)$';

const REVOKABLE = `
  FROM pg_catalog.pg_proc p CROSS JOIN unnest('{ax_sync_tenant,ax_sync_consulta}'::text[]) rol
  WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '${NAMES}'
    AND has_function_privilege(rol, p.oid, 'EXECUTE')`;

/** For a superuser, in the server's database: takes them from everybody but the owner of the database. */
export const REVOKE = `
DO $revoke$
DECLARE
  una text;
BEGIN
  FOR una IN SELECT DISTINCT p.oid::regprocedure ${REVOKABLE} LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC, ax_sync_tenant, ax_sync_consulta', una);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pg_database_owner', una);
  END LOOP;
END
$revoke$`;

/**
 * Throws, with what an administrator has to do, where the tenants' roles may call them; only warns where the operator has
 * accepted that.
 */
export async function assertRevoked(
  connection: Connection,
  { ACCEPT_UNREVOKED_FUNCTIONS }: Pick<Config, 'ACCEPT_UNREVOKED_FUNCTIONS'>,
  log: { warn(message: string): void },
): Promise<void> {
  const { rows } = await connection.query<{ una: string }>(
    `SELECT DISTINCT p.oid::regprocedure::text AS una ${REVOKABLE} ORDER BY 1`,
  );
  if (rows.length === 0) return;
  const fault = `el SQL de los tenants puede llamar a ${rows[0]!.una} (y a ${rows.length - 1} funciones más con las que uno detendría a los otros)`;
  if (ACCEPT_UNREVOKED_FUNCTIONS) {
    log.warn(fault);
    return;
  }
  throw new RolesError(
    `${fault}. Ejecute ax-sync-server migrate como administrador de PostgreSQL.\n` +
      'Donde nadie es superusuario (PostgreSQL como servicio), ACCEPT_UNREVOKED_FUNCTIONS=true arranca así.',
  );
}
