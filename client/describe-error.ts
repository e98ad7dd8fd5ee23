import { errorTable, SyncError } from '../protocol/errors.ts';
import { AgentError, type AgentErrorKind } from './exit-codes.ts';
import { BackendError } from './http/client.ts';
import { SqlServerError } from './sqlserver/errors.ts';

/** What an operator is told of an error: what happened, and what to do; and the whole chain of causes for support. */
export interface DescribedError {
  message: string;
  /** Empty when the message already says it. */
  action: string;
  /** Both in one line. */
  text: string;
  detail: string;
  kind: AgentErrorKind;
}

/** Translates any error into words: the one place where errors become text. */
export function describeError(error: unknown): DescribedError {
  const described = describe(error);
  const { message, action } = described;
  return { ...described, text: action === '' ? message : `${message} ${action}` };
}

function describe(error: unknown): Omit<DescribedError, 'text'> {
  const detail = chainOf(error);
  if (error instanceof AgentError) {
    const { message, action, kind } = error;
    return { message, action, kind, detail };
  }
  if (error instanceof SyncError) {
    const { action } = errorTable[error.code];
    const kind = kindOfCode(error.code);
    return { message: `${error.detail} [${error.code}]`, action, kind, detail };
  }
  if (error instanceof BackendError) {
    const action = error.retryable
      ? 'Compruebe la red y que el backend esté en marcha; la próxima ejecución lo intenta de nuevo.'
      : 'Compruebe la dirección del backend (init --url).';
    return { message: `${error.message}.`, action, kind: 'backend', detail };
  }
  // Its message already ends with what to do.
  if (error instanceof SqlServerError) {
    const kind = error.code === 'CREDENCIALES' ? 'credenciales' : 'sqlserver';
    return { message: error.message, action: '', kind, detail };
  }
  if (isAbort(error)) {
    return {
      message: 'Interrumpido antes de terminar.',
      action: 'La próxima ejecución sigue desde la última marca confirmada.',
      kind: 'interrumpido',
      detail,
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { message, action: 'Si se repite, envíe logs/sync-error.log al administrador.', kind: 'error', detail };
}

/** Whether the rest of the run would fail alike: nobody answers, or not allowed. */
export function endsRun(error: unknown): boolean {
  if (error instanceof SyncError) return isCredentialCode(error.code) || error.code === 'CONFIG_NO_ENCONTRADA';
  if (error instanceof BackendError) return error.unreachable;
  return isAbort(error);
}

function kindOfCode(code: SyncError['code']): AgentErrorKind {
  if (isCredentialCode(code) || code === 'CLAVE_RETIRADA') return 'credenciales';
  return code === 'CONFIG_NO_ENCONTRADA' || code === 'CONFIG_INVALIDA' ? 'configuracion' : 'backend';
}

/** Whether it is the key or the tenant that was refused. */
export function isCredentialCode(code: SyncError['code']): boolean {
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
