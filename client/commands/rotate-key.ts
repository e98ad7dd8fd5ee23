import { agentIdIn } from '../config/agent-key.ts';
import { readLocalConfig } from '../config/local.ts';
import { readConfigPassword } from '../config/password.ts';
import { describeRotation, refreshWithAnyKey, rotateKey } from '../config/rotation.ts';
import { interactivePolicy } from '../errors/retry.ts';
import { withLock } from '../state/run-lock.ts';
import { connectBackend } from './agent.ts';

export interface RotateKeyOptions {
  folder: string;
  print: (line: string) => void;
  signal: AbortSignal;
}

/**
 * Runs `rotate-key`: puts a new API key in the place of the present one, in `sync-config.enc` and at the backend, and
 * uses it once. Whatever fails, a key of the file stays in force.
 * @throws {AgentError} (`ocupado` while a run is under way), SyncError or BackendError
 */
export async function runRotateKey({ folder, print, signal }: RotateKeyOptions): Promise<void> {
  const password = await readConfigPassword(folder);
  // Before there is a lock file: this may not be an install folder.
  await readLocalConfig(folder, password);
  await withLock(folder, async () => {
    const local = await readLocalConfig(folder, password);
    const connect = (key: string) => connectBackend({ ...local, key }, { policy: interactivePolicy });
    const install = { folder, password, connect };
    await refreshWithAnyKey(install, local, signal);
    const { key, answer } = await rotateKey(install, signal);
    await (await connect(key)).fetchConfig(local.remote?.etag, signal, agentIdIn(local));
    print(`Clave de API cambiada en sync-config.enc: ${describeRotation(answer)}.`);
  });
}
