import { type ErrorPlace, SyncError } from '../../protocol/errors.ts';

/** The fields of an error that PostgreSQL sent, as `pg` gives them. */
export interface DatabaseError extends Error {
  code: string;
  detail?: string;
  hint?: string;
  where?: string;
  position?: string;
  internalPosition?: string;
  constraint?: string;
  column?: string;
}

/** Returns whether PostgreSQL sent it: a five-character SQLSTATE. */
export function isDatabaseError(error: unknown): error is DatabaseError {
  if (!(error instanceof Error)) return false;
  const code = (error as { code?: unknown }).code;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && 'severity' in error;
}

/** SQLSTATE, or the system's error code, for which the same request may succeed a moment later. */
const transient = /^(40001|40P01|55P03|53[0-9A-Z]{3}|57P0[1-5]|08[0-9A-Z]{3})$/;
const unreachable = /^(ECONNREFUSED|ECONNRESET|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN)$/;

/**
 * Translates an error into one of the API's: conflicts and locks that took too long are OCUPADO, a database that cannot
 * be reached or is going down is BASE_NO_DISPONIBLE. Everything else comes back as it was.
 */
export function translateDatabaseError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof SyncError) return error;
  const code = String((error as { code?: unknown }).code ?? '');
  // 23505: somebody else inserted the same key after it was looked for.
  if (/^(40001|40P01|55P03|23505)$/.test(code)) {
    return new SyncError('OCUPADO', 'Otra operación sobre los mismos datos no terminó a tiempo.', {
      retryAfter: 5,
      cause: error,
    });
  }
  const lost = /Connection terminated|Client has encountered a connection error|connection error and is not queryable/;
  if (transient.test(code) || unreachable.test(code) || lost.test(error.message)) {
    return new SyncError('BASE_NO_DISPONIBLE', 'La base de datos no responde o se está reiniciando.', {
      retryAfter: 5,
      cause: error,
    });
  }
  return error;
}

/**
 * Translates an error that COPY raised on received lines, with the line that PostgreSQL names (its own count of lines,
 * which is that of the body: no line is left out on the way there).
 */
export function translateCopyError(error: unknown, place: ErrorPlace): unknown {
  if (!isDatabaseError(error)) return translateDatabaseError(error);
  const line = /\bCOPY \S+, line (\d+)/.exec(error.where ?? '')?.[1];
  const at = { ...place, ...(line === undefined ? {} : { linea: Number(line) }), cause: error };
  const where = line === undefined ? '' : ` de la línea ${line}`;
  if (error.code === '23502' && error.column === 'codigo') return keyMissing(at);
  if (error.code === '23514') {
    const campo = /^clave (.+)$/s.exec(error.constraint ?? '')?.[1];
    return campo === undefined ? activoInvalid(at) : keyAmbiguous({ ...at, campo });
  }
  if (error.code === '22P05') {
    return new SyncError('VALOR_INVALIDO', `Un texto${where} contiene \\u0000, que PostgreSQL no guarda.`, at);
  }
  if (error.code === '22003' || error.code === '54000') {
    return new SyncError('VALOR_INVALIDO', `Un valor${where} pasa de lo que PostgreSQL guarda: ${error.message}.`, at);
  }
  if (/^22/.test(error.code) || error.code === '54001') {
    const reason = error.detail ?? error.message;
    return new SyncError('LINEA_INVALIDA', `La línea ${line ?? '(sin número)'} no es JSON válido: ${reason}`, at);
  }
  return translateDatabaseError(error);
}

/** Translates an error of the merge: a key that its index does not take. */
export function translateMergeError(error: unknown, place: ErrorPlace): unknown {
  if (!isDatabaseError(error) || error.code !== '54000') return translateDatabaseError(error);
  const detail = 'Una clave es más larga de lo que PostgreSQL indexa (unos 2700 bytes).';
  return new SyncError('VALOR_INVALIDO', detail, { ...place, campo: 'codigo', cause: error });
}

/**
 * Translates an error of log entries that PostgreSQL does not take as they are: a date that is none, a NUL, lists in
 * lists in lists.
 */
export function translateLogsError(error: unknown): unknown {
  const tooDeep = error instanceof RangeError;
  if (!tooDeep && !(isDatabaseError(error) && /^(22|54)/.test(error.code))) return translateDatabaseError(error);
  const detail = `Un registro no se puede guardar: ${error.message}.`;
  return new SyncError('CUERPO_INVALIDO', detail, { campo: 'logs', cause: error });
}

/** Returns CLAVE_AUSENTE for the line in `place`. */
export function keyMissing(place: ErrorPlace & { cause?: unknown }): SyncError {
  const line = place.linea === undefined ? '' : ` de la línea ${place.linea}`;
  return new SyncError('CLAVE_AUSENTE', `La fila${line} no tiene «codigo» ni su primaryKey, o están vacíos.`, place);
}

/** Returns CLAVE_AMBIGUA for the line in `place`; `campo` is the column of primaryKey. */
export function keyAmbiguous(place: ErrorPlace & { campo: string; cause?: unknown }): SyncError {
  const line = place.linea === undefined ? '' : ` de la línea ${place.linea}`;
  const detail = `La fila${line} tiene «codigo» y «${place.campo}», la primaryKey, y son distintos.`;
  return new SyncError('CLAVE_AMBIGUA', detail, place);
}

function activoInvalid(place: ErrorPlace & { cause?: unknown }): SyncError {
  const line = place.linea === undefined ? '' : ` de la línea ${place.linea}`;
  return new SyncError('VALOR_INVALIDO', `«activo»${line} no es true, false, 1 ni 0.`, { ...place, campo: 'activo' });
}

/** A value stands whole in some messages. */
const MESSAGE_MAX_LENGTH = 4000;

/** Translates the failure of a statement that the configuration gives: PostgreSQL's own words, code and position. */
export function translateSqlError(error: unknown, place: ErrorPlace): unknown {
  if (!isDatabaseError(error)) return translateDatabaseError(error);
  if (transient.test(error.code)) return translateDatabaseError(error);
  const position = error.internalPosition ?? error.position;
  const at = position === undefined ? '' : `, en la posición ${position}`;
  const detail = `PostgreSQL: ${error.message.slice(0, MESSAGE_MAX_LENGTH)} (${error.code}${at}).`;
  return new SyncError('SQL_FALLO', detail, { ...place, cause: error });
}
