import yargs, { type Argv, type Options } from 'yargs';
import { type Command, type CommandGroup, type Example, isGroup, listWords, type Program } from './declaration.ts';

/** Runs what the parser found. */
export type Handle<S, E extends string> = (command: Command<S, E>, args: Record<string, unknown>) => Promise<void>;

/**
 * Builds a parser of a program's command lines: it answers `--help`, refuses what no declaration has, and hands the
 * rest to `handle`. It exits no process; what becomes of a wrong command line (`fail`), texts and version are the
 * caller's.
 */
export function buildParser<S, E extends string>(
  args: readonly string[],
  program: Program<S, E>,
  handle: Handle<S, E>,
): Argv {
  const { name, usage, options, commands, examples, missing } = program;
  const cli = yargs([...args])
    .scriptName(name)
    .locale('es')
    .usage(usage)
    .options(options);
  for (const entry of commands) {
    if (isGroup(entry)) addGroup(cli, program, entry, handle);
    else addCommand(cli, program, entry, handle);
  }
  const words = commands.map(({ name }) => name);
  return cli
    .demandCommand(1, `${missing.command}: ${listWords(words)}.`)
    .example(toYargs(examples))
    .epilogue(program.describeExitCodes(program.exitCodes))
    .strict()
    .exitProcess(false);
}

function addGroup<S, E extends string>(
  cli: Argv,
  program: Program<S, E>,
  { name, description, options = {}, commands, examples }: CommandGroup<S, E>,
  handle: Handle<S, E>,
): void {
  const words = commands.map((command) => `${name} ${command.name}`);
  cli.command(name, description, (group) => {
    group.options(options);
    for (const command of commands) addCommand(group, program, command, handle);
    return group.example(toYargs(examples)).demandCommand(1, `${program.missing.below}: ${listWords(words)}.`);
  });
}

function addCommand<S, E extends string>(
  cli: Argv,
  program: Program<S, E>,
  command: Command<S, E>,
  handle: Handle<S, E>,
): void {
  const { name, description, options, conflicts = {}, examples, exitCodes } = command;
  const places = Object.entries(command.arguments);
  const line = [name, ...places.map(([place]) => `<${place}>`)].join(' ');
  const build = (own: Argv) => {
    for (const [place, declared] of places) own.positional(place, declared);
    for (const [one, others] of Object.entries(conflicts)) own.conflicts(one, others);
    return own
      .options(options as Record<string, Options>)
      .example(toYargs(examples))
      .epilogue(program.describeExitCodes(exitCodes));
  };
  cli.command(line, description, build, (args) => handle(command, args));
}

function toYargs(examples: readonly Example[]): [string, string][] {
  return examples.map(([line, meaning]) => [`$0 ${line}`, meaning]);
}
