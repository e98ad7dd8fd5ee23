import type { Connection } from './pool.ts';

/** Roles, made by the migrations, under which SQL of a tenant's configuration runs. */
export const CONSULTA_ROLE = 'ax_sync_consulta';

/** For the rest of the transaction, row-level security shows `tenant` alone. Call it before any role is taken. */
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
 * What this transaction commits is on the disk when it is answered, even where the database's default is to tell sooner: an
 * agent that has been answered moves its mark, and never sends those rows again.
 */
export async function commitDurably(connection: Connection): Promise<void> {
  await connection.query(
    `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'`,
  );
}

/** What the server needs of the roles; throws with what an administrator has to do. */
export async function assertRoles(connection: Connection): Promise<void> {
  const { rows } = await connection.query<{ rolname: string; peligroso: boolean; miembro: boolean }>(
    `SELECT rolname, rolsuper OR rolbypassrls AS peligroso, pg_has_role(current_user, oid, 'MEMBER') AS miembro
     FROM pg_roles WHERE rolname IN ('ax_sync_tenant', 'ax_sync_consulta')`,
  );
  for (const role of ['ax_sync_tenant', 'ax_sync_consulta']) {
    const found = rows.find(({ rolname }) => rolname === role);
    if (found === undefined) throw new Error(`falta el rol ${role}: ejecute ax-sync-server migrate`);
    if (found.peligroso) throw new Error(`el rol ${role} no puede ser SUPERUSER ni BYPASSRLS`);
    if (!found.miembro) throw new Error(`ejecute en PostgreSQL: GRANT ${role} TO el usuario del servidor`);
  }
}
