import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { exitCodes, exitMeanings } from './exit-codes.ts';

test('docs/operacion.md has the exit codes, all and no other, with what schedule status says of them', () => {
  const text = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'operacion.md'), 'utf8');
  const table = [...text.matchAll(/^\| (\d+) \| (.*?) \| .+ \|$/gm)].map(([, code, meaning]) => [
    Number(code),
    meaning,
  ]);
  const known = Object.entries(exitCodes).map(([reason, code]) => [
    code,
    exitMeanings[reason as keyof typeof exitCodes],
  ]);
  expect(table).toEqual(known);
});
