#!/usr/bin/env bun
import yargs from 'yargs';
import { runInit } from './commands/init.ts';
import { runRotateKey } from './commands/rotate-key.ts';
import { runScheduleInstall, runScheduleRemove, runScheduleStatus } from './commands/schedule.ts';
import { runSync } from './commands/sync.ts';
import { runTest } from './commands/test.ts';
import { findInstallFolder, usePasswordFile } from './config/environment.ts';
import { describeError } from './describe-error.ts';
import { type ExitReason, exitCodes } from './exit-codes.ts';
import { createTerminalProgress, silentProgress } from './log/progress.ts';
import { spanish, suggestionFor } from './spanish.ts';
import { fullVersion } from './version.ts';

/** The agent's command line: reads the arguments, runs one command, answers with an exit code. */

/** The command line is wrong; the message says how. */
class UsageError extends Error {}

const controller = new AbortController();
const { signal } = controller;
const print = (line: string) => console.log(line);
const stop = () => controller.abort(new DOMException('interrupted', 'AbortError'));
// SIGBREAK and SIGHUP: what Windows makes of Ctrl-Break and of a console or session that closes.
for (const name of ['SIGINT', 'SIGTERM', 'SIGBREAK', 'SIGHUP'] as const) process.once(name, stop);

const cli = yargs(process.argv.slice(2))
  .scriptName('ax-sync-client')
  .locale('es')
  .updateStrings(spanish)
  .usage('$0 <comando> [opciones]')
  .option('carpeta', {
    type: 'string',
    requiresArg: true,
    global: true,
    describe: 'Carpeta de instalación (por omisión, la del ejecutable)',
  })
  .option('archivo-password', {
    type: 'string',
    requiresArg: true,
    global: true,
    describe: 'Archivo con la contraseña, en vez de SYNC_CONFIG_PASSWORD',
  })
  .middleware((args) => usePasswordFile(args['archivo-password']))
  .command(
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
          coerce: parsePort,
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
        }),
    (args) =>
      finish(async () => {
        const sqlServer = {
          ...(args['sql-host'] === undefined ? {} : { host: args['sql-host'] }),
          ...(args['sql-port'] === undefined ? {} : { port: args['sql-port'] }),
          ...(args['sql-database'] === undefined ? {} : { database: args['sql-database'] }),
          ...(args['sql-user'] === undefined ? {} : { user: args['sql-user'] }),
          ...(args['sql-password'] === undefined ? {} : { password: args['sql-password'] }),
          encrypt: !args['sql-sin-cifrado'],
          trustServerCertificate: args['sql-confiar-certificado'],
        };
        const { url, tenant, key } = args;
        await runInit({ folder: findInstallFolder(args.carpeta), url, tenant, key, sqlServer, print, signal });
        return 'exitoso';
      }),
  )
  .command(
    'test',
    'Comprueba el backend, SQL Server y cada tabla sin cambiar nada',
    (command) => command,
    (args) => finish(() => runTest({ folder: findInstallFolder(args.carpeta), print, signal })),
  )
  .command(
    'sync',
    'Sincroniza las tablas configuradas',
    (command) =>
      command
        .option('upload-only', { type: 'boolean', describe: 'Solo subir (cliente → backend)' })
        .option('download-only', { type: 'boolean', describe: 'Solo bajar (backend → cliente)' })
        .option('tabla', {
          type: 'string',
          array: true,
          requiresArg: true,
          default: [] as string[],
          defaultDescription: 'todas',
          describe: 'Solo esta tabla (se puede repetir)',
        })
        .option('sin-spool', {
          type: 'boolean',
          default: false,
          describe: 'No guarda en spool/ lo que se sube: un envío que se corte se lee de nuevo',
        })
        .conflicts('upload-only', 'download-only'),
    (args) => {
      const terminal = process.stdout.isTTY === true;
      return finish(() =>
        runSync({
          folder: findInstallFolder(args.carpeta),
          upload: args['download-only'] !== true,
          download: args['upload-only'] !== true,
          tablas: args.tabla,
          usesSpool: !args['sin-spool'],
          echo: (line, level) => (level === 'info' ? console.log(line) : console.error(line)),
          progress: terminal ? createTerminalProgress() : silentProgress,
          signal,
        }),
      );
    },
  )
  .command(
    'rotate-key',
    'Cambia la clave de API por otra nueva (sync lo hace solo antes de que caduque)',
    (command) => command,
    (args) =>
      finish(async () => {
        await runRotateKey({ folder: findInstallFolder(args.carpeta), print, signal });
        return 'exitoso';
      }),
  )
  .command(
    'schedule',
    'Ejecuta sync cada cierto tiempo: Programador de tareas de Windows, o systemd',
    (command) =>
      command
        .option('nombre', { type: 'string', requiresArg: true, default: 'AX Sync', describe: 'Nombre de la tarea' })
        .command(
          'install',
          'Crea la tarea, o la cambia',
          (install) =>
            install
              .option('cada', { type: 'string', demandOption: true, requiresArg: true, describe: 'Intervalo: 5m, 1h' })
              .option('limite', {
                type: 'string',
                requiresArg: true,
                default: '12h',
                describe: 'Tiempo tras el que se termina una ejecución',
              })
              .option('cuenta', {
                type: 'string',
                requiresArg: true,
                describe: 'Cuenta de Windows que la ejecuta (por omisión, SYSTEM)',
              }),
          (args) => {
            const { cada: every, limite: limit, cuenta: account } = args;
            return finish(() => runScheduleInstall({ ...scheduleOptions(args), every, limit, account }));
          },
        )
        .command(
          'status',
          'Muestra el estado de la tarea y su último resultado',
          (status) => status,
          (args) => finish(() => runScheduleStatus(scheduleOptions(args))),
        )
        .command(
          'remove',
          'Quita la tarea y el archivo con su contraseña',
          (remove) => remove,
          (args) => finish(() => runScheduleRemove(scheduleOptions(args))),
        )
        .demandCommand(1, 'Falta qué hacer: schedule install, status o remove.'),
    () => {},
  )
  .demandCommand(1, 'Falta el comando: init, test, sync, rotate-key o schedule.')
  .strict()
  .version(fullVersion)
  .alias('h', 'help')
  .exitProcess(false)
  .fail((message, error) => {
    throw error ?? new UsageError(message);
  });

try {
  await cli.parseAsync();
} catch (error) {
  // YError is how yargs reports an option without its value.
  if (!(error instanceof UsageError) && (error as Error).name !== 'YError') throw error;
  const { message } = error as Error;
  console.error(`${message}${suggestionFor(message)}\nMire ax-sync-client --help.`);
  process.exitCode = exitCodes.configuracion;
}

/** Throws UsageError. */
function parsePort(port: number | undefined): number | undefined {
  if (port === undefined || (Number.isInteger(port) && port > 0 && port < 65_536)) return port;
  throw new UsageError('--sql-port debe ser un número entero entre 1 y 65535');
}

function scheduleOptions({ carpeta, nombre }: { carpeta: string | undefined; nombre: string }) {
  return { folder: findInstallFolder(carpeta), name: nombre, print, signal };
}

/** Runs a command and sets the exit code; an error becomes two lines for the operator. */
async function finish(command: () => Promise<ExitReason>): Promise<void> {
  try {
    process.exitCode = exitCodes[await command()];
  } catch (error) {
    const { message, action, kind } = describeError(error);
    console.error(action === '' ? message : `${message}\n${action}`);
    process.exitCode = exitCodes[signal.aborted ? 'interrumpido' : kind];
  }
}
