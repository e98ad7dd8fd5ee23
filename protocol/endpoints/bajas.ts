import Type from 'typebox';
import { headers } from '../constants.ts';
import { MUESTRA_MAX } from '../tenant-config/guard.ts';
import { type Endpoint, example, json, NoQuery, TenantParams } from './endpoint.ts';
import { Count, DireccionSchema, Done, StoredCount, TableName, TextOrNull } from './fields.ts';

const Muestra = Type.Array(Type.String({ maxLength: 1000 }), { maxItems: MUESTRA_MAX });

/** Bajas that an agent holds back at its SQL Server (guard.ts), or that none are any more. */
export const ReportBajasSchema = Type.Object({
  direccion: Type.Literal('download'),
  tabla: TableName,
  /** Of the set of keys, in no order; hexadecimal. */
  digest: Type.String({ pattern: '^[0-9a-f]{16,64}$' }),
  /** 0: nothing is held back any more. */
  bajas: StoredCount,
  /** Rows of the target before the run. */
  total: StoredCount,
  /** Some of the keys. */
  muestra: Muestra,
  /** What the same run inserts. */
  altas: Type.Optional(StoredCount),
  muestraAltas: Type.Optional(Muestra),
  /** What was approved has been applied: the approval is used up. */
  aplicada: Type.Optional(Type.Boolean()),
});

export const EstadoBajasSchema = Type.Union([
  Type.Literal('pendiente'),
  Type.Literal('aprobada'),
  Type.Literal('descartada'),
]);

export const ReportBajasResponseSchema = Type.Object({
  success: Done,
  /** `ninguna` and `aplicada` answer `bajas: 0` and `aplicada`. */
  estado: Type.Union([...EstadoBajasSchema.anyOf, Type.Literal('ninguna'), Type.Literal('aplicada')]),
  /** Whether this set is told of for the first time. */
  nueva: Type.Boolean(),
});

/** Bajas that wait for an administrator, or of which he has decided. */
export const BajasRetenidasSchema = Type.Object({
  id: Type.String(),
  direccion: DireccionSchema,
  tabla: Type.String(),
  /** Of a download: whose target it is, where the agent said so. */
  agente: Type.String(),
  bajas: Count,
  total: Count,
  muestra: Type.Array(Type.String()),
  altas: Count,
  muestraAltas: Type.Array(Type.String()),
  estado: EstadoBajasSchema,
  desde: Type.String(),
  /** When they are forgotten, and asked for again if they are still there; null: discarded. */
  hasta: TextOrNull,
});

export const reportBajas = {
  method: 'POST',
  path: '/bajas/:tenantId',
  tag: 'bajas',
  summary: 'Tells what an agent holds back at its SQL Server, and asks whether an administrator has decided of it.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: { [headers.agent]: 'Whose target it is.' },
  body: json(ReportBajasSchema),
  answers: { 200: json(ReportBajasResponseSchema) },
  errors: ['CONFIG_INVALIDA', 'TABLA_DESCONOCIDA'],
  examples: [
    example({
      body: {
        direccion: 'download',
        tabla: 'clientes',
        digest: 'ab'.repeat(8),
        bajas: 3,
        total: 4,
        muestra: ['a', 'b', 'c'],
      },
    }),
  ],
} as const satisfies Endpoint;
