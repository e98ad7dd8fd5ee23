import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Code is tested in the runtime that it ships in: `vitest run` (Node) takes the server, the protocol and the
 * stand-in; `bun --bun vitest run` takes the agent and everything that runs it (end to end).
 */
const inBun = process.versions.bun !== undefined;

/** Else one of these would begin last, and run on alone: a clean clone has no record of how long each takes. */
const LONGEST = [
  ...['fixtures/e2e/faults.test.ts', 'fixtures/e2e/windows-exe.test.ts', 'fixtures/e2e/fault-scenarios.test.ts'],
  'server/main.test.ts',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const placeOf = ({ moduleId }: TestSpecification) => {
      const place = LONGEST.findIndex((name) => moduleId.endsWith(name));
      return place < 0 ? LONGEST.length : place;
    };
    return (await super.sort(files)).toSorted((a, b) => placeOf(a) - placeOf(b));
  }
}

export default defineConfig({
  test: {
    name: inBun ? 'bun' : 'node',
    include: inBun
      ? ['client/**/*.test.ts', 'protocol/**/*.test.ts', 'fixtures/**/*.bun.test.ts', 'fixtures/e2e/**/*.test.ts']
      : ['server/**/*.test.ts', 'protocol/**/*.test.ts', 'fixtures/**/*.test.ts'],
    exclude: inBun ? ['node_modules/**'] : ['node_modules/**', 'fixtures/**/*.bun.test.ts', 'fixtures/e2e/**'],
    globalSetup: ['fixtures/vitest-setup.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
  },
});
