import { mediaTypes } from '../../protocol/constants.ts';
import { defined } from '../../protocol/defined.ts';
import { SyncError } from '../../protocol/errors.ts';
import { readProblem } from '../../protocol/problem.ts';
import { backendError, foreignAnswer } from './backend-error.ts';
import type { HttpProxy } from './proxy.ts';

/** What failed of an exchange, as an error of the catalogue. */

const RETRYABLE_STATUS = new Set([408, 425, 429]);

/** Returns the error that an answer says which is no 2xx: the backend's own, or what stands in its place. */
export function failureOf(request: { url: string; proxy?: HttpProxy }, response: Response, text: string): Error {
  const after = retryAfterOf(response.headers.get('retry-after'));
  const type = response.headers.get('content-type') ?? '';
  if (type.startsWith(mediaTypes.problem) || type.startsWith(mediaTypes.json)) {
    const problem = readProblem(parseOrUndefined(text));
    if (problem?.retryAfter === undefined && problem !== undefined && after !== undefined)
      return new SyncError(problem.code, problem.detail, { ...problem.place, retryAfter: after });
    if (problem !== undefined) return problem;
  }
  const { status } = response;
  if (status === 407) {
    return backendError('PROXY_PIDE_USUARIO', { url: request.url, proxy: request.proxy?.name ?? '' }, { status });
  }
  if (status === 304) return foreignAnswer(request.url, status, 'nadie preguntó si había cambiado');
  if (status >= 300 && status < 400) {
    const target = response.headers.get('location') ?? '(sin Location)';
    return backendError('REDIRECCION', { url: request.url, destino: target }, { status });
  }
  return backendError(
    RETRYABLE_STATUS.has(status) || status >= 500 ? 'SERVICIO_CAIDO' : 'RESPUESTA_AJENA',
    { url: request.url, estado: status, texto: excerpt(text) },
    { status, ...defined({ retryAfter: after }) },
  );
}

/** Seconds of a Retry-After field (RFC 9110): a number, or a date. */
function retryAfterOf(field: string | null): number | undefined {
  if (field === null) return undefined;
  if (/^\d{1,6}$/.test(field.trim())) return Number(field);
  const at = Date.parse(field);
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - Date.now()) / 1000));
}

/** Returns what the JSON says; undefined where it is none. */
export function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Returns the first words of a page. */
export function excerpt(text: string): string {
  const line = text
    .replace(/<[^>]*>/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  if (line === '') return '(respuesta vacía)';
  return line.length > 120 ? `${line.slice(0, 119)}…` : line;
}

/** Returns why an exchange broke, in a few words. */
export function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  if (/\b407\b/.test(cause.message)) return 'pide usuario y contraseña, o los rechaza (407)';
  const code = (cause as NodeJS.ErrnoException).code;
  const known: Record<string, string> = {
    ConnectionRefused: 'la conexión fue rechazada',
    ECONNREFUSED: 'la conexión fue rechazada',
    ERR_PROXY_TUNNEL: 'el proxy no deja pasar hasta ese servidor',
    ConnectionClosed: 'la conexión se cerró',
    ZlibError: 'lo comprimido llegó incompleto o dañado',
    ECONNRESET: 'la conexión se cortó',
    FailedToOpenSocket: 'no se encuentra el servidor; revise la dirección y el DNS',
    ENOTFOUND: 'no se encuentra el servidor; revise la dirección y el DNS',
    UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      'no conoce a quien emitió su certificado TLS; si es una autoridad propia, ejecute init con --ca archivo.pem',
    DEPTH_ZERO_SELF_SIGNED_CERT: 'su certificado TLS es autofirmado; si es el suyo, ejecute init con --ca archivo.pem',
    CERT_HAS_EXPIRED: 'su certificado TLS caducó',
    ERR_TLS_CERT_ALTNAME_INVALID: 'su certificado TLS es de otro nombre',
  };
  return (code !== undefined ? known[code] : undefined) ?? `${cause.message}${code === undefined ? '' : ` [${code}]`}`;
}
