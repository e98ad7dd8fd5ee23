import { readFile } from 'node:fs/promises';
import { type ConfiguracionTablas, findConfigProblems } from '../../protocol/config.ts';
import type { Config } from '../config.ts';
import { updateTables } from '../data/configurations.ts';
import { CommandError, withDatabase } from './with-database.ts';

/** Replaces a tenant's tables by those of a JSON file. Throws CommandError, naming every fault of the file. */
export async function configSet(config: Config, tenant: string, file: string): Promise<string> {
  const tables = await readTablesFile(file);
  const version = await withDatabase(config, (connection) => updateTables(connection, tenant, tables));
  if (version === undefined) throw new CommandError(`el tenant «${tenant}» no existe`);
  return `Configuración de «${tenant}» guardada (versión ${version}).`;
}

async function readTablesFile(file: string): Promise<ConfiguracionTablas> {
  let value: unknown;
  try {
    value = JSON.parse((await readFile(file, 'utf8')).replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new CommandError(`no se puede leer ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  const problems = findConfigProblems(value);
  if (problems.length > 0) {
    const lines = problems.map(({ campo, valor, regla }) => `  ${campo}: «${valor}» ${regla}`);
    throw new CommandError(`${file} no es válido; no se ha guardado nada:\n${lines.join('\n')}`);
  }
  return value as ConfiguracionTablas;
}
