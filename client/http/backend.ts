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
import { headers, mediaTypes, paths } from '../../protocol/constants.ts';
import { agentIdOf } from '../../protocol/crypto/agent-key.ts';
import { formatContentDigest } from '../../protocol/digest.ts';
import type { ConfigResponse } from '../../protocol/tenant-config/config.ts';
import { isRefusal } from '../errors/retry.ts';
import { checkAnswer, checkFramed, isUnchanged } from './answers.ts';
import { exchangeJson, exchangeStream } from './client.ts';
import { type BackendOptions, QUICK_MS, Requests } from './requests.ts';

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

/** What the backend says of the key that it was asked with. */
export interface KeyState {
  /** When it ends; undefined: never. */
  end: Date | undefined;
  /** Whether it is time to rotate it. */
  renew: boolean;
}

/** Time limits by what is asked, beside that of a page: a body of some MB over a slow line, SQL over a large table. */
const BODY_MS = 300_000;
const SQL_MS = 900_000;
const STALL_MS = 120_000;

/**
 * The backend's API for one tenant. Every method retries as retry.ts says where repeating does no harm, and throws
 * SyncError (the backend refused), BackendError (it did not answer) or the signal's reason.
 */
export class Backend {
  readonly #requests: Requests;

  constructor(options: BackendOptions) {
    this.#requests = new Requests(options);
  }

  async checkHealth(signal: AbortSignal): Promise<void> {
    await this.#requests.get('health', paths.health(), { signal });
  }

