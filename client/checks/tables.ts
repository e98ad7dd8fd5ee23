import {
  type ConfigResponse,
  isPhaseAt,
  primaryKeyOf,
  type TablaBajada,
  type TablaSubida,
} from '../../protocol/tenant-config/config.ts';
import { describeServer, parseServerName } from '../../protocol/tenant-config/sql-server-name.ts';
import { mentionsMark } from '../../protocol/tenant-config/ultima-sync.ts';
import { describeChanges, fingerprintOfSql, sqlByPlace } from '../config/approval.ts';
import type { LocalConfig } from '../config/local.ts';
import { connectionNames, sqlServerEndpoints, sqlServerSettings } from '../config/remote.ts';
import { assertPinned, guardedNames, pinnedByPlace, settlePins } from '../config/sensitive-pins.ts';
import { agentError } from '../errors/agent-error.ts';
import type { Backend } from '../http/backend.ts';
import { assertNoneOf, encryptLine, sensitiveColumnsOf } from '../rows/field-encryption.ts';
import { sqlServerError } from '../sqlserver/errors.ts';
import { findIndex, type IndexFinding } from '../sqlserver/read/indexes.ts';
import { findRangeKey } from '../sqlserver/read/range-key.ts';
import { readClocks } from '../sqlserver/session/clock.ts';
import { findInstancePort } from '../sqlserver/session/instance.ts';
import { type SqlServer, type SqlServerSettings, withSqlServer } from '../sqlserver/sql-server.ts';
import { quoteTable } from '../sqlserver/tables/ddl.ts';
import { boundMark } from '../state/watermarks.ts';
import { readFrame } from '../sync/download/frame.ts';
import { columnsOf, keyNames } from '../sync/download/target.ts';
import { queryOf } from '../sync/upload/reading.ts';
import type { Secrets } from '../ui/secrets.ts';
import type { Checklist, Finding } from './checklist.ts';
import { checkName, describeClock } from './machine.ts';
import { checkTransactions, describeUndated } from './marks.ts';
import { describeKey } from './row-key.ts';

/** What a run needs of SQL Server and of each table; nothing is changed. */

export interface TableChecks {
  local: LocalConfig;
  config: ConfigResponse;
  secrets: Secrets;
  backend: Backend;
  list: Checklist;
  /** Also what makes a run slow or will be missed later: version, clock, indexes, permissions (`doctor`). */
  thorough: boolean;
  signal: AbortSignal;
}

/** Rows in a block of the check of a query: the first one is enough. */
const SMALL_BLOCK_BYTES = 4096;

/** Each connection, with the tables that use it. */
export async function checkConnections(checks: TableChecks): Promise<void> {
  const { local, config, secrets, list } = checks;
  const { tablasSubida = [], tablasBajada = [] } = config.configuracionTablas;
  const known = connectionNames(config);
  for (const name of [undefined, ...known]) {
    const settings = list.attempt(titleOfConnection(name), () => sqlServerSettings(local, config, name));
    if (settings === undefined) continue;
    secrets.add(settings.password);
    const uses = ({ conexion }: { conexion?: string }) => conexion === name;
    const tables = { subidas: tablasSubida.filter(uses), bajadas: tablasBajada.filter(uses) };
    await checkSqlServer(checks, name, settings, tables);
  }
  for (const { nombre, conexion } of [...tablasSubida, ...tablasBajada]) {
    if (conexion === undefined || known.includes(conexion)) continue;
    list.attempt(`Conexión de ${nombre}`, () => sqlServerSettings(local, config, conexion));
  }
}

/** As operators read of it: the one without a name is what there was before others were. */
export function titleOfConnection(name: string | undefined): string {
  return name === undefined ? 'SQL Server' : `SQL Server «${name}»`;
}

