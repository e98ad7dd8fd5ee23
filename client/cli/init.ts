import { runInit } from '../commands/init.ts';
import { findInstallFolder } from '../config/environment.ts';
import { type Cli, describeExitCodes, type Session } from './shared.ts';
import { readPem, readSqlServer, sqlServerOptions } from './sql-server.ts';

export function addInit(cli: Cli, { run, print, signal }: Session): Cli {
  return cli.command(
    'init',
    'Comprueba el backend y guarda la configuración local cifrada (sync-config.enc)',
    (command) =>
      sqlServerOptions(command)
        .option('url', { type: 'string', demandOption: true, requiresArg: true, describe: 'Dirección del backend' })
        .option('tenant', { type: 'string', demandOption: true, requiresArg: true, describe: 'ID del tenant' })
        .option('key', { type: 'string', demandOption: true, requiresArg: true, describe: 'Clave de API del tenant' })
        .option('dpapi', {
          type: 'boolean',
          default: false,
          describe: 'La contraseña de sync-config.enc la crea init y la guarda Windows, para este equipo',
        })
        .option('ca', {
          type: 'string',
          requiresArg: true,
          describe: 'Archivo PEM de la autoridad que firma el certificado del backend; ninguna otra vale',
        })
        .option('permitir-http', {
          type: 'boolean',
          default: false,
          describe: 'Acepta una dirección http: la clave y los datos viajan sin cifrar',
        })
        .option('aprobar-sql', {
          type: 'boolean',
          default: false,
          describe: 'Ejecuta solo el SQL que se apruebe en este equipo con approve',
        })
        .example([
          ['$0 init --url https://backend.miempresa.com --tenant acme-corp-001 --key sk_live_...', 'Lo habitual'],
          [
            '$0 init --url https://backend.miempresa.com --tenant acme-corp-001 --key sk_live_... --dpapi',
            'Sin contraseña que recordar: la guarda Windows',
          ],
          [
            '$0 init --url https://backend.miempresa.com --tenant acme-corp-001 --key sk_live_... --sql-confiar-certificado',
            'SQL Server tiene el certificado que él mismo se hizo',
          ],
          [
            '$0 init --url https://backend.miempresa.com --tenant acme-corp-001 --key sk_live_... --sql-ca autoridad.pem',
            'SQL Server tiene un certificado de la empresa',
          ],
        ])
        .epilogue(describeExitCodes(['exitoso', 'configuracion', 'backend', 'credenciales'])),
    (args) =>
      run(() => {
        const { url, tenant, key } = args;
        return runInit({
          folder: findInstallFolder(args.carpeta),
          ...{ url, tenant, key, print, signal },
          sqlServer: readSqlServer(args),
          ...(args.ca === undefined ? {} : { ca: readPem('--ca', args.ca) }),
          allowsHttp: args['permitir-http'],
          requiresApproval: args['aprobar-sql'],
          usesDpapi: args.dpapi,
        });
      }),
  );
}
