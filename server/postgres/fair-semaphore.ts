/**
 * Who has one of `max` connections next, fairly by owner.
 *
 * A transfer lasts as long as its peer likes, so what is lent cannot be taken back: some has to be kept. Each owner may have
 * half as many as are free, and one in any case: of ten, a first one gets four, a second and a third two each, and there is
 * still one for each of two more. What is given back goes to whoever waits and has the fewest; of those, the first.
 *
 * Of the places to wait each owner may have as many as are free.
 */
export interface FairSemaphore {
  /**
   * Waits for a permit; returns what ends it, to be called once. `owner` undefined: work of the server itself, which is short and
   * may have what is there. Throws what `refuse` makes.
   */
  take(owner: string | undefined): Promise<() => void>;
  usage(): { busy: number; waiting: number; max: number };
}

interface Waiter {
  owner: string | undefined;
  start(): void;
}

export function makeFairSemaphore({
  max,
  queueMax,
  waitMs,
  refuse,
}: {
  max: number;
  queueMax: number;
  waitMs: number;
  /** `full`: there is no place to wait; `late`: no permit came within `waitMs`. */
  refuse(reason: 'full' | 'late'): Error;
}): FairSemaphore {
  const running = new Map<string | undefined, number>();
  const queue: Waiter[] = [];
  let busy = 0;

  const runningOf = (owner: string | undefined) => running.get(owner) ?? 0;

  function mayRun(owner: string | undefined): boolean {
    return isWithinShare(owner, runningOf(owner), max - busy, 0.5);
  }

  function run(owner: string | undefined): () => void {
    busy += 1;
    running.set(owner, runningOf(owner) + 1);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      busy -= 1;
      if (runningOf(owner) > 1) running.set(owner, runningOf(owner) - 1);
      else running.delete(owner);
      startNext();
    };
  }

  function startNext(): void {
    let next: Waiter | undefined;
    for (const waiter of queue) {
      if (!mayRun(waiter.owner)) continue;
      if (next === undefined || runningOf(waiter.owner) < runningOf(next.owner)) next = waiter;
    }
    next?.start();
  }

  return {
    take: async (owner) => {
      if (mayRun(owner)) return run(owner);
      const waiting = queue.filter((waiter) => waiter.owner === owner).length;
      if (!isWithinShare(owner, waiting, queueMax - queue.length, 1)) throw refuse('full');
      return new Promise((resolve, reject) => {
        const leave = () => {
          queue.splice(queue.indexOf(waiter), 1);
          clearTimeout(timer);
        };
        const timer = setTimeout(() => {
          leave();
          reject(refuse('late'));
        }, waitMs);
        const waiter: Waiter = {
          owner,
          start: () => {
            leave();
            resolve(run(owner));
          },
        };
        queue.push(waiter);
      });
    },
    usage: () => ({ busy, waiting: queue.length, max }),
  };
}

/** Returns whether an owner that has `own` may have one more where `free` are left. */
function isWithinShare(owner: string | undefined, own: number, free: number, share: number): boolean {
  if (free < 1) return false;
  return owner === undefined || own === 0 || own < free * share;
}
