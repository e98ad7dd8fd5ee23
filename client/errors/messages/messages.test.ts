import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { describe, expect, test } from 'vitest';
import { errorTable } from '../../../protocol/error-table.ts';
import { messages } from '../agent-error.ts';

const root = join(import.meta.dirname, '..', '..', '..');

function readFiles(suffix: RegExp): { path: string; text: string }[] {
  return ['client', 'server', 'protocol', 'fixtures'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => suffix.test(file))
      .map((file) => ({ path: join(folder, file), text: readFileSync(join(root, folder, file), 'utf8') })),
  );
}

/** Codes that tests name, quoted or as they are shown. Those of errors that a test makes itself do not count. */
function codesNamed(texts: readonly string[]): Set<string> {
  const made = /(?:new \w+Error|\w+Error)\(\s*'[A-Z0-9_]+'/g;
  const named = /(?:['"[]|\\\[)([A-Z0-9_]+)(?:['"\]]|\\\])/g;
  return new Set(texts.flatMap((text) => [...text.replace(made, '').matchAll(named)].map(([, code]) => code!)));
}

test('a code that a test only makes itself counts as named by none', () => {
  const texts = [
    "agentError('UNO', {})",
    "new SyncError(\n 'DOS', 'x')",
    "toMatchObject({ code: 'TRES' })",
    '/\\[CUATRO\\]/',
  ];
  expect([...codesNamed(texts)]).toEqual(['TRES', 'CUATRO']);
});

const tests = readFiles(/\.test\.ts$/).filter(
  ({ path }) => path !== join('client', 'errors', 'messages', 'messages.test.ts'),
);
const namedIn = (...folders: string[]) =>
  codesNamed(tests.filter(({ path }) => folders.includes(path.split(sep)[0]!)).map(({ text }) => text));

/** An error of the API has to come from the server itself, not from what a test of the agent has in its place. */
const named = { agent: namedIn('client', 'fixtures'), api: namedIn('server') };

/** The agent's catalogue and the API's table, as an operator meets them: code, what happened, what to do. */
const entries: { code: string; message: string; action: string; side: keyof typeof named }[] = [
  ...Object.entries(messages).map(([code, { message, action }]) => ({ code, message, action, side: 'agent' as const })),
  ...Object.entries(errorTable).map(([code, { title, action }]) => {
    return { code, message: `${title}.`, action, side: 'api' as const };
  }),
];

describe.each(entries)('$code', ({ code, message, action, side }) => {
  test('is provoked by a test', () => {
    expect(named[side].has(code)).toBe(true);
  });

  test('says what happened and what to do, a sentence each', () => {
    expect(code).toMatch(/^[A-Z0-9]+(_[A-Z0-9]+)*$/);
    expect(message).toMatch(/^[\p{Lu}{«-].*([.}]|\n\{\w+\})$/su);
    expect(action).toMatch(/^[\p{Lu}{].*\.$/su);
  });
});

test('no code means two things', () => {
  const codes = entries.map(({ code }) => code);
  expect(codes.filter((code, index) => codes.indexOf(code) !== index)).toEqual([]);
});

test('errors of the agent are made from the catalogue alone', () => {
  const made = readFiles(/\.ts$/).filter(
    ({ path, text }) => /new (Agent|Backend|SqlServer)Error\(/.test(text) && !path.endsWith('.test.ts'),
  );
  expect(made.map(({ path }) => path).sort()).toEqual([
    join('client', 'errors', 'agent-error.ts'),
    join('client', 'http', 'backend-error.ts'),
    join('client', 'sqlserver', 'errors.ts'),
  ]);
});

test('docs/operacion.md has every code, with the words of the tables', () => {
  const cell = (text: string) => text.replaceAll('\n', ' ').replaceAll('|', '\\|');
  const rows = entries.map(({ code, message, action }) => `| \`${code}\` | ${cell(message)} | ${cell(action)} |`);
  const text = readFileSync(join(root, 'docs', 'operacion.md'), 'utf8');
  const section = /^## Errores\n.*?(?=^## )/ms.exec(text)?.[0] ?? '';
  expect(section.split('\n').filter((line) => line.startsWith('| `'))).toEqual(rows);
});
