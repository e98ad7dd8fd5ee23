#!/usr/bin/env node
import { hideBin } from 'yargs/helpers';
import { SyncError } from '../protocol/errors.ts';
import { visible } from '../protocol/visible.ts';
import { buildCommandLine, UsageError } from './command-line.ts';
import { CommandError } from './commands/with-database.ts';
import { ConfigError, loadConfig } from './config.ts';
import { RolesError } from './postgres/tenant.ts';

/** Exit codes: 0 done, 1 failed, 2 wrong use. */
const USAGE = 2;

const print = (line: string): void => {
  process.stdout.write(`${visible(line)}\n`);
};

try {
  await buildCommandLine(hideBin(process.argv), { loadConfig: () => loadConfig(), print }).parseAsync();
  process.exit(0);
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`${visible(error.message)}\nVea ax-sync-server --help\n`);
    process.exit(USAGE);
  }
  process.stderr.write(`ax-sync-server: ${visible(describe(error))}\n`);
  process.exit(1);
}

function describe(error: unknown): string {
  if (error instanceof CommandError || error instanceof ConfigError || error instanceof RolesError) {
    return error.message;
  }
  if (error instanceof SyncError) return error.toProblem().mensaje;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
