import Type from 'typebox';
import { type Endpoint, json, NoParams, NoQuery, nothing } from './endpoint.ts';
import { Done } from './fields.ts';

const open = { params: {}, query: {}, headers: {}, body: undefined };

export const HealthResponseSchema = Type.Object({
  success: Done,
  status: Type.Optional(Type.String()),
  /** With `?profundo=1`. */
  postgres: Type.Optional(Type.String()),
  node: Type.Optional(Type.String()),
  latenciaMs: Type.Optional(Type.Number()),
});

export const checkHealth = {
  method: 'GET',
  path: '/health',
  tag: 'salud',
  summary: 'Says that the server answers; with ?profundo=1 it asks PostgreSQL and says the versions.',
  access: 'open',
  params: NoParams,
  query: Type.Object({ profundo: Type.Optional(Type.String()) }),
  headers: {},
  body: nothing,
  answers: { 200: json(HealthResponseSchema) },
  errors: [],
  examples: [{ ...open, query: { profundo: '1' } }],
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
