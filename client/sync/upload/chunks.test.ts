import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { digestOf } from '../../../protocol/digest.ts';
import { compressChunks, cutChunks } from './chunks.ts';

/** Blocks in one reused buffer, as a reader gives them. */
async function* blocksOf(lines: string[], perBlock: number) {
  const buffer = Buffer.alloc(100_000);
  for (let at = 0; at < lines.length; at += perBlock) {
    const part = lines.slice(at, at + perBlock);
    const length = buffer.write(part.join(''));
    yield { bytes: buffer.subarray(0, length), rows: part.length, replacedCharacters: 0 };
    buffer.fill(0xff);
  }
}

const lines = Array.from({ length: 1000 }, (_, index) => `{"codigo":"${index}","nombre":"Artículo ${index}"}\n`);

test('chunks are whole lines, bounded in size, in order, none lost', async () => {
  const chunks: { bytes: Buffer; rows: number }[] = [];
  let last: { bytes: Uint8Array; rows: number } | undefined;
  // Each is read when the next one has come: so long its bytes are to stay.
  const keep = () => last !== undefined && chunks.push({ bytes: Buffer.from(last.bytes), rows: last.rows });
  for await (const chunk of cutChunks(blocksOf(lines, 7), 4096)) {
    keep();
    last = chunk;
  }
  keep();
  expect(Buffer.concat(chunks.map(({ bytes }) => bytes)).toString()).toBe(lines.join(''));
  expect(chunks.length).toBeGreaterThan(5);
  for (const { bytes, rows } of chunks) {
    expect(bytes.length).toBeLessThanOrEqual(4096);
    expect(bytes.at(-1)).toBe(10);
    expect(bytes.toString().split('\n').length - 1).toBe(rows);
  }
});

test('a block larger than a chunk is a chunk of its own, and does not spoil the one before', async () => {
  const source = ['{"a":1}\n', `{"b":"${'x'.repeat(9000)}"}\n`, '{"c":2}\n'];
  const chunks = [];
  for await (const { bytes } of cutChunks(blocksOf(source, 1), 4096)) chunks.push(Buffer.from(bytes).toString());
  expect(chunks).toEqual(source);
});

test('each chunk is a gzip member with its number, rows and digest', async () => {
  const sealed = [];
  for await (const chunk of compressChunks(cutChunks(blocksOf(lines, 7), 4096))) sealed.push(chunk);
  expect(sealed.map(({ n }) => n)).toEqual(sealed.map((_, index) => index));
  expect(sealed.map(({ body }) => gunzipSync(body).toString()).join('')).toBe(lines.join(''));
  expect(sealed.reduce((sum, { rows }) => sum + rows, 0)).toBe(1000);
  for (const { body, digest } of sealed) expect(digest).toBe(digestOf(body));
});

test('a consumer that stops reads at most two chunks more', async () => {
  let pulled = 0;
  async function* source() {
    for (;;) {
      pulled++;
      yield { bytes: Buffer.from('{"a":1}\n'), rows: 1 };
    }
  }
  const chunks = compressChunks(source());
  await chunks.next();
  await new Promise((resolve) => setTimeout(resolve, 20));
  await chunks.return(undefined);
  expect(pulled).toBe(2);
});

test('nothing in, nothing out', async () => {
  for await (const _ of compressChunks(cutChunks(blocksOf([], 1)))) expect.unreachable();
});
