import { SyncError } from '../../protocol/errors.ts';
import type { Conexion, Conexiones } from '../../protocol/tenant-config/config.ts';
import { findConnectionProblems } from '../../protocol/tenant-config/connection-problems.ts';
import type { Configuration } from './configurations.ts';

/** `sqlServerConexiones`: the SQL Server databases of a tenant beside the specification's one. */

/** Returns where the password of a connection is: it opens nowhere else. A tenant's name has no `/`. */
export function connectionPlace(tenant: string, name: string): string {
  return `sync_configurations.sqlServerConexiones|${tenant}/${name}`;
}

/**
 * Reads the connections of a tenant, passwords as they are stored.
 * @throws {SyncError} CONFIG_INVALIDA with the first fault
 */
export function readConnections({
  sqlServerConexiones,
}: Pick<Configuration, 'sqlServerConexiones'>): Readonly<Record<string, Conexion>> {
  const [problem] = findConnectionProblems(sqlServerConexiones);
  if (problem !== undefined) {
    const { campo, valor, regla } = problem;
    throw new SyncError('CONFIG_INVALIDA', `El campo ${campo} («${valor}») ${regla}.`, { campo });
  }
  return sqlServerConexiones as Conexiones;
}

/** Returns `connections` with each password that there is in the place of `change` of it. */
export function mapPasswords(connections: Conexiones, change: (password: string, name: string) => string): Conexiones {
  return Object.fromEntries(
    Object.entries(connections).map(([name, connection]) => {
      const { password } = connection;
      return [name, password === undefined ? connection : { ...connection, password: change(password, name) }];
    }),
  );
}