async function checkSqlServer(
  { local, config, backend, list, thorough, signal }: TableChecks,
  name: string | undefined,
  settings: SqlServerSettings,
  { subidas, bajadas }: { subidas: TablaSubida[]; bajadas: TablaBajada[] },
): Promise<void> {
  const { host, port, database, user } = settings;
  const title = titleOfConnection(name);
  const requiresApproval = local.requiresApproval === true;
  const pins = settlePins(local, config, requiresApproval);
  const use = <T>(work: (db: SqlServer) => Promise<T>) => withSqlServer(settings, { signal }, work);
  if (thorough) {
    const address = parseServerName(host, port);
    await list.check(`DNS de ${title}`, () => checkName(address.host, signal));
    if ('instance' in address) await list.check(`Instancia de ${title}`, () => checkInstance(address, signal));
    await list.check(`Cifrado de ${title}`, async () => describeEncryption(settings, name));
  }
  const connected = await list.check(`${title} ${describeServer(host, port)}`, async () => {
    const { local: hora } = await use((db) => readClocks(db, signal));
    return { value: true, note: `usuario ${user}, base ${database}, su hora es ${hora}` };
  });
  if (connected === true && thorough) {
    await list.check(`Versión de ${title}`, () => use((db) => checkVersion(db, signal)));
    await list.check(`Reloj de ${title}`, () => use((db) => checkServerClock(db, signal)));
    if (subidas.some(({ incremental }) => incremental === true)) {
      await list.check(`Transacciones de ${title}`, () => use((db) => checkTransactions(db, user, signal)));
    }
  }
  for (const tabla of connected === true ? subidas : []) {
    // A connection for each: a query that is left halfway must not disturb the next check.
    await list.check(`Subida ${tabla.nombre}`, async () => {
      assertPinned(pins, 'upload', tabla, requiresApproval);
      const former = config.clavesAnteriores?.includes(tabla.nombre) === true;
      const options = { dataKey: local.dataKey, guarded: guardedNames(pins, tabla), former };
      return use((db) => checkUpload(db, tabla, options, signal));
    });
    if (thorough) await list.check(`Índices de ${tabla.nombre}`, () => use((db) => checkIndexes(db, tabla, signal)));
  }
  for (const tabla of bajadas) {
    const columns = await list.check(`Bajada ${tabla.nombre}`, async () => {
      assertPinned(pins, 'download', tabla, requiresApproval);
      return checkDownload(backend, tabla, signal);
    });
    if (columns === undefined || connected !== true) continue;
    const exists = await list.check(`Destino ${tabla.nombre}`, () =>
      use((db) => checkTarget(db, tabla, columns, signal)),
    );
    if (exists === undefined || !thorough) continue;
    await list.check(`Permisos en ${tabla.nombre}`, () =>
      use((db) => checkPermissions(db, tabla, { exists, database, user }, signal)),
    );
  }
}

/** What SQL Server Browser says; it is asked again for each connection. */
async function checkInstance(address: { host: string; instance: string }, signal: AbortSignal): Promise<Finding<void>> {
  const port = await findInstancePort(address, { signal, timeoutMs: 15_000 });
  return { value: undefined, note: `SQL Server Browser: «${address.instance}» está en el puerto ${port}` };
}

function describeEncryption(
  { encrypt = true, trustServerCertificate = false }: SqlServerSettings,
  name: string | undefined,
): Finding<void> {
  if (!encrypt) {
    const command = name === undefined ? 'init' : `connection set ${name}`;
    const advice = `Si SQL Server está en otro equipo, ejecute ${command} sin --sql-sin-cifrado.`;
    return { value: undefined, note: 'sin TLS', advice };
  }
  const note = trustServerCertificate ? 'TLS; su certificado no se comprueba' : 'TLS, con certificado comprobado';
  return { value: undefined, note };
}

/** What the SQL of the backend is since the last run; where it has to be approved, throws AgentError unless all of it is. */
export function checkSql(local: LocalConfig, config: ConfigResponse): Finding<void> {
  const sql = sqlByPlace(sqlServerEndpoints(local, config), config.configuracionTablas);
  const huella = `huella ${fingerprintOfSql(sql)}`;
  const found = (note: string) => ({ value: undefined, note: `${huella}, ${note}` });
  if (local.requiresApproval === true) {
    const pinned = pinnedByPlace(settlePins(local, config, true), config.configuracionTablas);
    const changes = describeChanges({ ...local.approvedSql, ...pinned }, sql);
    if (changes.length === 0) return found('aprobado');
    throw agentError('APROBACION_PENDIENTE', { huella, cambios: changes.join('\n') });
  }
  const earlier = local.remote?.config;
  if (earlier === undefined) return found('todavía no se ejecutó ninguno');
  const changes = describeChanges(sqlByPlace(sqlServerEndpoints(local, earlier), earlier.configuracionTablas), sql);
  return found(
    changes.length === 0 ? 'el mismo de la última vez' : `cambió desde la última vez:\n${changes.join('\n')}`,
  );
}

