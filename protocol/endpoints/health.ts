import Type from 'typebox';
import { type Endpoint, json, NoParams, NoQuery, nothing } from './endpoint.ts';
import { Count, Done, TextOrNull } from './fields.ts';

const open = { params: {}, query: {}, headers: {}, body: undefined };

const PoolSchema = Type.Object({ busy: Count, waiting: Count, max: Count });

export const HealthResponseSchema = Type.Object({
  success: Done,
  status: Type.Optional(Type.String()),
  /** With `?profundo=1`, and all that follows: what an administrator should look at; `status` is `degradado` where there is any. */
  avisos: Type.Optional(Type.Array(Type.String())),
  postgres: Type.Optional(Type.String()),
  node: Type.Optional(Type.String()),
  latenciaMs: Type.Optional(Type.Number()),
  /** Migrations that the database lacks, and those of a newer version that it has. */
  migraciones: Type.Optional(Type.Object({ faltan: Type.Array(Type.String()), sobran: Type.Array(Type.String()) })),
  /** Uploads in chunks that are not committed, and the bytes of their staging. */
  recibido: Type.Optional(Type.Object({ abiertas: Count, bytes: Count })),
  /** Connections to PostgreSQL of this process. */
  conexiones: Type.Optional(Type.Object({ control: PoolSchema, transfer: PoolSchema })),
  /** When this process last cleaned up; null: not yet. */
  limpieza: Type.Optional(TextOrNull),
  /** When PostgreSQL was asked. */
  calculado: Type.Optional(Type.String()),
});

export const checkHealth = {
  method: 'GET',
  path: '/health',
  tag: 'salud',
  summary:
    'Says that the server answers; with ?profundo=1 and the administrator’s token (Authorization: Bearer), how it stands.',
  access: 'open',
  params: NoParams,
  query: Type.Object({ profundo: Type.Optional(Type.String()) }),
  headers: {},
  body: nothing,
  answers: { 200: json(HealthResponseSchema) },
  errors: ['NO_AUTORIZADO'],
  examples: [open, { ...open, query: { profundo: '1' } }],
} as const satisfies Endpoint;

export const describeApi = {
  method: 'GET',
  path: '/docs/json',
  tag: 'salud',
  summary: 'This description of the API, as OpenAPI 3.1.',
  access: 'open',
  params: NoParams,
  query: NoQuery,
  headers: {},
  body: nothing,
  answers: { 200: json(Type.Record(Type.String(), Type.Unknown())) },
  errors: [],
  examples: [open],
} as const satisfies Endpoint;
