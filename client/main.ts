#!/usr/bin/env bun
import { readFileSync } from 'node:fs';
import yargs from 'yargs';
import { AgentError, agentError } from './agent-error.ts';
import { runApprove } from './commands/approve.ts';
import { createDataKey, exportDataKey, importDataKey } from './commands/data-key.ts';
import { runDoctor } from './commands/doctor.ts';
import { runInit } from './commands/init.ts';
import { runLogs } from './commands/logs.ts';
import { runRotateKey } from './commands/rotate-key.ts';
import { DEFAULT_TASK, runScheduleInstall, runScheduleRemove, runScheduleStatus } from './commands/schedule.ts';
import { runStatus } from './commands/status.ts';
import { runSync } from './commands/sync.ts';
import { runTest } from './commands/test.ts';
import { findInstallFolder, usePasswordFile } from './config/environment.ts';
import { describeError } from './describe-error.ts';
import { type ExitReason, exitCodes } from './exit-codes.ts';
import { openOutput } from './log/output.ts';
import { spanish, suggestionFor } from './spanish.ts';
import { fullVersion } from './version.ts';

/** The agent's command line: reads the arguments, runs one command, answers with an exit code. */

const controller = new AbortController();
const { signal } = controller;
const print = (line: string) => console.log(line);
const printJson = (value: object) => console.log(JSON.stringify(value));
const jsonOption = { type: 'boolean', default: false, describe: 'Para programas: un objeto JSON por línea' } as const;
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
        })
        .option('sql-ca', {
          type: 'string',
          requiresArg: true,
          coerce: readPem('--sql-ca'),
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
          coerce: readPem('--ca'),
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
          ...(args['sql-ca'] === undefined ? {} : { ca: args['sql-ca'] }),
          ...(args['sql-nombre-certificado'] === undefined ? {} : { certificateName: args['sql-nombre-certificado'] }),
        };
        const { url, tenant, key } = args;
        await runInit({
          folder: findInstallFolder(args.carpeta),
          ...{ url, tenant, key, sqlServer, print, signal },
          ...(args.ca === undefined ? {} : { ca: args.ca }),
          allowsHttp: args['permitir-http'],
          requiresApproval: args['aprobar-sql'],
          usesDpapi: args.dpapi,
        });
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
        .option('aprobar-sql', {
          type: 'boolean',
          default: false,
          describe: 'Ejecuta solo el SQL aprobado en este equipo con approve',
        })
        .option('limite-kbps', {
          type: 'number',
          requiresArg: true,
          coerce: parseLimite,
          describe: 'Velocidad máxima, en kilobits por segundo, en vez de limiteKbps (0: sin límite)',
        })
        .option('ahora', { type: 'boolean', default: false, describe: 'También en horas de silencio' })
        .option('json', jsonOption)
        .conflicts('upload-only', 'download-only'),
    (args) =>
      finish(
        () =>
          runSync({
            folder: findInstallFolder(args.carpeta),
            upload: args['download-only'] !== true,
            download: args['upload-only'] !== true,
            tablas: args.tabla,
            usesSpool: !args['sin-spool'],
            requiresApproval: args['aprobar-sql'],
            ...(args['limite-kbps'] === undefined ? {} : { limiteKbps: args['limite-kbps'] }),
            ahora: args.ahora,
            ...openOutput(args),
            onEnd: (record) => args.json && printJson({ evento: 'fin', ...record }),
            signal,
          }),
        args,
      ),
  )
  .command(
    'status',
    'Muestra cómo está cada tabla, lo pendiente y lo que sabe el backend',
    (command) => command.option('json', jsonOption),
    (args) =>
      finish(() => runStatus({ folder: findInstallFolder(args.carpeta), json: args.json, print, signal }), args),
  )
  .command(
    'logs',
    'Muestra las últimas líneas del registro',
    (command) =>
      command
        .option('tabla', {
          type: 'string',
          array: true,
          requiresArg: true,
          default: [] as string[],
          defaultDescription: 'todas',
          describe: 'Solo de esta tabla (se puede repetir)',
        })
        .option('nivel', {
          choices: ['info', 'aviso', 'error'] as const,
          default: 'info' as const,
          requiresArg: true,
          describe: 'Desde este nivel',
        })
        .option('lineas', {
          type: 'number',
          default: 50,
          requiresArg: true,
          coerce: parseLineas,
          describe: 'Cuántas, las más recientes (hasta 100000)',
        })
        .option('json', jsonOption),
    ({ carpeta, tabla: tablas, nivel, lineas, json }) =>
      finish(() => runLogs({ folder: findInstallFolder(carpeta), tablas, nivel, lineas, json, print, signal }), {
        json,
      }),
  )
  .command(
    'doctor',
    'Comprueba todo lo que preguntaría soporte y escribe diagnostico.txt, sin secretos',
    (command) => command.option('json', jsonOption),
    (args) =>
      finish(() => runDoctor({ folder: findInstallFolder(args.carpeta), json: args.json, print, signal }), args),
  )
  .command(
    'rotate-key',
    'Cambia la clave de API por otra nueva (sync lo hace solo antes de que caduque)',
    (command) => command,
    (args) => run(() => runRotateKey({ folder: findInstallFolder(args.carpeta), print, signal })),
  )
  .command(
    'approve',
    'Muestra el SQL del backend que falta aprobar en este equipo, y lo aprueba',
    (command) =>
      command.option('huella', { type: 'string', requiresArg: true, describe: 'Aprueba el SQL de esta huella' }),
    (args) => run(() => runApprove({ folder: findInstallFolder(args.carpeta), huella: args.huella, print, signal })),
  )
  .command('data-key', 'Clave de datos del tenant, para camposSensibles', (command) => {
    const archivo = { type: 'string', demandOption: true, requiresArg: true } as const;
    const folderOf = (args: { carpeta?: string | undefined }) => ({ folder: findInstallFolder(args.carpeta), print });
    return command
      .command(
        'create',
        'La crea, en el primer agente del tenant',
        (y) => y,
        (args) => run(() => createDataKey(folderOf(args))),
      )
      .command(
        'export',
        'La escribe en un archivo sellado con SYNC_DATA_KEY_PASSWORD',
        (y) => y.option('archivo', { ...archivo, describe: 'Archivo que se escribe' }),
        (args) => run(() => exportDataKey({ ...folderOf(args), file: args.archivo })),
      )
      .command(
        'import',
        'La toma de un archivo de data-key export',
        (y) => y.option('archivo', { ...archivo, describe: 'Archivo que se lee' }),
        (args) => run(() => importDataKey({ ...folderOf(args), file: args.archivo })),
      )
      .demandCommand(1, 'Falta el comando: data-key create, data-key export o data-key import.');
  })
  .command(
    'schedule',
    'Ejecuta sync cada cierto tiempo: Programador de tareas de Windows, o systemd',
    (command) =>
      command
        .option('nombre', { type: 'string', requiresArg: true, default: DEFAULT_TASK, describe: 'Nombre de la tarea' })
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
  .demandCommand(
    1,
    'Falta el comando: init, test, approve, data-key, sync, rotate-key, schedule, status, logs o doctor.',
  )
  .strict()
  .version(fullVersion)
  .alias('h', 'help')
  .exitProcess(false)
  .fail((message, error) => {
    throw error ?? agentError('USO', { motivo: `${message}${suggestionFor(message)}` });
  });

try {
  await cli.parseAsync();
} catch (error) {
  // YError is how yargs reports an option without its value.
  const isUsage = (error as Error).name === 'YError';
  if (!isUsage && !(error instanceof AgentError)) throw error;
  const { message, action, kind } = describeError(
    isUsage ? agentError('USO', { motivo: (error as Error).message }) : error,
  );
  console.error(`${message}\n${action}`);
  process.exitCode = exitCodes[kind];
}

/** Reads the file that an option names. Throws AgentError CERTIFICADO_ILEGIBLE. */
function readPem(option: string): (file: string | undefined) => string | undefined {
  return (file) => {
    if (file === undefined) return undefined;
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      throw agentError(
        'CERTIFICADO_ILEGIBLE',
        { opcion: option, archivo: file, motivo: (error as Error).message },
        error,
      );
    }
    if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
    throw agentError('CERTIFICADO_ILEGIBLE', { opcion: option, archivo: file, motivo: 'no contiene ninguno' });
  };
}

