import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { mediaTypes } from '../../protocol/constants.ts';
import { SyncError } from '../../protocol/errors.ts';
import { translateDatabaseError } from '../postgres/errors.ts';

/** Every error leaves as application/problem+json with a code of the table in protocol/errors.ts. */
export const problems = fp(async (app: FastifyInstance) => {
  app.setNotFoundHandler((request, reply) => {
    send(request, reply, new SyncError('RUTA_DESCONOCIDA', `No existe ${request.method} ${pathOf(request)}.`));
  });
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const problem = toSyncError(error);
    if (problem.code === 'INTERNO') request.log.error({ err: error }, 'error interno');
    else if (problem.status >= 500) request.log.warn({ err: problem.cause ?? problem }, problem.detail);
    send(request, reply, problem);
  });
});

/** Answers what the router cannot read as a path. */
export function answerBadUrl(_error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  send(request, reply, new SyncError('RUTA_DESCONOCIDA', `La dirección de ${request.method} no se puede leer.`));
}

/** Node itself would answer 417 without a word (RFC 9110, 10.1.1). */
export const EXPECTS_SOMETHING = 'EXPECTS_SOMETHING';

/** Answers what Node cannot read as HTTP, or does not want to: there is a socket, and no request. */
export function answerBadHttp({ code }: NodeJS.ErrnoException, socket: Socket): void {
  if (code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const error =
    code === 'HPE_HEADER_OVERFLOW'
      ? new SyncError('DEMASIADO_GRANDE', 'Las cabeceras de la petición pasan del límite.')
      : code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? new SyncError('CUERPO_CORTADO', 'Las cabeceras de la petición no llegaron a tiempo.')
        : code === EXPECTS_SOMETHING
          ? new SyncError('CUERPO_INVALIDO', 'La cabecera Expect solo puede ser 100-continue.')
          : new SyncError('CUERPO_INVALIDO', 'La petición no es HTTP válido.');
  const body = JSON.stringify(error.toProblem());
  const head = `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\nContent-Type: ${mediaTypes.problem}\r\n`;
  socket.write(`${head}Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
  socket.destroySoon();
}

function send(request: FastifyRequest, reply: FastifyReply, problem: SyncError): void {
  drain(request);
  if (problem.retryAfter !== undefined) reply.header('retry-after', String(problem.retryAfter));
  reply.code(problem.status).type(mediaTypes.problem).serializer(JSON.stringify).send(problem.toProblem());
}

/** Bytes, and time, that a body which nobody wants any more may still take so that its sender reads the answer. */
const DRAIN_MAX_BYTES = 64 * 1024 * 1024;
const DRAIN_MAX_MS = 10_000;

/** Lets the rest of a body pass by: without a reader its sender would wait, and never see the answer. */
function drain({ raw }: FastifyRequest): void {
  if (raw.complete || raw.destroyed) return;
  let total = 0;
  const timer = setTimeout(() => raw.destroy(), DRAIN_MAX_MS);
  raw.once('close', () => clearTimeout(timer));
  raw.once('end', () => clearTimeout(timer));
  raw.on('error', () => {});
  raw.on('data', (bytes: Buffer) => {
    total += bytes.length;
    if (total > DRAIN_MAX_BYTES) raw.destroy();
  });
  raw.resume();
}

function toSyncError(error: FastifyError): SyncError {
  const translated = translateDatabaseError(error);
  if (translated instanceof SyncError) return translated;
  if (error.validation !== undefined) {
    const [first] = error.validation;
    const campo = first?.instancePath.split('/').slice(1).join('.') || missingName(first?.params) || '(raíz)';
    const detail = `El campo «${campo}» no es válido: ${first?.message ?? error.message}.`;
    return new SyncError('CUERPO_INVALIDO', detail, { campo, cause: error });
  }
  switch (error.code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new SyncError('TIPO_NO_ADMITIDO', 'El Content-Type de la petición no se admite aquí.', { cause: error });
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new SyncError('DEMASIADO_GRANDE', 'El cuerpo pasa del límite.', { cause: error });
    default:
      break;
  }
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return new SyncError('CUERPO_INVALIDO', `La petición no se puede leer: ${error.message}.`, { cause: error });
  }
  return new SyncError('INTERNO', 'El servidor no pudo atender la petición.', { cause: error, retryAfter: 30 });
}

function missingName(params: Record<string, unknown> | undefined): string | undefined {
  const names = params?.requiredProperties;
  return Array.isArray(names) ? names.join(', ') : undefined;
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0]!.slice(0, 200);
}
