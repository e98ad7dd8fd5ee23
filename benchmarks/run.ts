import type { Finished } from '../fixtures/processes.ts';
import type { TenantFixture } from '../fixtures/system.ts';

/** What every benchmark does around what it measures. */

/** What ends with the benchmark, the last one first. */
export const releases: (() => Promise<unknown>)[] = [];

/** A figure that there is an aim for. */
export interface Aim {
  what: string;
  value: number;
  atMost?: number;
  atLeast?: number;
}

/** Runs a benchmark and releases what it took, on every path. */
export async function runBenchmark<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } finally {
    for (const release of releases.splice(0).reverse()) await release().catch((error: unknown) => console.error(error));
  }
}

/** As in production: server and agent built, without a loader of TypeScript beside them. */
export function useBuiltPrograms(): void {
  process.env.AX_SYNC_SERVER ??= 'dist/server/main.js';
  process.env.AX_SYNC_CLIENT ??= 'dist/ax-sync-client';
}

/** Runs the agent to its end; throws what it printed where it fails. */
export async function expectZero(tenant: TenantFixture, args: string[]): Promise<Finished> {
  const done = await tenant.agent(args);
  if (done.code !== 0) throw new Error(`ax-sync-client ${args.join(' ')}:\n${done.stdout}${done.stderr}`);
  return done;
}

/** Prints the figures beside their aims. */
export function printAims(aims: readonly Aim[]): void {
  console.log('\n| figure | measured | aim | met |\n|---|---:|---:|---|');
  for (const { what, value, atMost, atLeast } of aims) {
    const met = value <= (atMost ?? Infinity) && value >= (atLeast ?? 0);
    const aim = atMost === undefined ? `≥ ${atLeast}` : `≤ ${atMost}`;
    console.log(`| ${what} | ${value.toFixed(2)} | ${aim} | ${met ? 'yes' : 'no'} |`);
  }
}
