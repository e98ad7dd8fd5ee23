import yargs from 'yargs';
import { usePasswordFile } from '../config/environment.ts';
import { agentError } from '../errors/agent-error.ts';
import { type ExitReason, exitCodes } from '../errors/exit-codes.ts';
import { fullVersion } from '../version.ts';
import { addConnection } from './connection.ts';
import { addInit } from './init.ts';
import { addKeys } from './keys.ts';
import { addSchedule } from './schedule.ts';
import { addGlobalOptions, describeExitCodes, type Session } from './shared.ts';
import { spanish, suggestionFor } from './spanish.ts';
import { addSync } from './sync.ts';
import { addWatch } from './watch.ts';

/**
 * The whole command line: a function per group of commands, each in its file. It parses; `session` runs. Nothing here
 * exits the process: a wrong command line throws AgentError, or yargs' YError for an option without its value.
 */
export function buildCommandLine(args: string[], session: Session) {
  let cli = addGlobalOptions(
    yargs(args).scriptName('ax-sync-client').locale('es').updateStrings(spanish).usage('$0 <comando> [opciones]'),
  ).middleware((given) => usePasswordFile(given['archivo-password'] as string | undefined));
  for (const add of [addInit, addConnection, addSync, addWatch, addKeys, addSchedule]) cli = add(cli, session);
  return cli
    .demandCommand(
      1,
      'Falta el comando: init, connection, test, approve, data-key, sync, rotate-key, schedule, status, logs o doctor.',
    )
    .example([
      ['$0 init --help', 'Ayuda de un comando, con ejemplos'],
      ['$0 test', 'Comprueba que todo esté listo'],
      ['$0 sync', 'Sincroniza'],
      ['$0 schedule install --cada 5m', 'Sincroniza cada cinco minutos'],
      ['$0 sync --carpeta C:\\sync', 'Desde cualquier otra carpeta'],
    ])
    .epilogue(describeExitCodes(Object.keys(exitCodes) as ExitReason[]))
    .strict()
    .version(fullVersion)
    .alias('h', 'help')
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? agentError('USO', { motivo: `${message}${suggestionFor(message)}` });
    });
}
