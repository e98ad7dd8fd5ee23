import {
  type ConfigResponse,
  cambiosOf,
  type TablaBajada,
  type TablaSubida,
} from '../../protocol/tenant-config/config.ts';
import { describeServer, parseServerName } from '../../protocol/tenant-config/sql-server-name.ts';
import type { LocalConfig } from '../config/local.ts';
import { connectionNames, sqlServerSettings } from '../config/remote.ts';
import { assertPinned, guardedNames, settlePins } from '../config/sensitive-pins.ts';
import type { Backend } from '../http/backend.ts';
import { readClocks } from '../sqlserver/session/clock.ts';
import { findInstancePort } from '../sqlserver/session/instance.ts';
import { type SqlServer, type SqlServerSettings, withSqlServer } from '../sqlserver/sql-server.ts';
import type { Secrets } from '../ui/secrets.ts';
import { checkChanges, checkDownloadChanges } from './changes.ts';
import type { Checklist, Finding } from './checklist.ts';
import { checkDownload, checkTarget } from './download.ts';
import { checkName, describeClock } from './machine.ts';
import { checkTransactions } from './marks.ts';
import { checkPermissions } from './permissions.ts';
import { checkIndexes, checkUpload, parametersOf } from './upload.ts';

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

/** Checks each connection, with the tables that use it. */
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

/** Returns a connection as operators read of it: the one without a name is what there was before others were. */
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
    if (subidas.some((tabla) => cambiosOf(tabla) === 'marca')) {
      await list.check(`Transacciones de ${title}`, () => use((db) => checkTransactions(db, user, signal)));
    }
  }
  for (const tabla of connected === true ? subidas : []) {
    // A connection for each: a query that is left halfway must not disturb the next check.
    await list.check(`Subida ${tabla.nombre}`, async () => {
      assertPinned(pins, 'upload', tabla, requiresApproval);
      const options = { dataKey: local.dataKey, guarded: guardedNames(pins, tabla) };
      return use((db) => checkUpload(db, tabla, options, signal));
    });
    await list.check(`Cambios de ${tabla.nombre}`, () =>
      use(async (db) => checkChanges(db, tabla, await parametersOf(db, tabla, signal), signal)),
    );
    if (thorough) await list.check(`Índices de ${tabla.nombre}`, () => use((db) => checkIndexes(db, tabla, signal)));
  }
  for (const tabla of bajadas) {
    const columns = await list.check(`Bajada ${tabla.nombre}`, async () => {
      assertPinned(pins, 'download', tabla, requiresApproval);
      return checkDownload(backend, tabla, signal);
    });
    await list.check(`Cambios de la bajada ${tabla.nombre}`, async () => checkDownloadChanges(tabla));
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
