import { gzipSync } from 'node:zlib';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { withDatabaseName } from '../fixtures/postgres.ts';
import { digestOf, formatContentDigest } from '../protocol/digest.ts';
import { startTestServer, type TestServer } from './testing/start-test-server.ts';

/**
 * Hostile SQL in a tenant's configuration, through real requests, with one connection to PostgreSQL that attacker and
 * victim share. After each attack everything of the victim and of the server is what it was, nothing of it was read, and
 * the victim's next requests find a clean session. The functions that an administrator takes from the tenants' roles
 * (postgres/revoked.ts) are given back here: the isolation of rows does not rest on that.
 */

const ATTACKER = 'atacante-666';
const VICTIM = 'victima-001';
/** Stands in everything that is not the attacker's. */
const MARK = 'MARCA-AJENA';

type Where = 'phase' | 'download';
/** Name, SQL, and what the answer has to be: `<status> <body>`. */
type Attack = [name: string, sql: string, answer: RegExp];

const DENIED = /^422 .*42501/;
const NO_STATEMENT = /^422 .*solo admite SELECT, INSERT, UPDATE, DELETE y MERGE/;
const NO_QUERY = /^422 .*(42601|42P11)/;
/** It ran, and reached nothing: what is compared afterwards shows it. */
const IN_VAIN = /^200 /;
/** The same; the next statement of a download does not find its function then, before its first bytes have left or after. */
const IN_VAIN_OR_BROKEN = /^(200 |422 (.*42883|terminated$))/;
const READ_ONLY = /^422 .*25006/;
const TIMED_OUT = /^422 .*57014|terminated/;

const GIVEN_BACK = [
  'set_config(text, text, boolean)',
  'setseed(double precision)',
  'pg_advisory_lock(bigint)',
  'lo_create(oid)',
  'lo_from_bytea(oid, bytea)',
];

const OWNER = '{dueño}';
const UPLOAD_TABLE = '{subida}';

