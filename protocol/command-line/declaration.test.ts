import { expect, test } from 'vitest';
import { type Command, listWords } from './declaration.ts';

test('words are listed as a sentence has them', () => {
  expect([[], ['a'], ['a', 'b'], ['a', 'b', 'c']].map(listWords)).toEqual(['', 'a', 'a o b', 'a, b o c']);
});

type Example = Command<object, 'bien'>;

test('a command that lacks a member does not compile', () => {
  const whole: Example = {
    ...{ name: 'sync', description: 'Sincroniza', arguments: {}, options: {} },
    ...{ examples: [['sync', 'Todo']], exitCodes: ['bien'], run: async () => 'bien' },
  };
  const without = <M extends keyof Example>(member: M): Omit<Example, M> => {
    const { [member]: _, ...rest } = whole;
    return rest;
  };
  const lacking: Example[] = [
    // @ts-expect-error: nothing calls it
    without('name'),
    // @ts-expect-error: nothing to list it with
    without('description'),
    // @ts-expect-error: what stands behind its name
    without('arguments'),
    // @ts-expect-error: what may be given
    without('options'),
    // @ts-expect-error: a help without examples
    without('examples'),
    // @ts-expect-error: what a script may expect of it
    without('exitCodes'),
    // @ts-expect-error: nothing to run
    without('run'),
    // @ts-expect-error: an empty list is none
    { ...whole, examples: [] },
    // @ts-expect-error: an exit code that the program does not have
    { ...whole, exitCodes: ['mal'] },
  ];
  expect(lacking).toHaveLength(Object.keys(whole).length + 2);
});
