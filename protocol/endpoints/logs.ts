import Type from 'typebox';
import { limits } from '../constants.ts';
import { BajasRetenidasSchema } from './bajas.ts';
import { type Endpoint, example, json, NoQuery, nothing, TenantParams } from './endpoint.ts';
import { EsquemaPendienteSchema } from './esquemas.ts';
import { Count, DireccionSchema, Done, TableName, TextOrNull } from './fields.ts';

/** What was done, told by the agent and asked by it. */

export const Timestamp = Type.String({
  pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,9})?)?(Z|[+-]\\d\\d:\\d\\d)$',
});

export const LogEntrySchema = Type.Object({
  /** The client's own random name for it: what is sent again, after a lost answer, is stored once. */
  id: Type.Optional(Type.String({ pattern: '^c[0-9a-z]{24}$' })),
  /** The trace of the run that it belongs to, as of `traceparent`. What is none counts as not there. */
  traza: Type.Optional(Type.String({ maxLength: 200 })),
  direccion: DireccionSchema,
  tabla: TableName,
  fase: Type.Optional(
    Type.Union([Type.Literal('pre_process'), Type.Literal('process'), Type.Literal('post_process'), Type.Null()]),
  ),
  ejecutadoEn: Type.Optional(Type.Union([Type.Literal('origen'), Type.Literal('destino'), Type.Null()])),
  estado: Type.Union([Type.Literal('exitoso'), Type.Literal('error'), Type.Literal('parcial')]),
  registrosAfectados: Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()])),
  mensaje: Type.Optional(Type.Union([Type.String({ maxLength: 10_000 }), Type.Null()])),
  errorDetalle: Type.Optional(Type.Union([Type.String({ maxLength: 20_000 }), Type.Null()])),
  duracionMs: Type.Optional(Type.Union([Type.Integer({ minimum: 0 }), Type.Null()])),
  metadatos: Type.Optional(Type.Unknown()),
  fechaInicio: Timestamp,
  fechaFin: Type.Optional(Type.Union([Timestamp, Type.Null()])),
});

export const LogsSchema = Type.Object({ logs: Type.Array(LogEntrySchema, { maxItems: limits.logsMaxCount }) });

export const LogsResponseSchema = Type.Object({ success: Done, logsInsertados: Count });

export const storeLogs = {
  method: 'POST',
  path: '/logs/:tenantId',
  tag: 'logs',
  summary: `Stores what the agent did, at most ${limits.logsMaxCount} entries; one that is stored already is passed over.`,
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: {},
  body: json(LogsSchema),
  answers: { 200: json(LogsResponseSchema) },
  errors: [],
  examples: [
    example({
      body: {
        logs: [
          {
            direccion: 'upload',
            tabla: 'clientes',
            estado: 'exitoso',
            mensaje: 'listo',
            fechaInicio: '2024-01-01T00:00:00Z',
          },
        ],
      },
    }),
  ],
} as const satisfies Endpoint;

/** What the backend knows of a tenant's agent. */
export const StatusResponseSchema = Type.Object({
  success: Done,
  /** The backend's clock. */
  hora: Type.String(),
  version: Count,
  ultimaModificacion: Type.String(),
  /** The last reading or loading of each table, or what failed since. Of the tenant's newest log entries alone. */
  tablas: Type.Array(
    Type.Object({
      direccion: DireccionSchema,
      tabla: Type.String(),
      fase: TextOrNull,
      estado: Type.String(),
      registrosAfectados: Type.Union([Count, Type.Null()]),
      mensaje: TextOrNull,
      fechaInicio: Type.String(),
      fechaFin: TextOrNull,
    }),
  ),
  /** Uploads that wait for their commit. */
  subidasAbiertas: Type.Array(
    Type.Object({ id: Type.String(), tabla: Type.String(), trozos: Count, filas: Count, expira: Type.String() }),
  ),
  /** Most first; not from servers of an earlier version. */
  bajasRetenidas: Type.Optional(Type.Array(BajasRetenidasSchema)),
  /** Oldest first; not from servers of an earlier version. */
  esquemasPendientes: Type.Optional(Type.Array(EsquemaPendienteSchema)),
});

export const getStatus = {
  method: 'GET',
  path: '/status/:tenantId',
  tag: 'logs',
  summary: 'How the tenant’s tables stand: what ran last, uploads that are open, bajas that are held back.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: {},
  body: nothing,
  answers: { 200: json(StatusResponseSchema) },
  errors: [],
  examples: [example()],
} as const satisfies Endpoint;
