import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { collect, pieces } from '../../testing/byte-pieces.ts';
import { addon, inflateAny, inflateWithAddon, inflateWithNode } from './inflate.ts';

type Inflate = typeof inflateWithNode;

/** What inflates one member, whichever it is: both have to take and to refuse the same. The add-on may not have been built. */
const ways: [name: string, inflate: Inflate][] = [['inflateWithNode', inflateWithNode]];
if (addon !== undefined) ways.push(['inflateWithAddon', (source) => inflateWithAddon(source, addon!)]);

const sizes = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 8 });
const settings = { seed: 20240115, numRuns: 60 };

test.each([...ways, ['inflateAny', inflateAny] as [string, Inflate]])(
  '%s gives back what was compressed, in whatever pieces it comes',
  async (_name, inflate) => {
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
  },
);

test.each(ways)('%s: two members, of whatever sizes and cuts, are not one chunk', async (_name, inflate) => {
  for (const [first, second] of [
    ['{"id":1}\n', '{"id":2}\n'],
    ['{"id":1}\n', '{"id":1}\n'],
    ['x'.repeat(100_000), 'y'.repeat(100_000)],
    ['', ''],
    ['', '{"id":1}\n'],
    ['{"id":1}\n', ''],
  ] as const) {
    const both = Buffer.concat([gzipSync(first), gzipSync(second)]);
    for (const size of [1, 7, gzipSync(first).length, both.length - 1, both.length]) {
      await expect(collect(inflate(pieces(both, [size])))).rejects.toThrow(/hay datos después de su final/);
    }
  }
});

test.each(ways)('%s: no piece of a bomb is larger than its bound', async (_name, inflate) => {
  const bomb = gzipSync(Buffer.alloc(100_000_000));
  let largest = 0;
  for await (const bytes of inflate(pieces(bomb, [64 * 1024]))) largest = Math.max(largest, bytes.length);
  expect(largest).toBeLessThanOrEqual(17_000_000);
});

test.each(ways)('%s: every byte of a member that is missing or damaged is noticed', async (_name, inflate) => {
  const member = gzipSync('{"id":1}\n{"id":2,"nombre":"x"}\n');
  for (let length = 0; length < member.length; length += 1) {
    await expect(collect(inflate(pieces(member.subarray(0, length), [7]))), `cut at ${length}`).rejects.toThrow(/gzip/);
  }
  // Bytes 4 to 9 of the header are time, flags and system, which nothing checks.
  for (let at = 10; at < member.length; at += 1) {
    const bad = Buffer.from(member);
    bad[at]! ^= 0x10;
    await expect(collect(inflate(pieces(bad, [7]))), `changed at ${at}`).rejects.toThrow(/gzip/);
  }
});

test.each(ways)('%s: what follows a member is refused, whatever it is', async (_name, inflate) => {
  const member = gzipSync('{"id":1}\n');
  for (const rest of [Buffer.from([0]), Buffer.alloc(20), Buffer.from('x'), member.subarray(0, 12)]) {
    for (const size of [5, member.length, 1000]) {
      const body = pieces(Buffer.concat([member, rest]), [size]);
      await expect(collect(inflate(body))).rejects.toThrow(/hay datos después de su final/);
    }
  }
});

test.each(ways)('%s: a header may carry a name, a comment, more and its checksum', async (_name, inflate) => {
  const plain = '{"id":1}\n';
  const member = gzipSync(plain);
  const withHeader = (flags: number, ...more: (string | number[])[]) => {
    const header = Buffer.concat([
      ...[member.subarray(0, 3), Buffer.from([flags]), member.subarray(4, 10)],
      ...more.map((part) => Buffer.from(part as string)),
    ]);
    const checksum = Buffer.alloc(2);
    checksum.writeUInt16LE(crc32(header) & 0xffff);
    return Buffer.concat([header, ...((flags & 2) === 0 ? [] : [checksum]), member.subarray(10)]);
  };
  const whole = withHeader(0x1e, [3, 0, 1, 2, 3], 'filas.ndjson\0', 'de ayer\0');
  for (const body of [withHeader(0x08, 'filas.ndjson\0'), withHeader(0x10, '\0'), withHeader(0x04, [0, 0]), whole]) {
    for (const size of [1, 1000]) {
      expect((await collect(inflate(pieces(body, [size])))).toString()).toBe(plain);
    }
  }
  for (let at = 10; at < whole.length - (member.length - 10); at += 1) {
    const bad = Buffer.from(whole);
    bad[at]! ^= 0x10;
    await expect(collect(inflate(pieces(bad, [7]))), `changed at ${at}`).rejects.toThrow(/gzip/);
  }
  await expect(collect(inflate(pieces(withHeader(0x20), [7])))).rejects.toThrow(/gzip/);
});

test('a source that fails is what fails, and is closed when its reader stops early', async () => {
  const member = gzipSync(Buffer.alloc(5_000_000, 'abc'));
  async function* broken(): AsyncGenerator<Buffer> {
    yield member.subarray(0, 100);
    throw new Error('the line was cut');
  }
  await expect(collect(inflateWithNode(broken()))).rejects.toThrow('the line was cut');
  let closed = false;
  async function* watched(): AsyncGenerator<Buffer> {
    try {
      yield* pieces(member, [1000]);
    } finally {
      closed = true;
    }
  }
  for await (const _ of inflateWithNode(watched())) break;
  expect(closed).toBe(true);
});

test('what a process keeps of the members that it has inflated is bounded', async () => {
  const script = `
    import { gzipSync } from 'node:zlib';
    import { inflateMember } from ${JSON.stringify(join(import.meta.dirname, 'inflate.ts'))};
    const member = gzipSync('{"id":1}\\n'.repeat(5000));
    async function* one() { yield member; }
    const run = async (times) => { for (let n = 0; n < times; n += 1) for await (const _ of inflateMember(one())); };
    const settle = async () => { for (let n = 0; n < 3; n += 1) { gc(); await new Promise((next) => setTimeout(next, 50)); } };
    await run(300); await settle();
    const before = process.memoryUsage.rss();
    await run(1500); await settle();
    console.log((process.memoryUsage.rss() - before) / 1e6);
  `;
  const args = ['--expose-gc', '--max-semi-space-size=4', '--import', 'tsx', '--input-type=module', '-e', script];
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    env: { ...process.env, MALLOC_ARENA_MAX: '1' },
  });
  // 1500 members that are not freed are 63 MB.
  expect(Number(stdout)).toBeLessThan(25);
});