async function checkVersion(db: SqlServer, signal: AbortSignal): Promise<Finding<void>> {
  const sql = `SELECT CONVERT(nvarchar(128), SERVERPROPERTY('ProductVersion')) AS version,
    CONVERT(nvarchar(128), SERVERPROPERTY('Edition')) AS edicion`;
  const [row] = await db.query(sql, { signal });
  const version = String(row?.version);
  const note = `${version}, ${String(row?.edicion)}`;
  if (Number.parseInt(version, 10) >= 12) return { value: undefined, note };
  return { value: undefined, note, advice: 'El agente se prueba con SQL Server 2014 (12) y posteriores: actualícelo.' };
}

async function checkServerClock(db: SqlServer, signal: AbortSignal): Promise<Finding<void>> {
  const before = Date.now();
  const { utc } = await readClocks(db, signal);
  return describeClock('SQL Server', Date.parse(`${utc.slice(0, 23)}Z`), (before + Date.now()) / 2);
}

async function checkUpload(
  db: SqlServer,
  tabla: TablaSubida,
  { dataKey, guarded, former }: { dataKey: string | undefined; guarded: ReadonlySet<string>; former: boolean },
  signal: AbortSignal,
): Promise<Finding<void>> {
  const sensitive = sensitiveColumnsOf(tabla, dataKey);
  const query = queryOf(tabla, true);
  const parameters = await parametersOf(db, tabla, signal);
  const { particion } = tabla;
  if (particion !== undefined) await findRangeKey(db, query, parameters, particion.columna, signal);
  let columns: string[] = [];
  for await (const block of db.readRows(query, { parameters, signal, blockBytes: SMALL_BLOCK_BYTES })) {
    const text = Buffer.from(block.bytes).toString('utf8');
    const line = text.slice(0, text.indexOf('\n'));
    assertNoneOf(guarded, line, tabla.nombre);
    if (sensitive !== undefined) encryptLine(line, tabla, sensitive);
    columns = Object.keys(JSON.parse(line) as object);
    break;
  }
  const note = columns.length === 0 ? 'la consulta funciona y no da filas' : `la consulta da ${columns.join(', ')}`;
  const key = await describeKey(db, tabla, columns, { former, parameters, signal });
  const ranges = particion === undefined ? '' : `; se lee por rangos de ${particion.columna}`;
  const encrypted = sensitive === undefined ? '' : `; salen cifradas ${sensitive.names.join(', ')}`;
  const advice = await describeUndated(db, tabla, parameters, signal);
  return { value: undefined, note: `${note}${key}${ranges}${encrypted}`, ...(advice === undefined ? {} : { advice }) };
}

async function parametersOf(db: SqlServer, tabla: TablaSubida, signal: AbortSignal) {
  if (!mentionsMark(tabla.process.query)) return [];
  const value = boundMark(tabla, undefined, await readClocks(db, signal));
  return [{ name: 'ultimaSync', type: 'datetime2' as const, value }];
}

/** The index behind `campoFecha`, without which each incremental reading goes through the table, and behind the key. */
async function checkIndexes(db: SqlServer, tabla: TablaSubida, signal: AbortSignal): Promise<Finding<void>> {
  const parameters = await parametersOf(db, tabla, signal);
  const [key] = primaryKeyOf(tabla);
  const wanted = [
    ...(tabla.incremental === true && tabla.campoFecha !== undefined
      ? [['campoFecha', tabla.campoFecha] as const]
      : []),
    ['clave', key ?? 'codigo'] as const,
  ];
  const notes: string[] = [];
  const advice: string[] = [];
  for (const [role, columna] of wanted) {
    const found = await findIndex(db, tabla.process.query, parameters, columna, signal);
    notes.push(`${role} «${columna}» ${describeIndex(found)}`);
    if (found.estado === 'sin-indice' && role === 'campoFecha') {
      advice.push(`Cada lectura recorre la tabla entera: ${found.create}`);
    }
  }
  const note = notes.join('; ');
  return { value: undefined, note, ...(advice.length === 0 ? {} : { advice: advice.join(' ') }) };
}

