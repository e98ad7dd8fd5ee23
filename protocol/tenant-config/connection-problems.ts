import { Compile } from 'typebox/compile';
import { type Conexiones, ConexionesSchema } from './connections.ts';
import { type ConfigProblem, findSchemaProblems, show } from './schema-problems.ts';
import type { ConfiguracionTablas } from './settings.ts';
import { parseLogin, parseServerName, SqlServerNameError } from './sql-server-name.ts';
import { CONNECTION_RULE, isConnectionName } from './values.ts';

const checker = Compile(ConexionesSchema);
const MAX_CONNECTIONS = 32;

/**
 * Finds everything wrong with a `sqlServerConexiones`, as findConfigProblems says it; of a password its place alone.
 */
export function findConnectionProblems(value: unknown): ConfigProblem[] {
  const root = 'sqlServerConexiones';
  const wrong = checker.Check(value)
    ? findUnreadableServers(value as Conexiones)
    : findSchemaProblems(checker, value, root);
  // A wrong value might be a secret that was put in the wrong place.
  const problems = wrong.map((problem) => (problem.valor === '(falta)' ? problem : { ...problem, valor: '…' }));
  const names = typeof value === 'object' && value !== null ? Object.keys(value) : [];
  for (const name of names.filter((name) => !isConnectionName(name))) {
    problems.push({ campo: root, valor: show(name), regla: `no es un nombre de conexión: ${CONNECTION_RULE}` });
  }
  if (names.length > MAX_CONNECTIONS) {
    problems.push({ campo: root, valor: String(names.length), regla: `pasa del límite (${MAX_CONNECTIONS})` });
  }
  return problems.slice(0, 50);
}

/** Servers and users that are not written as `sql-server-name.ts` reads them. */
function findUnreadableServers(connections: Conexiones): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [name, { host, port, user }] of Object.entries(connections)) {
    const attempt = (field: string, valor: string, read: () => unknown) => {
      try {
        read();
      } catch (error) {
        if (!(error instanceof SqlServerNameError)) throw error;
        problems.push({ campo: `sqlServerConexiones.${name}.${field}`, valor, regla: error.message });
      }
    };
    attempt('host', host, () => parseServerName(host, port));
    attempt('user', user, () => parseLogin(user));
  }
  return problems;
}

/** Tables that name a connection which is not among `names`. */
export function findUnknownConnections(config: ConfiguracionTablas, names: readonly string[]): ConfigProblem[] {
  const rule = names.length === 0 ? 'no hay ninguna en sqlServerConexiones' : `las que hay: ${names.join(', ')}`;
  return (['tablasSubida', 'tablasBajada'] as const).flatMap((list) =>
    (config[list] ?? []).flatMap(({ conexion }, index) =>
      conexion === undefined || names.includes(conexion)
        ? []
        : [
            {
              campo: `configuracionTablas.${list}[${index}].conexion`,
              valor: conexion,
              regla: `no es una conexión del tenant (${rule})`,
            },
          ],
    ),
  );
}
