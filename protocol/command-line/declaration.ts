import type { InferredOptionTypes, Options } from 'yargs';

/**
 * A command is declared once. Its parser, its help, what a misspelt word is taken for and the manual's tables are made from
 * the declaration (parser.ts, suggestion.ts, fixtures/docs/commands.ts).
 */

/** By name, as yargs takes them; `describe` is what help and manual say. */
export type OptionTable = Record<string, Options & { describe: string }>;
/** By their place behind the command's name: texts that must be given. */
export type ArgumentTable = Record<string, { type: 'string'; demandOption: true; describe: string }>;
/** A command line behind the program's name, and what it is an example of. */
export type Example = readonly [line: string, meaning: string];

interface Described {
  /** One word, unique at its place. */
  name: string;
  description: string;
  examples: readonly [Example, ...Example[]];
}

/**
 * @typeParam S what `run` gets beside the arguments
 * @typeParam E names of exit codes
 */
export interface Command<
  S,
  E extends string,
  A extends ArgumentTable = ArgumentTable,
  O extends OptionTable = OptionTable,
> extends Described {
  arguments: A;
  options: O;
  /** Options that one option does not go with. */
  conflicts?: Readonly<Record<string, readonly string[]>>;
  /** What it may end with. */
  exitCodes: readonly [E, ...E[]];
  /** Answers nothing where the command succeeds unless it throws. */
  run(args: InferredOptionTypes<A & O>, session: S): Promise<E | undefined>;
}

/** Commands below a name. */
export interface CommandGroup<S, E extends string> extends Described {
  /** Those that each of its commands declares, for its own help. */
  options?: OptionTable;
  commands: readonly Command<S, E>[];
}

export interface Program<S, E extends string> {
  name: string;
  /** The head of its help; `$0` is the name. */
  usage: string;
  /** What a command line without a command, and one without the command below it, is answered: `Falta el comando`. */
  missing: { command: string; below: string };
  /** Options that every command takes. */
  options: OptionTable;
  /** The words that yargs itself knows at every place. */
  builtIn: readonly string[];
  commands: readonly (Command<S, E> | CommandGroup<S, E>)[];
  examples: readonly [Example, ...Example[]];
  exitCodes: readonly [E, ...E[]];
  /** For the end of a help: what these mean. */
  describeExitCodes(exitCodes: readonly E[]): string;
}

export function isGroup<S, E extends string>(entry: Command<S, E> | CommandGroup<S, E>): entry is CommandGroup<S, E> {
  return 'commands' in entry;
}

/** Joins words as in `a, b o c`. */
export function listWords(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} o ${last}`;
}
