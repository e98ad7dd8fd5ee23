import { buildParser } from '../protocol/command-line/parser.ts';
import { suggestionFor } from '../protocol/command-line/suggestion.ts';
import { SyncError } from '../protocol/errors.ts';
import { visible } from '../protocol/visible.ts';
import { exitCodes, type Session } from './commands/command.ts';
import { serverProgram } from './commands/index.ts';
import { OperatorError } from './operator-error.ts';

/** The command line is wrong; the message, Spanish, says how. */
export class UsageError extends Error {}

/**
 * Builds the whole command line. It parses; the command that it names runs. Nothing here exits the process.
 * @throws {UsageError} for a wrong command line
 */
export function buildCommandLine(args: readonly string[], session: Session) {
  const parser = buildParser(args, serverProgram, async (command, given) => {
    await command.run(given as never, session);
  });
  return parser.version(false).fail((message, error) => {
    if (error) throw error;
    throw new UsageError(/desconocid/.test(message) ? `${message}${suggestionFor(serverProgram, args)}` : message);
  });
}

export interface Streams {
  stdout: { write(text: string): unknown };
  stderr: { write(text: string): unknown };
}

/** Runs a command line to its end and answers its exit code; what went wrong is told on `stderr`. */
export async function runCommandLine(
  args: readonly string[],
  loadConfig: Session['loadConfig'],
  { stdout, stderr }: Streams,
): Promise<number> {
  const print = (line: string): void => {
    stdout.write(`${visible(line)}\n`);
  };
  try {
    let help = '';
    await buildCommandLine(args, { loadConfig, print }).parseAsync(args, {}, (_error, _args, output) => {
      help = output;
    });
    if (help !== '') stdout.write(`${help}\n`);
    return exitCodes.hecho;
  } catch (error) {
    if (error instanceof UsageError) {
      stderr.write(`${visible(error.message)}\nVea ax-sync-server --help\n`);
      return exitCodes.uso;
    }
    stderr.write(`ax-sync-server: ${visible(describe(error))}\n`);
    return exitCodes.fallo;
  }
}

function describe(error: unknown): string {
  if (error instanceof OperatorError) return error.message;
  if (error instanceof SyncError) return error.toProblem().mensaje;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
