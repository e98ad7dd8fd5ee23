import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeTurns } from './turns.ts';

const make = (max: number, queueMax = 50, waitMs = 1000) =>
  makeTurns({ max, queueMax, waitMs, refuse: (reason) => new Error(reason) });

/** Takes as many as come at once; how many. */
async function takeAll(turns: ReturnType<typeof make>, owner: string, ends: (() => void)[] = []): Promise<number> {
  const before = ends.length;
  for (let n = 0; n < 20; n += 1) {
    const taken = turns.take(owner).then((end) => ends.push(end));
    taken.catch(() => {});
    await Promise.resolve();
    await Promise.resolve();
  }
  return ends.length - before;
}

test('an owner has at most half as many as are free, and one in any case', async () => {
  const turns = make(10, 1000);
  const taken = [];
  for (const owner of ['a', 'b', 'c', 'd', 'e', 'f']) taken.push(await takeAll(turns, owner));
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
    const turns = make(max, 1000);
    for (let n = 0; n < owners; n += 1) {
      expect(turns.usage().busy).toBeLessThan(max);
      while ((await takeAll(turns, `hostile ${n}`)) > 0);
    }
    expect(turns.usage().busy).toBe(max);
  },
);

test('where all are held, whoever has none is next, however many wait before', async () => {
  const turns = make(10, 1000);
  const ends: (() => void)[] = [];
  for (let n = 0; n < 5; n += 1) await takeAll(turns, `hostile ${n}`, ends);
  let served = false;
  void turns.take('victim').then(() => {
    served = true;
  });
  ends[0]!();
  await expect.poll(() => served).toBe(true);
});

test('what is given back goes to whoever has the fewest, before those that came earlier', async () => {
  const turns = make(4);
  const ends = await Promise.all([turns.take('a'), turns.take('a'), turns.take('b'), turns.take('c')]);
  const order: string[] = [];
  for (const owner of ['a', 'a', 'd']) void turns.take(owner).then(() => order.push(owner));
  ends[0]!();
  await expect.poll(() => order).toEqual(['d']);
  expect(turns.usage()).toEqual({ busy: 4, waiting: 2, max: 4 });
});

test('the places to wait are shared too: one that fills its own leaves some to others', async () => {
  const turns = make(1, 10);
  await turns.take('a');
  const refused: string[] = [];
  for (let n = 0; n < 20; n += 1) turns.take('a').catch((error: Error) => refused.push(error.message));
  await expect.poll(() => new Set(refused)).toEqual(new Set(['full']));
  expect(turns.usage().waiting).toBeLessThanOrEqual(5);
  let waits = true;
  void turns.take('b').catch(() => {
    waits = false;
  });
  await Promise.resolve();
  expect(waits).toBe(true);
});

test('a turn that does not come in time is refused, and takes no place any more', async () => {
  const turns = make(1, 10, 20);
  const end = await turns.take('a');
  await expect(turns.take('b')).rejects.toThrow('late');
  expect(turns.usage()).toEqual({ busy: 1, waiting: 0, max: 1 });
  end();
  end();
  expect(turns.usage().busy).toBe(0);
});

test('work of the server itself has what is there', async () => {
  const turns = make(3);
  await Promise.all([turns.take(undefined), turns.take(undefined), turns.take(undefined)]);
  expect(turns.usage().busy).toBe(3);
});

test('no route takes a connection in the name of the server itself', () => {
  const folder = join(import.meta.dirname, '..', 'routes');
  const found = readdirSync(folder).filter((name) =>
    /\.withConnection\(/.test(readFileSync(join(folder, name), 'utf8')),
  );
  expect(found).toEqual([]);
});
