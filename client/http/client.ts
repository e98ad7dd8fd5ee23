import { addAbortListener } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { headers as headerNames, mediaTypes } from '../../protocol/constants.ts';
import { defined } from '../../protocol/defined.ts';
import { BackendError, backendError, foreignAnswer } from './backend-error.ts';
import { type Bandwidth, throttled } from './bandwidth.ts';
import { excerpt, failureOf, parseOrUndefined, reasonOf } from './failures.ts';
import type { HttpProxy } from './proxy.ts';

/** One HTTP exchange with the backend: no policy here, only what one attempt is. */

export interface HttpRequest {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  url: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array<ArrayBuffer>;
  /** For the whole exchange, or until the headers of the answer when its body is a stream. */
  timeoutMs: number;
  /** PEM of the authorities that may vouch for the server, instead of the system's. */
  ca?: string;
  signal: AbortSignal;
  proxy?: HttpProxy;
  /** What bodies of bytes and answers that are streams keep to; time limits give way to it. */
  bandwidth?: Bandwidth;
}

/** Bodies of answers that are not streams are bounded: an agent does not swallow what a wrong server sends. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/**
 * Chunks, commits, phases and downloads of a run that are under way at once, however many tables are: the server refuses a
 * tenant's transfers past a number (TENANT_TRANSFERS_MAX, 6 by default), and other agents of the tenant want some too.
 */
export const MAX_TRANSFERS = 4;
/** What the slowest line carries of one transfer: all of them share 256 kbit/s. A chunk that takes longer counts as lost. */
const SLOWEST_BYTES_PER_SECOND = (32 * 1024) / MAX_TRANSFERS;

/** An answer that said that all went well. */
export interface Answer {
  status: number;
  headers: Headers;
  /** Undefined for 204 and 304. */
  body: unknown;
}

/**
 * Sends a request and reads the JSON of the answer.
 * Whether it is the backend's is for the caller to check.
 * @throws {SyncError} for an answer that is one of the protocol's problems, BackendError for anything else that is not
 * JSON with a 2xx, a 204 or a 304, the signal's reason when the caller gave up
 */
export async function exchangeJson(request: HttpRequest): Promise<Answer> {
  return withTimeLimit(request, async (signal) => {
    const response = await send(request, signal);
    const { status, headers } = response;
    const text = await readBounded(response, request.url);
    if (status === 304 || status === 204) return { status, headers, body: undefined };
    if (!response.ok) throw failureOf(request, response, text);
    const body = mediaTypeIn(headers) === mediaTypes.json ? parseOrUndefined(text) : undefined;
    if (body === undefined) throw foreignAnswer(request.url, status, excerpt(text));
    return { status, headers, body };
  });
}

function mediaTypeIn(headers: Headers): string {
  return (headers.get('content-type') ?? '').split(';')[0]!.trim().toLowerCase();
}

/**
 * Sends a request whose answer is read as it comes. The body fails with BackendError when nothing arrives for
 * `idleTimeoutMs`, or when the connection breaks; a clean end is not yet a complete answer (the caller counts).
 */
export async function exchangeStream(
  request: HttpRequest & { idleTimeoutMs: number },
): Promise<{ status: number; headers: Headers; body: AsyncGenerator<Uint8Array> }> {
  const controller = new AbortController();
  const stopped = AbortSignal.any([request.signal, controller.signal]);
  try {
    const response = await withTimeLimit({ ...request, signal: stopped }, async (signal) => {
      const answer = await send(request, signal, stopped);
      if (!answer.ok) throw failureOf(request, answer, await readBounded(inflatedAnswer(request, answer), request.url));
      return answer;
    });
    const body = readBody(response, request, controller);
    const { status, headers } = response;
    return { status, headers, body: arrivesDeflated(request, response) ? inflate(body, request.url) : body };
  } catch (error) {
    controller.abort();
    request.signal.throwIfAborted();
    throw error;
  }
}

async function* readBody(
  response: Response,
  { url, signal, idleTimeoutMs, bandwidth }: HttpRequest & { idleTimeoutMs: number },
  controller: AbortController,
): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  let watchdog: ReturnType<typeof setTimeout> | undefined;
  let isIdle = false;
  try {
    while (reader !== undefined) {
      watchdog = setTimeout(() => {
        isIdle = true;
        controller.abort();
      }, idleTimeoutMs);
      const { done, value } = await reader.read();
      clearTimeout(watchdog);
      if (done) return;
      // At the pace that is allowed: what is not read stays at the other end.
      await bandwidth?.take(value.length, signal);
      yield value;
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw backendError(
      isIdle ? 'BACKEND_SIN_RESPUESTA' : 'RESPUESTA_CORTADA',
      { url, motivo: isIdle ? `no envió nada durante ${idleTimeoutMs / 1000} s` : reasonOf(cause) },
      { cause },
    );
  } finally {
    clearTimeout(watchdog);
    // Left early: the rest of the answer is of no use, and the connection must not wait for it.
    controller.abort();
  }
}

