import { buildParser } from '../../protocol/command-line/parser.ts';
import { suggestionFor } from '../../protocol/command-line/suggestion.ts';
import { findInstallFolder, usePasswordFile } from '../config/environment.ts';
import { agentError } from '../errors/agent-error.ts';
import type { ExitReason } from '../errors/exit-codes.ts';
import { fullVersion } from '../version.ts';
import type { Session } from './command.ts';
import { agentProgram } from './commands.ts';
import { spanish } from './spanish.ts';

export interface Process extends Omit<Session, 'folder'> {
  /** Runs a command and makes an exit code of its answer, or of its error; with `json` the error is an event too. */
  finish: (command: () => Promise<ExitReason | undefined>, options: { json: boolean }) => Promise<void>;
}

/**
 * Builds the whole command line. It parses; `finish` runs. Nothing here exits the process.
 * @throws {AgentError} for a wrong command line, yargs' YError for an option without its value
 */
export function buildCommandLine(args: string[], { finish, ...process }: Process) {
  const parser = buildParser(args, agentProgram, (command, given) => {
    usePasswordFile(given['archivo-password'] as string | undefined);
    const folder = findInstallFolder(given.carpeta as string | undefined);
    return finish(() => command.run(given as never, { ...process, folder }), { json: given.json === true });
  });
  return parser
    .updateStrings(spanish)
    .version(fullVersion)
    .alias('h', 'help')
    .fail((message, error) => {
      if (error) throw error;
      const suggestion = /desconocid/.test(message) ? suggestionFor(agentProgram, args) : '';
      throw agentError('USO', { motivo: `${message}${suggestion}` });
    });
}
