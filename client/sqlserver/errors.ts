import { ConnectionError, RequestError } from 'tedious';

/** Stable names of what goes wrong with SQL Server; an operator's manual and exit codes may refer to them. */
export type SqlServerErrorCode =
  /** No connection, or a connection that broke. */
  | 'CONEXION'
  /** No encrypted connection could be agreed on, or its certificate is not trusted. */
  | 'CIFRADO'
  /** The login was refused. */
  | 'CREDENCIALES'
  /** The database does not exist or this login may not open it. */
  | 'BASE_DE_DATOS'
  /** The login lacks a permission. */
  | 'PERMISOS'
  /** The SQL text is wrong, or names what does not exist. */
  | 'CONSULTA'
  /** A constraint refused rows. */
  | 'RESTRICCION'
  /** Chosen as the victim of a deadlock. */
  | 'BLOQUEO_1205'
  /** SQL Server did not answer in time. */
  | 'TIEMPO'
  /** A value does not fit its column, or cannot be read exactly. */
  | 'VALOR'
  /** SQL Server is out of space, memory or workers. */
  | 'RECURSOS'
  /** The result has a shape that cannot be sent: no columns, repeated names, too many rows. */
  | 'RESULTADO';

/** `message` is a Spanish sentence for the operator: what happened, where, what to do. The original is in `cause`. */
export class SqlServerError extends Error {
  override readonly name = 'SqlServerError';
  readonly code: SqlServerErrorCode;
  /** SQL Server's own error number (sys.messages). */
  readonly number?: number;
  /** Line of the batch, from 1. */
  readonly line?: number;
  /** The stored procedure or trigger that raised it. */
  readonly procedure?: string;
  /** Whether the same thing may succeed when it is done again, unchanged. */
  readonly retryable: boolean;

  constructor(
    code: SqlServerErrorCode,
    message: string,
    details: { number?: number; line?: number; procedure?: string; retryable?: boolean; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? {} : { cause: details.cause });
    this.code = code;
    if (details.number !== undefined) this.number = details.number;
    if (details.line !== undefined) this.line = details.line;
    if (details.procedure !== undefined) this.procedure = details.procedure;
    this.retryable = details.retryable ?? false;
  }
}

interface Meaning {
  code: SqlServerErrorCode;
  /** What to do, a sentence. */
  hint: string;
  retryable?: boolean;
}

const wrongSql: Meaning = { code: 'CONSULTA', hint: 'Corrija el SQL en la configuración de la tabla.' };
const missingObject: Meaning = {
  code: 'CONSULTA',
  hint: 'Compruebe el nombre, el esquema (dbo) y que la base de datos sea la correcta.',
};
const noPermission: Meaning = { code: 'PERMISOS', hint: 'Dé ese permiso al usuario de SQL Server del agente.' };
const refusedLogin: Meaning = { code: 'CREDENCIALES', hint: 'Revise el usuario y la contraseña de SQL Server.' };
const noDatabase: Meaning = {
  code: 'BASE_DE_DATOS',
  hint: 'Compruebe el nombre de la base de datos y que el usuario tenga acceso a ella.',
};
const refusedRow: Meaning = { code: 'RESTRICCION', hint: 'Revise los datos o la restricción de la tabla.' };
const badValue: Meaning = { code: 'VALOR', hint: 'Revise el tipo de la columna y los datos.' };
const outOfResources: Meaning = {
  code: 'RECURSOS',
  hint: 'SQL Server no tiene recursos suficientes: espacio, memoria o procesos.',
  retryable: true,
};
const lockTimeout: Meaning = {
  code: 'TIEMPO',
  hint: 'Otra sesión bloquea los datos; se puede reintentar.',
  retryable: true,
};
const goingDown: Meaning = {
  code: 'CONEXION',
  hint: 'SQL Server se está apagando; se puede reintentar.',
  retryable: true,
};

