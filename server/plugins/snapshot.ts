import { setTimeout as sleep } from 'node:timers/promises';

/** What was found, when, and what has failed since. */
export interface Snapshot<T> {
  value: T | undefined;
  takenAt: Date | undefined;
  /** Of the newest attempt, where that one failed or has not ended in time. */
  error: unknown;
}

/** A value that costs something to find, such as a query over all tenants. */
export interface SnapshotOptions<T> {
  load(): Promise<T>;
  /** Milliseconds that a value is good for at least. One that takes long to find is good for SHARE times as long. */
  goodForMs: number;
  /** Milliseconds that somebody waits for a new value before the one before it is taken. */
  waitMs: number;
  /** A clock that goes forward, in milliseconds. */
  now?: () => number;
}

/** So that looking takes at most a fiftieth of the time, however often somebody asks. */
const SHARE = 50;

/**
 * Returns a reader of the value: however many ask at once, it is looked for once, and not again before its time, whether it was found or
 * not. Nobody waits longer than `waitMs`.
 */
export function makeSnapshot<T>({
  load,
  goodForMs,
  waitMs,
  now = () => performance.now(),
}: SnapshotOptions<T>): () => Promise<Snapshot<T>> {
  const snapshot: Snapshot<T> = { value: undefined, takenAt: undefined, error: undefined };
  let running: Promise<void> | undefined;
  let nextAt = 0;
  const look = async () => {
    const started = now();
    try {
      snapshot.value = await load();
      snapshot.takenAt = new Date();
      snapshot.error = undefined;
    } catch (error) {
      snapshot.error = error;
    }
    const ended = now();
    nextAt = ended + Math.max(goodForMs, SHARE * (ended - started));
    running = undefined;
  };
  return async () => {
    if (now() < nextAt) return { ...snapshot };
    running ??= look();
    const waiting = new AbortController();
    const late = sleep(waitMs, 'late', { signal: waiting.signal }).catch(() => {});
    const first = await Promise.race([running, late]);
    waiting.abort();
    if (first !== 'late') return { ...snapshot };
    return { ...snapshot, error: snapshot.error ?? new Error(`no answer within ${waitMs} ms`) };
  };
}
