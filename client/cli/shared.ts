import type { Argv } from 'yargs';
import { type ExitReason, exitCodes, exitMeanings } from '../errors/exit-codes.ts';

/** What the groups of commands in this folder share. */

/** What a command gets of the process that runs it. */
export interface Session {
  /** Aborted by Ctrl-C or a scheduler. */
  signal: AbortSignal;
  print: (line: string) => void;
  printJson: (value: object) => void;
  /** Runs a command and makes an exit code of its answer, or of its error; with `json` the error is an event too. */
  finish: (command: () => Promise<ExitReason>, options?: { json?: boolean }) => Promise<void>;
  /** As `finish`, for a command that succeeds unless it throws. */
  run: (command: () => Promise<void>) => Promise<void>;
}

/** A command line with the options that every command takes. */
export type Cli = ReturnType<typeof addGlobalOptions>;

export function addGlobalOptions(cli: Argv) {
  return cli
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
    });
}

/** For the end of a command's help: what its exit codes mean, a line each. */
export function describeExitCodes(reasons: readonly ExitReason[]): string {
  const lines = reasons.map((reason) => `${String(exitCodes[reason]).padStart(5)}  ${exitMeanings[reason]}`);
  return `Códigos de salida:\n${lines.join('\n')}`;
}

export const jsonOption = {
  type: 'boolean',
  default: false,
  describe: 'Para programas: un objeto JSON por línea',
} as const;

/** `--tabla`, as often as wanted; none means all. */
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
