import { type ConfigResponse, isPhaseAt, type TablaBajada, type TablaSubida } from '../../protocol/config.ts';
import { connectBackend } from '../agent.ts';
import { type LocalConfig, readLocalConfig } from '../config/local.ts';
import { readConfigPassword } from '../config/password.ts';
import { refreshConfig, sqlServerEndpoint, sqlServerSettings } from '../config/remote.ts';
import { describeError } from '../describe-error.ts';
import { AgentError, type ExitReason } from '../exit-codes.ts';
import type { Backend } from '../http/backend.ts';
import { Secrets } from '../log/secrets.ts';
import { interactivePolicy } from '../retry.ts';
import { type SqlServer, type SqlServerSettings, withSqlServer } from '../sqlserver/connection.ts';
import { quoteTable } from '../sqlserver/ddl.ts';
import { findRangeKey } from '../sqlserver/range-key.ts';
import { describeChanges, fingerprintOfSql, sqlByPlace } from '../sync/approval.ts';
import { readFrame } from '../sync/frame.ts';
import { boundMark, mentionsMark, readServerClock } from '../sync/marks.ts';
import { encryptLine, sensitiveColumnsOf } from '../sync/sensitive.ts';
import { columnsOf, keyNames } from '../sync/target.ts';

export interface TestOptions {
  folder: string;
  print: (line: string) => void;
  signal: AbortSignal;
}

/** Rows in a block of the check of a query: the first one is enough. */
const SMALL_BLOCK_BYTES = 4096;

/**
 * `test`: checks everything that a run needs and changes nothing: backend, key, configuration, SQL Server, the query
 * of each upload (its first rows are read and thrown away), each download and its target. One line a check.
 */
export async function runTest({ folder, print, signal }: TestOptions): Promise<ExitReason> {
  const password = await readConfigPassword(folder);
  const local = await readLocalConfig(folder, password);
  const secrets = new Secrets();
  for (const secret of [password, local.key, local.sqlServer.password]) secrets.add(secret);
  let first: ExitReason | undefined;
  const check = async <T>(title: string, work: () => Promise<{ value: T; note: string }>): Promise<T | undefined> => {
    try {
      const { value, note } = await work();
      print(secrets.scrub(`✔ ${title}: ${note}`));
      return value;
    } catch (error) {
      signal.throwIfAborted();
      const { message, action, kind } = describeError(error);
      first ??= kind;
      print(secrets.scrub(`✖ ${title}: ${message}${action === '' ? '' : `\n  → ${action}`}`));
      return undefined;
    }
  };

  const backend = connectBackend(local, { policy: interactivePolicy });
  await check('Backend', async () => {
    await backend.checkHealth(signal);
    return { value: undefined, note: `${local.url} responde` };
  });
  const config = await check('Credenciales y configuración', async () => {
    // Without the ETag of the copy: what is to be seen is what the backend says now.
    const { remote: _, ...fresh } = local;
    const { config, key } = await refreshConfig(backend, fresh, signal);
    const until = key.end === undefined ? '' : `, la clave vale hasta el ${key.end.toISOString()}`;
    return { value: config, note: `tenant «${local.tenant}», versión ${config.version}${until}` };
  });
  if (config !== undefined) {
    const settings = sqlServerSettings(local, config);
    secrets.add(settings.password);
    await check('SQL del backend', async () => ({ value: undefined, note: checkSql(local, config) }));
    await checkSqlServer({ settings, config, dataKey: local.dataKey, backend, check, signal });
  }
  print(first === undefined ? 'Todo en orden.' : 'Hay comprobaciones que fallan.');
  return first === undefined ? 'exitoso' : 'error';
}

/** What the SQL of the backend is since the last run; where it has to be approved, throws AgentError unless all of it is. */
function checkSql(local: LocalConfig, config: ConfigResponse): string {
  const sql = sqlByPlace(sqlServerEndpoint(local, config), config.configuracionTablas);
  const huella = `huella ${fingerprintOfSql(sql)}`;
  if (local.requiresApproval === true) {
    const changes = describeChanges(local.approvedSql ?? {}, sql);
    if (changes.length === 0) return `${huella}, aprobado`;
    throw new AgentError(
      'configuracion',
      `${huella}: hay SQL sin aprobar en este equipo:\n${changes.join('\n')}`,
      'Apruébelo con ax-sync-client approve.',
    );
  }
  const earlier = local.remote?.config;
  if (earlier === undefined) return `${huella}, todavía no se ejecutó ninguno`;
  const changes = describeChanges(sqlByPlace(sqlServerEndpoint(local, earlier), earlier.configuracionTablas), sql);
  return changes.length === 0
    ? `${huella}, el mismo de la última vez`
    : `${huella}, cambió desde la última vez:\n${changes.join('\n')}`;
}

