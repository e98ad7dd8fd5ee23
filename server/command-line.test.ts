import { expect, test } from 'vitest';
import { findCommands, linesOf, misspellings } from '../fixtures/help.ts';
import { buildCommandLine } from './command-line.ts';
import type { Config } from './config.ts';

/** Every command asks for the configuration first: that far an example comes here, and no further. */
class Parsed extends Error {}
const session = {
  loadConfig: (): Config => {
    throw new Parsed();
  },
  print: () => {},
};

async function helpOf(path: readonly string[]): Promise<string> {
  let help = '';
  await buildCommandLine([], session)
    .wrap(null)
    .exitProcess(false)
    .parseAsync([...path, '--help'], {}, (_error: unknown, _args: unknown, output: string) => {
      help = output;
    });
  return help;
}

const commands = await findCommands(helpOf);

test('there are commands to look at, and commands below them', () => {
  const names = commands.map((path) => path.join(' '));
  expect(names).toEqual(expect.arrayContaining(['serve', 'tenant create', 'key revoke', 'config set', 'audit']));
});

test.each([[], ...commands].map((path) => ({ name: ['ax-sync-server', ...path].join(' '), path })))(
  '$name --help has examples, and the parser takes each',
  async ({ name, path }) => {
    const examples = linesOf(await helpOf(path), 'Ejemplos');
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) {
      expect(example.startsWith(name), example).toBe(true);
      const parse = async () => buildCommandLine(example.split(' ').slice(1), session).parseAsync();
      await expect(parse(), example).rejects.toBeInstanceOf(Parsed);
    }
  },
);

test.each(commands.map((path) => ({ name: path.join(' '), path })))(
  '$name with a letter missing, doubled or swapped is suggested, and nothing is run',
  async ({ path }) => {
    for (const { args, meant } of misspellings(path)) {
      const parse = async () => buildCommandLine(args, session).parseAsync();
      await expect(parse(), args.join(' ')).rejects.toThrow(`¿Quiso decir ${meant}?`);
    }
  },
);

test.each([
  ['keys list', ' ¿Quiso decir key?'],
  ['key list --tenan x', ' ¿Quiso decir --tenant?'],
  ['config set --tenant x --conexione', ' ¿Quiso decir --conexiones?'],
  // It was answered «audit».
  ['init', ''],
  ['migrate --fuerza', ''],
])('%s is answered what was meant, where that is clear:%s', async (line, suggestion) => {
  const parse = async () => buildCommandLine(line.split(' '), session).parseAsync();
  await expect(parse()).rejects.toThrow(new RegExp(`desconocidos?: [^¿]*${suggestion.replace('?', '\\?')}$`));
});

test('a missing command is asked for with those that there are', async () => {
  const parse = async (...args: string[]) => buildCommandLine(args, session).parseAsync();
  const names = commands.filter(({ length }) => length === 1).map(([name]) => name!);
  await expect(parse()).rejects.toThrow(`Falta la orden: ${names.join(', ').replace(/, ([^,]*)$/, ' o $1')}.`);
  await expect(parse('key')).rejects.toThrow('Falta la orden: key create, key list o key revoke.');
});
