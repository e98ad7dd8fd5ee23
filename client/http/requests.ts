import { API_PREFIX, headers, mediaTypes } from '../../protocol/constants.ts';
import { Semaphore } from '../async/semaphore.ts';
import { type RetryOptions, type RetryPolicy, withRetries } from '../errors/retry.ts';
import { userAgent } from '../version.ts';
import { type AnswerKind, type AnswerOf, checkAnswer, type Expected } from './answers.ts';
import type { Bandwidth } from './bandwidth.ts';
import { type Answer, credentialHeaders, exchangeJson, type HttpRequest, MAX_TRANSFERS } from './client.ts';
import type { HttpProxy } from './proxy.ts';

export interface BackendOptions {
  url: string;
  tenant: string;
  key: string;
  /** Which registered agent this is; the backend keeps its generations apart from those of others. */
  agent?: string;
  /** PEM; see HttpRequest. */
  ca?: string;
  /** What requests go through; directly without it. */
  proxy?: HttpProxy;
  /** What chunks and downloads together keep to. */
  bandwidth?: Bandwidth;
  retryPolicy?: RetryPolicy;
  onRetry?: (error: unknown, attempt: number, delayMs: number) => void;
}

/** For an answer of a page. */
export const QUICK_MS = 60_000;

/** Requests of one tenant to one backend: who asks, how often, how many at once, and whether an answer is believed. */
export class Requests {
  readonly tenant: string;
  /** What paths are appended to. */
  readonly base: string;
  readonly semaphore = new Semaphore(MAX_TRANSFERS);
  /** How each exchange goes. */
  readonly way: Pick<HttpRequest, 'ca' | 'proxy' | 'bandwidth'>;
  readonly #options: BackendOptions;

  constructor(options: BackendOptions) {
    this.#options = options;
    this.tenant = options.tenant;
    this.base = `${normaliseUrl(options.url)}${API_PREFIX}`;
    const { ca, proxy, bandwidth } = options;
    this.way = {
      ...(ca === undefined ? {} : { ca }),
      ...(proxy === undefined ? {} : { proxy }),
      ...(bandwidth === undefined ? {} : { bandwidth }),
    };
  }

  /** The header that says which registered agent this is. */
  agent(): Record<string, string> {
    const { agent } = this.#options;
    return agent === undefined ? {} : { [headers.agent]: agent };
  }

  /** The headers that every request has. */
  credentials(): Record<string, string> {
    return credentialHeaders(this.tenant, this.#options.key, userAgent);
  }

  /** GET of a page. Throws what `ask` throws. */
  get<Kind extends AnswerKind>(
    kind: Kind,
    path: string,
    { signal, ...expected }: Pick<JsonOptions, 'signal'> & Expected,
  ): Promise<AnswerOf<Kind>> {
    return this.checked('GET', path, { timeoutMs: QUICK_MS, signal }, kind, expected);
  }

  /** POST of a JSON body; by default in the time of a page. Throws what `ask` throws. */
  post<Kind extends AnswerKind>(
    kind: Kind,
    path: string,
    body: unknown,
    { status, echo, objection, headers: own, ...options }: Omit<JsonOptions, 'body' | 'timeoutMs'> & PostOptions,
  ): Promise<AnswerOf<Kind>> {
    const request = {
      timeoutMs: QUICK_MS,
      ...options,
      headers: { ...own, 'content-type': mediaTypes.json },
      body: JSON.stringify(body),
    };
    const expected = {
      ...(status === undefined ? {} : { status }),
      ...(echo === undefined ? {} : { echo }),
      ...(objection === undefined ? {} : { objection }),
    };
    return this.checked('POST', path, request, kind, expected);
  }

  /** A request whose answer is of a kind. Throws what `ask` throws. */
  checked<Kind extends AnswerKind>(
    method: Method,
    path: string,
    options: JsonOptions,
    kind: Kind,
    expected: Expected,
  ): Promise<AnswerOf<Kind>> {
    return this.ask(method, path, options, (answer) => checkAnswer(kind, this.base + path, answer, expected));
  }

  /**
   * One request, with its retries. `check` belongs to the attempt: an answer that is not the backend's is asked for again, as one
   * that did not come. Throws SyncError, BackendError, the signal's reason.
   */
  ask<T>(method: Method, path: string, options: JsonOptions, check: (answer: Answer) => T): Promise<T> {
    const { when, isTransfer = false, headers: own, ...request } = options;
    const { retryPolicy, onRetry } = this.#options;
    const retry: RetryOptions = {
      signal: options.signal,
      ...(retryPolicy === undefined ? {} : { policy: retryPolicy }),
      ...(onRetry === undefined ? {} : { onRetry }),
      ...(when === undefined ? {} : { when }),
    };
    const exchange = () =>
      exchangeJson({
        ...request,
        ...this.way,
        method,
        url: this.base + path,
        headers: { ...this.credentials(), ...own },
      });
    return withRetries(async () => {
      if (!isTransfer) return check(await exchange());
      const giveBack = await this.semaphore.take(options.signal);
      return check(await exchange().finally(giveBack));
    }, retry);
  }
}

type Method = 'GET' | 'POST' | 'PUT';

type PostOptions = Expected & { timeoutMs?: number };

export interface JsonOptions {
  headers?: Record<string, string>;
  body?: string | Uint8Array<ArrayBuffer>;
  timeoutMs: number;
  signal: AbortSignal;
  /** Takes one of the permits of the run; an attempt that waits for it is not timed. */
  isTransfer?: boolean;
  when?: (error: unknown) => boolean;
}

/** `https://host/` and `https://host/api/sync` are the same backend. Throws a TypeError for what is not an HTTP URL. */
export function normaliseUrl(text: string): string {
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new TypeError(`not an HTTP URL: ${url.protocol}`);
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '').replace(/\/api\/sync$/, '');
}
