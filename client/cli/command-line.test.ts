import { beforeEach, expect, test } from 'vitest';
import { findCommands, linesOf } from '../../fixtures/help.ts';
import { exitCodes } from '../errors/exit-codes.ts';
import { buildCommandLine } from './command-line.ts';
import type { Session } from './shared.ts';

/** How many commands the parser handed over to be run; here none is. */
let handedOver: number;
beforeEach(() => {
  handedOver = 0;
});
const count = async () => {
  handedOver++;
};
const session: Session = {
  ...{ signal: new AbortController().signal, print: () => {}, printJson: () => {} },
  ...{ finish: count, run: count },
};

async function helpOf(path: readonly string[]): Promise<string> {
  let help = '';
  await buildCommandLine([...path, '--help'], session)
    .wrap(null)
    .parseAsync([...path, '--help'], {}, (_error: unknown, _args: unknown, output: string) => {
      help = output;
    });
  return help;
}

/** As cmd and bash split it: blanks, and double quotes around them. */
function splitWords(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
}

const commands = await findCommands(helpOf);

test('there are commands to look at, and commands below them', () => {
  const names = commands.map((path) => path.join(' '));
  expect(names).toEqual(expect.arrayContaining(['init', 'sync', 'data-key export', 'schedule install']));
});

test.each([[], ...commands].map((path) => ({ name: ['ax-sync-client', ...path].join(' '), path })))(
  '$name --help has examples, and the parser takes each',
  async ({ name, path }) => {
    const examples = linesOf(await helpOf(path), 'Ejemplos');
    expect(examples.length).toBeGreaterThan(0);
    for (const example of examples) {
      expect(example.startsWith(name), example).toBe(true);
      const [, ...args] = splitWords(example);
      if (args.includes('--help')) continue;
      handedOver = 0;
      await buildCommandLine(args, session).parseAsync();
      expect(handedOver, example).toBe(1);
    }
  },
);

test('the help of the program and of sync has every exit code', async () => {
  for (const path of [[], ['sync']]) {
    const codes = [...(await helpOf(path)).matchAll(/^ {1,4}(\d+) {2}\S/gm)].map(([, code]) => Number(code));
    expect(codes).toEqual(Object.values(exitCodes));
  }
});

test('a word that no command knows is refused before anything is run', async () => {
  const parse = async (...args: string[]) => buildCommandLine(args, session).parseAsync();
  await expect(parse('sync', '--tablas', 'x')).rejects.toThrow('tablas');
  await expect(parse('schedule', 'nada')).rejects.toThrow('nada');
  expect(handedOver).toBe(0);
});

test('--desde-cero is of uploads: it does not go with --download-only', async () => {
  const parse = async (...args: string[]) => buildCommandLine(['sync', ...args], session).parseAsync();
  await parse('--desde-cero', '--upload-only');
  expect(handedOver).toBe(1);
  await expect(parse('--desde-cero', '--download-only')).rejects.toThrow('no van juntas');
});

test('an authority for SQL Server goes with TLS, and not without', async () => {
  const parse = async (...args: string[]) =>
    buildCommandLine(['connection', 'set', 'x', ...args], session).parseAsync();
  await parse('--sql-ca', 'autoridad.pem', '--sql-nombre-certificado', 'sql.local');
  expect(handedOver).toBe(1);
  await expect(parse('--sql-ca', 'autoridad.pem', '--sql-sin-cifrado')).rejects.toThrow('no van juntas');
  await expect(parse('--sql-ca', 'autoridad.pem', '--sql-confiar-certificado')).rejects.toThrow('no van juntas');
});
