import { ConnectionError, RequestError } from 'tedious';
import { defined } from '../../protocol/defined.ts';
import { AgentError, type MessageValues } from '../errors/agent-error.ts';
import type { sqlServerMessages } from '../errors/messages/sqlserver.ts';

export type SqlServerErrorCode = keyof typeof sqlServerMessages;

interface SqlServerDetails {
  /** SQL Server's own error number (sys.messages). */
  number?: number;
  /** Line of the batch, from 1. */
  line?: number;
  /** The stored procedure or trigger that raised it. */
  procedure?: string;
  cause?: unknown;
}

/** What SQL Server, or the way to it, refused. The original is in `cause`. */
export class SqlServerError extends AgentError {
  readonly number?: number;
  readonly line?: number;
  readonly procedure?: string;

  constructor(
    code: SqlServerErrorCode,
    values: Readonly<Record<string, string | number>>,
    details: SqlServerDetails = {},
  ) {
    super(code, values, details.cause);
    this.name = 'SqlServerError';
    if (details.number !== undefined) this.number = details.number;
    if (details.line !== undefined) this.line = details.line;
    if (details.procedure !== undefined) this.procedure = details.procedure;
  }
}

/** Returns a SqlServerError of the catalogue with its values. */
export function sqlServerError<Code extends SqlServerErrorCode>(
  code: Code,
  values: MessageValues<Code>,
  details?: SqlServerDetails,
): SqlServerError {
  return new SqlServerError(code, values, details);
}

/** Says what there is to say of a deadlock in SQL that SQL Server has undone in part: as it is, of any other error. */
export function notToBeRepeated(error: unknown): unknown {
  if (!(error instanceof SqlServerError && error.code === 'BLOQUEO_1205')) return error;
  return sqlServerError('BLOQUEO_SIN_REPETIR', { texto: error.message }, { number: 1205, cause: error });
}

/** What is said of an error that SQL Server itself raised. */
type ServerCode =
  | 'BASE_DE_DATOS'
  | 'PERMISOS'
  | 'CREDENCIALES'
  | 'CONSULTA'
  | 'RESTRICCION'
  | 'VALOR'
  | 'RECURSOS'
  | 'TIEMPO'
  | 'CONEXION'
  | 'BLOQUEO_1205';

/** Numbers of sys.messages. What is not here is CONSULTA. */
const numbers: Record<ServerCode, readonly number[]> = {
  CONSULTA: [102, 105, 137, 156, 170, 207, 208, 2812],
  BASE_DE_DATOS: [911, 4060, 916],
  PERMISOS: [229, 230, 262, 297, 300],
  CREDENCIALES: [18452, 18456, 18470, 18486, 18487, 18488],
  RESTRICCION: [515, 547, 2601, 2627],
  VALOR: [220, 241, 242, 245, 248, 2628, 8114, 8115, 8134, 8152],
  BLOQUEO_1205: [1205],
  TIEMPO: [1222],
  RECURSOS: [701, 1101, 1105, 9002, 10928, 10929, 40501],
  CONEXION: [40197, 40613, 6005, 596],
};

const codes = new Map(
  Object.entries(numbers).flatMap(([code, known]) => known.map((number) => [number, code as ServerCode] as const)),
);

/**
 * Translates what tedious raised into the operator's words. `place` says where: `servidor:puerto, base X`; `refusal` is
 * what SQL Server said when it refused a login; tedious keeps less of it.
 * Of several errors of one batch the first counts: the later ones follow from it.
 */
export function translateError(
  error: unknown,
  place: string,
  refusal?: { number: number; message: string },
): SqlServerError {
  const own = findOwn(error);
  if (own !== undefined) return own;
  const first = error instanceof AggregateError ? error.errors[0] : error;
  if (first instanceof RequestError && first.number !== undefined) return fromServer(first, first.number, place, error);
  const code = codeOf(first);
  const text = closed(first instanceof Error ? first.message : String(first));
  if (code === 'ELOGIN')
    return fromLogin(refusal?.number, refusal === undefined ? text : closed(refusal.message), place, error);
  if (code === 'EENCRYPT' || isCertificateError(first)) {
    return sqlServerError('CIFRADO', { lugar: place, texto: text }, { cause: error });
  }
  const said = { lugar: place, texto: text };
  if (code === 'ETIMEOUT') return sqlServerError('TIEMPO', said, { cause: error });
  return sqlServerError('CONEXION', said, { cause: error });
}

function fromServer(first: RequestError, number: number, place: string, cause: unknown): SqlServerError {
  const where = [
    first.procName ? `procedimiento ${first.procName}` : '',
    first.lineNumber ? `línea ${first.lineNumber}` : '',
  ].filter((part) => part !== '');
  const at = where.length > 0 ? ` (${where.join(', ')})` : '';
  const texto = closed(`error ${number}${at}: ${first.message}`);
  return sqlServerError(
    codes.get(number) ?? 'CONSULTA',
    { lugar: place, texto },
    {
      number,
      ...(first.lineNumber ? { line: first.lineNumber } : {}),
      ...(first.procName ? { procedure: first.procName } : {}),
      cause,
    },
  );
}

function fromLogin(number: number | undefined, text: string, place: string, cause: unknown): SqlServerError {
  const code = (number === undefined ? undefined : codes.get(number)) ?? 'CREDENCIALES';
  return sqlServerError(code, { lugar: place, texto: text }, { ...defined({ number }), cause });
}

/** As a sentence that ends. */
function closed(text: string): string {
  return text.trim().replace(/[^.!?]$/, '$&.');
}

/** An error of our own that tedious wrapped or passed on. */
function findOwn(error: unknown): SqlServerError | undefined {
  for (let depth = 0, at = error; depth < 5 && at instanceof Error; depth++, at = at.cause) {
    if (at instanceof SqlServerError) return at;
  }
  return undefined;
}

function codeOf(error: unknown): string | undefined {
  if (error instanceof ConnectionError || error instanceof RequestError) return error.code;
  return undefined;
}

/** The system's code at the bottom of the causes, such as ECONNREFUSED. */
function rootCode(error: unknown): string | undefined {
  let code: string | undefined;
  for (let depth = 0, at = error; depth < 5 && at instanceof Error; depth++, at = at.cause) {
    const inner = at instanceof AggregateError ? at.errors[0] : at;
    if ('code' in inner && typeof inner.code === 'string') code = inner.code;
  }
  return code;
}

function isCertificateError(error: unknown): boolean {
  const code = rootCode(error) ?? '';
  return /CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)/.test(code);
}