/** One SELECT each; run as a phase and as a download. */
const queries: Attack[] = [
  ['takes the role of the server', `SELECT set_config('role', '${OWNER}', false)`, DENIED],
  ['leaves its role', `SELECT set_config('role', 'none', false)`, DENIED],
  ['leaves its role for this transaction', `SELECT set_config('role', 'none', true)`, DENIED],
  ['takes the session', `SELECT set_config('session_authorization', 'postgres', false)`, DENIED],
  ['leaves its role under an escaped name', String.raw`SELECT U&"set\005fconfig"('role', 'none', false)`, DENIED],
  [
    'leaves its role inside ts_stat',
    `SELECT * FROM ts_stat('SELECT to_tsvector(set_con' || 'fig(''role'', ''none'', false))')`,
    DENIED,
  ],
  [
    'leaves its role inside ts_rewrite',
    `SELECT ts_rewrite('a'::tsquery, 'SELECT ''a''::tsquery, set_con' || 'fig(''role'', ''none'', false)::tsquery')`,
    DENIED,
  ],
  [
    'leaves its role inside query_to_xml',
    `SELECT query_to_xml('SELECT set_config(''role'', ''none'', false)', true, true, '')`,
    DENIED,
  ],
  ['reads keys inside ts_stat', `SELECT * FROM ts_stat('SELECT to_tsvector(hash::text) FROM sync_api_keys')`, DENIED],
  ['reads keys inside query_to_xml', `SELECT query_to_xml('SELECT * FROM sync_api_keys', true, true, '')`, DENIED],
  ['reads keys by table_to_xml', `SELECT table_to_xml('sync_api_keys', true, true, '')`, DENIED],
  ['reads the schema by schema_to_xml', `SELECT schema_to_xml('public', true, true, '')`, IN_VAIN],
  ['reads the database by database_to_xml', `SELECT database_to_xml(true, true, '')`, IN_VAIN],
  [
    'names the victim in the setting',
    `SELECT set_config('app.tenant_id', '${VICTIM}', false), * FROM parametros_maestros`,
    IN_VAIN,
  ],
  [
    'names the victim in the setting before rows are looked for',
    `SELECT p.* FROM (SELECT set_config('app.tenant_id', '${VICTIM}', false) AS x OFFSET 0) s, LATERAL
       (SELECT *, s.x FROM parametros_maestros OFFSET 0) p`,
    IN_VAIN,
  ],
  [
    'signs the victim without the secret',
    `SELECT p.* FROM (SELECT set_config('app.tenant_id', '${VICTIM}', false), set_config('app.tenant_firma',
       encode(sha256(convert_to(pg_backend_pid() || ':${VICTIM}', 'UTF8')), 'hex'), false) OFFSET 0) s, parametros_maestros p`,
    IN_VAIN,
  ],
  ['has the victim signed', `SELECT sync_firma('${VICTIM}')`, DENIED],
  ['sets the victim', `SELECT sync_fijar_tenant('${VICTIM}')`, DENIED],
  ['calls the function of phases', `SELECT sync_ejecutar('DROP OWNED BY CURRENT_USER')`, DENIED],
  ['calls the function of downloads', `SELECT sync_abrir('SELECT 1')`, DENIED],
  ['reads on in the cursor of downloads', `SELECT * FROM sync_leer(1)`, DENIED],
  [
    'reads the cursor of downloads as XML',
    `SELECT cursor_to_xml('sync_bajada', 100, true, true, '')`,
    /^422 .*(34000|55000)/,
  ],
  [
    'switches row-level security off',
    `SELECT set_config('row_security', 'off', false), * FROM parametros_maestros`,
    IN_VAIN,
  ],
  ['reads keys', 'SELECT * FROM sync_api_keys', DENIED],
  ['reads the configurations', 'SELECT * FROM sync_configurations', DENIED],
  ['reads the logs', 'SELECT * FROM sync_logs', DENIED],
  ['reads the secrets', 'SELECT * FROM sync_secretos', DENIED],
  ['reads the uploads', 'SELECT * FROM sync_uploads', DENIED],
  ['reads the chunks', 'SELECT * FROM sync_upload_chunks', DENIED],
  ['reads the stored answers', 'SELECT * FROM sync_idempotency', DENIED],
  ['reads the locks of merges', 'SELECT * FROM sync_cerrojos', DENIED],
  ['reads the audit', 'SELECT * FROM sync_audit', DENIED],
  ['reads the migrations', 'SELECT * FROM sync_migrations', DENIED],
  ["reads the victim's upload", `SELECT * FROM "${UPLOAD_TABLE}"`, DENIED],
  ['reads what one-shot uploads leave in the session', 'SELECT * FROM pg_temp.sync_recibido', /^422 .*(42501|42P01)/],
  ['reads one column of the keys', 'SELECT count(hash) FROM sync_api_keys', DENIED],
  ['reads passwords of PostgreSQL', 'SELECT * FROM pg_authid', DENIED],
  ['reads passwords of PostgreSQL by the view', 'SELECT * FROM pg_shadow', DENIED],
  ['reads the statistics of columns', `SELECT * FROM pg_statistic`, DENIED],
  ['reads the statistics by the view', `SELECT * FROM pg_stats WHERE tablename ~ 'parametros|sync_'`, IN_VAIN],
  ["reads the others' statements", `SELECT string_agg(query, ' ') AS x FROM pg_stat_activity`, IN_VAIN],
  ['reads large objects', 'SELECT * FROM pg_largeobject', DENIED],
  ['reads user mappings', 'SELECT * FROM pg_user_mapping', DENIED],
  ['reads rows by their place', `SELECT * FROM parametros_maestros WHERE ctid >= '(0,0)'`, IN_VAIN],
  ['reads rows through an error', `SELECT * FROM parametros_maestros WHERE nombre::integer > 0`, /^422 .*22P02/],
  [
    'reads rows through a check that comes first',
    `SELECT * FROM parametros_maestros WHERE to_json(nombre)::text::integer > 0 OR true`,
    /^(422 .*22P02|200 )/,
  ],
  ['names the victim', `SELECT * FROM parametros_maestros WHERE "tenantId" = '${VICTIM}'`, IN_VAIN],
  ['reads a file', `SELECT pg_read_file('/etc/passwd')`, DENIED],
  ['reads a file as bytes', `SELECT pg_read_binary_file('/etc/passwd')`, DENIED],
  ['lists a folder', `SELECT pg_ls_dir('.')`, DENIED],
  ['lists the log of PostgreSQL', `SELECT pg_ls_logdir()`, DENIED],
  ['looks at a file', `SELECT pg_stat_file('PG_VERSION')`, DENIED],
  ['reads who may log in', `SELECT * FROM pg_hba_file_rules`, DENIED],
  ['reads the settings of files', `SELECT * FROM pg_file_settings`, DENIED],
  ['imports a file', `SELECT lo_import('/etc/passwd')`, DENIED],
  ['exports a file', `SELECT lo_export(1, '/tmp/x')`, DENIED],
  [
    'ends the other sessions',
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()`,
    DENIED,
  ],
  [
    "cancels the others' statements",
    `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()`,
    DENIED,
  ],
  ['reloads the settings of PostgreSQL', 'SELECT pg_reload_conf()', DENIED],
  ['switches the log of PostgreSQL', 'SELECT pg_rotate_logfile()', DENIED],
  ['switches the WAL', 'SELECT pg_switch_wal()', DENIED],
  ['makes a replication slot', `SELECT pg_create_physical_replication_slot('x')`, /^422 .*(42501|25006)/],
  ['forgets statistics', 'SELECT pg_stat_reset()', DENIED],
  [
    'connects by dblink without a password',
    `SELECT * FROM dblink('dbname={base}', 'SELECT 1') AS t (x integer)`,
    /^422 .*(2F003|08001|42501)/,
  ],
  [
    'connects by dblink as the role it is',
    `SELECT * FROM dblink('host=127.0.0.1 dbname={base} user=ax_sync_tenant password=x', 'SELECT 1') AS t (x integer)`,
    /^(422|503) /,
  ],
  ['sleeps', 'SELECT pg_sleep(60)', TIMED_OUT],
  ['sleeps without a timeout', `SELECT set_config('statement_timeout', '0', false), pg_sleep(60)`, TIMED_OUT],
  ['never ends', 'WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT 1 FROM r) SELECT count(*) FROM r', TIMED_OUT],
  ['keeps a lock of the session', 'SELECT pg_advisory_lock(n) FROM generate_series(1, 100) n', IN_VAIN],
  [
    'keeps a lock of the session, and fails',
    `SELECT pg_advisory_lock(1), 1 / (pg_backend_pid() - pg_backend_pid())`,
    /^422 .*22012/,
  ],
  ['leaves another search_path', `SELECT set_config('search_path', 'pg_temp, pg_catalog', false)`, IN_VAIN_OR_BROKEN],
  ['leaves an empty search_path', `SELECT set_config('search_path', '', false)`, IN_VAIN_OR_BROKEN],
  ['leaves another encoding', `SELECT set_config('client_encoding', 'LATIN1', false)`, IN_VAIN],
  ['leaves a timeout', `SELECT set_config('statement_timeout', '1', false)`, /^200 |57014|terminated/],
  ['leaves a lock timeout', `SELECT set_config('lock_timeout', '1', false)`, IN_VAIN],
  ['leaves transactions read only', `SELECT set_config('default_transaction_read_only', 'on', false)`, IN_VAIN],
  [
    'leaves transactions serializable',
    `SELECT set_config('default_transaction_isolation', 'serializable', false)`,
    IN_VAIN,
  ],
  ['leaves commits that are not on the disk', `SELECT set_config('synchronous_commit', 'off', false)`, IN_VAIN],
  ['leaves texts with backslashes', `SELECT set_config('standard_conforming_strings', 'off', false)`, IN_VAIN],
  [
    'leaves another clock',
    `SELECT set_config('TimeZone', 'Asia/Tokyo', false) AS x, set_config('DateStyle', 'German', false) AS y`,
    IN_VAIN,
  ],
  [
    'leaves other bytes',
    `SELECT set_config('bytea_output', 'escape', false) AS x, set_config('work_mem', '1GB', false) AS y`,
    IN_VAIN,
  ],
  ['leaves a session that ends when idle', `SELECT set_config('idle_session_timeout', '1', false)`, IN_VAIN],
  ['leaves a seed', 'SELECT setseed(0.5)', IN_VAIN],
  ['has triggers skipped', `SELECT set_config('session_replication_role', 'replica', false)`, DENIED],
  ['loads a library', `SELECT set_config('session_preload_libraries', 'x', false)`, DENIED],
  ['turns the log of statements off', `SELECT set_config('log_statement', 'none', false)`, DENIED],
  [
    'asks for a row that no memory holds',
    `SELECT repeat(repeat('x', 1000000), 1000) AS x`,
    /^(200 |422 .*(54000|57014))|terminated/,
  ],
];

/** Statements of a phase. */
const phases: Attack[] = [
  ['takes a role', `SET ROLE "${OWNER}"`, NO_STATEMENT],
  ['takes a role for this transaction', 'SET LOCAL ROLE NONE', NO_STATEMENT],
  ['leaves its role and reads keys', 'RESET ROLE; SELECT * FROM sync_api_keys', NO_STATEMENT],
  ['takes the session by statement', 'SET SESSION AUTHORIZATION postgres', NO_STATEMENT],
  ['gives the session back', 'RESET SESSION AUTHORIZATION', NO_STATEMENT],
  ['takes a role by the view of settings', `UPDATE pg_settings SET setting = '${OWNER}' WHERE name = 'role'`, IN_VAIN],
  [
    'leaves a setting by the view of settings',
    `UPDATE pg_settings SET setting = 'LATIN1' WHERE name = 'client_encoding'`,
    IN_VAIN,
  ],
  ['discards the session', 'DISCARD ALL', NO_STATEMENT],
  [
    'has the function of phases run as who calls it',
    'ALTER FUNCTION sync_ejecutar(text) SECURITY INVOKER',
    NO_STATEMENT,
  ],
  ['drops the function of phases', 'DROP FUNCTION sync_ejecutar(text)', NO_STATEMENT],
  [
    'replaces the function that names the tenant',
    `CREATE OR REPLACE FUNCTION sync_tenant_actual() RETURNS text LANGUAGE sql AS $$ SELECT '${VICTIM}' $$`,
    NO_STATEMENT,
  ],
  ['hides it in DO', `DO $$ BEGIN EXECUTE 'ALTER FUNCTION sync_ejecutar(text) SECURITY INVOKER'; END $$`, NO_STATEMENT],
  ['gives up what its role may', 'DROP OWNED BY CURRENT_USER', NO_STATEMENT],
  ['gives away what its role owns', 'REASSIGN OWNED BY CURRENT_USER TO ax_sync_consulta', NO_STATEMENT],
  ['sets its role for ever', `ALTER ROLE CURRENT_USER SET search_path = 'pg_temp'`, NO_STATEMENT],
  ['gives its role a password', `ALTER ROLE CURRENT_USER PASSWORD 'x'`, NO_STATEMENT],
  ['gives everybody its rows', 'GRANT ALL ON parametros_maestros TO PUBLIC', NO_STATEMENT],
  ['disables row-level security', 'ALTER TABLE parametros_maestros DISABLE ROW LEVEL SECURITY', NO_STATEMENT],
  ['adds a policy', 'CREATE POLICY todo ON parametros_maestros USING (true)', NO_STATEMENT],
  ['reads a file by COPY', `COPY parametros_maestros (nombre) FROM '/etc/passwd'`, NO_STATEMENT],
  ['runs a program by COPY', `COPY (SELECT 1) TO PROGRAM 'touch /tmp/ax-sync-atacado'`, NO_STATEMENT],
  ['ends the transaction', 'COMMIT', NO_STATEMENT],
  ['begins another transaction', 'ROLLBACK; BEGIN; SELECT 1', NO_STATEMENT],
  ['sets a savepoint', 'SAVEPOINT a', NO_STATEMENT],
  ['prepares the transaction', `PREPARE TRANSACTION 'x'`, NO_STATEMENT],
  [
    'hides statements in a text that a setting opens',
    String.raw`SELECT set_config('standard_conforming_strings', 'off', false); SELECT '\''; DROP OWNED BY CURRENT_USER; --'`,
    IN_VAIN,
  ],
  ['leaves a cursor that outlives the transaction', 'DECLARE c CURSOR WITH HOLD FOR SELECT 1', NO_STATEMENT],
  ['leaves a prepared statement', 'PREPARE p AS SELECT 1', NO_STATEMENT],
  ['listens', 'LISTEN todo', NO_STATEMENT],
  ['loads a library by statement', `LOAD 'plpgsql'`, NO_STATEMENT],
  ['adds an extension', 'CREATE EXTENSION file_fdw', NO_STATEMENT],
  ['shadows the rows', 'CREATE TEMP TABLE parametros_maestros (x integer)', NO_STATEMENT],
  ['shadows the logs by SELECT INTO', 'SELECT 1 AS id INTO TEMP sync_logs', /^422 .*0A000/],
  [
    'shadows the logs with a trigger that the server fires',
    `CREATE TEMP TABLE sync_logs (LIKE parametros_maestros);
     CREATE FUNCTION pg_temp.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM public.sync_api_keys; RETURN NEW; END $$;
     CREATE TRIGGER t BEFORE INSERT ON sync_logs EXECUTE FUNCTION pg_temp.f()`,
    NO_STATEMENT,
  ],
  [
    'makes a function of the session',
    'CREATE FUNCTION pg_temp.f() RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$',
    NO_STATEMENT,
  ],
  ['makes a schema', 'CREATE SCHEMA ataque', NO_STATEMENT],
  ['makes a table', 'CREATE TABLE public.ataque (x integer)', NO_STATEMENT],
  [
    'makes a trigger',
    'CREATE TRIGGER t BEFORE INSERT ON parametros_maestros EXECUTE FUNCTION sync_configuracion_cambiada()',
    NO_STATEMENT,
  ],
  ['makes a rule', 'CREATE RULE r AS ON INSERT TO parametros_maestros DO ALSO DELETE FROM sync_api_keys', NO_STATEMENT],
  ['locks everybody out', 'LOCK TABLE parametros_maestros IN ACCESS EXCLUSIVE MODE', NO_STATEMENT],
  ['empties the table', 'TRUNCATE parametros_maestros', NO_STATEMENT],
  ['changes the settings of PostgreSQL', `ALTER SYSTEM SET fsync = off`, NO_STATEMENT],
  ['waits for a vacuum', 'VACUUM FULL parametros_maestros', NO_STATEMENT],
  ['asks for a checkpoint', 'CHECKPOINT', NO_STATEMENT],
  ['calls a procedure', 'CALL sync_ejecutar(1)', NO_STATEMENT],
  ['explains, and runs', 'EXPLAIN ANALYZE DELETE FROM parametros_maestros', NO_STATEMENT],
  ['makes a large object', 'SELECT lo_create(0)', DENIED],
  ['keeps data in a large object', `SELECT lo_from_bytea(0, 'x')`, DENIED],
  ['makes the transaction read only', `SELECT set_config('transaction_read_only', 'on', true)`, IN_VAIN],
  [
    "writes the victim's rows",
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) VALUES ('${VICTIM}', 'cliente', 'z')`,
    DENIED,
  ],
  [
    "overwrites the victim's row",
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo) VALUES ('${VICTIM}', 'cliente', '1')
     ON CONFLICT ("tenantId", tipo_campo, codigo) DO UPDATE SET nombre = 'x'`,
    DENIED,
  ],
  ['gives its rows to the victim', `UPDATE parametros_maestros SET "tenantId" = '${VICTIM}'`, DENIED],
  ['changes every row', `UPDATE parametros_maestros SET nombre = 'x'`, IN_VAIN],
  ['deletes every row', 'DELETE FROM parametros_maestros', IN_VAIN],
  [
    'merges into every row',
    `MERGE INTO parametros_maestros p USING (SELECT 1) s ON true WHEN MATCHED THEN UPDATE SET nombre = 'x'`,
    DENIED,
  ],
  ['deletes with rows of another table', 'DELETE FROM parametros_maestros USING sync_api_keys', DENIED],
  ['gives itself a key', `INSERT INTO sync_api_keys ("tenantId", hash) VALUES ('${VICTIM}', sha256('x'))`, DENIED],
  ['revokes every key', `UPDATE sync_api_keys SET "revokedAt" = now()`, DENIED],
  ['changes the configurations', `UPDATE sync_configurations SET activo = false`, DENIED],
  ['forges a log', `INSERT INTO sync_logs SELECT * FROM sync_logs`, DENIED],
  ['deletes the logs', 'DELETE FROM sync_logs', DENIED],
  ['changes the secret', `UPDATE sync_secretos SET valor = 'x'`, DENIED],
  ['changes the catalogue', `UPDATE pg_proc SET prosecdef = false`, DENIED],
  ['writes hidden in WITH', `WITH x AS (DELETE FROM sync_api_keys RETURNING *) SELECT count(*) FROM x`, DENIED],
  ['moves a sequence', `SELECT setval('sync_migrations_id_seq', 1)`, DENIED],
];