/** Throws AgentError OPCION_INVALIDA. */
function parsePort(port: number | undefined): number | undefined {
  if (port === undefined || (Number.isInteger(port) && port > 0 && port < 65_536)) return port;
  throw agentError('OPCION_INVALIDA', { opcion: '--sql-port', regla: 'un número entero entre 1 y 65535' });
}

function scheduleOptions({ carpeta, nombre }: { carpeta: string | undefined; nombre: string }) {
  return { folder: findInstallFolder(carpeta), name: nombre, print, signal };
}

/** Throws AgentError OPCION_INVALIDA. */
function parseLimite(kbps: number | undefined): number | undefined {
  if (kbps === undefined || kbps === 0 || (Number.isInteger(kbps) && kbps >= 64)) return kbps;
  throw agentError('OPCION_INVALIDA', {
    opcion: '--limite-kbps',
    regla: '0 (sin límite), o un número entero desde 64',
  });
}

/** Throws AgentError OPCION_INVALIDA. */
function parseLineas(lineas: number): number {
  if (Number.isInteger(lineas) && lineas > 0 && lineas <= 100_000) return lineas;
  throw agentError('OPCION_INVALIDA', { opcion: '--lineas', regla: 'un número entero entre 1 y 100000' });
}

/** As `finish`, for a command that succeeds unless it throws. */
function run(command: () => Promise<void>): Promise<void> {
  return finish(async () => {
    await command();
    return 'exitoso';
  });
}

/**
 * Runs a command and sets the exit code; an error becomes two lines for the operator, or with `--json` the last event:
 * `fin` with `mensaje`.
 */
async function finish(command: () => Promise<ExitReason>, { json = false }: { json?: boolean } = {}): Promise<void> {
  try {
    process.exitCode = exitCodes[await command()];
  } catch (error) {
    const { code: codigo, message, action, kind } = describeError(error);
    const resultado = signal.aborted ? 'interrumpido' : kind;
    if (json) printJson({ evento: 'fin', resultado, codigo, mensaje: message, accion: action });
    else console.error(`${message}\n${action}`);
    process.exitCode = exitCodes[resultado];
  }
}