function describeIndex(found: IndexFinding): string {
  switch (found.estado) {
    case 'con-indice':
      return `tiene el índice ${found.nombre}`;
    case 'sin-indice':
      return `no tiene índice en ${found.tabla}`;
    case 'calculada':
      return 'es calculada: no puede usar un índice';
    case 'ausente':
      return 'no está entre las columnas de la consulta: no se comprueba';
    case 'no-se-ve':
      return `es de ${found.tabla}, que el usuario de SQL Server no ve`;
    case 'no-se-sabe':
      return `no se puede comprobar (${found.motivo})`;
  }
}

async function checkDownload(backend: Backend, tabla: TablaBajada, signal: AbortSignal) {
  const { start, rows } = await readFrame(await backend.openDownload(tabla.nombre, signal));
  await rows.return(undefined);
  const columns = columnsOf(tabla, start.schema);
  keyNames(tabla, columns);
  return { value: columns, note: `el backend la ofrece con ${columns.map(({ name }) => name).join(', ')}` };
}

/** Whether the target exists. */
async function checkTarget(
  db: SqlServer,
  tabla: TablaBajada,
  columns: { name: string }[],
  signal: AbortSignal,
): Promise<Finding<boolean>> {
  const sql = 'SELECT name FROM sys.columns WHERE object_id = OBJECT_ID(@nombre)';
  const parameters = [{ name: 'nombre', type: 'nvarchar' as const, value: quoteTable(tabla.nombre) }];
  const found = (await db.query(sql, { parameters, signal })).map(({ name }) => String(name).toLowerCase());
  if (found.length === 0) return { value: false, note: 'no existe todavía: se creará en la primera bajada' };
  const missing = columns.filter(({ name }) => !found.includes(name.toLowerCase())).map(({ name }) => name);
  // A post_process of one's own may map columns as it likes; the built-in update takes them by name.
  if (missing.length > 0 && !isPhaseAt(tabla.post_process, 'download', 'destino')) {
    throw agentError('DESTINO_SIN_COLUMNAS', { tabla: tabla.nombre, columnas: missing.join(', ') });
  }
  return { value: true, note: 'existe' };
}

async function checkPermissions(
  db: SqlServer,
  tabla: TablaBajada,
  { exists, database, user }: { exists: boolean; database: string; user: string },
  signal: AbortSignal,
): Promise<Finding<void>> {
  const wanted = exists ? permissionsOnTarget(tabla) : ['CREATE TABLE'];
  const [object, kind] = exists ? [quoteTable(tabla.nombre), 'OBJECT'] : [database, 'DATABASE'];
  const asked = wanted.map((name, index) => `HAS_PERMS_BY_NAME(@objeto, '${kind}', '${name}') AS p${index}`);
  const parameters = [{ name: 'objeto', type: 'nvarchar' as const, value: object }];
  const [row = {}] = await db.query(`SELECT ${asked.join(', ')}`, { parameters, signal });
  return judgePermissions(wanted, row, { object, user });
}

/** What the built-in update does to the target; a post_process of one's own, most likely, no less. */
function permissionsOnTarget(tabla: TablaBajada): string[] {
  return ['SELECT', 'INSERT', primaryKeyOf(tabla).length === 0 ? 'DELETE' : 'UPDATE'];
}

/** `row` holds `p0`, `p1`, …: 1 for what is granted. Throws AgentError that names what is missing. */
export function judgePermissions(
  wanted: readonly string[],
  row: Record<string, unknown>,
  { object, user }: { object: string; user: string },
): Finding<void> {
  const missing = wanted.filter((_, index) => row[`p${index}`] !== 1);
  if (missing.length === 0) return { value: undefined, note: `${user} tiene ${wanted.join(', ')}` };
  const grant =
    missing[0] === 'CREATE TABLE'
      ? `GRANT CREATE TABLE TO ${user}; GRANT ALTER ON SCHEMA::dbo TO ${user}`
      : `GRANT ${missing.join(', ')} ON ${object} TO ${user}`;
  throw sqlServerError('PERMISOS_AUSENTES', { objeto: object, permisos: missing.join(', '), orden: grant });
}