/** What a download may not be. */
const downloads: Attack[] = [
  ['writes in WITH', `WITH x AS (DELETE FROM parametros_maestros RETURNING *) SELECT * FROM x`, /^422 .*0A000/],
  ['is no SELECT', 'DELETE FROM parametros_maestros RETURNING *', NO_QUERY],
  ['holds two statements', 'SELECT 1 AS x; DELETE FROM parametros_maestros', NO_QUERY],
  [
    'closes the parenthesis',
    'SELECT 1 AS x) q; DROP TABLE parametros_maestros; SELECT * FROM (SELECT 1 AS x',
    NO_QUERY,
  ],
  ['closes the COPY', `SELECT 1 AS x) r) q) TO PROGRAM 'touch /tmp/ax-sync-atacado' --`, NO_QUERY],
  ['leaves a comment open', 'SELECT 1 AS x /*', NO_QUERY],
  ['makes a table', 'SELECT 1 AS x INTO ataque', NO_QUERY],
  ['locks its rows', 'SELECT * FROM parametros_maestros FOR UPDATE', READ_ONLY],
  ['makes a large object', 'SELECT lo_create(0)', READ_ONLY],
  ['may write after all', `SELECT set_config('transaction_read_only', 'off', true)`, /^422 .*25001/],
  ['moves a sequence', `SELECT setval('sync_migrations_id_seq', 1)`, /^422 .*(42501|25006)/],
  ['has another name for the short form', `parametros_maestros.tipo_campo=x' OR "tenantId" = '${VICTIM}`, NO_QUERY],
  ['breaks out of the short form', `parametros_maestros.tipo_campo='x'' OR true OR tipo_campo = '''`, NO_QUERY],
  ['has no end of rows', 'SELECT n FROM generate_series(1, 1000000000000) n', /SQL_FALLO|terminated/],
  [
    'takes its time for each row',
    `SELECT set_config('statement_timeout', '0', false), pg_sleep(0.3) IS NULL AS x, repeat('x', 5000000) AS y FROM generate_series(1, 100)`,
    TIMED_OUT,
  ],
  ['has a column that closes a name', `SELECT 1 AS "x"" FROM sync_api_keys --"`, IN_VAIN],
];

