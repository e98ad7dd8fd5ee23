import Type from 'typebox';
import { headers, limits, mediaTypes } from '../constants.ts';
import { type Endpoint, example, json, NoQuery, nothing, stream, TenantParams } from './endpoint.ts';
import { Count, Done, lecturaProperties, ModoSchema, Sha256, TableName } from './fields.ts';
import { EXAMPLE_ROWS, UploadResultSchema } from './upload.ts';

/** An upload in chunks, which survives whatever happens between two of them. */

const UploadParams = Type.Object({ ...TenantParams.properties, id: Type.String({ pattern: '^[0-9a-f]{32}$' }) });
const ChunkParams = Type.Object({
  ...UploadParams.properties,
  // A number would be made of "1.5", "0x1" and "1e3" too.
  n: Type.String({ pattern: '^(0|[1-9][0-9]{0,5})$' }),
});

/** `1…`, `2…` and `3…` are open in the tests that send these examples. */
const EXAMPLE_IDS = ['1', '2', '3'].map((digit) => digit.repeat(32)) as [string, string, string];

export const OpenUploadSchema = Type.Object({
  tabla: TableName,
  modo: ModoSchema,
  /** The client's own random name for it: opening it again, after a lost answer, opens no second one. */
  id: Type.Optional(Type.String({ pattern: '^[0-9a-f]{32}$' })),
  ...lecturaProperties,
});

export const OpenUploadResponseSchema = Type.Object({
  success: Done,
  id: Type.String(),
  tabla: Type.String(),
  modo: ModoSchema,
  limites: Type.Object({ chunkBodyMaxBytes: Count, chunkMaxBytes: Count, lineMaxBytes: Count, chunksMaxCount: Count }),
  /** When the server forgets the upload unless a chunk arrives before (each chunk moves it on). */
  expira: Type.String(),
});

export const openUpload = {
  method: 'POST',
  path: '/uploads/:tenantId',
  tag: 'subida',
  summary: 'Opens an upload in chunks; opened again under the same id, it is the same one.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: {},
  body: json(OpenUploadSchema),
  answers: { 201: json(OpenUploadResponseSchema, { location: 'Path of the upload.' }) },
  errors: ['CONFIG_INVALIDA', 'TABLA_DESCONOCIDA', 'SUBIDA_CERRADA', 'GENERACION_DESCONOCIDA', 'LECTURA_ANTIGUA'],
  examples: [
    example({ body: { tabla: 'clientes', modo: 'incremental', id: EXAMPLE_IDS[0] } }),
    example({ body: { tabla: 'clientes', modo: 'completo', lectura: '2026-03-01T10:00:00.5Z' } }),
  ],
} as const satisfies Endpoint;

export const UploadStateResponseSchema = Type.Object({
  success: Done,
  id: Type.String(),
  tabla: Type.String(),
  modo: ModoSchema,
  estado: Type.Union([Type.Literal('abierta'), Type.Literal('confirmada')]),
  /** In order of `trozo`. */
  trozos: Type.Array(Type.Object({ trozo: Count, filas: Count, digest: Type.String() })),
  expira: Type.String(),
});

export const findUpload = {
  method: 'GET',
  path: '/uploads/:tenantId/:id',
  tag: 'subida',
  summary: 'Says which chunks of an upload are stored, and whether it is committed.',
  access: 'tenant',
  params: UploadParams,
  query: NoQuery,
  headers: {},
  body: nothing,
  answers: { 200: json(UploadStateResponseSchema) },
  errors: ['SUBIDA_DESCONOCIDA'],
  examples: [example({ params: { id: EXAMPLE_IDS[0] } })],
} as const satisfies Endpoint;

export const ChunkResponseSchema = Type.Object({
  success: Done,
  trozo: Count,
  filas: Count,
  /** Whether the same chunk had been stored before (nothing was stored now). */
  repetido: Type.Boolean(),
});

