import { type ErrorCode, errorTable } from '../../protocol/error-table.ts';
import { SyncError } from '../../protocol/errors.ts';
import { AgentError, agentError, type MessageCode } from './agent-error.ts';
import type { AgentErrorKind } from './exit-codes.ts';

/** What an operator is told of an error: what happened, and what to do; and the whole chain of causes for support. */
export interface DescribedError {
  /** Of the catalogue, or of the API's table. */
  code: MessageCode | ErrorCode;
  /** Ends with the code in brackets. */
  message: string;
  action: string;
  /** Both in one line. */
  text: string;
  detail: string;
  kind: AgentErrorKind;
}

/** Translates any error into words: the one place where errors become text. */
export function describeError(error: unknown): DescribedError {
  const { code, sentence, action, kind } = describe(error);
  const message = `${sentence} [${code}]`;
  return { code, message, action, kind, text: `${message} ${action}`, detail: chainOf(error) };
}

function describe(error: unknown): Pick<DescribedError, 'code' | 'action' | 'kind'> & { sentence: string } {
  if (error instanceof SyncError) {
    const { code, detail } = error;
    return { code, sentence: detail, action: errorTable[code].action, kind: kindOfCode(code) };
  }
  const { code, message, action, kind } = error instanceof AgentError ? error : withoutCode(error);
  return { code, sentence: message, action, kind };
}

function withoutCode(error: unknown): AgentError {
  if (isAbort(error)) return agentError('INTERRUMPIDO', {});
  return agentError('INESPERADO', { motivo: error instanceof Error ? error.message : String(error) });
}

/** Returns whether the rest of the run would fail alike: nobody answers, or not allowed. */
export function endsRun(error: unknown): boolean {
  if (error instanceof SyncError) {
    return isCredentialCode(error.code) || error.code === 'CONFIG_NO_ENCONTRADA' || error.code === 'AGENTE_ANTIGUO';
  }
  if (error instanceof AgentError) return error.code === 'BACKEND_INALCANZABLE';
  return isAbort(error);
}

function kindOfCode(code: ErrorCode): AgentErrorKind {
  if (isCredentialCode(code) || code === 'CLAVE_RETIRADA') return 'credenciales';
  if (code === 'AGENTE_ANTIGUO') return 'antiguo';
  return code === 'CONFIG_NO_ENCONTRADA' || code === 'CONFIG_INVALIDA' ? 'configuracion' : 'backend';
}

/** Returns whether it is the key or the tenant that was refused. */
export function isCredentialCode(code: ErrorCode): boolean {
  return code === 'NO_AUTORIZADO' || code === 'TENANT_INACTIVO' || code === 'AGENTE_NO_AUTORIZADO';
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

function chainOf(error: unknown): string {
  const parts: string[] = [];
  for (let link = error, depth = 0; link !== undefined && depth < 5; depth++) {
    parts.push(link instanceof Error ? `${link.name}: ${link.message}` : String(link));
    link = link instanceof Error ? link.cause : undefined;
  }
  return parts.join('\n← ');
}