let server: TestServer;
let admin: pg.Client;
let keys: Record<string, string>;
let replaced: (sql: string) => string;
/** All that is not the attacker's, and what the victim's session looks like from inside. */
let untouched: { state: object; victim: { status: number; text: string } };
/** What no answer may hold. */
let secrets: string[];

const process = { query: 'SELECT 1' };
const victimTables = {
  tablasSubida: [
    {
      nombre: 'clientes',
      primaryKey: 'id',
      process,
      post_process: {
        enabled: true,
        ejecutarEn: 'destino',
        sql: `UPDATE parametros_maestros SET nombre = upper(nombre) WHERE nombre = '${MARK} ñ'`,
      },
    },
  ],
  tablasBajada: [
    {
      nombre: 'sesion',
      process: {
        query: `SELECT name, setting FROM pg_settings WHERE context = 'user' AND name !~ '^(app\\.|transaction_|statement_timeout)' UNION ALL
          SELECT 'users', session_user || ' ' || current_user UNION ALL
          SELECT 'rows', string_agg(concat_ws(' ', "tenantId", tipo_campo, codigo, nombre), ';') FROM parametros_maestros UNION ALL
          SELECT 'cursors', string_agg(name, ' ') FROM pg_cursors UNION ALL
          SELECT 'prepared', count(*)::text FROM pg_prepared_statements UNION ALL
          SELECT 'temporary', string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relname !~ '^sync_recibido(_linea)?$' UNION ALL
          SELECT 'locks', count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) UNION ALL
          SELECT 'listens', count(*)::text FROM pg_listening_channels() ORDER BY 1`,
      },
    },
  ],
};

