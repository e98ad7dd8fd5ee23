import { API_PREFIX, headers, mediaTypes } from '../../protocol/constants.ts';
import { defined } from '../../protocol/defined.ts';
import {
  type AnswerTo,
  type BodyTo,
  type EndpointName,
  endpoints,
  type ParamsTo,
  pathTo,
} from '../../protocol/endpoints.ts';
import { Semaphore } from '../async/semaphore.ts';
import { type RetryOptions, type RetryPolicy, withRetries } from '../errors/retry.ts';
import { userAgent } from '../version.ts';
import { checkAnswer, type Expected } from './answers.ts';
import type { Bandwidth } from './bandwidth.ts';
import { type Answer, credentialHeaders, exchangeJson, type HttpRequest, MAX_TRANSFERS } from './client.ts';
import type { HttpProxy } from './proxy.ts';
import { traceparent } from './trace.ts';

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

/** Time limit of an answer of a page. */
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
      ...defined({ ca, proxy, bandwidth }),
    };
  }

  /** The header that says which registered agent this is. */
  agent(): Record<string, string> {
    const { agent } = this.#options;
    return agent === undefined ? {} : { [headers.agent]: agent };
  }

  /** The headers that every request has. */
  credentials(): Record<string, string> {
    return {
      ...credentialHeaders(this.tenant, this.#options.key, userAgent),
      [headers.traceparent]: traceparent,
    };
  }

  /**
   * Asks an endpoint, with retries, for an answer that is what it declares and what `options` expect.
   *
   * @throws SyncError, BackendError, the signal's reason
   */
  call<Name extends EndpointName>(name: Name, options: CallOptions<Name>): Promise<AnswerTo<Name>> {
    const { url } = this.describe(name, options);
    return this.ask(name, options, (answer) => checkAnswer(name, url, answer, options));
  }

  /**
   * The same with a check of the caller's own. `check` belongs to the attempt: an answer that is not the backend's is asked for
   * again, as one that did not come.
   */
  ask<Name extends EndpointName, T>(name: Name, options: CallOptions<Name>, check: (answer: Answer) => T): Promise<T> {
    const { when, isTransfer = false, signal } = options;
    const { retryPolicy, onRetry } = this.#options;
    const retry: RetryOptions = {
      signal,
      ...defined({ policy: retryPolicy, onRetry, when }),
    };
    const request = this.describe(name, options);
    return withRetries(async () => {
      if (!isTransfer) return check(await exchangeJson(request));
      const giveBack = await this.semaphore.take(signal);
      return check(await exchangeJson(request).finally(giveBack));
    }, retry);
  }

  /** Returns one attempt of a request, as its endpoint declares it. */
  describe<Name extends EndpointName>(name: Name, options: CallOptions<Name>): HttpRequest {
    const { params, query, headers: own, body, timeoutMs = QUICK_MS, signal } = options as AnyOptions;
    const endpoint = endpoints[name];
    const path = pathTo(name, { tenantId: this.tenant, ...params } as ParamsTo<Name>);
    const search = query === undefined ? '' : `?${new URLSearchParams(query)}`;
    return {
      method: endpoint.method,
      url: `${this.base}${path}${search}`,
      headers: {
        ...this.credentials(),
        ...own,
        ...(endpoint.body.kind === 'json' ? { 'content-type': mediaTypes.json } : {}),
      },
      ...(body === undefined ? {} : { body: body instanceof Uint8Array ? body : JSON.stringify(body) }),
      timeoutMs,
      signal,
      ...this.way,
    };
  }
}

/** What a request says beside what its endpoint declares. */
export type CallOptions<Name extends EndpointName> = Expected & ParamsOption<Name> & BodyOption<Name> & CommonOptions;

interface CommonOptions {
  query?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string>>;
  /** Defaults to that of a page. */
  timeoutMs?: number;
  signal: AbortSignal;
  /** Takes one of the permits of the run; an attempt that waits for it is not timed. */
  isTransfer?: boolean;
  when?: (error: unknown) => boolean;
}

type AnyOptions = CommonOptions & { params?: object; body?: object | Uint8Array<ArrayBuffer> };

/** Parameters of the path but the tenant. */
type ParamsOption<Name extends EndpointName> = keyof Omit<ParamsTo<Name>, 'tenantId'> extends never
  ? { params?: undefined }
  : { params: Omit<ParamsTo<Name>, 'tenantId'> };

type BodyOption<Name extends EndpointName> = [BodyTo<Name>] extends [never]
  ? { body?: Uint8Array<ArrayBuffer> }
  : { body: BodyTo<Name> };

/**
 * Normalises the address of a backend: `https://host/` and `https://host/api/sync` are the same backend. Throws a
 * TypeError for what is not an HTTP URL.
 */
export function normaliseUrl(text: string): string {
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new TypeError(`not an HTTP URL: ${url.protocol}`);
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '').replace(/\/api\/sync$/, '');
}
