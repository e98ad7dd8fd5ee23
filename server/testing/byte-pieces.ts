import { Readable } from 'node:stream';

/** Yields `bytes` in pieces of these sizes, over and over. */
export async function* pieces(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0;
  for (let step = 0; at < bytes.length; step += 1) {
    const size = sizes[step % sizes.length]!;
    // A copy: stages may write into what they are given.
    yield Buffer.from(bytes.subarray(at, at + size));
    at += size;
  }
}

/** Collects all that a stage gives. */
export async function collect(source: AsyncIterable<Buffer>): Promise<Buffer> {
  return Buffer.concat(await Readable.from(source).toArray());
}