beforeAll(async () => {
  const settings = {
    DATABASE_POOL_MAX: 1,
    SQL_TIMEOUT_MS: 500,
    RATE_LIMIT_ADDRESS_PER_MINUTE: 1_000_000,
    LOCKOUT_FAILURES: 100000,
    RATE_LIMIT_PER_MINUTE: 1_000_000,
    LINE_MAX_BYTES: 6_000_000,
  };
  server = await startTestServer(inject('postgresUrl'), { settings: { ...settings, DOWNLOAD_MAX_ROWS: 200_000 } });
  keys = {
    [ATTACKER]: await server.addTenant(ATTACKER),
    [VICTIM]: await server.addTenant(VICTIM, victimTables),
  };
  const base = new URL(server.databaseUrl);
  const name = base.pathname.slice(1);
  admin = new pg.Client({ connectionString: withDatabaseName(inject('postgresUrl'), name) });
  await admin.connect();
  await admin.query('CREATE EXTENSION dblink');
  for (const what of GIVEN_BACK) await admin.query(`GRANT EXECUTE ON FUNCTION ${what} TO PUBLIC`);
  await server.sql.query(`
    UPDATE sync_configurations SET "sqlServerPassword" = '${MARK}' WHERE "tenantId" = '${VICTIM}';
    UPDATE sync_api_keys SET nombre = '${MARK}' WHERE "tenantId" = '${VICTIM}';
    INSERT INTO sync_logs ("tenantId", direccion, tabla, estado, mensaje, "fechaInicio")
      VALUES ('${VICTIM}', 'upload', 'x', 'exitoso', '${MARK}', now());
    INSERT INTO sync_idempotency ("tenantId", clave, peticion) VALUES ('${VICTIM}', 'x', '${MARK}')`);
  const opened = await call(VICTIM, '/uploads/{}', {
    method: 'POST',
    json: { tabla: 'clientes', modo: 'incremental' },
  });
  const { id } = JSON.parse(opened.text) as { id: string };
  const chunk = new Uint8Array(gzipSync(`{"id":1,"nombre":"${MARK}"}`));
  const headers = { 'content-type': 'application/gzip', 'content-digest': formatContentDigest(digestOf(chunk)) };
  expect((await call(VICTIM, `/uploads/{}/${id}/chunks/1`, { method: 'PUT', headers, body: chunk })).status).toBe(200);
  for (let n = 0; n < 2; n += 1) expect((await uploadAs(VICTIM)).status).toBe(200);
  const { own: _own, ...state } = await readState();
  untouched = { state, victim: await downloadAs(VICTIM, 'sesion') };
  expect(untouched.victim.text).toContain(`${VICTIM} cliente 1 ${MARK} Ñ`);
  const { rows } = await server.sql.query(
    `SELECT valor FROM sync_secretos UNION ALL SELECT encode(hash, 'hex') FROM sync_api_keys`,
  );
  secrets = [MARK, 'root:', ...rows.map(({ valor }) => valor as string)];
  replaced = (sql) =>
    sql.replaceAll(OWNER, base.username).replaceAll(UPLOAD_TABLE, `sync_recibido_${id}`).replaceAll('{base}', name);
});
afterAll(async () => {
  await admin?.end();
  await server?.close();
});

