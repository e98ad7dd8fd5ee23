import { readFileSync } from 'node:fs';
import type { InferredOptionTypes } from 'yargs';
import type { LocalConnection } from '../config/local.ts';
import { agentError } from '../errors/agent-error.ts';

/** What `init` and `connection set` are told of a SQL Server. */
export const sqlServerOptions = {
  'sql-host': {
    type: 'string',
    requiresArg: true,
    describe: 'Servidor SQL Server, en vez del configurado: SERVIDOR, SERVIDOR\\INSTANCIA o SERVIDOR,PUERTO',
  },
  'sql-port': { type: 'number', requiresArg: true, describe: 'Puerto de SQL Server' },
  'sql-database': { type: 'string', requiresArg: true, describe: 'Base de datos' },
  'sql-user': {
    type: 'string',
    requiresArg: true,
    describe: 'Usuario de SQL Server, o DOMINIO\\usuario de Windows',
  },
  'sql-password': { type: 'string', requiresArg: true, describe: 'Contraseña de SQL Server' },
  // Without a default: yargs takes one for something that was given, and then nothing else could be.
  'sql-sin-cifrado': { type: 'boolean', describe: 'Conecta a SQL Server sin TLS' },
  'sql-confiar-certificado': {
    type: 'boolean',
    describe: 'Acepta el certificado de SQL Server sin comprobarlo',
  },
  'sql-ca': {
    type: 'string',
    requiresArg: true,
    describe: 'Archivo PEM de la autoridad que firma el certificado de SQL Server',
  },
  'sql-nombre-certificado': {
    type: 'string',
    requiresArg: true,
    describe: 'Nombre que lleva el certificado de SQL Server, si no es el del servidor',
  },
} as const;

export const sqlServerConflicts = {
  'sql-sin-cifrado': ['sql-ca', 'sql-nombre-certificado'],
  'sql-confiar-certificado': ['sql-ca', 'sql-nombre-certificado'],
} as const;

/**
 * Reads the options of `sqlServerOptions` as they are kept.
 * @throws {AgentError} OPCION_INVALIDA, CERTIFICADO_ILEGIBLE
 */
export function readSqlServer(args: InferredOptionTypes<typeof sqlServerOptions>): LocalConnection {
  return {
    ...(args['sql-host'] === undefined ? {} : { host: args['sql-host'] }),
    ...(args['sql-port'] === undefined ? {} : { port: parsePort(args['sql-port']) }),
    ...(args['sql-database'] === undefined ? {} : { database: args['sql-database'] }),
    ...(args['sql-user'] === undefined ? {} : { user: args['sql-user'] }),
    ...(args['sql-password'] === undefined ? {} : { password: args['sql-password'] }),
    encrypt: args['sql-sin-cifrado'] !== true,
    trustServerCertificate: args['sql-confiar-certificado'] === true,
    ...(args['sql-ca'] === undefined ? {} : { ca: readPem('--sql-ca', args['sql-ca']) }),
    ...(args['sql-nombre-certificado'] === undefined ? {} : { certificateName: args['sql-nombre-certificado'] }),
  };
}

/**
 * Reads the file that an option names.
 * @throws {AgentError} CERTIFICADO_ILEGIBLE
 */
export function readPem(opcion: string, archivo: string): string {
  let text: string;
  try {
    text = readFileSync(archivo, 'utf8');
  } catch (error) {
    throw agentError('CERTIFICADO_ILEGIBLE', { opcion, archivo, motivo: (error as Error).message }, error);
  }
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw agentError('CERTIFICADO_ILEGIBLE', { opcion, archivo, motivo: 'no contiene ninguno' });
}

/** @throws {AgentError} OPCION_INVALIDA */
function parsePort(port: number): number {
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  throw agentError('OPCION_INVALIDA', { opcion: '--sql-port', regla: 'un número entero entre 1 y 65535' });
}
