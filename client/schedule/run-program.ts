import { execFile } from 'node:child_process';
import iconv from 'iconv-lite';
import { type AgentError, agentError } from '../errors/agent-error.ts';

export interface ProgramResult {
  code: number;
  /** Both streams. */
  output: string;
}

/** Runs a program of the system to its end; it reads `input`. Throws AgentError when it is not there. */
export type RunProgram = (program: string, args: string[], input?: string) => Promise<ProgramResult>;

const TIMEOUT_MS = 60_000;

/**
 * Returns the runner that starts real programs: at most a minute, at most a megabyte of output; ended when `signal` is
 * aborted.
 */
export function programRunner(signal: AbortSignal): RunProgram {
  return (program, args, input) =>
    new Promise((done, fail) => {
      const options = { signal, timeout: TIMEOUT_MS, maxBuffer: 1e6, windowsHide: true, encoding: 'buffer' as const };
      const child = execFile(program, args, options, (error, stdout, stderr) => {
        const output = decode(Buffer.concat([stdout, stderr])).trim();
        if (error === null) return done({ code: 0, output });
        if (signal.aborted) return fail(error);
        if (typeof error.code === 'number') return done({ code: error.code, output });
        const reason = child.killed ? `no terminó en ${TIMEOUT_MS / 1000} s` : error.message;
        fail(agentError('PROGRAMA_AUSENTE', { programa: program, motivo: reason }, error));
      });
      if (input === undefined) return;
      // It may have ended before it read: its exit code says why.
      child.stdin?.on('error', () => {});
      child.stdin?.end(input);
    });
}

/** Throws the AgentError that `makeError` makes of what the program said when it did not end well. */
export function assertDone(
  { code, output }: ProgramResult,
  makeError: (said: { codigo: number; salida: string }) => AgentError,
): void {
  if (code !== 0) throw makeError({ codigo: code, salida: output });
}

/** UTF-8, or what consoles of Windows in the west of Europe and in America speak. */
function decode(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  return text.includes('\uFFFD') ? iconv.decode(bytes, 'cp850') : text;
}
