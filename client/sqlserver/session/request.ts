import { type Connection, Request, TYPES } from 'tedious';
import type { DataType } from 'tedious/lib/data-type.js';
import type { SqlTypeSpec } from '../../../protocol/rows/sql-types.ts';
import { sqlServerError } from '../errors.ts';
import { exactType } from '../types/tedious-type.ts';

/** A parameter of a statement. */
export interface SqlParameter {
  /** Without its `@`. */
  name: string;
  type: 'datetime2' | 'nvarchar' | 'bigint' | 'int' | 'binary(8)';
  /** datetime2: ISO text without zone, up to 7 digits; bigint: text, past what a number holds; binary(8): `0x` and 16 digits. */
  value: string | number | null;
}

/** A request or a bulk load of tedious, as far as stopping it goes. */
export interface Cancelable {
  cancel(): void;
}

/** Makes a request to send; `done` is called when SQL Server has answered it to the end. */
export function makeRequest(
  sql: string,
  parameters: readonly SqlParameter[],
  done: (error?: Error | null) => void,
): Request {
  const request = new Request(sql, done);
  for (const { name, type, value } of parameters) {
    request.addParameter(name, parameterType(name, type), value === null ? null : String(value));
  }
  return request;
}

/**
 * Sends a request. Without parameters the text goes as a batch, in the session's own scope, so that the `#temp` tables
 * it makes live on; sp_executesql would drop them.
 */
export function sendRequest(connection: Connection, request: Request): Cancelable {
  if (request.parameters.length === 0) connection.execSqlBatch(request);
  else connection.execSql(request);
  return request;
}

const specs: Record<Exclude<SqlParameter['type'], 'nvarchar'>, SqlTypeSpec> = {
  datetime2: { name: 'datetime2', scale: 7 },
  bigint: { name: 'bigint' },
  int: { name: 'int' },
  'binary(8)': { name: 'binary', length: 8 },
};

function parameterType(name: string, type: SqlParameter['type']): DataType {
  if (type === 'nvarchar') return TYPES.NVarChar;
  const refuse = (value: string, rule: string) =>
    sqlServerError('VALOR_NO_CABE', { lugar: `Parámetro @${name}, valor «${value}»`, regla: rule });
  return exactType(specs[type], { nullable: true, refuse });
}
