import Type from 'typebox';
import { headers, limits, mediaTypes } from '../constants.ts';
import { type Endpoint, example, json, NoQuery, stream, TenantParams } from './endpoint.ts';
import { Count, DireccionSchema, Done, TableName } from './fields.ts';
import { Timestamp } from './logs.ts';

/**
 * Whether a table at the centre and its source are equal (SPEC.md, Y1 to Y3): hashes of what the database holds, under the agent's
 * seed, by leading bits of the key's hash. Three requests whatever the size: summaries, the rows of the buckets that differ, and what
 * is looked at once more.
 */

/** A bigint of PostgreSQL, as text. */
const Seed = Type.String({ pattern: '^-?\\d{1,19}$' });
const base64Of = (maxBytes: number) =>
  Type.String({ pattern: '^[A-Za-z0-9+/]*={0,2}$', maxLength: 4 * Math.ceil(maxBytes / 3) });

/** 64 bits, hexadecimal. */
const Huella = Type.String({ pattern: '^[0-9a-f]{16}$' });

const of = { tabla: TableName, semilla: Seed };

export const SummarySchema = Type.Object({
  ...of,
  /** Leading bits of a key's hash that make a bucket. */
  bits: Type.Integer({ minimum: 0, maximum: limits.verifyMaxBits }),
});

export const summarize = {
  method: 'POST',
  path: '/verificaciones/:tenantId/resumen',
  tag: 'verificación',
  summary:
    'Counts and hashes of the rows of a table, by bucket: `"bucket,n,xor,n,xor"`, those of active rows first; hexadecimal.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: { 'accept-encoding': 'zstd, gzip or neither.' },
  body: json(SummarySchema),
  answers: { 200: stream({ [mediaTypes.framedNdjson]: undefined }) },
  errors: ['CONFIG_INVALIDA', 'TABLA_DESCONOCIDA', 'SQL_FALLO'],
  examples: [example({ body: { tabla: 'clientes', semilla: '-7', bits: 14 } })],
} as const satisfies Endpoint;

export const PairsSchema = Type.Object({
  ...of,
  bits: Type.Integer({ minimum: 0, maximum: limits.verifyMaxBits }),
  /** A bit for each bucket, the lowest of a byte first. */
  cubos: base64Of(2 ** limits.verifyMaxBits / 8),
});

export const listPairs = {
  method: 'POST',
  path: '/verificaciones/:tenantId/filas',
  tag: 'verificación',
  summary:
    'The rows of some buckets, in the order of the buckets: `"hash of the key,hash of the row,key"`, the hashes of 16 hexadecimal digits each.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: { 'accept-encoding': 'zstd, gzip or neither.' },
  body: json(PairsSchema),
  answers: { 200: stream({ [mediaTypes.framedNdjson]: undefined }) },
  errors: ['CONFIG_INVALIDA', 'TABLA_DESCONOCIDA', 'SQL_FALLO'],
  examples: [example({ body: { tabla: 'clientes', semilla: '5', bits: 0, cubos: 'AQ==' } })],
} as const satisfies Endpoint;

export const DetailsSchema = Type.Object({
  ...of,
  /** Hashes of keys, 8 bytes each, big-endian. */
  huellas: base64Of(8 * limits.verifyLookMax),
  /** Those of which the key is told. */
  claves: base64Of(8 * limits.verifyKeysMax),
  /** Those of which the columns are told. */
  columnas: base64Of(8 * limits.verifySamples),
});

export const DetailsResponseSchema = Type.Object({
  success: Done,
  /** Of the keys that are there, 16 bytes each: hash of the key, hash of the row; base64. */
  filas: Type.String(),
  claves: Type.Array(Type.Object({ huella: Huella, codigo: Type.String() })),
  /** The hash of each member of the document, and of `nombre` and `activo`, as text. */
  columnas: Type.Array(Type.Object({ huella: Huella, valores: Type.Record(Type.String(), Type.String()) })),
});

export const findDetails = {
  method: 'POST',
  path: '/verificaciones/:tenantId/claves',
  tag: 'verificación',
  summary:
    'What the centre has of some keys now, given and told by their hashes; of a few, the key and a hash of each column.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: {},
  body: json(DetailsSchema),
  answers: { 200: json(DetailsResponseSchema) },
  errors: ['CONFIG_INVALIDA', 'TABLA_DESCONOCIDA', 'SQL_FALLO'],
  examples: [
    example({
      body: { tabla: 'clientes', semilla: '5', huellas: 'AAAAAAAAAAE=', claves: '', columnas: 'AAAAAAAAAAE=' },
    }),
  ],
} as const satisfies Endpoint;

export const DiferenciaSchema = Type.Union([Type.Literal('distinta'), Type.Literal('falta'), Type.Literal('sobra')]);

export const MuestraSchema = Type.Object({
  diferencia: DiferenciaSchema,
  clave: Type.String({ maxLength: 1000 }),
  /** Which differ; no values. */
  columnas: Type.Array(Type.String({ maxLength: 256 }), { maxItems: limits.verifyColumnsMax }),
});

export const EstadoVerificacionSchema = Type.Union([
  Type.Literal('iguales'),
  Type.Literal('diferencias'),
  Type.Literal('incompleta'),
  Type.Literal('sin_comparar'),
]);

/** How a comparison ended. */
export const VerificacionSchema = Type.Object({
  tabla: TableName,
  direccion: DireccionSchema,
  estado: EstadoVerificacionSchema,
  filasOrigen: Count,
  filasDestino: Count,
  iguales: Count,
  distintas: Count,
  /** At the source and not at the target. */
  faltan: Count,
  /** The other way about. */
  sobran: Count,
  /** Different at first, and not when they were looked at once more. */
  enVuelo: Count,
  /** Rows that `--reparar` sent. */
  reparadas: Count,
  muestras: Type.Array(MuestraSchema, { maxItems: 3 * limits.verifySamples }),
  inicio: Timestamp,
  fin: Timestamp,
  /** What there is to say beside the figures. */
  mensaje: Type.Union([Type.String({ maxLength: 2000 }), Type.Null()]),
});

export const storeVerification = {
  method: 'POST',
  path: '/verificaciones/:tenantId',
  tag: 'verificación',
  summary: 'Keeps how a comparison ended; of each table and direction the newest 50.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: { [headers.agent]: 'Who compared.' },
  body: json(VerificacionSchema),
  answers: { 200: json(Type.Object({ success: Done })) },
  errors: ['CONFIG_INVALIDA', 'TABLA_DESCONOCIDA'],
  examples: [
    example({
      body: {
        ...{ tabla: 'clientes', direccion: 'upload', estado: 'diferencias', filasOrigen: 3, filasDestino: 3 },
        ...{ iguales: 2, distintas: 1, faltan: 0, sobran: 0, enVuelo: 0, reparadas: 0 },
        muestras: [{ diferencia: 'distinta', clave: 'C1', columnas: ['precio'] }],
        ...{ inicio: '2026-11-30T17:00:00.000Z', fin: '2026-11-30T17:00:02.000Z', mensaje: null },
      },
    }),
  ],
} as const satisfies Endpoint;