type Check = <T>(title: string, work: () => Promise<{ value: T; note: string }>) => Promise<T | undefined>;

async function checkSqlServer({
  settings,
  config,
  dataKey,
  backend,
  check,
  signal,
}: {
  settings: SqlServerSettings;
  config: ConfigResponse;
  dataKey: string | undefined;
  backend: Backend;
  check: Check;
  signal: AbortSignal;
}): Promise<void> {
  const { host, port, database, user } = settings;
  const use = <T>(work: (db: SqlServer) => Promise<T>) => withSqlServer(settings, { signal }, work);
  const connected = await check(`SQL Server ${host}:${port}`, async () => {
    const { local } = await use((db) => readServerClock(db, signal));
    return { value: true, note: `usuario ${user}, base ${database}, su hora es ${local}` };
  });
  const { tablasSubida = [], tablasBajada = [] } = config.configuracionTablas;
  for (const tabla of connected === true ? tablasSubida : []) {
    // A connection for each: a query that is left halfway must not disturb the next check.
    await check(`Subida ${tabla.nombre}`, () => use((db) => checkUpload(db, tabla, dataKey, signal)));
  }
  for (const tabla of tablasBajada) {
    const columns = await check(`Bajada ${tabla.nombre}`, () => checkDownload(backend, tabla, signal));
    if (columns !== undefined && connected === true) {
      await check(`Destino ${tabla.nombre}`, () => use((db) => checkTarget(db, tabla, columns, signal)));
    }
  }
}

async function checkUpload(db: SqlServer, tabla: TablaSubida, dataKey: string | undefined, signal: AbortSignal) {
  const sensitive = sensitiveColumnsOf(tabla, dataKey);
  const { query } = tabla.process;
  const value = boundMark(tabla, undefined, await readServerClock(db, signal));
  const parameters = mentionsMark(query) ? [{ name: 'ultimaSync', type: 'datetime2' as const, value }] : [];
  const { particion } = tabla;
  if (particion !== undefined) await findRangeKey(db, query, parameters, particion.columna, signal);
  let columns: string[] = [];
  for await (const block of db.readRows(query, { parameters, signal, blockBytes: SMALL_BLOCK_BYTES })) {
    const text = Buffer.from(block.bytes).toString('utf8');
    const line = text.slice(0, text.indexOf('\n'));
    if (sensitive !== undefined) encryptLine(line, tabla.nombre, sensitive);
    columns = Object.keys(JSON.parse(line) as object);
    break;
  }
  const note = columns.length === 0 ? 'la consulta funciona y no da filas' : `la consulta da ${columns.join(', ')}`;
  const ranges = particion === undefined ? '' : `; se lee por rangos de ${particion.columna}`;
  const encrypted = sensitive === undefined ? '' : `; salen cifradas ${sensitive.names.join(', ')}`;
  return { value: undefined, note: `${note}${ranges}${encrypted}` };
}

async function checkDownload(backend: Backend, tabla: TablaBajada, signal: AbortSignal) {
  const { start, rows } = await readFrame(await backend.openDownload(tabla.nombre, signal));
  await rows.return(undefined);
  const columns = columnsOf(tabla, start.schema);
  keyNames(tabla, columns);
  return { value: columns, note: `el backend la ofrece con ${columns.map(({ name }) => name).join(', ')}` };
}

async function checkTarget(db: SqlServer, tabla: TablaBajada, columns: { name: string }[], signal: AbortSignal) {
  const sql = 'SELECT name FROM sys.columns WHERE object_id = OBJECT_ID(@nombre)';
  const parameters = [{ name: 'nombre', type: 'nvarchar' as const, value: quoteTable(tabla.nombre) }];
  const found = (await db.query(sql, { parameters, signal })).map(({ name }) => String(name).toLowerCase());
  if (found.length === 0) return { value: undefined, note: 'no existe todavía: se creará en la primera bajada' };
  const missing = columns.filter(({ name }) => !found.includes(name.toLowerCase())).map(({ name }) => name);
  // A post_process of one's own may map columns as it likes; the built-in update takes them by name.
  if (missing.length > 0 && !isPhaseAt(tabla.post_process, 'download', 'destino')) {
    throw new AgentError(
      'configuracion',
      `${tabla.nombre} existe y le faltan las columnas ${missing.join(', ')}.`,
      'Añádalas a la tabla, o quítelas de schema.columns, o configure un post_process.',
    );
  }
  return { value: undefined, note: 'existe' };
}