/** With a limit answers come as they are sent, so that what is counted is what the line carries. */
function arrivesDeflated({ bandwidth }: HttpRequest, response: Response): boolean {
  return bandwidth !== undefined && response.headers.get('content-encoding') === 'gzip';
}

function inflatedAnswer(request: HttpRequest, response: Response): Response {
  if (!arrivesDeflated(request, response) || response.body === null) return response;
  return new Response(response.body.pipeThrough(new DecompressionStream('gzip')));
}

async function* inflate(body: AsyncGenerator<Uint8Array>, url: string): AsyncGenerator<Uint8Array> {
  const inflated = createGunzip();
  const done = pipeline(body, inflated).catch(() => {
    // Whoever reads what comes out of it meets the error there.
  });
  try {
    for await (const piece of inflated) yield piece as Uint8Array;
  } catch (cause) {
    if (!String((cause as NodeJS.ErrnoException).code).startsWith('Z_')) throw cause;
    throw backendError('RESPUESTA_CORTADA', { url, motivo: 'lo comprimido llegó incompleto o dañado' }, { cause });
  } finally {
    inflated.destroy();
    await done;
  }
}

async function send(request: HttpRequest & { idleTimeoutMs?: number }, ...signals: AbortSignal[]): Promise<Response> {
  const { method, url, headers = {}, body, ca, proxy, bandwidth } = request;
  const signal = signals.at(-1)!;
  const slow = bandwidth !== undefined && body instanceof Uint8Array;
  try {
    return await fetch(url, {
      method,
      // A stream says its length, for proxies and servers that ask for one.
      headers: slow ? { ...headers, 'content-length': String(body.length) } : headers,
      ...(body === undefined ? {} : { body: slow ? throttled(body, bandwidth, signal) : body }),
      ...(proxy === undefined ? {} : { proxy: proxy.url }),
      decompress: request.idleTimeoutMs === undefined || bandwidth === undefined,
      // The key must not follow a redirection to somewhere else.
      redirect: 'manual',
      // Said here, so that no variable of the environment (NODE_TLS_REJECT_UNAUTHORIZED) turns it off.
      tls: { rejectUnauthorized: true, ...defined({ ca }) },
      signal,
    });
  } catch (cause) {
    if (signals.some((signal) => signal.aborted)) throw cause;
    // A connection that broke may be the fault of this request alone (a proxy that dislikes its size, say).
    const broke = ['ConnectionClosed', 'ECONNRESET'].includes((cause as NodeJS.ErrnoException).code ?? '');
    const where = proxy === undefined ? url : `${url} por el proxy ${proxy.name}`;
    if (broke) throw backendError('BACKEND_SIN_RESPUESTA', { url: where, motivo: reasonOf(cause) }, { cause });
    throw backendError('BACKEND_INALCANZABLE', { url: where, motivo: reasonOf(cause) }, { cause });
  }
}

/** Runs `use` under a signal that also aborts after the request's time limit. */
async function withTimeLimit<T>(request: HttpRequest, use: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { signal, url, body, bandwidth } = request;
  // As long as it takes when all transfers of the run share the line.
  const size = body instanceof Uint8Array ? body.length : 0;
  const extra = Math.max(MAX_TRANSFERS * (bandwidth?.timeOf(size) ?? 0), (size / SLOWEST_BYTES_PER_SECOND) * 1000);
  const timeoutMs = request.timeoutMs + Math.ceil(extra / 1000) * 1000;
  signal.throwIfAborted();
  const timeLimit = AbortSignal.timeout(timeoutMs);
  const either = AbortSignal.any([signal, timeLimit]);
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  // Bun keeps a signal of AbortSignal.any for as long as something listens to it.
  using _ = addAbortListener(either, () => reject(either.reason));
  try {
    return await Promise.race([use(either), aborted]);
  } catch (cause) {
    signal.throwIfAborted();
    if (!timeLimit.aborted) throw cause;
    throw backendError('BACKEND_SIN_RESPUESTA', { url, motivo: `nada en ${timeoutMs / 1000} s` }, { cause });
  }
}

async function readBounded(response: Response, url: string): Promise<string> {
  const reader = response.body?.getReader();
  if (reader === undefined) return '';
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      if (size > MAX_ANSWER_BYTES) {
        await reader.cancel();
        throw backendError('RESPUESTA_GRANDE', { url, bytes: MAX_ANSWER_BYTES });
      }
      parts.push(value);
    }
  } catch (cause) {
    if (cause instanceof BackendError) throw cause;
    throw backendError('RESPUESTA_CORTADA', { url, motivo: reasonOf(cause) }, { cause });
  }
  return Buffer.concat(parts).toString('utf8');
}

/** Returns the headers that say who calls. */
export function credentialHeaders(tenant: string, key: string, userAgent: string): Record<string, string> {
  return { [headerNames.tenant]: tenant, [headerNames.apiKey]: key, [headerNames.userAgent]: userAgent };
}
