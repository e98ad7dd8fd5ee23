import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import { root } from '../../fixtures/processes.ts';

/** Starts `ax-sync-server <args>` as a process of its own, in an environment of PATH and `env`. */
export function spawnServer(args: readonly string[], env: Record<string, string>): ChildProcess {
  const built = process.env.AX_SYNC_SERVER ?? '';
  const program = built === '' ? ['--import', 'tsx', join(root, 'server', 'main.ts')] : [resolve(root, built)];
  return spawn(process.execPath, [...program, ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Runs it to its end. */
export async function runServer(
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawnServer(args, env);
  const stdout = child.stdout!.setEncoding('utf8').toArray();
  const stderr = child.stderr!.setEncoding('utf8').toArray();
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout: (await stdout).join(''), stderr: (await stderr).join('') };
}

/** Starts `serve` on a free port; resolves once it listens. */
export async function startServerProcess(env: Record<string, string>): Promise<{
  url: string;
  child: ChildProcess;
  /** Everything that it logged so far. */
  log: () => string;
}> {
  const child = spawnServer(['serve'], { HOST: '127.0.0.1', PORT: '0', ...env });
  let text = '';
  child.stderr!.on('data', (data) => {
    text += String(data);
  });
  const port = await new Promise<string>((resolve, reject) => {
    child.stdout!.on('data', (data) => {
      text += String(data);
      const found = /escuchando en el puerto (\d+)/.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${text}`)));
  });
  return { url: `http://127.0.0.1:${port}`, child, log: () => text };
}
