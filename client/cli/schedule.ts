import { DEFAULT_TASK, runScheduleInstall, runScheduleRemove, runScheduleStatus } from '../commands/schedule.ts';
import { findInstallFolder } from '../config/environment.ts';
import type { Cli, Session } from './shared.ts';

export function addSchedule(cli: Cli, { finish, print, signal }: Session): Cli {
  const optionsOf = ({ carpeta, nombre }: { carpeta: string | undefined; nombre: string }) => ({
    folder: findInstallFolder(carpeta),
    ...{ name: nombre, print, signal },
  });
  return cli.command(
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
              })
              .example([
                ['$0 schedule install --cada 5m', 'Como SYSTEM, cada cinco minutos'],
                ['$0 schedule install --cada 1h --limite 50m --nombre "AX Sync Rosario"', 'Otra tarea, otra carpeta'],
                [
                  '$0 schedule install --cada 5m --cuenta "NT AUTHORITY\\LocalService"',
                  'Con una cuenta sin privilegios',
                ],
              ]),
          (args) => {
            const { cada: every, limite: limit, cuenta: account } = args;
            return finish(() => runScheduleInstall({ ...optionsOf(args), every, limit, account }));
          },
        )
        .command(
          'status',
          'Muestra el estado de la tarea y su último resultado',
          (status) => status.example('$0 schedule status', 'También dice qué significa el último código'),
          (args) => finish(() => runScheduleStatus(optionsOf(args))),
        )
        .command(
          'remove',
          'Quita la tarea y el archivo con su contraseña',
          (remove) => remove.example('$0 schedule remove', 'Una ejecución en marcha sigue hasta terminar'),
          (args) => finish(() => runScheduleRemove(optionsOf(args))),
        )
        .example([
          ['$0 schedule install --cada 5m', 'Crea la tarea'],
          ['$0 schedule status', 'La muestra'],
          ['$0 schedule remove', 'La quita'],
        ])
        .demandCommand(1, 'Falta qué hacer: schedule install, status o remove.'),
    () => {},
  );
}
