import type {
  ChangesRequest,
  Commit,
  DescribeTable,
  GeneracionesResponse,
  LogEntry,
  LogsResponse,
  OpenUpload,
  OpenUploadResponse,
  RegisterAgentResponse,
  ReportBajas,
  ReportBajasResponse,
  RotateKeyResponse,
  RunPhase,
  RunPhaseResponse,
  StatusResponse,
  UploadResult,
  UploadStateResponse,
} from '../../protocol/api.ts';
import { hashApiKey } from '../../protocol/api-key.ts';
import { headers, mediaTypes } from '../../protocol/constants.ts';
import { agentIdOf } from '../../protocol/crypto/agent-key.ts';
import { formatContentDigest } from '../../protocol/digest.ts';
import { UploadResultSchema } from '../../protocol/endpoints/upload.ts';
import type { ConfigResponse } from '../../protocol/tenant-config/config.ts';
import { isRefusal } from '../errors/retry.ts';
import { checkAnswer, isUnchanged } from './answers.ts';
import { exchangeJson } from './client.ts';
import { openFramed, SQL_MS } from './framed.ts';
import { type BackendOptions, Requests } from './requests.ts';
import { VerificationRequests } from './verification.ts';

/** A gzip member of whole NDJSON lines, as it goes over the wire. */
export interface CompressedChunk {
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

/**
 * The backend's API for one tenant. Every method retries as retry.ts says where repeating does no harm, and throws
 * SyncError (the backend refused), BackendError (it did not answer) or the signal's reason.
 */
export class Backend {
  readonly #requests: Requests;
  readonly verification: VerificationRequests;

  constructor(options: BackendOptions) {
    this.#requests = new Requests(options);
    this.verification = new VerificationRequests(this.#requests);
  }

  async checkHealth(signal: AbortSignal): Promise<void> {
    await this.#requests.call('checkHealth', { signal });
  }

  /**
   * Registers the public half of the agent's key pair.
   *
   * @throws SyncError RUTA_DESCONOCIDA: a backend that knows none
   */
  registerAgent(clavePublica: string, signal: AbortSignal): Promise<RegisterAgentResponse> {
    const echo = { agente: agentIdOf(clavePublica) };
    return this.#requests.call('registerAgent', { body: { clavePublica }, signal, echo });
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
    const request = {
      signal,
      headers: {
        ...(etag === undefined || etag === '' ? {} : { 'if-none-match': etag }),
        ...(agentId === undefined ? {} : { [headers.agent]: agentId }),
      },
    };
    const { url } = this.#requests.describe('getConfig', request);
    return this.#requests.ask('getConfig', request, (answer) => {
      const key = keyStateOf(answer.headers);
      if (isUnchanged(url, answer, etag)) return { key };
      const echo = { tenantId: this.#requests.tenant };
      // Its tables are checked field by field by whoever is told of their faults (config/remote.ts).
      const config = checkAnswer('getConfig', url, answer, { echo }) as ConfigResponse;
      return { key, changed: { etag: answer.headers.get('etag') ?? '', config } };
    });
  }

