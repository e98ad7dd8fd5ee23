import { expect, test } from 'vitest';
import { Turns } from './turns.ts';

test('who comes when all turns are taken waits for one, in order; who gives up waiting takes none', async () => {
  const turns = new Turns(2);
  const never = new AbortController().signal;
  const [first] = [await turns.take(never), await turns.take(never)];
  const order: string[] = [];
  const given = (name: string) => (giveBack: () => void) => {
    order.push(name);
    return giveBack;
  };
  const third = turns.take(never).then(given('third'));
  const stop = new AbortController();
  const reason = new Error('Ctrl-C');
  const fourth = turns.take(stop.signal);
  const fifth = turns.take(never).then(given('fifth'));
  stop.abort(reason);
  await expect(fourth).rejects.toBe(reason);
  await expect(turns.take(stop.signal)).rejects.toBe(reason);
  expect(order).toEqual([]);
  first();
  (await third)();
  await fifth;
  expect(order).toEqual(['third', 'fifth']);
});
