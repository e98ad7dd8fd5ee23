import { Readable } from 'node:stream';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cleanLines } from './stages.ts';

async function* pieces(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0;
  for (let step = 0; at < bytes.length; step += 1) {
    const size = sizes[step % sizes.length]!;
    // A copy: stages may write into what they are given.
    yield Buffer.from(bytes.subarray(at, at + size));
    at += size;
  }
}

async function collect(source: AsyncIterable<Buffer>): Promise<Buffer> {
  return Buffer.concat(await Readable.from(source).toArray());
}

const settings = { seed: 20240115, numRuns: 60 };

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
    settings,
  );
});
