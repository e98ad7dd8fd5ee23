import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cleanLines, inflateAny, inflateMember } from './stages.ts';

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

const sizes = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 8 });
const settings = { seed: 20240115, numRuns: 60 };

test.each([
  ['inflateMember', inflateMember],
  ['inflateAny', inflateAny],
])('%s gives back what was compressed, in whatever pieces it comes', async (_name, inflate) => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 2000 }),
      fc.integer({ min: 1, max: 2000 }),
      sizes,
      async (unit, times, cuts) => {
        const plain = Buffer.concat(Array.from({ length: times }, () => unit));
        expect((await collect(inflate(pieces(gzipSync(plain), cuts)))).equals(plain)).toBe(true);
      },
    ),
    settings,
  );
});

test('two members, of whatever sizes and cuts, are not one chunk', async () => {
  for (const [first, second] of [
    ['{"id":1}\n', '{"id":2}\n'],
    ['{"id":1}\n', '{"id":1}\n'],
    ['x'.repeat(100_000), 'y'.repeat(100_000)],
    ['', ''],
  ] as const) {
    const both = Buffer.concat([gzipSync(first), gzipSync(second)]);
    for (const size of [1, 7, both.length - 1, both.length]) {
      await expect(collect(inflateMember(pieces(both, [size])))).rejects.toThrow(/hay datos después de su final/);
    }
  }
});

test('no piece of a bomb is larger than its bound', async () => {
  const bomb = gzipSync(Buffer.alloc(100_000_000));
  let largest = 0;
  for await (const bytes of inflateMember(pieces(bomb, [64 * 1024]))) largest = Math.max(largest, bytes.length);
  expect(largest).toBeLessThanOrEqual(17_000_000);
});

test('every byte of a member that is missing or damaged is noticed', async () => {
  const member = gzipSync('{"id":1}\n{"id":2,"nombre":"x"}\n');
  for (let length = 0; length < member.length; length += 1) {
    await expect(collect(inflateMember(pieces(member.subarray(0, length), [7]))), `cut at ${length}`).rejects.toThrow(
      /gzip/,
    );
  }
  // Bytes 4 to 9 of the header are time, flags and system, which nothing checks.
  for (let at = 10; at < member.length; at += 1) {
    const bad = Buffer.from(member);
    bad[at]! ^= 0x10;
    await expect(collect(inflateMember(pieces(bad, [7]))), `changed at ${at}`).rejects.toThrow(/gzip/);
  }
});

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