  /** One request, all or nothing. `idempotencyKey` makes its repetition harmless. */
  uploadOnce(
    { relojAtrasado, huellas, ...upload }: UploadDescription,
    { body, digest, rows }: CompressedChunk,
    { idempotencyKey, signal }: { idempotencyKey: string; signal: AbortSignal },
  ): Promise<UploadResult> {
    return this.#requests.call('uploadOnce', {
      query: {
        ...upload,
        ...(relojAtrasado === true ? { relojAtrasado: 'true' } : {}),
        ...(huellas === true ? { huellas: 'true' } : {}),
      },
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
      schema: UploadResultSchema,
      echo: { tabla: upload.tabla, filas: rows, generacion: idempotencyKey },
    }) as Promise<UploadResult>;
  }

  /** `id`: 32 random hexadecimal digits, so that opening it again after a lost answer opens no second one. */
  openUpload(upload: UploadDescription & { id: string }, signal: AbortSignal): Promise<OpenUploadResponse> {
    const { id, tabla, modo } = upload;
    const echo = { id, tabla, modo };
    return this.#requests.call('openUpload', { body: upload, headers: this.#requests.agent(), signal, echo });
  }

  /**
   * Returns which chunks the backend has.
   *
   * @throws SyncError SUBIDA_DESCONOCIDA: it has forgotten the upload
   */
  findUpload(id: string, signal: AbortSignal): Promise<UploadStateResponse> {
    return this.#requests.call('findUpload', { params: { id }, signal, echo: { id } });
  }

  async putChunk(id: string, { n, body, digest, rows }: CompressedChunk, signal: AbortSignal): Promise<void> {
    await this.#requests.call('putChunk', {
      params: { id, n: String(n) },
      headers: { 'content-type': mediaTypes.gzip, [headers.contentDigest]: formatContentDigest(digest) },
      body,
      timeoutMs: BODY_MS,
      signal,
      isTransfer: true,
      echo: { trozo: n, filas: rows },
    });
  }

  commitUpload(id: string, totals: Commit, signal: AbortSignal): Promise<UploadResult> {
    return this.#requests.call('commitUpload', {
      params: { id },
      body: totals,
      headers: this.#requests.agent(),
      timeoutMs: SQL_MS,
      signal,
      isTransfer: true,
      echo: { filas: totals.filas, generacion: id },
    });
  }

  /**
   * Returns what the marks stand on, by table, as far as the backend has it.
   *
   * @throws SyncError RUTA_DESCONOCIDA: a backend that knows no generations
   */
  async checkGenerations(tablas: Record<string, string | null>, signal: AbortSignal): Promise<GeneracionesResponse> {
    const objection = ({ tablas: answered }: GeneracionesResponse) => {
      const other = Object.entries(answered).find(([tabla, generacion]) => {
        const asked = Object.hasOwn(tablas, tabla) ? tablas[tabla] : undefined;
        return asked === undefined || (asked !== null && generacion !== null && generacion !== asked);
      });
      return other && `dice otra cosa de «${other[0].slice(0, 60)}»`;
    };
    const request = { body: { tablas }, headers: this.#requests.agent(), signal, objection };
    return this.#requests.call('checkGenerations', request);
  }

  /** One attempt: the backend forgets an abandoned upload by itself in the end. */
  async abandonUpload(id: string, signal: AbortSignal): Promise<void> {
    await exchangeJson(this.#requests.describe('abandonUpload', { params: { id }, signal }));
  }

  /** A framed download, as of openFramed. */
  async openDownload(tabla: string, signal: AbortSignal): Promise<AsyncGenerator<Uint8Array>> {
    const request = this.#requests.describe('openDownload', {
      query: { tabla },
      headers: { accept: mediaTypes.framedNdjson, 'accept-encoding': 'gzip' },
      timeoutMs: SQL_MS,
      signal,
    });
    return openFramed(this.#requests, request);
  }

  /** The rows of a download that the agent does not hold, framed; as openDownload. */
  openChanges(body: ChangesRequest, signal: AbortSignal): Promise<AsyncGenerator<Uint8Array>> {
    const headers = { 'accept-encoding': 'gzip' };
    return openFramed(
      this.#requests,
      this.#requests.describe('openChanges', { body, headers, timeoutMs: SQL_MS, signal }),
    );
  }

  /** A phase at PostgreSQL is SQL of the tenant's own, maybe not repeatable: again only where it did not begin. */
  runPhase(phase: RunPhase, signal: AbortSignal): Promise<RunPhaseResponse> {
    const { tabla, fase } = phase;
    const options = { timeoutMs: SQL_MS, isTransfer: true, when: isRefusal, echo: { tabla, fase } };
    return this.#requests.call('runPhase', { body: phase, signal, ...options });
  }

  /**
   * Tells of bajas that are held back at SQL Server, and asks whether an administrator has decided of this very set. Repeating it
   * does no harm.
   *
   * @throws SyncError RUTA_DESCONOCIDA: a backend that knows no bajas retenidas
   */
  reportBajas(report: ReportBajas, signal: AbortSignal): Promise<ReportBajasResponse> {
    return this.#requests.call('reportBajas', { body: report, headers: this.#requests.agent(), signal });
  }

  /**
   * Describes the columns of an upload table, which uploads name by `huella` then.
   *
   * @throws SyncError ESQUEMA_CAMBIADO; RUTA_DESCONOCIDA: a backend that knows no descriptions
   */
  async describeTable(table: DescribeTable, huella: string, signal: AbortSignal): Promise<void> {
    const request = { body: table, headers: this.#requests.agent(), signal, echo: { huella } };
    await this.#requests.call('describeTable', request);
  }

  fetchStatus(signal: AbortSignal): Promise<StatusResponse> {
    return this.#requests.call('getStatus', { signal });
  }

  /** Each entry has an id of its own, so that a lost answer makes none of them twice. */
  sendLogs(logs: LogEntry[], signal: AbortSignal): Promise<LogsResponse> {
    const objection = ({ logsInsertados }: LogsResponse) =>
      logsInsertados > logs.length ? `dice ${logsInsertados} registros y se enviaron ${logs.length}` : undefined;
    return this.#requests.call('storeLogs', { body: { logs }, signal, objection });
  }

  /** Puts `next`, of which only the hash is sent, in the place of this backend's key. Repeating it does no harm. */
  rotateKey(next: string, signal: AbortSignal): Promise<RotateKeyResponse> {
    return this.#requests.call('rotateKey', { body: { huella: hashApiKey(next).toString('base64') }, signal });
  }
}

function keyStateOf(answered: Headers): KeyState {
  const end = new Date(answered.get(headers.apiKeyExpires) ?? Number.NaN);
  return {
    end: Number.isNaN(end.getTime()) ? undefined : end,
    renew: answered.get(headers.apiKeyRenew) === 'true',
  };
}
