import { runDoctor } from '../commands/doctor.ts';
import { runLogs } from '../commands/logs.ts';
import { runStatus } from '../commands/status.ts';
import { findInstallFolder } from '../config/environment.ts';
import { agentError } from '../errors/agent-error.ts';
import { type Cli, describeExitCodes, jsonOption, type Session, tablaOption } from './shared.ts';

/** `status`, `logs` and `doctor`. */
export function addWatch(cli: Cli, { finish, print, signal }: Session): Cli {
  return cli
    .command(
      'status',
      'Muestra cómo está cada tabla, lo pendiente y lo que sabe el backend',
      (command) =>
        command.option('json', jsonOption).example([
          ['$0 status', 'Tablas, pendientes y lo que sabe el backend'],
          ['$0 status --json', 'Lo mismo, para otro programa'],
        ]),
      (args) =>
        finish(() => runStatus({ folder: findInstallFolder(args.carpeta), json: args.json, print, signal }), args),
    )
    .command(
      'logs',
      'Muestra las últimas líneas del registro',
      (command) =>
        command
          .option('tabla', tablaOption('Solo de esta tabla (se puede repetir)'))
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
            describe: 'Cuántas, las más recientes (hasta 100000)',
          })
          .option('json', jsonOption)
          .example([
            ['$0 logs --nivel error', 'Los últimos errores'],
            ['$0 logs --tabla vista_productos --lineas 200', 'Las últimas 200 líneas de una tabla'],
          ]),
      ({ carpeta, tabla: tablas, nivel, lineas, json }) =>
        finish(
          () =>
            runLogs({
              ...{ folder: findInstallFolder(carpeta), tablas, nivel, lineas: parseLineas(lineas) },
              ...{ json, print, signal },
            }),
          { json },
        ),
    )
    .command(
      'doctor',
      'Comprueba todo lo que preguntaría soporte y escribe diagnostico.txt, sin secretos',
      (command) =>
        command
          .option('json', jsonOption)
          .example('$0 doctor', 'Muestra las comprobaciones y escribe diagnostico.txt')
          .epilogue(describeExitCodes(['exitoso', 'error', 'configuracion'])),
      (args) =>
        finish(() => runDoctor({ folder: findInstallFolder(args.carpeta), json: args.json, print, signal }), args),
    );
}

/** Throws AgentError OPCION_INVALIDA. */
function parseLineas(lineas: number): number {
  if (Number.isInteger(lineas) && lineas > 0 && lineas <= 100_000) return lineas;
  throw agentError('OPCION_INVALIDA', { opcion: '--lineas', regla: 'un número entero entre 1 y 100000' });
}
