import { beforeEach, expect, test } from 'vitest';
import { findCommands, linesOf, misspellings } from '../../fixtures/help.ts';
import { exitCodes } from '../errors/exit-codes.ts';
import { buildCommandLine, type Process } from './command-line.ts';

/** How many commands the parser handed over to be run; here none is. */
let handedOver: number;
beforeEach(() => {
  handedOver = 0;
});
const session: Process = {
  ...{ signal: new AbortController().signal, streams: process, print: () => {}, printJson: () => {} },
  finish: async () => {
    handedOver++;
  },
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

test.each(commands.map((path) => ({ name: path.join(' '), path })))(
  '$name with a letter missing, doubled or swapped is suggested, and nothing is run',
  async ({ path }) => {
    for (const { args, meant } of misspellings(path)) {
      const parse = async () => buildCommandLine(args, session).parseAsync();
      await expect(parse(), args.join(' ')).rejects.toThrow(`¿Quiso decir ${meant}?`);
    }
    expect(handedOver).toBe(0);
  },
);

test.each([
  ['conection list', ' ¿Quiso decir connection?'],
  ['connection lst', ' ¿Quiso decir list?'],
  ['--carpeta list sinc', ' ¿Quiso decir sync?'],
  ['--carpeta=sync sinc', ' ¿Quiso decir sync?'],
  ['sync --tablas x', ' ¿Quiso decir --tabla?'],
  ['sync --tabla x --jsno', ' ¿Quiso decir --json?'],
  ['sync upload-only', ' ¿Quiso decir --upload-only?'],
  ['schedule status --nombr x', ' ¿Quiso decir --nombre?'],
  ['connection set almacen --sql-usr x', ' ¿Quiso decir --sql-user?'],
  ['connection set almacen tset', ''],
  // Words of another program, and of another place.
  ['keys list', ''],
  ['sync x', ''],
  ['status --tabla x', ''],
])('%s is answered what was meant, where that is clear:%s', async (line, suggestion) => {
  const parse = async () => buildCommandLine(line.split(' '), session).parseAsync();
  await expect(parse()).rejects.toThrow(new RegExp(`desconocidos?: [^¿]*${suggestion.replace('?', '\\?')}$`));
});

test('a missing command is asked for with those that there are', async () => {
  const parse = async (...args: string[]) => buildCommandLine(args, session).parseAsync();
  const names = commands.filter(({ length }) => length === 1).map(([name]) => name!);
  await expect(parse()).rejects.toThrow(`Falta el comando: ${names.join(', ').replace(/, ([^,]*)$/, ' o $1')}.`);
  await expect(parse('data-key')).rejects.toThrow('data-key create, data-key export o data-key import.');
});

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
