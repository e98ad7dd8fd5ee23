import { agentIdOf } from '../../protocol/crypto/agent-key.ts';
import { defined } from '../../protocol/defined.ts';
import type { LocalConfig } from '../config/local.ts';
import { findProxySettings } from '../config/proxy.ts';
import { agentError } from '../errors/agent-error.ts';
import { describeError } from '../errors/describe-error.ts';
import type { RetryPolicy } from '../errors/retry.ts';
import { Backend } from '../http/backend.ts';
import type { Bandwidth } from '../http/bandwidth.ts';
import { chooseProxy } from '../http/proxy.ts';
import { normaliseUrl } from '../http/requests.ts';

export interface ConnectOptions {
  policy?: RetryPolicy;
  /** Told of attempts that failed, a sentence each. */
  onRetry?: (text: string) => void;
  bandwidth?: Bandwidth;
}

/**
 * Returns the backend that `local` names, through this machine's proxy.
 * @throws {AgentError} where that makes no sense
 */
export async function connectBackend(
  { url, tenant, key, ca, agentKey }: Pick<LocalConfig, 'url' | 'tenant' | 'key' | 'ca' | 'agentKey'>,
  { policy, onRetry, bandwidth }: ConnectOptions = {},
): Promise<Backend> {
  const proxy = chooseProxy(url, await findProxySettings());
  return new Backend({
    url,
    tenant,
    key,
    ...defined({ ca }),
    ...(agentKey === undefined ? {} : { agent: agentIdOf(agentKey.publica) }),
    ...defined({ proxy, bandwidth, retryPolicy: policy }),
    onRetry: (error, attempt, delayMs) =>
      onRetry?.(`${describeError(error).message} Intento ${attempt}; otro en ${(delayMs / 1000).toFixed(1)} s`),
  });
}

/**
 * Returns `--url` in the form in which it is kept.
 * @throws {AgentError} `configuracion`
 */
export function parseBackendUrl(text: string): string {
  try {
    return normaliseUrl(text);
  } catch (cause) {
    throw agentError('URL_INVALIDA', { url: text }, cause);
  }
}

/** Returns whether what is sent there can be read on the way: plain http to another machine. */
export function isReadableOnTheWay(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}
