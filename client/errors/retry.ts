import { setTimeout as sleep } from 'node:timers/promises';
import { SyncError } from '../../protocol/errors.ts';
import { AgentError } from './agent-error.ts';

/** How often and how long: the one policy of the agent. */
export interface RetryPolicy {
  attempts: number;
  firstDelayMs: number;
  maxDelayMs: number;
  /** No attempt begins later than this after the first failure. */
  maxTotalMs: number;
  /** A server that asks for more patience than this in Retry-After is taken for down: the next run tries again. */
  maxRetryAfterMs: number;
}

/** Under a minute of waiting in all, mostly: the next run comes in five. */
export const retryPolicy: RetryPolicy = {
  attempts: 6,
  firstDelayMs: 500,
  maxDelayMs: 30_000,
  maxTotalMs: 180_000,
  maxRetryAfterMs: 60_000,
};

/** While somebody waits at a terminal (`init`, `test`): a hiccup is forgiven, a wrong address told at once. */
export const interactivePolicy: RetryPolicy = { ...retryPolicy, attempts: 2 };

/**
 * Returns whether the same thing may succeed later. Backend: 408, 425, 429, 5xx, the network, and what the error table
 * says (PostgreSQL's 40001, 40P01, 57P01 and lost connections arrive as its OCUPADO and BASE_NO_DISPONIBLE). SQL
 * Server: what sqlserver/errors.ts says of its numbers, a lost connection, a read that has gone silent.
 */
export function isRetryable(error: unknown): boolean {
  return (error instanceof SyncError || error instanceof AgentError) && error.retryable;
}

/**
 * Returns whether SQL Server chose this as the victim of a deadlock: it has undone it, so it may be done again at once.
 */
export function isDeadlock(error: unknown): boolean {
  return error instanceof AgentError && error.code === 'BLOQUEO_1205';
}

/** Returns whether the server said that it did not begin: then even what is not idempotent may be repeated. */
export function isRefusal(error: unknown): boolean {
  return error instanceof SyncError && (error.code === 'OCUPADO' || error.code === 'DEMASIADAS_PETICIONES');
}

/** What a caller of withRetries may set. */
export interface RetryOptions {
  signal: AbortSignal;
  policy?: RetryPolicy;
  /** Which errors are worth another attempt; isRetryable when it is not given. */
  when?: (error: unknown) => boolean;
  onRetry?: (error: unknown, attempt: number, delayMs: number) => void;
}

/**
 * Runs a unit that may be repeated until it succeeds, at most `policy.attempts` times and for `policy.maxTotalMs`. Waits
 * between attempts: exponential with full jitter, never less than Retry-After. Throws the last error, or the signal's
 * reason.
 */
export async function withRetries<T>(run: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { signal, policy = retryPolicy, when = isRetryable, onRetry } = options;
  let failedAt: number | undefined;
  for (let attempt = 1; ; attempt++) {
    signal.throwIfAborted();
    try {
      return await run(attempt);
    } catch (error) {
      signal.throwIfAborted();
      failedAt ??= performance.now();
      if (attempt >= policy.attempts || !when(error)) throw error;
      const floor = retryAfterMs(error);
      if (floor > policy.maxRetryAfterMs) throw error;
      const ceiling = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (attempt - 1));
      const delay = floor + Math.round(Math.random() * ceiling);
      if (performance.now() - failedAt + delay > policy.maxTotalMs) throw error;
      onRetry?.(error, attempt, delay);
      await sleep(delay, undefined, { signal });
    }
  }
}

function retryAfterMs(error: unknown): number {
  if (error instanceof SyncError || error instanceof AgentError) return (error.retryAfter ?? 0) * 1000;
  return 0;
}