/** Numbers of sys.messages. What is not here is CONSULTA without a hint. */
const meanings = new Map<number, Meaning>([
  [102, wrongSql],
  [105, wrongSql],
  [137, wrongSql],
  [156, wrongSql],
  [170, wrongSql],
  [207, missingObject],
  [208, missingObject],
  [911, noDatabase],
  [2812, missingObject],
  [4060, noDatabase],
  [229, noPermission],
  [230, noPermission],
  [262, noPermission],
  [297, noPermission],
  [300, noPermission],
  [916, noDatabase],
  [18452, refusedLogin],
  [18456, refusedLogin],
  [18470, { code: 'CREDENCIALES', hint: 'El usuario está deshabilitado en SQL Server: habilítelo.' }],
  [18486, { code: 'CREDENCIALES', hint: 'El usuario está bloqueado en SQL Server: desbloquéelo.' }],
  [18487, { code: 'CREDENCIALES', hint: 'La contraseña ha caducado: cámbiela.' }],
  [18488, { code: 'CREDENCIALES', hint: 'La contraseña debe cambiarse antes de entrar.' }],
  [515, refusedRow],
  [547, refusedRow],
  [2601, refusedRow],
  [2627, refusedRow],
  [220, badValue],
  [241, badValue],
  [242, badValue],
  [245, badValue],
  [248, badValue],
  [2628, badValue],
  [8114, badValue],
  [8115, badValue],
  [8134, badValue],
  [8152, badValue],
  [1205, { code: 'BLOQUEO_1205', hint: 'Se puede reintentar.', retryable: true }],
  [1222, lockTimeout],
  [701, outOfResources],
  [1101, outOfResources],
  [1105, outOfResources],
  [9002, outOfResources],
  [10928, outOfResources],
  [10929, outOfResources],
  [40197, goingDown],
  [40501, outOfResources],
  [40613, goingDown],
  [6005, goingDown],
  [596, goingDown],
]);

/**
 * What tedious raised, in the operator's words. `place` says where: `servidor:puerto, base X`; `refusal` is what SQL
 * Server said when it refused a login; tedious keeps less of it.
 *
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
  const text = first instanceof Error ? first.message : String(first);
  if (code === 'ELOGIN') return fromLogin(refusal?.number, refusal?.message ?? text, place, error);
  if (code === 'EENCRYPT' || isCertificateError(first)) return encryptionError(text, place, error);
  if (code === 'ETIMEOUT') {
    return new SqlServerError('TIEMPO', `SQL Server (${place}) no respondió a tiempo: ${text}`, {
      retryable: true,
      cause: error,
    });
  }
  return new SqlServerError(
    'CONEXION',
    `No hay conexión con SQL Server (${place}): ${text}. ${connectionHint(first)}`,
    {
      retryable: true,
      cause: error,
    },
  );
}

function fromServer(first: RequestError, number: number, place: string, cause: unknown): SqlServerError {
  const meaning = meanings.get(number) ?? { code: 'CONSULTA', hint: '' };
  const where = [
    first.procName ? `procedimiento ${first.procName}` : '',
    first.lineNumber ? `línea ${first.lineNumber}` : '',
  ].filter((part) => part !== '');
  const at = where.length > 0 ? ` (${where.join(', ')})` : '';
  const text = `SQL Server (${place}), error ${number}${at}: ${first.message.trim()} ${meaning.hint}`.trim();
  return new SqlServerError(meaning.code, text, {
    number,
    ...(first.lineNumber ? { line: first.lineNumber } : {}),
    ...(first.procName ? { procedure: first.procName } : {}),
    retryable: meaning.retryable ?? false,
    cause,
  });
}

function fromLogin(number: number | undefined, text: string, place: string, cause: unknown): SqlServerError {
  const meaning = (number === undefined ? undefined : meanings.get(number)) ?? refusedLogin;
  return new SqlServerError(meaning.code, `SQL Server (${place}) rechazó la entrada: ${text} ${meaning.hint}`, {
    ...(number === undefined ? {} : { number }),
    retryable: meaning.retryable ?? false,
    cause,
  });
}

function encryptionError(text: string, place: string, cause: unknown): SqlServerError {
  return new SqlServerError(
    'CIFRADO',
    `No se pudo cifrar la conexión con SQL Server (${place}): ${text}. ` +
      'Instale en el servidor un certificado de confianza, o acepte el suyo (--sql-confiar-certificado).',
    { cause },
  );
}

function connectionHint(error: unknown): string {
  switch (rootCode(error)) {
    case 'ECONNREFUSED':
      return 'Compruebe que el servicio esté en marcha, que TCP/IP esté habilitado y el puerto.';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'Compruebe el nombre del servidor.';
    default:
      return 'Compruebe el servidor, el puerto y el cortafuegos.';
  }
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
