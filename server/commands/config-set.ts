import { readFile } from 'node:fs/promises';
import { type Conexiones, type ConfiguracionTablas, primaryKeyOf } from '../../protocol/tenant-config/config.ts';
import { findConfigProblems } from '../../protocol/tenant-config/config-problems.ts';
import { findConnectionProblems, findUnknownConnections } from '../../protocol/tenant-config/connection-problems.ts';
import type { ConfigProblem } from '../../protocol/tenant-config/schema-problems.ts';
import { undatedRowsOf } from '../../protocol/tenant-config/ultima-sync.ts';
import type { Config } from '../config.ts';
import { isCodigo } from '../rows/staging.ts';
import { type Configuration, readTables, updateConfiguration } from '../tenants/configurations.ts';
import { connectionPlace, mapPasswords, readConnections } from '../tenants/connections.ts';
import { readMasterKeys } from '../tenants/master-keys.ts';
import { allExitReasons, defineCommand, tenantOption } from './command.ts';
import { MASK } from './config-show.ts';
import { CommandError, withDatabase } from './with-database.ts';

export const configSetCommand = defineCommand({
  name: 'set',
  description: 'Reemplaza las tablas, o las conexiones a otras bases de SQL Server, por las de un archivo JSON',
  arguments: {},
  options: {
    tenant: tenantOption,
    file: { type: 'string', requiresArg: true, describe: 'Archivo con tablasSubida y tablasBajada' },
    conexiones: {
      type: 'string',
      requiresArg: true,
      describe: 'Archivo con las conexiones por su nombre (host, port, database, user, password)',
    },
  },
  examples: [
    ['config set --tenant acme-corp-001 --file tablas.json', 'La comprueba antes de guardarla'],
    ['config set --tenant acme-corp-001 --conexiones conexiones.json', 'Otras bases de SQL Server'],
  ],
  exitCodes: allExitReasons,
  async run({ tenant, file: tables, conexiones: connections }, { loadConfig, print }) {
    print(await configSet(loadConfig(), tenant, { tables, connections }));
  },
});

/**
 * Replaces a tenant's tables, its connections or both by those of JSON files. A password that reads as `config show`
 * shows it stays as it is stored.
 * @throws {CommandError}, naming every fault of a file; then nothing is stored
 */
export async function configSet(
  config: Config,
  tenant: string,
  files: { tables?: string | undefined; connections?: string | undefined },
): Promise<string> {
  if (files.tables === undefined && files.connections === undefined) {
    throw new CommandError('falta --file, --conexiones o ambos');
  }
  const tables = files.tables && ((await readJson(files.tables, findConfigProblems)) as ConfiguracionTablas);
  const given = files.connections && ((await readJson(files.connections, findConnectionProblems)) as Conexiones);
  const keys = readMasterKeys(config);
  const version = await withDatabase(config, (connection) => {
    const change = (current: Configuration) => {
      const stored = readConnections(current);
      const connections = given
        ? mapPasswords(given, (password, name) => {
            if (password !== MASK) return keys.seal(connectionPlace(tenant, name), password);
            const kept = Object.hasOwn(stored, name) ? stored[name]!.password : undefined;
            if (kept !== undefined) return kept;
            throw new CommandError(
              `la conexión «${name}» no tiene contraseña guardada: escríbala en ${files.connections}`,
            );
          })
        : undefined;
      const names = Object.keys(connections ?? stored);
      refuse(findUnknownConnections(tables || readTables(current), names), files.tables ?? files.connections!);
      return { ...(tables && { tables }), ...(connections && { connections }) };
    };
    return updateConfiguration(connection, tenant, change);
  });
  if (version === undefined) throw new CommandError(`el tenant «${tenant}» no existe`);
  return [
    `Configuración de «${tenant}» guardada (versión ${version}).`,
    ...(tables ? [...describeKeys(tables), ...describeUndated(tables)] : []),
  ].join('\n');
}

/** Says of each upload table whose key is not plainly `codigo` what it is. */
function describeKeys({ tablasSubida = [] }: ConfiguracionTablas): string[] {
  return tablasSubida.flatMap((tabla) => {
    const columns = primaryKeyOf(tabla);
    if (isCodigo(columns)) return [];
    const named = columns.join(', ');
    return columns.length > 1
      ? [`  «${tabla.nombre}»: la clave son ${named}.`]
      : [`  «${tabla.nombre}»: la clave es ${named}, o codigo si la consulta lo da en su lugar.`];
  });
}

/** SQL Server cannot be asked here: what would become of rows without a date, where there are any. */
function describeUndated({ tablasSubida = [] }: ConfiguracionTablas): string[] {
  return tablasSubida.flatMap((tabla) => {
    const rows = undatedRowsOf(tabla);
    if (rows === undefined || rows === 'siempre') return [];
    const { nombre, campoFecha, completoCada = 'con sync --desde-cero' } = tabla;
    const fate =
      rows === 'nunca'
        ? `no suben nunca: escriba el filtro como ${campoFecha} > @ultimaSync, o añada OR ${campoFecha} IS NULL`
        : `suben con la primera lectura y después con cada lectura completa (${completoCada})`;
    return [`  «${nombre}»: si «${campoFecha}» admite NULL, esas filas ${fate}.`];
  });
}

async function readJson(file: string, findProblems: (value: unknown) => ConfigProblem[]): Promise<unknown> {
  let value: unknown;
  try {
    value = JSON.parse((await readFile(file, 'utf8')).replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new CommandError(`no se puede leer ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  refuse(findProblems(value), file);
  return value;
}

function refuse(problems: ConfigProblem[], file: string): void {
  if (problems.length === 0) return;
  const lines = problems.map(({ campo, valor, regla }) => `  ${campo}: «${valor}» ${regla}`);
  throw new CommandError(`${file} no es válido; no se ha guardado nada:\n${lines.join('\n')}`);
}
