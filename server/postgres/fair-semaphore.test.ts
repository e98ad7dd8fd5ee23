import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeFairSemaphore } from './fair-semaphore.ts';

const make = (max: number, queueMax = 50, waitMs = 1000) =>
  makeFairSemaphore({ max, queueMax, waitMs, refuse: (reason) => new Error(reason) });

/** Takes as many as come at once; how many. */
async function takeAll(semaphore: ReturnType<typeof make>, owner: string, ends: (() => void)[] = []): Promise<number> {
  const before = ends.length;
  for (let n = 0; n < 20; n += 1) {
    const taken = semaphore.take(owner).then((end) => ends.push(end));
    taken.catch(() => {});
    await Promise.resolve();
    await Promise.resolve();
  }
  return ends.length - before;
}

test('an owner has at most half as many as are free, and one in any case', async () => {
  const semaphore = make(10, 1000);
  const taken = [];
  for (const owner of ['a', 'b', 'c', 'd', 'e', 'f']) taken.push(await takeAll(semaphore, owner));
  expect(taken).toEqual([4, 2, 2, 1, 1, 0]);
});

test.each([
  [10, 5],
  [20, 7],
  [40, 8],
  [80, 10],
])(
  'of %i connections one owner less than %i leaves some to whoever comes, and so many together none',
  async (max, owners) => {
    const semaphore = make(max, 1000);
    for (let n = 0; n < owners; n += 1) {
      expect(semaphore.usage().busy).toBeLessThan(max);
      while ((await takeAll(semaphore, `hostile ${n}`)) > 0);
    }
    expect(semaphore.usage().busy).toBe(max);
  },
);

test('where all are held, whoever has none is next, however many wait before', async () => {
  const semaphore = make(10, 1000);
  const ends: (() => void)[] = [];
  for (let n = 0; n < 5; n += 1) await takeAll(semaphore, `hostile ${n}`, ends);
  let served = false;
  void semaphore.take('victim').then(() => {
    served = true;
  });
  ends[0]!();
  await expect.poll(() => served).toBe(true);
});

test('what is given back goes to whoever has the fewest, before those that came earlier', async () => {
  const semaphore = make(4);
  const ends = await Promise.all([semaphore.take('a'), semaphore.take('a'), semaphore.take('b'), semaphore.take('c')]);
  const order: string[] = [];
  for (const owner of ['a', 'a', 'd']) void semaphore.take(owner).then(() => order.push(owner));
  ends[0]!();
  await expect.poll(() => order).toEqual(['d']);
  expect(semaphore.usage()).toEqual({ busy: 4, waiting: 2, max: 4 });
});

test('the places to wait are shared too: one that fills its own leaves some to others', async () => {
  const semaphore = make(1, 10);
  await semaphore.take('a');
  const refused: string[] = [];
  for (let n = 0; n < 20; n += 1) semaphore.take('a').catch((error: Error) => refused.push(error.message));
  await expect.poll(() => new Set(refused)).toEqual(new Set(['full']));
  expect(semaphore.usage().waiting).toBeLessThanOrEqual(5);
  let waits = true;
  void semaphore.take('b').catch(() => {
    waits = false;
  });
  await Promise.resolve();
  expect(waits).toBe(true);
});

test('a permit that does not come in time is refused, and takes no place any more', async () => {
  const semaphore = make(1, 10, 20);
  const end = await semaphore.take('a');
  await expect(semaphore.take('b')).rejects.toThrow('late');
  expect(semaphore.usage()).toEqual({ busy: 1, waiting: 0, max: 1 });
  end();
  end();
  expect(semaphore.usage().busy).toBe(0);
});

test('work of the server itself has what is there', async () => {
  const semaphore = make(3);
  await Promise.all([semaphore.take(undefined), semaphore.take(undefined), semaphore.take(undefined)]);
  expect(semaphore.usage().busy).toBe(3);
});

test('no route takes a connection in the name of the server itself', () => {
  const folder = join(import.meta.dirname, '..', 'routes');
  const found = readdirSync(folder).filter((name) =>
    /\.withConnection\(/.test(readFileSync(join(folder, name), 'utf8')),
  );
  expect(found).toEqual([]);
});
