import type { ClientBase, FieldDef } from 'pg';
import { OperatorError } from '../operator-error.ts';
import { quoteName } from './copy.ts';
import type { Connection } from './pool.ts';

/**
 * SQL of a tenant's configuration runs inside functions of the database (migrations/functions/): phases as the role
 * ax_sync_tenant, download queries as ax_sync_consulta.
 */

/** Has row-level security show `tenant` alone for the rest of the transaction. */
export async function setTenant(connection: Connection, tenant: string): Promise<void> {
  await connection.query('SELECT sync_fijar_tenant($1)', [tenant]);
}

/** Bounds what follows in this transaction. */
export async function setTimeouts(
  connection: Connection,
  { statementMs, lockMs }: { statementMs?: number; lockMs?: number },
): Promise<void> {
  const settings = [
    statementMs === undefined ? undefined : `set_config('statement_timeout', '${Math.trunc(statementMs)}', true)`,
    lockMs === undefined ? undefined : `set_config('lock_timeout', '${Math.trunc(lockMs)}', true)`,
  ].filter((setting) => setting !== undefined);
  await connection.query(`SELECT ${settings.join(', ')}`);
}

/**
 * Sees to it that what this transaction commits is on the disk when it is answered, even where the database's default
 * is to tell sooner: an agent that has been answered moves its mark, and never sends those rows again.
 */
export async function commitDurably(connection: Connection): Promise<void> {
  await connection.query(
    `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`,
  );
}

/**
 * Undoes what a tenant's SQL may have done to the session: its settings and its locks. What the transaction has set for
 * itself goes too.
 */
export async function cleanSession(connection: Connection): Promise<void> {
  await connection.query('RESET ALL; SELECT pg_advisory_unlock_all()');
}

/** Opens the cursor `sync_bajada` on one query of a tenant, as the role ax_sync_consulta. One at a time. */
export async function openTenantCursor(connection: Connection, query: string): Promise<void> {
  await connection.query('SELECT sync_abrir($1)', [query]);
}

/** Returns the columns of the open cursor; nothing of its query runs for that. */
export async function describeTenantCursor(connection: Connection): Promise<FieldDef[]> {
  const { fields } = await connection.query({ text: 'FETCH 0 FROM sync_bajada', rowMode: 'array' });
  return fields;
}

/** Closes the cursor of openTenantCursor. */
export async function closeTenantCursor(connection: Connection): Promise<void> {
  await connection.query('CLOSE sync_bajada');
}

/** Returns the SELECT of one column `fila`: at most the next `max` rows of the open cursor; none at the end. */
export function nextRows(max: number): string {
  return `SELECT fila FROM sync_leer(${Math.trunc(max)}) fila`;
}

/**
 * Throws, with what an administrator has to do, unless the roles are what the isolation of the tenants stands on: a server
 * that is no superuser, and two roles without login that own nothing but their functions and reach nothing but the rows
 * that row-level security leaves them.
 */