export const putChunk = {
  method: 'PUT',
  path: '/uploads/:tenantId/:id/chunks/:n',
  tag: 'subida',
  summary: `Stores chunk n (at most ${limits.chunksMaxCount}) of an upload: one gzip member of whole NDJSON lines.`,
  access: 'tenant',
  params: ChunkParams,
  query: NoQuery,
  headers: { [headers.contentDigest]: 'Required. SHA-256 of the body as it is sent.' },
  body: stream({ [mediaTypes.gzip]: undefined, [mediaTypes.ndjson]: undefined, [mediaTypes.jsonl]: undefined }),
  answers: { 200: json(ChunkResponseSchema) },
  errors: [
    ...(['SUBIDA_DESCONOCIDA', 'SUBIDA_CERRADA', 'TROZO_DISTINTO', 'DIGEST_DISTINTO'] as const),
    ...(['LINEA_INVALIDA', 'VALOR_INVALIDO', 'CLAVE_AUSENTE', 'CLAVE_AMBIGUA'] as const),
  ],
  examples: [
    example({
      params: { id: EXAMPLE_IDS[0], n: '1' },
      headers: { 'content-type': mediaTypes.gzip },
      body: EXAMPLE_ROWS,
    }),
    example({
      params: { id: EXAMPLE_IDS[1], n: '0' },
      headers: { 'content-type': mediaTypes.gzip },
      body: EXAMPLE_ROWS,
    }),
  ],
} as const satisfies Endpoint;

/** Bytes of a hash of a key. */
export const HASH_BYTES = 8;

/** Keys that the source no longer has, each as hashtextextended(codigo, semilla). */
export const BajasSchema = Type.Object({
  /** A bigint. */
  semilla: Type.String({ pattern: '^(0|-?[1-9][0-9]{0,18})$' }),
  /** Base64 of the hashes, big-endian, in ascending order of their bytes. */
  huellas: Type.String({
    pattern: '^[A-Za-z0-9+/]*={0,2}$',
    maxLength: Math.ceil((limits.bajasMaxCount * HASH_BYTES) / 3) * 4,
  }),
  /** Rows that the reading had in all, those that are not sent among them. */
  leidas: Count,
});

export const CommitSchema = Type.Object({
  trozos: Count,
  filas: Count,
  digest: Sha256,
  bajas: Type.Optional(BajasSchema),
});

export const commitUpload = {
  method: 'POST',
  path: '/uploads/:tenantId/:id/commit',
  tag: 'subida',
  summary: 'Applies an upload, whole and once, if its chunks are what the body states; repeated, it answers the same.',
  access: 'tenant',
  params: UploadParams,
  query: NoQuery,
  headers: { [headers.agent]: 'Whose generations the commit counts among.' },
  body: json(CommitSchema),
  answers: { 200: json(UploadResultSchema) },
  errors: [
    ...([
      'CONFIG_INVALIDA',
      'TABLA_DESCONOCIDA',
      'SUBIDA_DESCONOCIDA',
      'SUBIDA_CERRADA',
      'TOTALES_DISTINTOS',
      'GENERACION_DESCONOCIDA',
      'LECTURA_ANTIGUA',
    ] as const),
    ...(['CLAVE_REPETIDA', 'CLAVE_DE_OTRA_TABLA', 'VALOR_INVALIDO', 'SQL_FALLO'] as const),
    ...(['ESQUEMA_DESCONOCIDO', 'ESQUEMA_CAMBIADO'] as const),
  ],
  examples: [
    example({
      params: { id: EXAMPLE_IDS[1] },
      body: { trozos: 1, filas: 3, digest: '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' },
    }),
  ],
} as const satisfies Endpoint;

export const abandonUpload = {
  method: 'DELETE',
  path: '/uploads/:tenantId/:id',
  tag: 'subida',
  summary: 'Forgets an upload that is not committed, and what was stored of it.',
  access: 'tenant',
  params: UploadParams,
  query: NoQuery,
  headers: {},
  body: nothing,
  answers: { 204: nothing },
  errors: ['SUBIDA_DESCONOCIDA', 'SUBIDA_CERRADA'],
  examples: [example({ params: { id: EXAMPLE_IDS[2] } })],
} as const satisfies Endpoint;
