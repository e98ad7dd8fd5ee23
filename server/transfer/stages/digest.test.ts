import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { checkDigest } from './digest.ts';

const digest = createHash('sha256').update('abc').digest('base64');

async function* pieces(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}

/** Whether the body was damaged, as it is known after a later stage has read `readAhead` pieces, failed and let go of it. */
async function differsAfter(readAhead: number, ...texts: string[]): Promise<boolean> {
  const verdict = { differs: false };
  const body = checkDigest(digest, verdict)(pieces(...texts));
  // As a stage that reads while what it passed on is looked at: what comes of its reading is nobody's any more.
  for (let n = 0; n < readAhead; n += 1) await body.next().catch(() => {});
  await body.return(undefined);
  return verdict.differs;
}

test.each([1, 2, 3, 4])(
  'whatever a failed stage has read of a body (%i pieces and its end), damage is known',
  async (readAhead) => {
    expect(await differsAfter(readAhead, 'a', 'x', 'c')).toBe(true);
    expect(await differsAfter(readAhead, 'a', 'b', 'c')).toBe(false);
  },
);
