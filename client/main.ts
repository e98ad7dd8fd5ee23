#!/usr/bin/env bun
import { runCommandLine } from './cli/run.ts';

/** The agent: runs the command that its arguments name, and answers with an exit code. */

const controller = new AbortController();
const stop = () => controller.abort(new DOMException('interrupted', 'AbortError'));
// SIGBREAK and SIGHUP: what Windows makes of Ctrl-Break and of a console or session that closes.
for (const name of ['SIGINT', 'SIGTERM', 'SIGBREAK', 'SIGHUP'] as const) process.once(name, stop);

process.exitCode = await runCommandLine(process.argv.slice(2), process, controller.signal);
