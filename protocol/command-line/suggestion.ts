import { type Command, type CommandGroup, isGroup, type OptionTable, type Program } from './declaration.ts';

/** How many faults a word may have, by its length. */
function allowedFaults(length: number): number {
  if (length < 2) return 0;
  return length < 5 ? 1 : 2;
}

/**
 * Returns ` ¿Quiso decir …?` when the first unknown word of a command line looks like one that may stand at its place,
 * else nothing.
 */
export function suggestionFor<S, E extends string>(program: Program<S, E>, args: readonly string[]): string {
  const near = findNear(program, args);
  return near === undefined ? '' : ` ¿Quiso decir ${near}?`;
}

function findNear<S, E extends string>(program: Program<S, E>, args: readonly string[]): string | undefined {
  const { command, unknownWords } = findPlace(program, args);
  const options = optionsAt(program, command);
  const optionNames = [...Object.keys(options), ...program.builtIn];
  const [word] = unknownWords;
  if (word !== undefined && (command === undefined || isGroup(command))) {
    return nearest(
      word,
      (command ?? program).commands.map(({ name }) => name),
    );
  }
  const unknownOptions = args.flatMap((arg) => {
    const name = optionIn(arg);
    return name === undefined || optionNames.includes(name) ? [] : [name];
  });
  // A word too many may be an option without its dashes.
  const found = [...unknownOptions, ...unknownWords.slice(argumentCount(command))].map((name) =>
    nearest(name, optionNames),
  );
  const name = found.find((near) => near !== undefined);
  return name === undefined ? undefined : `--${name}`;
}

/** How far the words of a command line lead, and those behind. */
function findPlace<S, E extends string>(program: Program<S, E>, args: readonly string[]) {
  let command: Command<S, E> | CommandGroup<S, E> | undefined;
  const unknownWords: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!;
    const option = optionIn(arg);
    if (option !== undefined) {
      if (takesValue(optionsAt(program, command)[option]) && !arg.includes('=')) at++;
      continue;
    }
    const below = command === undefined ? program.commands : isGroup(command) ? command.commands : [];
    const found = unknownWords.length > 0 ? undefined : below.find(({ name }) => name === arg);
    if (found === undefined) unknownWords.push(arg);
    else command = found;
  }
  return { command, unknownWords };
}

function optionsAt<S, E extends string>(
  { options, commands }: Program<S, E>,
  command: Command<S, E> | CommandGroup<S, E> | undefined,
): OptionTable {
  if (command !== undefined) return { ...options, ...command.options };
  // An option before its command may be any command's.
  const leaves = commands.flatMap((entry) => (isGroup(entry) ? entry.commands : [entry]));
  return Object.assign({}, ...leaves.map(({ options }) => options), options) as OptionTable;
}

function argumentCount<S, E extends string>(command: Command<S, E> | CommandGroup<S, E> | undefined): number {
  return command === undefined || isGroup(command) ? 0 : Object.keys(command.arguments).length;
}

/** The name in `--name`, `-n` and `--name=value`. */
function optionIn(arg: string): string | undefined {
  return /^--?([^=-][^=]*)/.exec(arg)?.[1];
}

function takesValue(option: OptionTable[string] | undefined): boolean {
  return option !== undefined && option.type !== 'boolean';
}

function nearest(word: string, known: readonly string[]): string | undefined {
  const most = allowedFaults(word.length);
  const [closest] = known
    .map((name) => ({ name, faults: distance(word.toLowerCase(), name) }))
    .filter(({ faults }) => faults <= most)
    .sort((a, b) => a.faults - b.faults);
  // Else one that was left unfinished.
  return closest?.name ?? known.find((name) => word.length > 1 && name.startsWith(word));
}

/** Optimal string alignment: letters that are missing, too many, others, or swapped with the next. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? before[j - 2]! + 1 : Number.POSITIVE_INFINITY;
      next.push(Math.min(same, row[j]! + 1, next[j - 1]! + 1, swapped));
    }
    before = row;
    row = next;
  }
  return row[b.length]!;
}
