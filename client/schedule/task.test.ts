import { expect, test } from 'vitest';
import { assertTaskName, parseMinutes } from './task.ts';

test.each([
  ['1m', 1],
  ['5m', 5],
  ['2h', 120],
  ['31d', 44_640],
])('%s is %i minutes', (text, minutes) => {
  expect(parseMinutes('--cada', text)).toBe(minutes);
});

test.each(['', '5', 'm', '0m', '32d', '1.5h', '-5m', '5 m', '5M', '99999h'])('--cada «%s» is refused', (text) => {
  expect(() => parseMinutes('--cada', text)).toThrow(`--cada «${text}» no es un tiempo entre 1m y 31d.`);
});

test('a name that would be a path, an option or a quoted text is refused', () => {
  assertTaskName('AX Sync - acme-corp.001');
  for (const name of ['', ' AX', 'a\\b', 'a/b', '../x', 'a"b', 'a%b', 'ñ', 'x'.repeat(101)]) {
    expect(() => assertTaskName(name), name).toThrow(expect.objectContaining({ code: 'NOMBRE_DE_TAREA_INVALIDO' }));
  }
});