async function call(tenant: string, path: string, init: Parameters<TestServer['call']>[1] = {}) {
  const response = await server.call(path.replace('{}', tenant), { ...init, tenant, key: keys[tenant]! });
  return { status: response.status, text: await response.text().catch((error: Error) => error.message) };
}

function uploadAs(tenant: string, tabla = 'clientes') {
  const headers = { 'content-type': 'application/x-ndjson' };
  const body = `{"id":1,"nombre":"${tenant === VICTIM ? `${MARK} Ñ` : 'propio'}"}`;
  return call(tenant, `/upload/{}?tabla=${tabla}`, { method: 'POST', headers, body });
}

const downloadAs = (tenant: string, tabla: string, accept = 'application/x-ndjson') =>
  call(tenant, `/download/{}?tabla=${tabla}`, { headers: { accept } });

/** Everything that no attack may change, as PostgreSQL's superuser sees it. */
async function readState(): Promise<{ own: string }> {
  const { rows } = await admin.query(
    `
    SELECT jsonb_build_object(
      'own', (SELECT coalesce(string_agg(p::text, ' '), '') FROM parametros_maestros p WHERE "tenantId" = $1),
      'rows', (SELECT jsonb_agg(to_jsonb(p) || jsonb_build_object('x', p.xmin::text) ORDER BY codigo) FROM parametros_maestros p WHERE "tenantId" <> $1),
      'configurations', (SELECT jsonb_agg(to_jsonb(c) ORDER BY id) FROM sync_configurations c WHERE "tenantId" <> $1),
      'keys', (SELECT jsonb_agg(to_jsonb(k) - 'lastUsedAt' ORDER BY id) FROM sync_api_keys k),
      'logs', (SELECT jsonb_agg(to_jsonb(l) ORDER BY id) FROM sync_logs l WHERE "tenantId" <> $1 AND fase IS NULL),
      'audit', (SELECT count(*) FROM sync_audit WHERE "tenantId" IS DISTINCT FROM $1),
      'secrets', (SELECT jsonb_agg(to_jsonb(s)) FROM sync_secretos s),
      'uploads', (SELECT jsonb_agg(to_jsonb(u) ORDER BY id) FROM sync_uploads u),
      'functions', (SELECT jsonb_agg(to_jsonb(p) || jsonb_build_object('x', p.xmin::text) ORDER BY p.oid) FROM pg_proc p WHERE pronamespace = 'public'::regnamespace),
      'tables', (SELECT jsonb_agg(jsonb_build_array(relname, relowner, relacl, relrowsecurity, relhastriggers, relhasrules) ORDER BY oid)
        FROM pg_class WHERE relnamespace = 'public'::regnamespace),
      'policies', (SELECT jsonb_agg(to_jsonb(p)) FROM pg_policy p),
      'schemas', (SELECT jsonb_agg(jsonb_build_array(nspname, nspacl) ORDER BY oid) FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)'),
      'roles', (SELECT jsonb_agg(to_jsonb(a) ORDER BY oid) FROM pg_authid a WHERE rolname ~ '^(ax_sync|pg_)' OR rolname = $2),
      'settings', (SELECT jsonb_agg(to_jsonb(s)) FROM pg_db_role_setting s WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))),
      'objects', (SELECT count(*) FROM pg_largeobject_metadata),
      'extensions', (SELECT jsonb_agg(extname) FROM pg_extension),
      'slots', (SELECT count(*) FROM pg_replication_slots)) AS state`,
    [ATTACKER, new URL(server.databaseUrl).username],
  );
  return rows[0].state;
}

