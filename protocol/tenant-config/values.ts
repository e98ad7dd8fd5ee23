import Type from 'typebox';
import { limits } from '../constants.ts';

/** Values that several fields have in common, and the rule of each pattern as an operator is told it. */

/** Wall clock, to the minute. */
const HORA = '^([01]\\d|2[0-3]):[0-5]\\d$';
/** From an hour to 999 days. */
const DURACION = '^[1-9]\\d{0,2}[hd]$';
const CONEXION = '^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$';
const TABLA = '^[^\\u0000-\\u001f/\\\\]+$';

/** What a name of a connection has to be. */
export const CONNECTION_RULE = 'letras sin acento, cifras, «-» y «_», hasta 64, con una letra o cifra delante';

/** By pattern: what a value that does not match is told. */
export const patternRules: Readonly<Record<string, string>> = {
  [HORA]: 'debe ser una hora, de 00:00 a 23:59',
  [DURACION]: 'debe ser un tiempo en horas o días, de 1h a 999d',
  [CONEXION]: `debe ser un nombre: ${CONNECTION_RULE}`,
  [TABLA]: 'no puede contener «/», «\\» ni caracteres de control',
};

export const Strict = { additionalProperties: false } as const;
export const Hora = Type.String({ pattern: HORA });
export const Duracion = Type.String({ pattern: DURACION });
export const Sql = Type.String({ minLength: 1, maxLength: 200_000 });
export const TableName = Type.String({ minLength: 1, maxLength: limits.tableNameMaxLength, pattern: TABLA });
export const ColumnName = Type.String({ minLength: 1, maxLength: 128 });
export const PrimaryKey = Type.Union([ColumnName, Type.Array(ColumnName, { minItems: 1, maxItems: 16 })]);
export const ConnectionName = Type.String({ pattern: CONEXION });
export const ColumnNames = Type.Array(ColumnName, { minItems: 1, maxItems: 256 });

export function isConnectionName(name: string): boolean {
  return new RegExp(CONEXION).test(name);
}

/** Returns `primaryKey` as a list, empty when the configuration gives none. */
export function primaryKeyOf(tabla: { primaryKey?: string | string[] }): string[] {
  if (tabla.primaryKey === undefined) return [];
  return typeof tabla.primaryKey === 'string' ? [tabla.primaryKey] : tabla.primaryKey;
}

/** How often a table is compared with the centre. */
export const Verificar = Type.Union([Type.Literal('diario'), Type.Literal('semanal'), Type.Literal('mensual')]);
export const VERIFICAR_ENGLISH =
  'how often it is compared with the centre: `diario` (daily), `semanal` (weekly), `mensual` (monthly)';
