import { expect, test } from 'vitest';
import { findCommands, linesOf } from '../fixtures/help.ts';
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
