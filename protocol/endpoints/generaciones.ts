import Type from 'typebox';
import { headers, limits } from '../constants.ts';
import { type Endpoint, example, json, NoQuery, TenantParams } from './endpoint.ts';
import { Done, GeneracionSchema, TableName } from './fields.ts';

/** What an agent's marks stand on; null: a mark from before there were generations. */
export const GeneracionesSchema = Type.Object({
  tablas: Type.Record(TableName, Type.Union([GeneracionSchema, Type.Null()]), {
    maxProperties: limits.generationsMaxCount,
  }),
});

export const GeneracionesResponseSchema = Type.Object({
  success: Done,
  /** The generation to go on with; null: the mark stands on nothing that the server has. Tables it does not know are left out. */
  tablas: Type.Record(Type.String(), Type.Union([GeneracionSchema, Type.Null()])),
  /** How many changes wait for an administrator, by table and digest of the columns; servers of before do not say. */
  columnasPendientes: Type.Optional(
    Type.Record(Type.String(), Type.Record(Type.String(), Type.Integer({ minimum: 1 }))),
  ),
});

export const checkGenerations = {
  method: 'POST',
  path: '/generaciones/:tenantId',
  tag: 'subida',
  summary: 'Says of each mark of an agent whether it stands on what the centre has.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: { [headers.agent]: 'Whose generations a mark without one is adopted into.' },
  body: json(GeneracionesSchema),
  answers: { 200: json(GeneracionesResponseSchema) },
  errors: ['CONFIG_INVALIDA'],
  examples: [example({ body: { tablas: { clientes: null, lineas: '1'.repeat(32) } } })],
} as const satisfies Endpoint;
