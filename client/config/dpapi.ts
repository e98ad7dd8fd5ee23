import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { agentError } from '../errors/agent-error.ts';

/**
 * Windows' own sealing of small secrets (DPAPI), reached by way of PowerShell's ProtectedData. Scope LocalMachine: `init` is
 * run by a person and the task by SYSTEM, and both must open it. What it stops is a copy of the folder (a backup, a disk)
 * opened elsewhere; on the machine itself the folder's permissions count.
 *
 * The secret goes through standard input: a command line can be seen by every process.
 */
const TIMEOUT_MS = 60_000;
const MAX_ANSWER_BYTES = 64 * 1024;

const scriptOf = (method: 'Protect' | 'Unprotect') =>
  "$ErrorActionPreference = 'Stop'; Add-Type -AssemblyName System.Security; " +
  '$bytes = [Convert]::FromBase64String([Console]::In.ReadToEnd()); ' +
  `$done = [Security.Cryptography.ProtectedData]::${method}($bytes, $null, 'LocalMachine'); ` +
  '[Console]::Out.Write([Convert]::ToBase64String($done))';

/**
 * Seals a secret as only this machine opens it, base64. `command`: PowerShell.
 * @throws {AgentError} `configuracion`
 */
export async function protectForMachine(secret: string, command = powershell()): Promise<string> {
  return run(command, scriptOf('Protect'), Buffer.from(secret).toString('base64'));
}

/** @throws {AgentError} `configuracion`: sealed by another machine, damaged, no Windows */
export async function unprotectForMachine(sealed: string, command = powershell()): Promise<string> {
  return Buffer.from(await run(command, scriptOf('Unprotect'), sealed), 'base64').toString('utf8');
}

/** By its whole path: a program of this name in the current folder must not be taken for it. */
function powershell(): string {
  if (process.platform !== 'win32') {
    throw agentError('DPAPI_SOLO_WINDOWS', {});
  }
  return join(process.env.SystemRoot ?? 'C:\\Windows', 'System32', 'WindowsPowerShell', 'v1.0', 'powershell.exe');
}

function run(command: string, script: string, input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, ['-NoLogo', '-NoProfile', '-NonInteractive', '-Command', script], {
      stdio: ['pipe', 'pipe', 'pipe'],
      windowsHide: true,
      timeout: TIMEOUT_MS,
    });
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8').on('data', (text: string) => {
        if (texts[name].length < MAX_ANSWER_BYTES) texts[name] += text;
      });
    }
    const fail = (why: string, cause?: unknown) => reject(agentError('DPAPI_FALLO', { motivo: why }, cause));
    child.once('error', (cause) => fail(cause.message, cause));
    child.once('close', (code) => {
      const answer = texts.stdout.trim();
      if (code === 0 && /^[A-Za-z0-9+/]+=*$/.test(answer)) resolve(answer);
      else fail(texts.stderr.trim().split('\n')[0] || `PowerShell terminó con ${code}`);
    });
    // It may have ended before it read: its exit code says why.
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}
