import type { LocalConfig } from '../config/local.ts';
import { describeRotation, type Install, rotateKey } from '../config/rotation.ts';
import { describeError } from '../errors/describe-error.ts';
import { interactivePolicy } from '../errors/retry.ts';
import type { KeyState } from '../http/backend.ts';
import type { Log } from '../ui/log.ts';
import type { Secrets } from '../ui/secrets.ts';
import { connectBackend } from './agent.ts';

/** When a key ends that the agent cannot renew by itself, the operator is told from so many days before. */
const WARN_DAYS = 14;

/**
 * Returns the key to go on with. Rotates it when the backend says that it is time, or when an earlier run began to;
 * where that fails the old one stays in force, and the next run tries again.
 */
export async function renewKey(
  { folder, password }: Omit<Install, 'connect'>,
  { local, key: { end, renew } }: { local: LocalConfig; key: KeyState },
  { log, secrets, signal }: { log: Log; secrets: Secrets; signal: AbortSignal },
): Promise<string> {
  const until = end === undefined ? '' : ` (caduca el ${end.toISOString()})`;
  if (!renew && local.nextKey === undefined) {
    if (end !== undefined && end.getTime() - Date.now() < WARN_DAYS * 86_400_000) {
      log.warn(`La clave de API se termina${until}: pida otra al administrador y ejecute init con ella`);
    }
    return local.key;
  }
  try {
    const connect = (key: string) => connectBackend({ ...local, key }, { policy: interactivePolicy });
    const { key, answer } = await rotateKey({ folder, password, connect }, signal);
    secrets.add(key);
    log.info(`Clave de API renovada: ${describeRotation(answer)}`);
    return key;
  } catch (error) {
    signal.throwIfAborted();
    log.warn(`No se pudo renovar la clave de API${until}: ${describeError(error).text}`);
    return local.key;
  }
}
