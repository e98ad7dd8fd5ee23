import type { Program } from '../../protocol/command-line/declaration.ts';
import { allExitReasons, type ExitReason, exitCodes, exitMeanings } from '../errors/exit-codes.ts';
import { approveCommand } from './approve.ts';
import type { Session } from './command.ts';
import { connectionCommands } from './connection.ts';
import { dataKeyCommands } from './data-key.ts';
import { doctorCommand } from './doctor.ts';
import { initCommand } from './init.ts';
import { logsCommand } from './logs.ts';
import { rotateKeyCommand } from './rotate-key.ts';
import { scheduleCommands } from './schedule.ts';
import { statusCommand } from './status.ts';
import { syncCommand } from './sync.ts';
import { testCommand } from './test.ts';
import { verifyCommand } from './verify.ts';

/** The agent's commands, as help and manual list them. A new one is a file of this folder and a place here. */
export const agentProgram: Program<Session, ExitReason> = {
  name: 'ax-sync-client',
  usage: '$0 <comando> [opciones]',
  missing: { command: 'Falta el comando', below: 'Falta qué hacer' },
  options: {
    carpeta: {
      type: 'string',
      requiresArg: true,
      describe: 'Carpeta de instalación (por omisión, la del ejecutable)',
    },
    'archivo-password': {
      type: 'string',
      requiresArg: true,
      describe: 'Archivo con la contraseña, en vez de SYNC_CONFIG_PASSWORD',
    },
  },
  builtIn: ['help', 'version'],
  commands: [
    ...[
      initCommand,
      connectionCommands,
      testCommand,
      syncCommand,
      verifyCommand,
      statusCommand,
      logsCommand,
      doctorCommand,
    ],
    ...[rotateKeyCommand, approveCommand, dataKeyCommands, scheduleCommands],
  ],
  examples: [
    ['init --help', 'Ayuda de un comando, con ejemplos'],
    ['test', 'Comprueba que todo esté listo'],
    ['sync', 'Sincroniza'],
    ['schedule install --cada 5m', 'Sincroniza cada cinco minutos'],
    ['sync --carpeta C:\\sync', 'Desde cualquier otra carpeta'],
  ],
  exitCodes: allExitReasons,
  describeExitCodes,
};

/** A line each. */
function describeExitCodes(reasons: readonly ExitReason[]): string {
  const lines = reasons.map((reason) => `${String(exitCodes[reason]).padStart(5)}  ${exitMeanings[reason]}`);
  return `Códigos de salida:\n${lines.join('\n')}`;
}
