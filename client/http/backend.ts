import { agentIdOf } from '../../protocol/agent-key.ts';
import type {
  Commit,
  GeneracionesResponse,
  LogEntry,
  LogsResponse,
  OpenUpload,
  OpenUploadResponse,
  RegisterAgentResponse,
  ReportBajas,
  ReportBajasResponse,
  RotateKey,
  RotateKeyResponse,
  RunPhase,
  RunPhaseResponse,
  StatusResponse,
  UploadResult,
  UploadStateResponse,
} from '../../protocol/api.ts';
import { hashApiKey } from '../../protocol/api-key.ts';
import type { ConfigResponse } from '../../protocol/config.ts';
import { API_PREFIX, headers, mediaTypes, paths } from '../../protocol/constants.ts';
import { formatContentDigest } from '../../protocol/digest.ts';
import { isRefusal, type RetryOptions, type RetryPolicy, withRetries } from '../retry.ts';
import { userAgent } from '../version.ts';
import { type AnswerKind, type AnswerOf, checkAnswer, checkFramed, type Expected, isUnchanged } from './answers.ts';
import type { Bandwidth } from './bandwidth.ts';
import { type Answer, credentialHeaders, exchangeJson, exchangeStream, type HttpRequest } from './client.ts';
import type { HttpProxy } from './proxy.ts';
import { MAX_TRANSFERS, Turns } from './turns.ts';

/** A gzip member of whole NDJSON lines, as it goes over the wire. */
export interface SealedChunk {
  /** From 0. */
  n: number;
  body: Uint8Array<ArrayBuffer>;
  /** SHA-256 of `body`, base64. */
  digest: string;
  rows: number;
}

/** What the backend is told of an upload. */
export type UploadDescription = Omit<OpenUpload, 'id'>;

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

/** What the backend says of the key that it was asked with. */
export interface KeyState {
  /** When it ends; undefined: never. */
  end: Date | undefined;
  /** Whether it is time to rotate it. */
  renew: boolean;
}

/** Time limits by what is asked: an answer of a page, a body of some MB over a slow line, SQL over a large table. */
const QUICK_MS = 60_000;
const BODY_MS = 300_000;
const SQL_MS = 900_000;
const STALL_MS = 120_000;

/**
 * The backend's API for one tenant. Every method retries as retry.ts says where repeating does no harm, and throws
 * SyncError (the backend refused), BackendError (it did not answer) or the signal's reason.
 */
export class Backend {
  readonly #options: BackendOptions;
  readonly #base: string;
  readonly #turns = new Turns(MAX_TRANSFERS);
  readonly #way: Pick<HttpRequest, 'ca' | 'proxy' | 'bandwidth'>;

