import { runInit } from '../commands/init.ts';
import { defineCommand } from './command.ts';
import { readPem, readSqlServer, sqlServerConflicts, sqlServerOptions } from './sql-server.ts';

const line = 'init --url https://backend.miempresa.com --tenant acme-corp-001 --key sk_live_...';

export const initCommand = defineCommand({
  name: 'init',
  description: 'Comprueba el backend y guarda la configuración local cifrada (sync-config.enc)',
  arguments: {},
  options: {
    ...sqlServerOptions,
    url: { type: 'string', demandOption: true, requiresArg: true, describe: 'Dirección del backend' },
    tenant: { type: 'string', demandOption: true, requiresArg: true, describe: 'ID del tenant' },
    key: { type: 'string', demandOption: true, requiresArg: true, describe: 'Clave de API del tenant' },
    dpapi: {
      type: 'boolean',
      default: false,
      describe: 'La contraseña de sync-config.enc la crea init y la guarda Windows, para este equipo',
    },
    ca: {
      type: 'string',
      requiresArg: true,
      describe: 'Archivo PEM de la autoridad que firma el certificado del backend; ninguna otra vale',
    },
    'permitir-http': {
      type: 'boolean',
      default: false,
      describe: 'Acepta una dirección http: la clave y los datos viajan sin cifrar',
    },
    'aprobar-sql': {
      type: 'boolean',
      default: false,
      describe: 'Ejecuta solo el SQL que se apruebe en este equipo con approve',
    },
  },
  conflicts: sqlServerConflicts,
  examples: [
    [line, 'Lo habitual'],
    [`${line} --dpapi`, 'Sin contraseña que recordar: la guarda Windows'],
    [`${line} --sql-confiar-certificado`, 'SQL Server tiene el certificado que él mismo se hizo'],
    [`${line} --sql-ca autoridad.pem`, 'SQL Server tiene un certificado de la empresa'],
  ],
  exitCodes: ['exitoso', 'configuracion', 'backend', 'credenciales'],
  async run(args, { folder, print, signal }) {
    const { url, tenant, key } = args;
    await runInit({
      ...{ folder, url, tenant, key, print, signal },
      sqlServer: readSqlServer(args),
      ...(args.ca === undefined ? {} : { ca: readPem('--ca', args.ca) }),
      allowsHttp: args['permitir-http'],
      requiresApproval: args['aprobar-sql'],
      usesDpapi: args.dpapi,
    });
  },
});
