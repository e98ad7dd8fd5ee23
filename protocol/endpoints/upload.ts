import Type from 'typebox';
import { headers, mediaTypes } from '../constants.ts';
import { type Endpoint, example, json, stream, TenantParams } from './endpoint.ts';
import { EsquemaCambiadoSchema } from './esquemas.ts';
import { Count, Done, lecturaProperties, ModoSchema, TableName } from './fields.ts';

/** NDJSON of the examples of uploads. */
export const EXAMPLE_ROWS = '{"id":1,"nombre":"Ana ñ","saldo":12.50}\n{"id":2,"activo":false}\n\n{"codigo":"x|y"}\n';

/** What an upload holds back. */
export const RetencionSchema = Type.Object({
  id: Type.String(),
  estado: Type.Union([Type.Literal('pendiente'), Type.Literal('descartada')]),
  /** Whether nobody was told of this set before. */
  nueva: Type.Boolean(),
  bajas: Count,
  /** Active rows before the run. */
  total: Count,
  muestra: Type.Array(Type.String()),
  /** What the same run inserted. */
  altas: Count,
  muestraAltas: Type.Array(Type.String()),
});

/** What an upload did: the answer of a commit and of a one-shot NDJSON upload. */
export const UploadResultSchema = Type.Object({
  success: Done,
  tabla: Type.String(),
  tipoCampo: Type.String(),
  /** Lines received. */
  filas: Count,
  registrosInsertados: Count,
  registrosActualizados: Count,
  registrosSinCambios: Count,
  /** Rows set to `activo = false` because the source no longer has them. */
  registrosDesactivados: Count,
  /** Rows removed because the source no longer has them (`bajas: "borrar"`). */
  registrosBorrados: Type.Optional(Count),
  /** Lines whose key came again later in the same upload: the last one won (`clavesRepetidas: "ultima"`). */
  clavesRepetidas: Count,
  /** Bajas that wait for an administrator; 0 too where he has discarded them. Not from servers of an earlier version. */
  bajasRetenidas: Type.Optional(Count),
  /** Of those, or of the discarded ones. */
  retencion: Type.Optional(RetencionSchema),
  /** Keys inserted now that SQL Server, by the collation that is its usual one, takes for another one that is here. */
  clavesParecidas: Type.Optional(
    Type.Object({ pares: Count, muestra: Type.Array(Type.Tuple([Type.String(), Type.String()])) }),
  ),
  /** What changed of the columns; not there where nothing did, or no description was named. */
  esquema: Type.Optional(EsquemaCambiadoSchema),
  /** The generation that it made; not there where it has no name, and of an older server. */
  generacion: Type.Optional(Type.String()),
  timestamp: Type.String(),
});

/** The specification's envelope. Other members are passed over. */
const UploadEnvelopeSchema = Type.Object({
  tabla: Type.String(),
  data: Type.Array(Type.Object({})),
  timestamp: Type.Optional(Type.String()),
});

/** The answer to it: the specification's fields and no others. */
export const UploadEnvelopeResponseSchema = Type.Object({
  success: Done,
  tabla: Type.String(),
  registrosInsertados: Count,
  timestamp: Type.String(),
});

export const uploadOnce = {
  method: 'POST',
  path: '/upload/:tenantId',
  tag: 'subida',
  summary:
    "A whole upload in one request, all or nothing: NDJSON with ?tabla=, or the specification's envelope, which is answered by four fields.",
  access: 'tenant',
  params: TenantParams,
  query: Type.Object({
    /** Required but for an envelope, which names its own. */
    tabla: Type.Optional(TableName),
    /** Defaults to incremental: a partial upload must never deactivate what it does not hold, so whole ones say so. */
    modo: Type.Optional(ModoSchema),
    ...lecturaProperties,
  }),
  headers: {
    'content-encoding': 'gzip or identity.',
    [headers.contentDigest]: 'SHA-256 of the body as it is sent.',
    [headers.idempotencyKey]: 'The same key again answers the first result and applies nothing.',
    [headers.agent]: 'Whose generations the commit counts among.',
  },
  body: stream({
    [mediaTypes.ndjson]: undefined,
    [mediaTypes.jsonl]: undefined,
    [mediaTypes.gzip]: undefined,
    [mediaTypes.json]: UploadEnvelopeSchema,
  }),
  answers: { 200: json(Type.Union([UploadResultSchema, UploadEnvelopeResponseSchema])) },
  errors: [
    ...(['CONFIG_INVALIDA', 'TABLA_DESCONOCIDA', 'PETICION_DISTINTA', 'DIGEST_DISTINTO', 'LINEA_INVALIDA'] as const),
    ...(['VALOR_INVALIDO', 'CLAVE_AUSENTE', 'CLAVE_AMBIGUA', 'CLAVE_REPETIDA', 'CLAVE_DE_OTRA_TABLA'] as const),
    ...(['GENERACION_DESCONOCIDA', 'LECTURA_ANTIGUA', 'SQL_FALLO', 'ESQUEMA_DESCONOCIDO', 'ESQUEMA_CAMBIADO'] as const),
  ],
  examples: [
    example({ query: { tabla: 'clientes' }, headers: { 'content-type': mediaTypes.ndjson }, body: EXAMPLE_ROWS }),
    example({
      query: { tabla: 'lineas', modo: 'completo' },
      headers: { 'content-type': mediaTypes.ndjson },
      body: '{"serie":"a","numero":1}',
    }),
    example({
      query: { tabla: 'clientes' },
      headers: { 'content-type': mediaTypes.ndjson, 'content-encoding': 'gzip', [headers.idempotencyKey]: 'k' },
      body: EXAMPLE_ROWS,
    }),
    example({
      headers: { 'content-type': mediaTypes.json },
      body: '{"tabla":"clientes","data":[{"id":1,"a":[{"b":null}]}],"timestamp":"x"}',
    }),
  ],
} as const satisfies Endpoint;
