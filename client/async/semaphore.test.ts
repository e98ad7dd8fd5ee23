import { expect, test } from 'vitest';
import { Semaphore } from './semaphore.ts';

test('who comes when all permits are taken waits for one, in order; who gives up waiting takes none', async () => {
  const semaphore = new Semaphore(2);
  const never = new AbortController().signal;
  const [first] = [await semaphore.take(never), await semaphore.take(never)];
  const order: string[] = [];
  const given = (name: string) => (giveBack: () => void) => {
    order.push(name);
    return giveBack;
  };
  const third = semaphore.take(never).then(given('third'));
  const stop = new AbortController();
  const reason = new Error('Ctrl-C');
  const fourth = semaphore.take(stop.signal);
  const fifth = semaphore.take(never).then(given('fifth'));
  stop.abort(reason);
  await expect(fourth).rejects.toBe(reason);
  await expect(semaphore.take(stop.signal)).rejects.toBe(reason);
  expect(order).toEqual([]);
  first();
  (await third)();
  await fifth;
  expect(order).toEqual(['third', 'fifth']);
});

test('a permit that comes just before its signal is aborted is taken, and who waits behind stays in line', async () => {
  const semaphore = new Semaphore(1);
  const never = new AbortController().signal;
  const giveBack = await semaphore.take(never);
  const stop = new AbortController();
  const second = semaphore.take(stop.signal);
  const third = semaphore.take(never);
  await Promise.resolve();
  giveBack();
  stop.abort(new Error('Ctrl-C'));
  (await second)();
  (await third)();
});
