import fc from 'fast-check';
import { expect, test } from 'vitest';
import { collect, pieces } from '../../testing/byte-pieces.ts';
import { cleanLines } from './lines.ts';

test('cleanLines leaves the same lines at the same numbers, in whatever pieces they come', async () => {
  const line = fc.oneof(
    fc.constantFrom('', ' ', '\t \t'),
    fc.object({ maxDepth: 1, maxKeys: 4 }).map((value) => JSON.stringify(value)),
    fc.object({ maxDepth: 1, maxKeys: 4 }).map((value) => `  ${JSON.stringify(value)} `),
  );
  const text = fc.array(fc.tuple(line, fc.constantFrom('\n', '\r\n')), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(
      text,
      fc.boolean(),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      async (lines, bom, cuts) => {
        const body = Buffer.from((bom ? '\ufeff' : '') + lines.map(([content, end]) => content + end).join(''));
        const cleaned = (await collect(cleanLines(1_000_000)(pieces(body, cuts)))).toString();
        expect(cleaned).not.toContain('\r');
        const expected = lines.map(([content]) => content.trim());
        expect(
          cleaned
            .split('\n')
            .slice(0, lines.length)
            .map((one) => one.trim()),
        ).toEqual(expected);
        expect(cleaned.split('\n')).toHaveLength(lines.length + 1);
        for (const one of cleaned.split('\n')) expect(one === '' || one.trim() !== '').toBe(true);
      },
    ),
    { seed: 20240115, numRuns: 60 },
  );
});
