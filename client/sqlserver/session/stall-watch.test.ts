import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { StallWatch } from './stall-watch.ts';

function watched(limitMs: number) {
  let bytes = 0;
  let stalls = 0;
  const watch = new StallWatch(() => bytes, limitMs);
  watch.start(() => {
    stalls += 1;
  });
  return {
    watch,
    receive: () => {
      bytes += 1;
    },
    stalls: () => stalls,
  };
}

test('silence past the limit is told once', async () => {
  const { watch, stalls } = watched(40);
  await expect.poll(stalls, { timeout: 10_000 }).toBe(1);
  await sleep(100);
  expect(stalls()).toBe(1);
  expect(watch.stalled).toBe(true);
});

test('bytes keep it quiet', async () => {
  const { watch, receive, stalls } = watched(2000);
  for (let i = 0; i < 20; i++) {
    receive();
    await sleep(10);
  }
  expect(stalls()).toBe(0);
  watch.stop();
});

test('silence does not count while it is held, and counts anew after', async () => {
  // Margins of most of a second: a machine that is busy must not look like a stall.
  const { watch, stalls } = watched(800);
  watch.hold();
  await sleep(1100);
  watch.release();
  expect(stalls()).toBe(0);
  await sleep(50);
  expect(stalls()).toBe(0);
  await expect.poll(stalls, { timeout: 10_000 }).toBe(1);
});

test('once stopped it says nothing', async () => {
  const { watch, stalls } = watched(30);
  watch.stop();
  await sleep(100);
  expect(stalls()).toBe(0);
});
