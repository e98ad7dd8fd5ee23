import Type from 'typebox';
import { type FieldsTouching, field, laterRows, laterSql, schemasOf } from './field.ts';
import { Sql, Strict } from './values.ts';

/** Which side a phase runs on. Upload: origen = SQL Server, destino = PostgreSQL; download the other way round. */
export const EjecutarEnSchema = Type.Union([Type.Literal('origen'), Type.Literal('destino')]);

/** Of `pre_process` and `post_process`. */
export const phaseFields = {
  enabled: field(Type.Optional(Type.Boolean()), {
    english: 'on or off',
    description: '`true`: la fase se ejecuta. Por omisión, `false`',
    touches: { rows: true, sql: true },
  }),
  ejecutarEn: field(Type.Optional(EjecutarEnSchema), {
    english: 'side to run on: `origen` (source), `destino` (target)',
    description: 'el lado en que se ejecuta, `origen` o `destino`. Por omisión, el de SQL Server',
    touches: { rows: true, sql: true },
  }),
  sql: field(Type.Optional(Type.String({ maxLength: 200_000 })), {
    english: 'statements',
    description: 'lo que se ejecuta; obligatorio con `enabled: true`',
    touches: { rows: true, sql: true },
  }),
};

export const FaseSchema = Type.Object(schemasOf(phaseFields), Strict);

/** Of `process`. */
export const processFields = {
  query: field(Sql, {
    english: 'query',
    description: 'la consulta; en una bajada también la forma corta `parametros_maestros.tipo_campo=cuenta`',
    touches: { rows: true, sql: true },
  }),
};

export const ProcessSchema = Type.Object(schemasOf(processFields), Strict);

export type Fase = Type.Static<typeof FaseSchema>;
export type EjecutarEn = Type.Static<typeof EjecutarEnSchema>;
export type NombreFase = 'pre_process' | 'process' | 'post_process';
export type Direccion = 'upload' | 'download';

/**
 * Returns whether the phase is to run on `side`. A phase runs when it is enabled; by default it runs at SQL Server.
 */
export function isPhaseAt(
  fase: Fase | undefined,
  direccion: Direccion,
  side: EjecutarEn,
): fase is Fase & { sql: string } {
  if (fase?.enabled !== true || fase.sql === undefined || fase.sql === '') return false;
  const atSqlServer: EjecutarEn = direccion === 'upload' ? 'origen' : 'destino';
  return (fase.ejecutarEn ?? atSqlServer) === side;
}

const KNOWN = ['enabled', 'ejecutarEn', 'sql'] as const satisfies FieldsTouching<typeof phaseFields, 'rows' | 'sql'>[];

/** Returns what of a phase before the reading counts for the fingerprint of a mark; undefined where it is not run. */
export function rowsOfPhase(fase: Fase | undefined, tabla: { nombre: string }): unknown {
  if (fase?.enabled !== true) return undefined;
  return [fase.ejecutarEn ?? 'origen', fase.sql ?? '', ...laterRows(phaseFields, fase, KNOWN, tabla)];
}

/** Returns what is approved of a phase that is run at SQL Server. */
export function sqlOfPhase(fase: Fase | undefined, direccion: Direccion): string | undefined {
  const side: EjecutarEn = direccion === 'upload' ? 'origen' : 'destino';
  if (!isPhaseAt(fase, direccion, side)) return undefined;
  return [fase.sql, ...laterSql(phaseFields, fase, KNOWN)].join('\n');
}
