import { expect, test } from 'vitest';
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

/** The lines of a section of a help, each cut where its description begins. */
function linesOf(help: string, section: string): string[] {
  const text = new RegExp(`^${section}:\\n((?: .*\\n?)+)`, 'm').exec(help)?.[1] ?? '';
  return text.split('\n').flatMap((line) => /^ {2}(\S.*?)(?: {2,}|$)/.exec(line)?.[1] ?? []);
}

/** Every command that a help names, and those below it, by the words that call it. */
async function findCommands(path: readonly string[] = []): Promise<string[][]> {
  const own = linesOf(await helpOf(path), 'Comandos').map((line) => line.split(' ').slice(1));
  const below = await Promise.all(own.map(findCommands));
  return [...own, ...below.flat()];
}

const commands = await findCommands();

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
