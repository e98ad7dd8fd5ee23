import type {
  CompareDownload,
  DetailsRequest,
  DetailsResponse,
  PairsRequest,
  SummaryRequest,
  Verificacion,
} from '../../protocol/api.ts';
import { openFramed, SQL_MS } from './framed.ts';
import type { Requests } from './requests.ts';

/** What `verify` asks of the backend (protocol/endpoints/verificaciones.ts). Throws as Backend's methods do. */
export class VerificationRequests {
  readonly #requests: Requests;

  constructor(requests: Requests) {
    this.#requests = requests;
  }

  /** The buckets of a table, framed; as Backend.openDownload. */
  summarize(body: SummaryRequest, signal: AbortSignal): Promise<AsyncGenerator<Uint8Array>> {
    const headers = { 'accept-encoding': 'gzip' };
    return openFramed(
      this.#requests,
      this.#requests.describe('summarize', { body, headers, timeoutMs: SQL_MS, signal }),
    );
  }

  /** The rows of some of them, framed; as Backend.openDownload. */
  listPairs(body: PairsRequest, signal: AbortSignal): Promise<AsyncGenerator<Uint8Array>> {
    const headers = { 'accept-encoding': 'gzip' };
    return openFramed(
      this.#requests,
      this.#requests.describe('listPairs', { body, headers, timeoutMs: SQL_MS, signal }),
    );
  }

  /** What a download would bring: its buckets, or the rows of some, framed; as Backend.openDownload. */
  compareDownload(body: CompareDownload, signal: AbortSignal): Promise<AsyncGenerator<Uint8Array>> {
    const headers = { 'accept-encoding': 'gzip' };
    return openFramed(
      this.#requests,
      this.#requests.describe('compareDownload', { body, headers, timeoutMs: SQL_MS, signal }),
    );
  }

  findDetails(body: DetailsRequest, signal: AbortSignal): Promise<DetailsResponse> {
    return this.#requests.call('findDetails', { body, timeoutMs: SQL_MS, isTransfer: true, signal });
  }

  /** Keeps how a comparison ended. */
  async store(body: Verificacion, signal: AbortSignal): Promise<void> {
    await this.#requests.call('storeVerification', { body, headers: this.#requests.agent(), signal });
  }
}
