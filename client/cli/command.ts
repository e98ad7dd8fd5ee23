import type { ArgumentTable, Command, CommandGroup, OptionTable } from '../../protocol/command-line/declaration.ts';
import type { ExitReason } from '../errors/exit-codes.ts';
import type { Streams } from '../ui/output.ts';

/** What a command gets of the process that runs it. */
export interface Session {
  /** The install folder. */
  folder: string;
  /** Aborted by Ctrl-C or a scheduler. */
  signal: AbortSignal;
  /** Where lines and progress of a run go. */
  streams: Streams;
  print: (line: string) => void;
  printJson: (value: object) => void;
}

export type AgentCommand = Command<Session, ExitReason>;
export type AgentCommandGroup = CommandGroup<Session, ExitReason>;

/** Infers what `run` gets from the declared arguments and options. */
export function defineCommand<const A extends ArgumentTable, const O extends OptionTable>(
  command: Command<Session, ExitReason, A, O>,
): AgentCommand {
  return command;
}

export const jsonOption = {
  type: 'boolean',
  default: false,
  describe: 'Para programas: un objeto JSON por línea',
} as const;

/** Declares `--tabla`, as often as wanted; none means all. */
export function tablaOption(describe: string) {
  return {
    type: 'string',
    array: true,
    requiresArg: true,
    default: [] as string[],
    defaultDescription: 'todas',
    describe,
  } as const;
}