  constructor(options: BackendOptions) {
    this.#options = options;
    this.#base = `${normaliseUrl(options.url)}${API_PREFIX}`;
    const { ca, proxy, bandwidth } = options;
    this.#way = {
      ...(ca === undefined ? {} : { ca }),
      ...(proxy === undefined ? {} : { proxy }),
      ...(bandwidth === undefined ? {} : { bandwidth }),
    };
  }

  async checkHealth(signal: AbortSignal): Promise<void> {
    await this.#get('health', paths.health(), { signal });
  }

  /** Registers the public half of the agent's key pair. Throws SyncError RUTA_DESCONOCIDA: a backend that knows none. */
  async registerAgent(clavePublica: string, signal: AbortSignal): Promise<RegisterAgentResponse> {
    const echo = { agente: agentIdOf(clavePublica) };
    return this.#post('agents', paths.agents(this.#options.tenant), { clavePublica }, { signal, echo });
  }

  /**
   * `changed` is not there when the backend's configuration is still the one of `etag`. `agentId`: whom its secrets are
   * sealed for.
   */
  async fetchConfig(
    etag: string | undefined,
    signal: AbortSignal,
    agentId?: string,
  ): Promise<{ key: KeyState; changed?: { etag: string; config: ConfigResponse } }> {
    const { tenant } = this.#options;
    const path = paths.config(tenant);
    const request = {
      timeoutMs: QUICK_MS,
      signal,
      headers: {
        ...(etag === undefined || etag === '' ? {} : { 'if-none-match': etag }),
        ...(agentId === undefined ? {} : { [headers.agent]: agentId }),
      },
    };
    return this.#ask('GET', path, request, (answer) => {
      const key = keyStateOf(answer.headers);
      const url = this.#base + path;
      if (isUnchanged(url, answer, etag)) return { key };
      // Its tables are checked field by field by whoever is told of their faults (config/remote.ts).
      const config = checkAnswer('config', url, answer, { echo: { tenantId: tenant } }) as ConfigResponse;
      return { key, changed: { etag: answer.headers.get('etag') ?? '', config } };
    });
  }

  /** One request, all or nothing. `idempotencyKey` makes its repetition harmless. */
  async uploadOnce(
    { relojAtrasado, ...upload }: UploadDescription,
    { body, digest, rows }: SealedChunk,
    { idempotencyKey, signal }: { idempotencyKey: string; signal: AbortSignal },
  ): Promise<UploadResult> {
    const query = new URLSearchParams({ ...upload, ...(relojAtrasado === true ? { relojAtrasado: 'true' } : {}) });
    const request = {
      headers: {
        'content-type': mediaTypes.ndjson,
        'content-encoding': 'gzip',
        ...this.#agent(),
        [headers.idempotencyKey]: idempotencyKey,
        [headers.contentDigest]: formatContentDigest(digest),
      },
      body,
      timeoutMs: SQL_MS,
      signal,
      isTransfer: true,
    };
    const echo = { tabla: upload.tabla, filas: rows, generacion: idempotencyKey };
    return this.#checked('POST', `${paths.upload(this.#options.tenant)}?${query}`, request, 'result', { echo });
  }

  /** `id`: 32 random hexadecimal digits, so that opening it again after a lost answer opens no second one. */
  async openUpload(upload: UploadDescription & { id: string }, signal: AbortSignal): Promise<OpenUploadResponse> {
    const { id, tabla, modo } = upload;
    const options = { signal, headers: this.#agent(), status: 201, echo: { id, tabla, modo } };
    return this.#post('opened', paths.uploads(this.#options.tenant), upload, options);
  }

  /** Which chunks the backend has. Throws SyncError SUBIDA_DESCONOCIDA when it has forgotten the upload. */
  async findUpload(id: string, signal: AbortSignal): Promise<UploadStateResponse> {
    return this.#get('state', paths.uploadById(this.#options.tenant, id), { signal, echo: { id } });
  }

  async putChunk(id: string, chunk: SealedChunk, signal: AbortSignal): Promise<void> {
    const request = {
      headers: {
        'content-type': mediaTypes.gzip,
        [headers.contentDigest]: formatContentDigest(chunk.digest),
      },
      body: chunk.body,
      timeoutMs: BODY_MS,
      signal,
      isTransfer: true,
    };
    const echo = { trozo: chunk.n, filas: chunk.rows };
    await this.#checked('PUT', paths.chunk(this.#options.tenant, id, chunk.n), request, 'chunk', { echo });
  }

  async commitUpload(id: string, totals: Commit, signal: AbortSignal): Promise<UploadResult> {
    const path = paths.commit(this.#options.tenant, id);
    const options = { signal, timeoutMs: SQL_MS, isTransfer: true, headers: this.#agent() };
    return this.#post('result', path, totals, { ...options, echo: { filas: totals.filas, generacion: id } });
  }

  /**
   * What the marks stand on, by table, as far as the backend has it (protocol/api.ts). Throws SyncError RUTA_DESCONOCIDA: a
   * backend that knows no generations.
   */
  async checkGenerations(
    tablas: Record<string, string | null>,
    signal: AbortSignal,
  ): Promise<GeneracionesResponse['tablas']> {
    const path = paths.generaciones(this.#options.tenant);
    const objection = ({ tablas: answered }: GeneracionesResponse) => {
      const other = Object.entries(answered).find(([tabla, generacion]) => {
        const asked = Object.hasOwn(tablas, tabla) ? tablas[tabla] : undefined;
        return asked === undefined || (asked !== null && generacion !== null && generacion !== asked);
      });
      return other && `dice otra cosa de «${other[0].slice(0, 60)}»`;
    };
    return (await this.#post('generations', path, { tablas }, { signal, headers: this.#agent(), objection })).tablas;
  }

  /** One attempt: the backend forgets an abandoned upload by itself in the end. */
  async abandonUpload(id: string, signal: AbortSignal): Promise<void> {
    await exchangeJson({
      method: 'DELETE',
      url: this.#base + paths.uploadById(this.#options.tenant, id),
      headers: this.#credentials(),
      timeoutMs: QUICK_MS,
      signal,
      ...this.#way,
    });
  }

  /**
   * A framed download: its first byte to its last, and nothing about whether it is complete (sync/frame.ts). One
   * attempt: what has been consumed cannot be repeated here. It holds one of the run's turns until it is read to its end or
   * left; whoever asks for it reads it.
   */
  async openDownload(tabla: string, signal: AbortSignal): Promise<AsyncGenerator<Uint8Array>> {
    const query = new URLSearchParams({ tabla });
    const giveBack = await this.#turns.take(signal);
    try {
      const url = `${this.#base}${paths.download(this.#options.tenant)}?${query}`;
      const { body, ...answer } = await exchangeStream({
        method: 'GET',
        url,
        headers: { ...this.#credentials(), accept: mediaTypes.framedNdjson, 'accept-encoding': 'gzip' },
        timeoutMs: SQL_MS,
        stallTimeoutMs: STALL_MS,
        signal,
        ...this.#way,
      });
      try {
        checkFramed(url, answer);
      } catch (error) {
        await body.return(undefined);
        throw error;
      }
      return endingWith(body, giveBack);
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  /** A phase at PostgreSQL is SQL of the tenant's own, maybe not repeatable: again only where it did not begin. */
  async runPhase(phase: RunPhase, signal: AbortSignal): Promise<RunPhaseResponse> {
    const path = paths.phases(this.#options.tenant);
    const { tabla, fase } = phase;
    const options = { signal, timeoutMs: SQL_MS, isTransfer: true, when: isRefusal, echo: { tabla, fase } };
    return this.#post('phase', path, phase, options);
  }

  /**
   * Tells of bajas that are held back at SQL Server, and asks whether an administrator has decided of this very set. Repeating it
   * does no harm. Throws SyncError RUTA_DESCONOCIDA: a backend that knows no bajas retenidas.
   */
  async reportBajas(report: ReportBajas, signal: AbortSignal): Promise<ReportBajasResponse> {
    return this.#post('bajas', paths.bajas(this.#options.tenant), report, { signal, headers: this.#agent() });
  }

  async fetchStatus(signal: AbortSignal): Promise<StatusResponse> {
    return this.#get('status', paths.status(this.#options.tenant), { signal });
  }

  /** Each entry has an id of its own, so that a lost answer makes none of them twice. */
  async sendLogs(logs: LogEntry[], signal: AbortSignal): Promise<LogsResponse> {
    const objection = ({ logsInsertados }: LogsResponse) =>
      logsInsertados > logs.length ? `dice ${logsInsertados} registros y se enviaron ${logs.length}` : undefined;
    return this.#post('logs', paths.logs(this.#options.tenant), { logs }, { signal, objection });
  }

  /** Puts `next`, of which only the hash is sent, in the place of this backend's key. Repeating it does no harm. */
  async rotateKey(next: string, signal: AbortSignal): Promise<RotateKeyResponse> {
    const body: RotateKey = { huella: hashApiKey(next).toString('base64') };
    return this.#post('keys', paths.keys(this.#options.tenant), body, { signal });
  }

  #agent(): Record<string, string> {
    const { agent } = this.#options;
    return agent === undefined ? {} : { [headers.agent]: agent };
  }

  #credentials(): Record<string, string> {
    return credentialHeaders(this.#options.tenant, this.#options.key, userAgent);
  }

  #get<Kind extends AnswerKind>(
    kind: Kind,
    path: string,
    { signal, ...expected }: Pick<JsonOptions, 'signal'> & Expected,
  ): Promise<AnswerOf<Kind>> {
    return this.#checked('GET', path, { timeoutMs: QUICK_MS, signal }, kind, expected);
  }

  #post<Kind extends AnswerKind>(
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
    return this.#checked('POST', path, request, kind, expected);
  }

  #checked<Kind extends AnswerKind>(
    method: Method,
    path: string,
    options: JsonOptions,
    kind: Kind,
    expected: Expected,
  ): Promise<AnswerOf<Kind>> {
    return this.#ask(method, path, options, (answer) => checkAnswer(kind, this.#base + path, answer, expected));
  }

  /** `check` belongs to the attempt: an answer that is not the backend's is asked for again, as one that did not come. */
  #ask<T>(method: Method, path: string, options: JsonOptions, check: (answer: Answer) => T): Promise<T> {
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
        ...this.#way,
        method,
        url: this.#base + path,
        headers: { ...this.#credentials(), ...own },
      });
    return withRetries(async () => {
      if (!isTransfer) return check(await exchange());
      const giveBack = await this.#turns.take(options.signal);
      return check(await exchange().finally(giveBack));
    }, retry);
  }
}

type Method = 'GET' | 'POST' | 'PUT';

type PostOptions = Expected & { timeoutMs?: number };

interface JsonOptions {
  headers?: Record<string, string>;
  body?: string | Uint8Array<ArrayBuffer>;
  timeoutMs: number;
  signal: AbortSignal;
  /** Takes one of the run's turns; an attempt that waits for it is not timed. */
  isTransfer?: boolean;
  when?: (error: unknown) => boolean;
}

async function* endingWith<T>(source: AsyncGenerator<T>, end: () => void): AsyncGenerator<T> {
  try {
    yield* source;
  } finally {
    end();
  }
}

function keyStateOf(answered: Headers): KeyState {
  const end = new Date(answered.get(headers.apiKeyExpires) ?? Number.NaN);
  return {
    end: Number.isNaN(end.getTime()) ? undefined : end,
    renew: answered.get(headers.apiKeyRenew) === 'true',
  };
}

/** `https://host/` and `https://host/api/sync` are the same backend. Throws a TypeError for what is not an HTTP URL. */
export function normaliseUrl(text: string): string {
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new TypeError(`not an HTTP URL: ${url.protocol}`);
  return `${url.origin}${url.pathname}`.replace(/\/+$/, '').replace(/\/api\/sync$/, '');
}
