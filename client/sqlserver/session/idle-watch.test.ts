import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { IdleWatch } from './idle-watch.ts';

function watched(limitMs: number) {
  let bytes = 0;
  let told = 0;
  const watch = new IdleWatch(() => bytes, limitMs);
  watch.start(() => {
    told += 1;
  });
  return {
    watch,
    receive: () => {
      bytes += 1;
    },
    told: () => told,
  };
}

test('silence past the limit is told once', async () => {
  const { watch, told } = watched(40);
  await expect.poll(told, { timeout: 10_000 }).toBe(1);
  await sleep(100);
  expect(told()).toBe(1);
  expect(watch.isIdle).toBe(true);
});

test('bytes keep it quiet', async () => {
  const { watch, receive, told } = watched(2000);
  for (let i = 0; i < 20; i++) {
    receive();
    await sleep(10);
  }
  expect(told()).toBe(0);
  watch.stop();
});

test('silence does not count while it is held, and counts anew after', async () => {
  // Margins of most of a second: a machine that is busy must not look idle.
  const { watch, told } = watched(800);
  watch.hold();
  await sleep(1100);
  watch.release();
  expect(told()).toBe(0);
  await sleep(50);
  expect(told()).toBe(0);
  await expect.poll(told, { timeout: 10_000 }).toBe(1);
});

test('once stopped it says nothing', async () => {
  const { watch, told } = watched(30);
  watch.stop();
  await sleep(100);
  expect(told()).toBe(0);
});
