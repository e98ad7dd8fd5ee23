import { SyncError } from '../../protocol/errors.ts';
import type { Conexiones, ConfiguracionTablas, TablaBajada, TablaSubida } from '../../protocol/tenant-config/config.ts';
import { findConfigProblems } from '../../protocol/tenant-config/config-problems.ts';
import type { ConfigProblem } from '../../protocol/tenant-config/schema-problems.ts';
import { deriveTipoCampo } from '../../protocol/tenant-config/tipo-campo.ts';
import { type Connection, inTransaction } from '../postgres/pool.ts';

/**
 * A row of sync_configurations. `configuracionTablas` and `sqlServerConexiones` are as an operator wrote them: checked by
 * `readTables` and `readConnections`.
 */
export interface Configuration {
  id: string;
  tenantId: string;
  sqlServerHost: string;
  sqlServerPort: number;
  sqlServerDatabase: string;
  sqlServerUser: string;
  sqlServerPassword: string;
  sqlServerConexiones: unknown;
  configuracionTablas: unknown;
  version: number;
  ultimaModificacion: Date;
  activo: boolean;
}

export const configurationColumns = [
  'id',
  'tenantId',
  'sqlServerHost',
  'sqlServerPort',
  'sqlServerDatabase',
  'sqlServerUser',
  'sqlServerPassword',
  'sqlServerConexiones',
  'configuracionTablas',
  'version',
  'ultimaModificacion',
  'activo',
] as const;

const columnList = configurationColumns.map((name) => `"${name}"`).join(', ');

/** Reads a tenant's configuration; undefined where there is no such tenant. */
export async function findConfiguration(connection: Connection, tenant: string): Promise<Configuration | undefined> {
  const { rows } = await connection.query<Configuration>(
    `SELECT ${columnList} FROM sync_configurations WHERE "tenantId" = $1`,
    [tenant],
  );
  return rows[0];
}

/** The SQL Server of a tenant, as `tenant create` takes it. */
export interface NewTenant {
  tenantId: string;
  host: string;
  port: number;
  database: string;
  user: string;
  password: string;
}

/** Adds a tenant without tables. Returns whether it was added: not when it exists already. */
export async function createConfiguration(connection: Connection, tenant: NewTenant): Promise<boolean> {
  const { rowCount } = await connection.query(
    `INSERT INTO sync_configurations ("tenantId", "sqlServerHost", "sqlServerPort", "sqlServerDatabase", "sqlServerUser",
       "sqlServerPassword", "configuracionTablas")
     VALUES ($1, $2, $3, $4, $5, $6, '{"tablasSubida": [], "tablasBajada": []}') ON CONFLICT ("tenantId") DO NOTHING`,
    [tenant.tenantId, tenant.host, tenant.port, tenant.database, tenant.user, tenant.password],
  );
  return rowCount === 1;
}

/**
 * Replaces the tables of a tenant, its connections or both, by what `change` makes of what there is; nobody changes them
 * meanwhile; `finish` does what belongs to it, in the same transaction. The new version, or undefined when there is no such tenant.
 * Throws what `change` and `finish` throw.
 */
export function updateConfiguration(
  connection: Connection,
  tenant: string,
  change: (current: Configuration) => { tables?: ConfiguracionTablas; connections?: Conexiones },
): Promise<number | undefined> {
  return inTransaction(connection, async () => {
    await connection.query('SELECT FROM sync_configurations WHERE "tenantId" = $1 FOR UPDATE', [tenant]);
    const current = await findConfiguration(connection, tenant);
    if (current === undefined) return undefined;
    const { tables, connections } = change(current);
    const { rows } = await connection.query<{ version: number }>(
      `UPDATE sync_configurations SET "configuracionTablas" = coalesce($2, "configuracionTablas"),
         "sqlServerConexiones" = coalesce($3, "sqlServerConexiones")
       WHERE "tenantId" = $1 RETURNING version`,
      [tenant, tables && JSON.stringify(tables), connections && JSON.stringify(connections)],
    );
    return rows[0]?.version;
  });
}

/** What is wrong with tables that many requests share (parsed-tables.ts, frozen): to look through a megabyte takes milliseconds. */
const firstProblems = new WeakMap<object, ConfigProblem | undefined>();

function findFirstProblem(stored: unknown): ConfigProblem | undefined {
  if (typeof stored !== 'object' || stored === null || !Object.isFrozen(stored)) return findConfigProblems(stored)[0];
  if (!firstProblems.has(stored)) firstProblems.set(stored, findConfigProblems(stored)[0]);
  return firstProblems.get(stored);
}

/**
 * Returns the tables of a configuration.
 * @throws {SyncError} CONFIG_INVALIDA, with the first fault
 */
export function readTables({ configuracionTablas }: Configuration): ConfiguracionTablas {
  const problem = findFirstProblem(configuracionTablas);
  if (problem !== undefined) {
    const { campo, valor, regla } = problem;
    throw new SyncError('CONFIG_INVALIDA', `El campo ${campo} («${valor}») ${regla}.`, { campo });
  }
  return configuracionTablas as ConfiguracionTablas;
}

/** Returns the `tipo_campo` of an upload table's rows. */
export function tipoCampoOf(tabla: TablaSubida): string {
  return tabla.tipoCampo ?? deriveTipoCampo(tabla.nombre);
}

/** Returns the names of the upload tables whose rows have the tipo_campo of `tabla`, its own among them. */
export function namesSharing(configuration: Configuration, tabla: TablaSubida): string[] {
  const tipo = tipoCampoOf(tabla);
  const tables = readTables(configuration).tablasSubida ?? [];
  return tables.filter((one) => tipoCampoOf(one) === tipo).map(({ nombre }) => nombre);
}

/**
 * Finds the upload table that `name` means: that of this `nombre`, else the only one of the same kind (the
 * specification uploads `proveedores` where `vista_proveedores` is configured).
 * @throws {SyncError} TABLA_DESCONOCIDA
 */
export function findUploadTable(configuration: Configuration, name: string): TablaSubida {
  const tables = readTables(configuration).tablasSubida ?? [];
  const exact = tables.find(({ nombre }) => nombre === name);
  if (exact !== undefined) return exact;
  const tipo = deriveTipoCampo(name);
  const [alike, ...others] = tables.filter((tabla) => tipoCampoOf(tabla) === tipo);
  if (alike !== undefined && others.length === 0) return alike;
  throw new SyncError('TABLA_DESCONOCIDA', `«${name}» no está en tablasSubida.`, { tabla: name });
}

/**
 * Finds the download table of this `nombre`.
 * @throws {SyncError} TABLA_DESCONOCIDA
 */
export function findDownloadTable(configuration: Configuration, name: string): TablaBajada {
  const found = readTables(configuration).tablasBajada?.find(({ nombre }) => nombre === name);
  if (found === undefined) {
    throw new SyncError('TABLA_DESCONOCIDA', `«${name}» no está en tablasBajada.`, { tabla: name });
  }
  return found;
}
