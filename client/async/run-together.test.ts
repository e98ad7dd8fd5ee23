import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { runTogether } from './run-together.ts';

const never = new AbortController().signal;

test('the first failure stops the others, and is thrown when all have ended', async () => {
  let ended = false;
  const error = await runTogether(never, [
    async () => {
      await sleep(10);
      throw new Error('first');
    },
    async (signal) => {
      await sleep(60_000, undefined, { signal }).catch(() => sleep(20));
      ended = true;
      throw new Error('second');
    },
  ]).catch((cause: unknown) => cause);
  expect((error as Error).message).toBe('first');
  expect(ended).toBe(true);
});

test('a signal that is aborted stops all, and its reason is thrown', async () => {
  const controller = new AbortController();
  const waiting = runTogether(
    controller.signal,
    [1, 2].map(() => async (signal: AbortSignal) => {
      await sleep(60_000, undefined, { signal });
    }),
  );
  controller.abort(new Error('interrupted'));
  await expect(waiting).rejects.toThrow('interrupted');
});

test('tasks that all end leave nothing behind', async () => {
  const done: number[] = [];
  await runTogether(
    never,
    [1, 2, 3].map((n) => async () => {
      done.push(n);
    }),
  );
  expect(done).toEqual([1, 2, 3]);
});
