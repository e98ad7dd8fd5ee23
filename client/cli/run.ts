import type Type from 'typebox';
import { type FailureEvent, OUTPUT_FORMAT } from '../../protocol/cli-output.ts';
import { visibleEntry, visibleJson } from '../../protocol/visible.ts';
import { AgentError, agentError } from '../errors/agent-error.ts';
import { describeError } from '../errors/describe-error.ts';
import { type ExitReason, exitCodes } from '../errors/exit-codes.ts';
import type { Streams } from '../ui/output.ts';
import { buildCommandLine } from './command-line.ts';

/** Runs a command line to its end and answers its exit code. Throws what is a fault of the program's own parser. */
export async function runCommandLine(args: string[], streams: Streams, signal: AbortSignal): Promise<number> {
  const { stdout, stderr } = streams;
  // What is printed is in part of the backend and of SQL Server.
  const print = (line: string) => stdout.write(`${visibleEntry(line)}\n`);
  const printJson = (value: object) => stdout.write(`${visibleJson(value)}\n`);
  const printError = (message: string, action: string) =>
    stderr.write(`${visibleEntry(message)}\n${visibleEntry(action)}\n`);
  let reason: ExitReason = 'exitoso';

  /** An error becomes two lines for the operator, or with `json` the last event: `fin` with `mensaje`. */
  async function finish(command: () => Promise<ExitReason | undefined>, { json }: { json: boolean }): Promise<void> {
    try {
      reason = (await command()) ?? 'exitoso';
    } catch (error) {
      const { code: codigo, message, action, kind } = describeError(error);
      reason = signal.aborted ? 'interrumpido' : kind;
      const failure: Type.Static<typeof FailureEvent> = {
        ...{ evento: 'fin', formato: OUTPUT_FORMAT, resultado: reason, codigo, mensaje: message, accion: action },
      };
      if (json) printJson(failure);
      else printError(message, action);
    }
  }

  try {
    let help = '';
    await buildCommandLine(args, { signal, streams, print, printJson, finish }).parseAsync(
      args,
      {},
      (_error: unknown, _args: unknown, output: string) => {
        help = output;
      },
    );
    if (help !== '') stdout.write(`${help}\n`);
  } catch (error) {
    // YError is how yargs reports an option without its value.
    const isUsage = (error as Error).name === 'YError';
    if (!isUsage && !(error instanceof AgentError)) throw error;
    const { message, action, kind } = describeError(
      isUsage ? agentError('USO', { motivo: (error as Error).message }) : error,
    );
    printError(message, action);
    reason = kind;
  }
  return exitCodes[reason];
}
