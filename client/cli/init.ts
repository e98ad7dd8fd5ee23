import { readFileSync } from 'node:fs';
import { agentError } from '../agent-error.ts';
import { runInit } from '../commands/init.ts';
import { findInstallFolder } from '../config/environment.ts';
import { type Cli, describeExitCodes, type Session } from './shared.ts';

export function addInit(cli: Cli, { run, print, signal }: Session): Cli {
  return cli.command(
    'init',
    'Comprueba el backend y guarda la configuración local cifrada (sync-config.enc)',
    (command) =>
      command
        .option('url', { type: 'string', demandOption: true, requiresArg: true, describe: 'Dirección del backend' })
        .option('tenant', { type: 'string', demandOption: true, requiresArg: true, describe: 'ID del tenant' })
        .option('key', { type: 'string', demandOption: true, requiresArg: true, describe: 'Clave de API del tenant' })
        .option('sql-host', {
          type: 'string',
          requiresArg: true,
          describe: 'Servidor SQL Server, en vez del configurado',
        })
        .option('sql-port', {
          type: 'number',
          requiresArg: true,
          describe: 'Puerto de SQL Server',
        })
        .option('sql-database', { type: 'string', requiresArg: true, describe: 'Base de datos' })
        .option('sql-user', { type: 'string', requiresArg: true, describe: 'Usuario de SQL Server' })
        .option('sql-password', { type: 'string', requiresArg: true, describe: 'Contraseña de SQL Server' })
        .option('sql-sin-cifrado', { type: 'boolean', default: false, describe: 'Conecta a SQL Server sin TLS' })
        .option('sql-confiar-certificado', {
          type: 'boolean',
          default: false,
          describe: 'Acepta el certificado de SQL Server sin comprobarlo',
        })
        .option('sql-ca', {
          type: 'string',
          requiresArg: true,
          describe: 'Archivo PEM de la autoridad que firma el certificado de SQL Server',
        })
        .option('sql-nombre-certificado', {
          type: 'string',
          requiresArg: true,
          describe: 'Nombre que lleva el certificado de SQL Server, si no es el del servidor',
        })
        .conflicts('sql-sin-cifrado', ['sql-ca', 'sql-nombre-certificado'])
        .conflicts('sql-confiar-certificado', ['sql-ca', 'sql-nombre-certificado'])
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
        ])
        .epilogue(describeExitCodes(['exitoso', 'configuracion', 'backend', 'credenciales'])),
    (args) =>
      run(() => {
        const sqlServer = {
          ...(args['sql-host'] === undefined ? {} : { host: args['sql-host'] }),
          ...(args['sql-port'] === undefined ? {} : { port: parsePort(args['sql-port']) }),
          ...(args['sql-database'] === undefined ? {} : { database: args['sql-database'] }),
          ...(args['sql-user'] === undefined ? {} : { user: args['sql-user'] }),
          ...(args['sql-password'] === undefined ? {} : { password: args['sql-password'] }),
          encrypt: !args['sql-sin-cifrado'],
          trustServerCertificate: args['sql-confiar-certificado'],
          ...(args['sql-ca'] === undefined ? {} : { ca: readPem('--sql-ca', args['sql-ca']) }),
          ...(args['sql-nombre-certificado'] === undefined ? {} : { certificateName: args['sql-nombre-certificado'] }),
        };
        const { url, tenant, key } = args;
        return runInit({
          folder: findInstallFolder(args.carpeta),
          ...{ url, tenant, key, sqlServer, print, signal },
          ...(args.ca === undefined ? {} : { ca: readPem('--ca', args.ca) }),
          allowsHttp: args['permitir-http'],
          requiresApproval: args['aprobar-sql'],
          usesDpapi: args.dpapi,
        });
      }),
  );
}

/** Reads the file that an option names. Throws AgentError CERTIFICADO_ILEGIBLE. */
function readPem(opcion: string, archivo: string): string {
  let text: string;
  try {
    text = readFileSync(archivo, 'utf8');
  } catch (error) {
    throw agentError('CERTIFICADO_ILEGIBLE', { opcion, archivo, motivo: (error as Error).message }, error);
  }
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw agentError('CERTIFICADO_ILEGIBLE', { opcion, archivo, motivo: 'no contiene ninguno' });
}

/** Throws AgentError OPCION_INVALIDA. */
function parsePort(port: number): number {
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw agentError('OPCION_INVALIDA', { opcion: '--sql-port', regla: 'un número entero entre 1 y 65535' });
}
