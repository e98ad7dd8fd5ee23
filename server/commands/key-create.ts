import type { Config } from '../config.ts';
import { createApiKey } from '../tenants/api-keys.ts';
import { allExitReasons, defineCommand, tenantOption } from './command.ts';
import { CommandError, withDatabase } from './with-database.ts';

export const keyCreateCommand = defineCommand({
  name: 'create',
  description: 'Crea una clave y la muestra esta única vez',
  arguments: {},
  options: {
    tenant: tenantOption,
    nombre: { type: 'string', requiresArg: true, describe: 'Para reconocerla' },
    dias: { type: 'number', requiresArg: true, describe: 'Días que vale (por omisión, sin límite)' },
  },
  examples: [['key create --tenant acme-corp-001 --nombre Rosario --dias 365', 'Vale un año; el agente la renueva']],
  exitCodes: allExitReasons,
  async run({ tenant, nombre, dias }, { loadConfig, print }) {
    print(await keyCreate(loadConfig(), tenant, { nombre, dias }));
  },
});

/** Ten years: what lasts longer is as good as for ever. */
const DAYS_MAX = 3650;

/**
 * Makes a key for a tenant and returns it: it is shown this once. `dias`: how long it is valid.
 * @throws {CommandError}, and SyncError CONFIG_NO_ENCONTRADA when there is no such tenant, DEMASIADAS_CLAVES when it
 * has too many
 */
export async function keyCreate(
  config: Config,
  tenant: string,
  { nombre, dias }: { nombre: string | undefined; dias: number | undefined },
): Promise<string> {
  if (dias !== undefined && !(Number.isInteger(dias) && dias >= 1 && dias <= DAYS_MAX)) {
    throw new CommandError(`--dias «${dias}» no vale: debe ser un número entero entre 1 y ${DAYS_MAX}`);
  }
  return withDatabase(config, (connection) =>
    createApiKey(connection, tenant, { nombre: nombre ?? null, days: dias ?? null }),
  );
}
