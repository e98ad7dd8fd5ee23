/**
 * How people write which SQL Server they mean, and who logs in: `sqlServerHost` and `sqlServerUser`, and the same for every
 * other connection. Pure: what the driver needs is read from the text, nothing is asked.
 *
 *     SERVIDOR                 the port beside it
 *     SERVIDOR,51433           that port
 *     SERVIDOR\INSTANCIA       whatever port SQL Server Browser of SERVIDOR says
 *     usuario                  a login of SQL Server
 *     DOMINIO\usuario          an account of Windows, by NTLM
 */

/** SQL Server's default, and that of the column `sqlServerPort`: beside an instance or a port of `host` it says nothing. */
export const DEFAULT_SQL_PORT = 1433;

export type ServerAddress = { host: string; port: number } | { host: string; instance: string };

/** `domain` is there for an account of Windows alone. */
export interface Login {
  user: string;
  domain?: string;
}

/** `message` quotes the text and states the rule that it breaks: a Spanish sentence without a full stop. */
export class SqlServerNameError extends Error {
  override readonly name = 'SqlServerNameError';
}

/** SQL Server Setup, «Instance Configuration»: at most 16 letters, digits, `_`, `$` and, of old, `#`. */
const INSTANCE = /^[\p{L}_][\p{L}\p{N}_$#]{0,15}$/u;

/**
 * Reads `host`, with the port that stands beside it.
 * @throws {SqlServerNameError}, also where the two contradict each other
 */
export function parseServerName(host: string, port = DEFAULT_SQL_PORT): ServerAddress {
  const refuse = (rule: string) => new SqlServerNameError(`el servidor «${host.slice(0, 80)}» no vale: ${rule}`);
  const parts = /^(?:tcp:)?([^\\,]*)(?:\\([^\\,]*))?(?:,([^\\,]*))?$/i.exec(host.trim());
  if (parts === null) throw refuse('lleva como mucho una «\\» y una coma');
  const [, name = '', instance, ownPort] = parts.map((part) => part?.trim());
  if (name === '' || /\s/.test(name)) throw refuse('el nombre del servidor falta o lleva blancos');
  if (/^(np|lpc|admin):/i.test(name)) throw refuse('el agente llega a SQL Server solo por TCP');
  if (/^[^:]*:\d+$/.test(name)) throw refuse('el puerto va detrás de una coma, no de «:»');
  const server = name === '.' || /^\(local\)$/i.test(name) ? 'localhost' : name;
  if (instance !== undefined) {
    if (!INSTANCE.test(instance)) throw refuse('detrás de «\\» va el nombre de una instancia');
    if (ownPort !== undefined || port !== DEFAULT_SQL_PORT) {
      throw refuse(`dice una instancia, y además hay un puerto (${ownPort ?? port}): quite uno de los dos`);
    }
    return { host: server, instance };
  }
  if (ownPort === undefined) return { host: server, port };
  const number = /^\d{1,5}$/.test(ownPort) ? Number(ownPort) : 0;
  if (number < 1 || number > 65_535) throw refuse('detrás de la coma va un puerto, de 1 a 65535');
  if (port !== DEFAULT_SQL_PORT && port !== number)
    throw refuse(`hay además otro puerto (${port}): quite uno de los dos`);
  return { host: server, port: number };
}

/**
 * Reads `user`. A backslash makes it an account of Windows: SQL Server's own logins «cannot contain a '\'»
 * (Transact-SQL, CREATE LOGIN).
 * @throws {SqlServerNameError}
 */
export function parseLogin(user: string): Login {
  if (!user.includes('\\')) return { user };
  const refuse = (rule: string) => new SqlServerNameError(`el usuario «${user.slice(0, 80)}» no vale: ${rule}`);
  const [, domain, account] = /^([^\\]{1,255})\\([^\\]{1,255})$/.exec(user.trim()) ?? [];
  if (domain === undefined || account === undefined) throw refuse('una cuenta de Windows se escribe DOMINIO\\usuario');
  if (domain === '.') throw refuse('en lugar de «.» va el nombre del equipo');
  return { user: account, domain };
}

/** Describes a server for people: as it was written, with its port where that stands beside it. */
export function describeServer(host: string, port: number): string {
  return saysWhere(host) ? host : `${host}:${port}`;
}

/** Returns whether `host` itself says the instance or the port. */
export function saysWhere(host: string): boolean {
  return /[\\,]/.test(host);
}
