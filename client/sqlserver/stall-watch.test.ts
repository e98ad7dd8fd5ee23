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
  await sleep(150);
  expect(stalls()).toBe(1);
  expect(watch.stalled).toBe(true);
});

test('bytes keep it quiet', async () => {
  const { watch, receive, stalls } = watched(100);
  for (let i = 0; i < 20; i++) {
    receive();
    await sleep(10);
  }
  expect(stalls()).toBe(0);
  watch.stop();
});

test('silence does not count while it is held, and counts anew after', async () => {
  const { watch, stalls } = watched(60);
  watch.hold();
  await sleep(150);
  watch.release();
  expect(stalls()).toBe(0);
  await sleep(30);
  expect(stalls()).toBe(0);
  await sleep(120);
  expect(stalls()).toBe(1);
});

test('once stopped it says nothing', async () => {
  const { watch, stalls } = watched(30);
  watch.stop();
  await sleep(100);
  expect(stalls()).toBe(0);
});
