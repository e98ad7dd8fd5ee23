import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { createScratchDatabase, type ScratchDatabase } from '../../fixtures/postgres.ts';
import { buildApp } from '../app.ts';
import { loadConfig } from '../config.ts';
import { runServer } from '../testing/run-cli.ts';
import { migrate } from './migrate.ts';

let scratch: ScratchDatabase;
let admin: pg.Client;
beforeAll(async () => {
  scratch = await createScratchDatabase(inject('postgresUrl'));
  admin = new pg.Client({ connectionString: scratch.adminUrl });
  await admin.connect();
});
afterAll(async () => {
  await admin?.end();
  await scratch?.drop();
});

async function start(): Promise<void> {
  const app = await buildApp(loadConfig({ DATABASE_URL: scratch.url, LOG_LEVEL: 'silent' }));
  await app.close();
}

test('serve refuses to be a superuser, changes nothing, and says what makes the database ready', async () => {
  const served = await runServer(['serve'], { DATABASE_URL: scratch.adminUrl, PORT: '0', HOST: '127.0.0.1' });
  expect(served).toMatchObject({ code: 1, stdout: '' });
  expect(served.stderr).toMatch(/«\w+» es superusuario de PostgreSQL/);
  expect(served.stderr).toContain(`ALTER DATABASE "${scratch.name}" OWNER TO ax_sync;`);
  expect(served.stderr).toContain('ax-sync-server migrate');
  expect((await admin.query(`SELECT FROM pg_class WHERE relname = 'sync_migrations'`)).rowCount).toBe(0);
});

test('migrate by an administrator hands everything to the owner of the database, as whom the server then starts', async () => {
  await migrate(scratch.adminUrl);
  const { rows } = await admin.query<{ uno: string; dueno: string }>(`
    SELECT relname AS uno, relowner::regrole::text AS dueno FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S') UNION ALL
    SELECT proname, proowner::regrole::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace`);
  const foreign = rows.filter(({ dueno }) => dueno !== scratch.name).map(({ uno, dueno }) => `${uno} ${dueno}`);
  expect(foreign.sort()).toEqual([
    'sync_abrir ax_sync_consulta',
    'sync_ejecutar ax_sync_tenant',
    'sync_leer ax_sync_consulta',
  ]);
  expect(rows.length).toBeGreaterThan(15);
  await start();
});

/** Per database, because the roles belong to every test of the cluster. */
test.each([
  ['reach keys', 'GRANT SELECT ON sync_api_keys TO PUBLIC', 'REVOKE ALL ON sync_api_keys FROM PUBLIC, ax_sync_tenant'],
  [
    'reach one column',
    'GRANT SELECT (hash) ON sync_api_keys TO ax_sync_consulta',
    'REVOKE ALL ON sync_api_keys FROM PUBLIC, ax_sync_consulta',
  ],
  [
    'create in the schema',
    'GRANT CREATE ON SCHEMA public TO PUBLIC',
    'REVOKE CREATE ON SCHEMA public FROM PUBLIC, ax_sync_tenant',
  ],
  [
    'create schemas',
    `GRANT CREATE ON DATABASE {base} TO PUBLIC`,
    'REVOKE CREATE ON DATABASE {base} FROM PUBLIC, ax_sync_tenant',
  ],
  [
    'see every row',
    'ALTER TABLE parametros_maestros DISABLE ROW LEVEL SECURITY',
    'ALTER TABLE parametros_maestros ENABLE ROW LEVEL SECURITY',
  ],
  [
    'see more rows',
    'CREATE POLICY otra ON parametros_maestros USING (true)',
    'DROP POLICY otra ON parametros_maestros',
  ],
])('serve refuses roles that %s, and names what mends it', async (_what, harm, mend) => {
  const replaced = (sql: string) => sql.replace('{base}', scratch.name);
  await admin.query(replaced(harm));
  await expect(start()).rejects.toThrow(replaced(mend));
  await admin.query(replaced(mend));
  await start();
});

test('serve refuses roles that may call what stops other tenants, unless that is accepted; migrate by an administrator mends it', async () => {
  await admin.query('GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC');
  await expect(start()).rejects.toThrow(
    /puede llamar a pg_advisory_lock\(bigint\).*ax-sync-server migrate como administrador/,
  );
  const env = { DATABASE_URL: scratch.url, LOG_LEVEL: 'silent', ACCEPT_UNREVOKED_FUNCTIONS: 'true' };
  await (await buildApp(loadConfig(env))).close();
  await migrate(scratch.adminUrl);
  await start();
});

/**
 * What PostgreSQL itself lets everybody call that is more than a computation, and why a tenant may: it looks at what the catalogue
 * shows everybody; it needs a right on an object; it is checked within (own role, superuser); it holds the tenant's own connection.
 */
const HARMLESS = [
  /^(amvalidate|array_(sample|shuffle)|random(_normal)?|gen_random_uuid|uuidv[47]|clock_timestamp|timeofday|current_query|statement_timestamp)$/,
  /^pg_(sleep|sleep_for|sleep_until|jit_available|is_in_recovery|get_wal_resource_managers|available_wal_summaries)$/,
  /^pg_(stat_|control_|current_|last_|get_wal_|get_wait_events|get_multixact|wal_summary|collation_actual|database_collation)/,
  /^pg_(is_wal_replay_paused|lock_status|prepared_xact|xact_|xact_status|notification_queue_usage|get_aios|get_loaded_modules)/,
  /^pg_((database|tablespace|relation|table|indexes|total_relation)_size|partition_(tree|ancestors)|(safe_snapshot_)?blocking_pids|isolation_test_session_is_blocked)$/,
  /^(nextval|setval|currval|lastval|currtid2?|pg_sequence_last_value|pg_get_sequence_data|brin_|gin_clean|pg_(clear|restore)_(relation|attribute)_stats)/,
  /^(pg_(cancel|terminate)_backend|pg_(read_file|rotate_logfile)_old|pg_extension_config_dump|pg_nextoid|pg_import_system_collations|pg_stop_making_pinned_objects|binary_upgrade_.*)$/,
  /^pg_(create|drop|copy)_.*replication_slot$|^pg_(logical_slot_|replication_slot_advance|sync_replication_slots|ls_|log_standby)/,
  /^(query|cursor)_to_xml|^ts_(stat|rewrite)$|^txid_status$|^plpgsql_/,
];

test('what a tenant may call of PostgreSQL, beyond computations, has been looked at', async () => {
  const { rows } = await admin.query<{ proname: string }>(`
    SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v'
      AND prokind IN ('f', 'p') AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype)
      AND NOT 'internal'::regtype = ANY (proargtypes)
      AND (has_function_privilege('ax_sync_tenant', oid, 'EXECUTE') OR has_function_privilege('ax_sync_consulta', oid, 'EXECUTE'))`);
  const unknown = rows.map(({ proname }) => proname).filter((name) => !HARMLESS.some((names) => names.test(name)));
  expect(unknown.sort()).toEqual([]);
});

test.each([
  'ALTER FUNCTION sync_ejecutar(text) SECURITY INVOKER',
  'GRANT EXECUTE ON FUNCTION sync_ejecutar(text) TO ax_sync_tenant',
  'ALTER FUNCTION sync_abrir(text) OWNER TO CURRENT_USER',
])('serve refuses a function that is not as it was made, until an administrator migrates: %s', async (harm) => {
  await admin.query(`BEGIN; ${harm}; COMMIT`);
  await expect(start()).rejects.toThrow(/la función sync_\w+\(text\) no es la de la migración/);
  expect(await migrate(scratch.adminUrl)).toEqual([]);
  await start();
});
