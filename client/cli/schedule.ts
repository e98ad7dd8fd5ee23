import { DEFAULT_TASK, runScheduleInstall, runScheduleRemove, runScheduleStatus } from '../commands/schedule.ts';
import { type AgentCommandGroup, defineCommand } from './command.ts';

const taskOption = {
  nombre: { type: 'string', requiresArg: true, default: DEFAULT_TASK, describe: 'Nombre de la tarea' },
} as const;

const install = defineCommand({
  name: 'install',
  description: 'Crea la tarea, o la cambia',
  arguments: {},
  options: {
    ...taskOption,
    cada: { type: 'string', demandOption: true, requiresArg: true, describe: 'Intervalo: 5m, 1h' },
    limite: {
      type: 'string',
      requiresArg: true,
      default: '12h',
      describe: 'Tiempo tras el que se termina una ejecución',
    },
    cuenta: {
      type: 'string',
      requiresArg: true,
      describe: 'Cuenta de Windows que la ejecuta (por omisión, SYSTEM)',
    },
  },
  examples: [
    ['schedule install --cada 5m', 'Como SYSTEM, cada cinco minutos'],
    ['schedule install --cada 1h --limite 50m --nombre "AX Sync Rosario"', 'Otra tarea, otra carpeta'],
    ['schedule install --cada 5m --cuenta "NT AUTHORITY\\LocalService"', 'Con una cuenta sin privilegios'],
  ],
  exitCodes: ['exitoso', 'configuracion'],
  run: ({ nombre: name, cada: every, limite: limit, cuenta: account }, { folder, print, signal }) =>
    runScheduleInstall({ folder, name, every, limit, account, print, signal }),
});

const status = defineCommand({
  name: 'status',
  description: 'Muestra el estado de la tarea y su último resultado',
  arguments: {},
  options: taskOption,
  examples: [['schedule status', 'También dice qué significa el último código']],
  exitCodes: ['exitoso', 'configuracion'],
  run: ({ nombre: name }, { folder, print, signal }) => runScheduleStatus({ folder, name, print, signal }),
});

const remove = defineCommand({
  name: 'remove',
  description: 'Quita la tarea y el archivo con su contraseña',
  arguments: {},
  options: taskOption,
  examples: [['schedule remove', 'Una ejecución en marcha sigue hasta terminar']],
  exitCodes: ['exitoso', 'configuracion'],
  run: ({ nombre: name }, { folder, print, signal }) => runScheduleRemove({ folder, name, print, signal }),
});

export const scheduleCommands: AgentCommandGroup = {
  name: 'schedule',
  description: 'Ejecuta sync cada cierto tiempo: Programador de tareas de Windows, o systemd',
  options: taskOption,
  commands: [install, status, remove],
  examples: [
    ['schedule install --cada 5m', 'Crea la tarea'],
    ['schedule status', 'La muestra'],
    ['schedule remove', 'La quita'],
  ],
};
