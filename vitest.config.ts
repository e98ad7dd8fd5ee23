import { defineConfig } from 'vitest/config';

/**
 * Code is tested in the runtime that it ships in: `vitest run` (Node) takes the server, the protocol and the
 * stand-in; `bun --bun vitest run` takes the agent and everything that runs it (end to end).
 */
const inBun = process.versions.bun !== undefined;

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
  },
});
