import { AgentError, type MessageValues } from '../errors/agent-error.ts';
import type { backendMessages } from '../errors/messages/backend.ts';

/** The backend did not answer as the protocol says: unreachable, cut, a proxy's page, a time limit. */
export class BackendError extends AgentError {
  readonly status: number | undefined;
  override readonly retryAfter: number | undefined;
  constructor(code: BackendCode, values: Readonly<Record<string, string | number>>, details: BackendDetails = {}) {
    super(code, values, details.cause, details.retryable);
    this.name = 'BackendError';
    this.status = details.status;
    this.retryAfter = details.retryAfter;
  }
}

export type BackendCode = keyof typeof backendMessages;

interface BackendDetails {
  status?: number;
  retryAfter?: number;
  /** In the place of what the catalogue says. */
  retryable?: boolean;
  cause?: unknown;
}

/** Returns a BackendError of the catalogue with its values. */
export function backendError<Code extends BackendCode>(
  code: Code,
  values: MessageValues<Code>,
  details?: BackendDetails,
): BackendError {
  return new BackendError(code, values, details);
}

/**
 * Returns RESPUESTA_AJENA: what looks as if it had gone well, and is not the backend's word. Retryable: a gateway that
 * answers so in its place does so for a while.
 */
export function foreignAnswer(url: string, status: number, text: string): BackendError {
  return backendError('RESPUESTA_AJENA', { url, estado: status, texto: text }, { status, retryable: true });
}
