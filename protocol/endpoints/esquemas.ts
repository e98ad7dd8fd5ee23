import Type from 'typebox';
import { headers, limits } from '../constants.ts';
import { CLASES, type Clase, COLUMNAS_MAX } from '../rows/drift.ts';
import { type Endpoint, example, json, NoQuery, TenantParams } from './endpoint.ts';
import { Count, Done, HuellaEsquema, TableName } from './fields.ts';

const Bound = Type.Optional(Type.Integer({ minimum: 0, maximum: 100_000 }));

/** A column of a query's result (protocol/rows/drift.ts). */
export const ColumnaSchema = Type.Object({
  nombre: Type.String({ minLength: 1, maxLength: limits.tableNameMaxLength }),
  tipo: Type.String({ pattern: '^[a-z][a-z0-9_]{0,39}$' }),
  longitud: Type.Optional(Type.Union([Type.Integer({ minimum: 0, maximum: 100_000 }), Type.Literal('max')])),
  precision: Bound,
  escala: Bound,
  nula: Type.Boolean(),
  colacion: Type.Optional(Type.String({ maxLength: 128 })),
  sensible: Type.Optional(Type.Literal(true)),
});

/** The columns that an upload table's query gives, in their order. */
export const DescribeTableSchema = Type.Object({
  tabla: TableName,
  columnas: Type.Array(ColumnaSchema, { minItems: 1, maxItems: COLUMNAS_MAX }),
});

export const DescribeTableResponseSchema = Type.Object({
  success: Done,
  /** By which uploads name this description. */
  huella: HuellaEsquema,
});

export const CambioSchema = Type.Object({
  clase: Type.Unsafe<Clase>(Type.Union(CLASES.map((one) => Type.Literal(one)))),
  columna: Type.String(),
  antes: Type.Optional(Type.String()),
  ahora: Type.Optional(Type.String()),
  renombrada: Type.Optional(Type.String()),
});

/** What changed of a table's columns with an upload. */
export const EsquemaCambiadoSchema = Type.Object({
  /** What `ax-sync-server schema approve` takes. */
  id: Type.String(),
  /** `pendiente`: it waits for an administrator; `vigente`: it is the table's description from now on. */
  estado: Type.Union([Type.Literal('pendiente'), Type.Literal('vigente')]),
  /** Whether nobody was told of it before. */
  nueva: Type.Boolean(),
  /** How many; some of them in `cambios`. */
  total: Count,
  cambios: Type.Array(CambioSchema),
});

/** A description that waits for an administrator. */
export const EsquemaPendienteSchema = Type.Object({
  id: Type.String(),
  tabla: Type.String(),
  /** `rechazado`: the table is stopped until then; `aprobado`: the next upload applies it. */
  estado: Type.Union([Type.Literal('pendiente'), Type.Literal('rechazado'), Type.Literal('aprobado')]),
  total: Count,
  cambios: Type.Array(CambioSchema),
  desde: Type.String(),
});

export const describeTable = {
  method: 'POST',
  path: '/esquemas/:tenantId',
  tag: 'subida',
  summary: 'Describes the columns of an upload table, before the first upload that names the description.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: { [headers.agent]: 'Who describes it so.' },
  body: json(DescribeTableSchema),
  answers: { 200: json(DescribeTableResponseSchema) },
  errors: ['CONFIG_INVALIDA', 'TABLA_DESCONOCIDA', 'ESQUEMA_CAMBIADO'],
  examples: [
    example({
      body: {
        tabla: 'clientes',
        columnas: [
          { nombre: 'id', tipo: 'int', nula: false },
          { nombre: 'nombre', tipo: 'nvarchar', longitud: 80, nula: true, colacion: '1033/13/0' },
          { nombre: 'saldo', tipo: 'decimal', precision: 18, escala: 4, nula: true },
          { nombre: 'nota', tipo: 'varchar', longitud: 'max', nula: true, sensible: true },
        ],
      },
    }),
  ],
} as const satisfies Endpoint;