export async function assertRoles(connection: Connection): Promise<void> {
  await assertNoSuperuser(connection);
  const { rows } = await connection.query<{ fallo: string }>(`
    WITH rol AS (
      SELECT n.rol, r.oid, r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication AS poder,
             r.rolcanlogin, current_user AS yo, current_schema() AS esquema, current_database() AS base
      FROM unnest('{ax_sync_tenant,ax_sync_consulta}'::text[]) n (rol) LEFT JOIN pg_roles r ON r.rolname = n.rol
    )
    SELECT format('falta el rol %1$s. Ejecute ax-sync-server migrate como administrador de PostgreSQL', rol) AS fallo
    FROM rol WHERE oid IS NULL
    UNION ALL
    SELECT format('el rol %1$s tiene atributos que no debe. Ejecute: ALTER ROLE %1$s NOLOGIN NOSUPERUSER NOBYPASSRLS '
      'NOCREATEROLE NOCREATEDB NOREPLICATION', rol) FROM rol WHERE poder OR rolcanlogin
    UNION ALL
    SELECT format('el rol %1$s es miembro de %2$s. Ejecute: REVOKE %2$I FROM %1$s', rol, g.rolname)
    FROM rol JOIN pg_auth_members m ON m.member = rol.oid JOIN pg_roles g ON g.oid = m.roleid
    UNION ALL
    SELECT format('el usuario %2$I no es miembro de %1$s. Ejecute: GRANT %1$s TO %2$I', rol, yo)
    FROM rol WHERE oid IS NOT NULL AND NOT pg_has_role(yo, oid, 'MEMBER')
    UNION ALL
    SELECT format('el rol %1$s puede crear objetos en el esquema %2$I. Ejecute: REVOKE CREATE ON SCHEMA %2$I FROM PUBLIC, %1$s',
      rol, esquema) FROM rol WHERE oid IS NOT NULL AND has_schema_privilege(oid, esquema, 'CREATE')
    UNION ALL
    SELECT format('el rol %1$s puede crear esquemas en la base. Ejecute: REVOKE CREATE ON DATABASE %2$I FROM PUBLIC, %1$s', rol, base)
    FROM rol WHERE oid IS NOT NULL AND has_database_privilege(oid, base, 'CREATE')
    UNION ALL
    SELECT format('el rol %1$s alcanza la tabla %2$s. Ejecute: REVOKE ALL ON %2$s FROM PUBLIC, %1$s', rol, c.oid::regclass)
    FROM rol JOIN pg_class c ON c.relnamespace = esquema::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    WHERE rol.oid IS NOT NULL AND c.relname ~ '^(sync_|parametros_maestros_)' AND (
      has_table_privilege(rol.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
      OR has_any_column_privilege(rol.oid, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES'))
    UNION ALL
    SELECT 'parametros_maestros no separa los tenants. Ejecute: ALTER TABLE parametros_maestros ENABLE ROW LEVEL SECURITY'
    FROM pg_class WHERE oid = 'parametros_maestros'::regclass AND NOT relrowsecurity
    UNION ALL
    SELECT format('una política más deja ver filas de parametros_maestros. Ejecute: DROP POLICY %I ON parametros_maestros', polname)
    FROM pg_policy WHERE polrelid = 'parametros_maestros'::regclass AND polname <> 'sync_solo_su_tenant' AND polpermissive
    UNION ALL
    SELECT format('la función %s no es la de la migración. Ejecute ax-sync-server migrate como administrador de PostgreSQL', firma)
    FROM (VALUES ('sync_ejecutar(text)', 'ax_sync_tenant'), ('sync_abrir(text)', 'ax_sync_consulta'),
                 ('sync_leer(integer)', 'ax_sync_consulta')) f (firma, rol)
    LEFT JOIN pg_proc p ON p.oid = to_regprocedure(firma)
    WHERE p.oid IS NULL OR NOT p.prosecdef OR p.proowner <> to_regrole(f.rol)
      OR has_function_privilege(to_regrole(f.rol), p.oid, 'EXECUTE')
      OR NOT has_function_privilege(current_user, p.oid, 'EXECUTE')`);
  if (rows.length > 0) throw new RolesError(rows.map(({ fallo }) => `${fallo}.`).join('\n'));
}

/** Throws where the server would be a superuser: nothing that it runs would be bounded by a role. */
export async function assertNoSuperuser(connection: Pick<ClientBase, 'query'>): Promise<void> {
  const { rows } = await connection.query<{ rolname: string; poder: boolean; base: string }>(
    `SELECT rolname, rolsuper OR rolbypassrls AS poder, current_database() AS base FROM pg_roles WHERE rolname = session_user`,
  );
  const [me] = rows;
  if (me?.poder !== true) return;
  throw new RolesError(
    `«${me.rolname}» es superusuario de PostgreSQL (o tiene BYPASSRLS), y el servidor no debe serlo: ejecuta SQL de los tenants.\n` +
      'Como administrador cree un usuario, hágalo dueño de la base y prepárela:\n' +
      `  CREATE ROLE ax_sync LOGIN PASSWORD '…';\n` +
      `  ALTER DATABASE ${quoteName(me.base)} OWNER TO ax_sync;\n` +
      '  ax-sync-server migrate        (con la DATABASE_URL del administrador)\n' +
      'y arranque el servidor con la DATABASE_URL de ax_sync.',
  );
}

/** The roles of the database are not what the server needs; the message says what to do. */
export class RolesError extends OperatorError {
  override readonly name = 'RolesError';
}
