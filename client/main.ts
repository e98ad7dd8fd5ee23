#!/usr/bin/env bun
import { visibleEntry, visibleJson } from '../protocol/visible.ts';
import { buildCommandLine, type Process } from './cli/command-line.ts';
import { AgentError, agentError } from './errors/agent-error.ts';
import { describeError } from './errors/describe-error.ts';
import { exitCodes } from './errors/exit-codes.ts';

/** The agent: runs the command that its arguments name, and answers with an exit code. */

const controller = new AbortController();
const { signal } = controller;
const stop = () => controller.abort(new DOMException('interrupted', 'AbortError'));
// SIGBREAK and SIGHUP: what Windows makes of Ctrl-Break and of a console or session that closes.
for (const name of ['SIGINT', 'SIGTERM', 'SIGBREAK', 'SIGHUP'] as const) process.once(name, stop);

// What is printed is in part of the backend and of SQL Server.
const printJson = (value: object) => console.log(visibleJson(value));
const printError = (message: string, action: string) =>
  console.error(`${visibleEntry(message)}\n${visibleEntry(action)}`);

/** An error becomes two lines for the operator, or with `json` the last event: `fin` with `mensaje`. */
const finish: Process['finish'] = async (command, { json }) => {
  try {
    process.exitCode = exitCodes[(await command()) ?? 'exitoso'];
  } catch (error) {
    const { code: codigo, message, action, kind } = describeError(error);
    const resultado = signal.aborted ? 'interrumpido' : kind;
    if (json) printJson({ evento: 'fin', resultado, codigo, mensaje: message, accion: action });
    else printError(message, action);
    process.exitCode = exitCodes[resultado];
  }
};

const print = (line: string) => console.log(visibleEntry(line));

try {
  await buildCommandLine(process.argv.slice(2), { signal, print, printJson, finish }).parseAsync();
} catch (error) {
  // YError is how yargs reports an option without its value.
  const isUsage = (error as Error).name === 'YError';
  if (!isUsage && !(error instanceof AgentError)) throw error;
  const { message, action, kind } = describeError(
    isUsage ? agentError('USO', { motivo: (error as Error).message }) : error,
  );
  printError(message, action);
  process.exitCode = exitCodes[kind];
}
