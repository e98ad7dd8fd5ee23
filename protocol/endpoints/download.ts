import Type from 'typebox';
import { mediaTypes } from '../constants.ts';
import { type Endpoint, example, json, NoQuery, nothing, stream, TenantParams } from './endpoint.ts';
import { Count, Done, TableName } from './fields.ts';

/** Rows on their way to SQL Server, and the phases around them that run at PostgreSQL. */

const ColumnsSchema = Type.Object({
  columns: Type.Array(
    Type.Object({ name: Type.String(), type: Type.String(), nullable: Type.Optional(Type.Boolean()) }),
  ),
});

/** First line of a framed download. */
export interface DownloadStart {
  $inicio: {
    tabla: string;
    schema: { columns: { name: string; type: string; nullable: boolean }[] };
    timestamp: string;
  };
}

/** Last line of a framed download: without it, or with another count, the download is not complete. */
export interface DownloadEnd {
  $fin: { filas: number };
}

/** The specification's envelope. */
const DownloadEnvelopeSchema = Type.Object({
  success: Done,
  tabla: Type.String(),
  data: Type.Array(Type.Record(Type.String(), Type.Unknown())),
  schema: ColumnsSchema,
  timestamp: Type.String(),
});

export const openDownload = {
  method: 'GET',
  path: '/download/:tenantId',
  tag: 'bajada',
  summary: 'Rows for SQL Server. A failure after the first of them breaks the connection; it never looks like an end.',
  access: 'tenant',
  params: TenantParams,
  query: Type.Object({ tabla: TableName }),
  headers: {
    accept:
      "The specification's envelope, one row a line, or one row a line between a first and a last line that say what they are.",
    'accept-encoding': 'zstd, gzip or neither.',
  },
  body: nothing,
  answers: {
    200: stream({
      [mediaTypes.json]: DownloadEnvelopeSchema,
      [mediaTypes.ndjson]: undefined,
      [mediaTypes.framedNdjson]: undefined,
    }),
  },
  errors: ['CONFIG_INVALIDA', 'TABLA_DESCONOCIDA', 'NO_ACEPTABLE', 'SQL_FALLO'],
  examples: [
    example({
      query: { tabla: 'clientes' },
      headers: { accept: mediaTypes.framedNdjson, 'accept-encoding': 'gzip' },
    }),
    example({ query: { tabla: 'consulta' } }),
  ],
} as const satisfies Endpoint;

export const RunPhaseSchema = Type.Object({
  tabla: TableName,
  fase: Type.Union([Type.Literal('pre_process'), Type.Literal('post_process')]),
});

export const RunPhaseResponseSchema = Type.Object({
  success: Done,
  ...RunPhaseSchema.properties,
  registrosAfectados: Count,
});

export const runPhase = {
  method: 'POST',
  path: '/phases/:tenantId',
  tag: 'fases',
  summary: 'Runs a phase of a download that is configured at `origen` (PostgreSQL), in a transaction of its own.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: {},
  body: json(RunPhaseSchema),
  answers: { 200: json(RunPhaseResponseSchema) },
  errors: ['CONFIG_INVALIDA', 'TABLA_DESCONOCIDA', 'FASE_DESCONOCIDA', 'SQL_FALLO'],
  examples: [example({ body: { tabla: 'consulta', fase: 'pre_process' } })],
} as const satisfies Endpoint;
