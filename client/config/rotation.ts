import type { RotateKeyResponse } from '../../protocol/api.ts';
import { makeApiKey } from '../../protocol/api-key.ts';
import { SyncError } from '../../protocol/errors.ts';
import { isCredentialCode } from '../errors/describe-error.ts';
import type { Backend } from '../http/backend.ts';
import { type LocalConfig, readLocalConfig, writeLocalConfig } from './local.ts';
import { refreshConfig } from './remote.ts';

/**
 * The rotation of the agent's API key.
 *
 * The agent makes the next key itself and keeps it in `sync-config.enc` beside the present one before it asks the backend
 * to put it in place; then it changes over. The backend ends the old one only some days after the new one was first used.
 * So whenever a run ends, a key of the file is in force, and the next run goes on from there:
 *
 *     key=K1               in force: K1           nothing begun
 *     key=K1 next=K2       in force: K1           asked again (asking twice is asking once)
 *     key=K1 next=K2       in force: K1 K2        the same: the answer was lost
 *     key=K2 previous=K1   in force: K2, K1 for its grace period
 */
export interface Install {
  folder: string;
  password: string;
  /** The backend of this folder, asked with `key`. */
  connect: (key: string) => Promise<Backend>;
}

/**
 * Rotates the key, or ends a rotation that was begun; the file holds the new key when this resolves. Call it under the
 * lock.
 * @throws {SyncError}, BackendError (the old key is then still in force), AgentError when the file cannot be written
 */
export async function rotateKey(
  { folder, password, connect }: Install,
  signal: AbortSignal,
): Promise<{ key: string; answer: RotateKeyResponse }> {
  const { nextKey: begun, ...local } = await readLocalConfig(folder, password);
  const next = begun ?? makeApiKey();
  if (begun === undefined) await writeLocalConfig(folder, password, { ...local, nextKey: next });
  let answer: RotateKeyResponse;
  try {
    answer = await (await connect(local.key)).rotateKey(next, signal);
  } catch (error) {
    // Refused for good, and so it would be each time: the next rotation begins with another key.
    if (error instanceof SyncError && !error.retryable && !isCredentialCode(error.code)) {
      await writeLocalConfig(folder, password, local);
    }
    throw error;
  }
  await writeLocalConfig(folder, password, { ...local, key: next, previousKey: local.key });
  return { key: next, answer };
}

/** Describes what the backend did, for an operator. */
export function describeRotation({ id, expira, graciaHoras }: RotateKeyResponse): string {
  const until = expira === null ? 'sin caducidad' : `hasta el ${expira}`;
  return `la nueva es ${id}, ${until}; la anterior vale todavía ${graciaHoras} h`;
}

/**
 * Does what refreshConfig does, with the key of the file. Where the backend refuses it, with the one that a rotation
 * was about to put in its place, or had replaced (a backend that was restored from a backup does not know the new one);
 * the file then says which it was. Throws what refreshConfig throws.
 */
export async function refreshWithAnyKey(
  { folder, password, connect }: Install,
  { nextKey, previousKey, ...local }: LocalConfig,
  signal: AbortSignal,
): Promise<Awaited<ReturnType<typeof refreshConfig>>> {
  let refused: unknown;
  for (const key of [local.key, nextKey, previousKey]) {
    if (key === undefined) continue;
    const isFirst = key === local.key;
    const kept = isFirst
      ? { ...local, ...(nextKey && { nextKey }), ...(previousKey && { previousKey }) }
      : { ...local, key };
    try {
      const current = await refreshConfig(await connect(key), kept, signal);
      if (!isFirst) await writeLocalConfig(folder, password, current.local);
      return current;
    } catch (error) {
      if (!(error instanceof SyncError && error.code === 'NO_AUTORIZADO')) throw error;
      refused ??= error;
    }
  }
  throw refused;
}