  /** Registers the public half of the agent's key pair. Throws SyncError RUTA_DESCONOCIDA: a backend that knows none. */
  async registerAgent(clavePublica: string, signal: AbortSignal): Promise<RegisterAgentResponse> {
    const echo = { agente: agentIdOf(clavePublica) };
    return this.#requests.post('agents', paths.agents(this.#requests.tenant), { clavePublica }, { signal, echo });
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
    const { tenant } = this.#requests;
    const path = paths.config(tenant);
    const request = {
      timeoutMs: QUICK_MS,
      signal,
      headers: {
        ...(etag === undefined || etag === '' ? {} : { 'if-none-match': etag }),
        ...(agentId === undefined ? {} : { [headers.agent]: agentId }),
      },
    };
    return this.#requests.ask('GET', path, request, (answer) => {
      const key = keyStateOf(answer.headers);
      const url = this.#requests.base + path;
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
        ...this.#requests.agent(),
        [headers.idempotencyKey]: idempotencyKey,
        [headers.contentDigest]: formatContentDigest(digest),
      },
      body,
      timeoutMs: SQL_MS,
      signal,
      isTransfer: true,
    };
    const echo = { tabla: upload.tabla, filas: rows, generacion: idempotencyKey };
    return this.#requests.checked('POST', `${paths.upload(this.#requests.tenant)}?${query}`, request, 'result', {
      echo,
    });
  }

  /** `id`: 32 random hexadecimal digits, so that opening it again after a lost answer opens no second one. */
  async openUpload(upload: UploadDescription & { id: string }, signal: AbortSignal): Promise<OpenUploadResponse> {
    const { id, tabla, modo } = upload;
    const options = { signal, headers: this.#requests.agent(), status: 201, echo: { id, tabla, modo } };
    return this.#requests.post('opened', paths.uploads(this.#requests.tenant), upload, options);
  }

  /** Which chunks the backend has. Throws SyncError SUBIDA_DESCONOCIDA when it has forgotten the upload. */
  async findUpload(id: string, signal: AbortSignal): Promise<UploadStateResponse> {
    return this.#requests.get('state', paths.uploadById(this.#requests.tenant, id), { signal, echo: { id } });
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
    await this.#requests.checked('PUT', paths.chunk(this.#requests.tenant, id, chunk.n), request, 'chunk', { echo });
  }

  async commitUpload(id: string, totals: Commit, signal: AbortSignal): Promise<UploadResult> {
    const path = paths.commit(this.#requests.tenant, id);
    const options = { signal, timeoutMs: SQL_MS, isTransfer: true, headers: this.#requests.agent() };
    return this.#requests.post('result', path, totals, { ...options, echo: { filas: totals.filas, generacion: id } });
  }

  /**
   * What the marks stand on, by table, as far as the backend has it (protocol/api.ts). Throws SyncError RUTA_DESCONOCIDA: a
   * backend that knows no generations.
   */
  async checkGenerations(
    tablas: Record<string, string | null>,
    signal: AbortSignal,
  ): Promise<GeneracionesResponse['tablas']> {
    const path = paths.generaciones(this.#requests.tenant);
    const objection = ({ tablas: answered }: GeneracionesResponse) => {
      const other = Object.entries(answered).find(([tabla, generacion]) => {
        const asked = Object.hasOwn(tablas, tabla) ? tablas[tabla] : undefined;
        return asked === undefined || (asked !== null && generacion !== null && generacion !== asked);
      });
      return other && `dice otra cosa de «${other[0].slice(0, 60)}»`;
    };
    return (
      await this.#requests.post('generations', path, { tablas }, { signal, headers: this.#requests.agent(), objection })
    ).tablas;
  }

  /** One attempt: the backend forgets an abandoned upload by itself in the end. */
  async abandonUpload(id: string, signal: AbortSignal): Promise<void> {
    await exchangeJson({
      method: 'DELETE',
      url: this.#requests.base + paths.uploadById(this.#requests.tenant, id),
      headers: this.#requests.credentials(),
      timeoutMs: QUICK_MS,
      signal,
      ...this.#requests.way,
    });
  }

  /**
   * A framed download: its first byte to its last, and nothing about whether it is complete (sync/frame.ts). One
   * attempt: what has been consumed cannot be repeated here. It holds one of the permits of the run until it is read to its end or
   * left; whoever asks for it reads it.
   */
  async openDownload(tabla: string, signal: AbortSignal): Promise<AsyncGenerator<Uint8Array>> {
    const query = new URLSearchParams({ tabla });
    const giveBack = await this.#requests.semaphore.take(signal);
    try {
      const url = `${this.#requests.base}${paths.download(this.#requests.tenant)}?${query}`;
      const { body, ...answer } = await exchangeStream({
        method: 'GET',
        url,
        headers: { ...this.#requests.credentials(), accept: mediaTypes.framedNdjson, 'accept-encoding': 'gzip' },
        timeoutMs: SQL_MS,
        stallTimeoutMs: STALL_MS,
        signal,
        ...this.#requests.way,
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
    const path = paths.phases(this.#requests.tenant);
    const { tabla, fase } = phase;
    const options = { signal, timeoutMs: SQL_MS, isTransfer: true, when: isRefusal, echo: { tabla, fase } };
    return this.#requests.post('phase', path, phase, options);
  }

  /**
   * Tells of bajas that are held back at SQL Server, and asks whether an administrator has decided of this very set. Repeating it
   * does no harm. Throws SyncError RUTA_DESCONOCIDA: a backend that knows no bajas retenidas.
   */
  async reportBajas(report: ReportBajas, signal: AbortSignal): Promise<ReportBajasResponse> {
    return this.#requests.post('bajas', paths.bajas(this.#requests.tenant), report, {
      signal,
      headers: this.#requests.agent(),
    });
  }

  async fetchStatus(signal: AbortSignal): Promise<StatusResponse> {
    return this.#requests.get('status', paths.status(this.#requests.tenant), { signal });
  }

  /** Each entry has an id of its own, so that a lost answer makes none of them twice. */
  async sendLogs(logs: LogEntry[], signal: AbortSignal): Promise<LogsResponse> {
    const objection = ({ logsInsertados }: LogsResponse) =>
      logsInsertados > logs.length ? `dice ${logsInsertados} registros y se enviaron ${logs.length}` : undefined;
    return this.#requests.post('logs', paths.logs(this.#requests.tenant), { logs }, { signal, objection });
  }

  /** Puts `next`, of which only the hash is sent, in the place of this backend's key. Repeating it does no harm. */
  async rotateKey(next: string, signal: AbortSignal): Promise<RotateKeyResponse> {
    const body: RotateKey = { huella: hashApiKey(next).toString('base64') };
    return this.#requests.post('keys', paths.keys(this.#requests.tenant), body, { signal });
  }
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
