#!/usr/bin/env bun
import { buildCommandLine } from './cli/command-line.ts';
import { type Session, UsageError } from './cli/shared.ts';
import { describeError } from './describe-error.ts';
import { exitCodes } from './exit-codes.ts';
import { suggestionFor } from './spanish.ts';

/** The agent: runs the command that its arguments name, and answers with an exit code. */

const controller = new AbortController();
const { signal } = controller;
const stop = () => controller.abort(new DOMException('interrupted', 'AbortError'));
// SIGBREAK and SIGHUP: what Windows makes of Ctrl-Break and of a console or session that closes.
for (const name of ['SIGINT', 'SIGTERM', 'SIGBREAK', 'SIGHUP'] as const) process.once(name, stop);

const printJson = (value: object) => console.log(JSON.stringify(value));

/** An error becomes two lines for the operator, or with `json` the last event: `fin` with `mensaje`. */
const finish: Session['finish'] = async (command, { json = false } = {}) => {
  try {
    process.exitCode = exitCodes[await command()];
  } catch (error) {
    const { message, action, kind } = describeError(error);
    const resultado = signal.aborted ? 'interrumpido' : kind;
    if (json) printJson({ evento: 'fin', resultado, mensaje: message, accion: action });
    else console.error(action === '' ? message : `${message}\n${action}`);
    process.exitCode = exitCodes[resultado];
  }
};

const session: Session = {
  ...{ signal, printJson, finish },
  print: (line) => console.log(line),
  run: (command) =>
    finish(async () => {
      await command();
      return 'exitoso';
    }),
};

try {
  await buildCommandLine(process.argv.slice(2), session).parseAsync();
} catch (error) {
  // YError is how yargs reports an option without its value.
  if (!(error instanceof UsageError) && (error as Error).name !== 'YError') throw error;
  const { message } = error as Error;
  console.error(`${message}${suggestionFor(message)}\nMire ax-sync-client --help.`);
  process.exitCode = exitCodes.configuracion;
}
