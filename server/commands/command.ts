import type { ArgumentTable, Command, CommandGroup, OptionTable } from '../../protocol/command-line/declaration.ts';
import type { Config } from '../config.ts';

/** What a command gets of the process that runs it. */
export interface Session {
  /** Called first by every command. Throws ConfigError. */
  loadConfig: () => Config;
  print: (line: string) => void;
}

export const exitCodes = { hecho: 0, fallo: 1, uso: 2 } as const;
export const exitMeanings: Record<ExitReason, string> = {
  hecho: 'hecho',
  fallo: 'falló',
  uso: 'la línea de órdenes está mal',
};
export type ExitReason = keyof typeof exitCodes;
export const allExitReasons = Object.keys(exitCodes) as [ExitReason, ...ExitReason[]];

export type ServerCommand = Command<Session, ExitReason>;
export type ServerCommandGroup = CommandGroup<Session, ExitReason>;

/** Infers what `run` gets from the declared options. */
export function defineCommand<const A extends ArgumentTable, const O extends OptionTable>(
  command: Command<Session, ExitReason, A, O>,
): ServerCommand {
  return command;
}

export const tenantOption = { type: 'string', demandOption: true, describe: 'ID del tenant' } as const;
/** None: all tenants. */
export const anyTenantOption = { type: 'string', requiresArg: true, describe: 'ID del tenant' } as const;

export function textOption<const D extends string>(describe: D) {
  return { type: 'string', demandOption: true, describe } as const;
}