async function attack(where: Where, sql: string): Promise<string> {
  const tables =
    where === 'phase'
      ? {
          tablasSubida: [
            {
              nombre: 'ataque',
              primaryKey: 'id',
              process,
              post_process: { enabled: true, ejecutarEn: 'destino', sql },
            },
          ],
        }
      : { tablasBajada: [{ nombre: 'ataque', process: { query: sql } }] };
  await server.setTables(tables, ATTACKER);
  // There is a row of its own to read, whatever attacks ran before.
  await admin.query(
    `INSERT INTO parametros_maestros ("tenantId", tipo_campo, codigo, nombre, parametros_json)
     VALUES ($1, 'ataque', '1', 'propio', '{}') ON CONFLICT DO NOTHING`,
    [ATTACKER],
  );
  const { status, text } =
    where === 'phase' ? await uploadAs(ATTACKER, 'ataque') : await downloadAs(ATTACKER, 'ataque');
  return `${status} ${text}`;
}

const all: [where: Where, ...Attack][] = [
  ...queries.flatMap((one): [Where, ...Attack][] => [
    ['phase', ...one],
    ['download', ...one],
  ]),
  ...phases.map((one): [Where, ...Attack] => ['phase', ...one]),
  ...downloads.map((one): [Where, ...Attack] => ['download', ...one]),
];

test('there are at least 60 attacks, each under a name of its own', () => {
  expect(new Set(all.map(([where, name]) => `${where} ${name}`)).size).toBe(all.length);
  expect(queries.length + phases.length + downloads.length).toBeGreaterThanOrEqual(60);
});

test.each(all)('a %s that %s fails, and leaves everything as it was', async (where, _name, sql, answer) => {
  const started = performance.now();
  const answered = await attack(where, replaced(sql));
  expect(answered.slice(0, 2000)).toMatch(answer);
  expect(performance.now() - started).toBeLessThan(20_000);
  const { own, ...state } = await readState();
  for (const secret of secrets) {
    expect(answered).not.toContain(secret);
    expect(own).not.toContain(secret);
  }
  expect(state).toEqual(untouched.state);
  expect(await downloadAs(VICTIM, 'sesion')).toEqual(untouched.victim);
  expect((await uploadAs(VICTIM)).text).toContain('"registrosSinCambios":1');
});
