import { CONNECTION_RULE, isConnectionName } from '../../protocol/tenant-config/values.ts';
import { titleOfConnection } from '../checks/connections.ts';
import { describeEndpoint } from '../config/approval.ts';
import { type LocalConnection, readLocalConfig, writeLocalConfig } from '../config/local.ts';
import { readConfigPassword } from '../config/password.ts';
import { assertReadable, connectionNames, sqlServerEndpoints, untouched } from '../config/remote.ts';
import { agentError } from '../errors/agent-error.ts';

/**
 * `connection`: what this machine says of the tenant's other SQL Server databases (`init --sql-…` says it of the one without
 * a name). It wins over what the backend says, lies in `sync-config.enc`, and never leaves the machine.
 */

export interface ConnectionOptions {
  folder: string;
  print: (line: string) => void;
}

/**
 * Replaces all that was told of the connection before.
 * @throws {AgentError} `configuracion`
 */
export async function setConnection(
  { folder, print }: ConnectionOptions,
  name: string,
  connection: LocalConnection,
): Promise<void> {
  if (!isConnectionName(name)) {
    throw agentError('CONEXION_MAL_NOMBRADA', { nombre: name.slice(0, 80), regla: CONNECTION_RULE });
  }
  assertReadable(connection, connection.port);
  const password = await readConfigPassword(folder);
  const local = await readLocalConfig(folder, password);
  await writeLocalConfig(folder, password, { ...local, conexiones: { ...local.conexiones, [name]: connection } });
  print(`Conexión «${name}»: ${describeOwn(connection)}. Compruébelo con: test`);
  const config = local.remote?.config;
  if (config !== undefined && !connectionNames(config).includes(name)) {
    print('AVISO: la última configuración del backend no tiene esa conexión; se usará cuando la tenga.');
  }
}

/**
 * Forgets what was told of the connection.
 * @throws {AgentError} `configuracion` where nothing was
 */
export async function removeConnection({ folder, print }: ConnectionOptions, name: string): Promise<void> {
  const password = await readConfigPassword(folder);
  const { conexiones = {}, ...local } = await readLocalConfig(folder, password);
  const { [name]: removed, ...rest } = conexiones;
  if (!Object.hasOwn(conexiones, name) || removed === undefined) {
    throw agentError('CONEXION_NO_DADA', { nombre: name.slice(0, 80) });
  }
  await writeLocalConfig(folder, password, { ...local, conexiones: rest });
  print(`Conexión «${name}»: vuelve a ser la que dice el backend, con el certificado comprobado.`);
}

/**
 * Returns one line a connection, without passwords.
 * @throws {AgentError} `configuracion`
 */
export async function listConnections({ folder, print }: ConnectionOptions): Promise<void> {
  const local = await readLocalConfig(folder, await readConfigPassword(folder));
  const { conexiones = {} } = local;
  const config = local.remote?.config;
  const known = config === undefined ? [] : [...sqlServerEndpoints(local, config)];
  for (const [name, endpoint] of known) {
    const own = name === undefined ? local.sqlServer : Object.hasOwn(conexiones, name) ? conexiones[name]! : untouched;
    print(`${titleOfConnection(name)}: ${describeEndpoint(endpoint)}; en este equipo: ${describeOwn(own)}`);
  }
  for (const [name, own] of Object.entries(conexiones)) {
    if (known.some(([other]) => other === name)) continue;
    print(`${titleOfConnection(name)}: no está en la configuración del backend; en este equipo: ${describeOwn(own)}`);
  }
}

function describeOwn({ host, port, database, user, password, ...tls }: LocalConnection): string {
  const given = Object.entries({ servidor: host, puerto: port, base: database, usuario: user });
  const parts = given.flatMap(([label, value]) => (value === undefined ? [] : [`${label} ${value}`]));
  if (password !== undefined) parts.push('contraseña propia');
  return [...parts, describeTls(tls)].join(', ');
}

function describeTls({ encrypt, trustServerCertificate, ca, certificateName }: Partial<LocalConnection>): string {
  if (encrypt === false) return 'sin TLS';
  if (trustServerCertificate === true) return 'TLS sin comprobar el certificado';
  const by = ca === undefined ? '' : ' por su propia autoridad';
  return `TLS con certificado comprobado${by}${certificateName === undefined ? '' : ` para ${certificateName}`}`;
}
