import { limits } from '../../protocol/constants.ts';
import { parseLogin, parseServerName, SqlServerNameError } from '../../protocol/tenant-config/sql-server-name.ts';
import type { Config } from '../config.ts';
import { createConfiguration, type NewTenant } from '../tenants/configurations.ts';
import { readMasterKeys } from '../tenants/master-keys.ts';
import { passwordPlace } from '../tenants/passwords.ts';
import { allExitReasons, defineCommand, tenantOption, textOption } from './command.ts';
import { CommandError, withDatabase } from './with-database.ts';

export const tenantCreateCommand = defineCommand({
  name: 'create',
  description: 'Crea un tenant con los datos de su SQL Server',
  arguments: {},
  options: {
    tenant: tenantOption,
    host: textOption('Servidor SQL Server: SERVIDOR, SERVIDOR\\INSTANCIA o SERVIDOR,PUERTO'),
    port: { type: 'number', default: 1433, describe: 'Puerto' },
    database: textOption('Base de datos'),
    user: textOption('Usuario de SQL Server, o DOMINIO\\usuario de Windows'),
    password: textOption('Contraseña, tal como la recibirá el cliente'),
  },
  examples: [
    [
      'tenant create --tenant acme-corp-001 --host 192.168.1.100 --database EmpresaDB --user sync_user --password ...',
      'El puerto es 1433, si no se dice otro',
    ],
  ],
  exitCodes: allExitReasons,
  async run({ tenant: tenantId, host, port, database, user, password }, { loadConfig, print }) {
    print(await tenantCreate(loadConfig(), { tenantId, host, port, database, user, password }));
  },
});

/**
 * Adds a tenant with its SQL Server and no tables yet.
 * @throws {CommandError} when it exists, or host, port and user make no sense
 */
export async function tenantCreate(config: Config, tenant: NewTenant): Promise<string> {
  const { tenantId } = tenant;
  if (!/^[^\s/\\?#]+$/.test(tenantId) || tenantId.length > limits.tenantMaxLength) {
    const rule = `de 1 a ${limits.tenantMaxLength} caracteres, sin blancos, «/», «\\», «?» ni «#»`;
    throw new CommandError(`--tenant «${tenantId.slice(0, 80)}» no vale: ${rule}`);
  }
  try {
    parseServerName(tenant.host, tenant.port);
    parseLogin(tenant.user);
  } catch (error) {
    if (error instanceof SqlServerNameError) throw new CommandError(error.message);
    throw error;
  }
  const sealed = { ...tenant, password: readMasterKeys(config).seal(passwordPlace(tenantId), tenant.password) };
  const added = await withDatabase(config, (connection) => createConfiguration(connection, sealed));
  if (!added) throw new CommandError(`el tenant «${tenantId}» ya existe`);
  return `Tenant «${tenantId}» creado. Siguiente paso: ax-sync-server key create --tenant ${tenantId}`;
}
