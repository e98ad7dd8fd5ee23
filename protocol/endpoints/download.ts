import Type from 'typebox';
import { limits, mediaTypes } from '../constants.ts';
import { ColumnName } from '../tenant-config/values.ts';
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
    /** Of a download with `huellas`, and of a comparison. */
    huellas?: DownloadLedger;
  };
}

/** What the agent is to know of a download with `huellas`. */
export interface DownloadLedger {
  /** Digest of query, schema and key: what was hashed under another one is not compared. */
  consulta: string;
  /** Which buckets follow, and how many rows there are in all; absent: every row follows. */
  cubos?: {
    /** A bit for each bucket, the lowest of a byte first; base64. */
    distintos: string;
    filas: number;
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

/** A digest of the server's own. */
const Consulta = Type.String({ pattern: '^[0-9a-f]{32}$' });

const Base64 = (maxBytes: number) =>
  Type.String({ pattern: '^[A-Za-z0-9+/]*={0,2}$', maxLength: 4 * Math.ceil(maxBytes / 3) });

const Bits = Type.Integer({ minimum: 0, maximum: limits.changesMaxBits });

/** Of each bucket the hashes of its rows and their number, one XOR the other: 8 bytes, big-endian; base64. */
const Firmas = Base64(8 * limits.changesMaxBuckets);

export const ChangesSchema = Type.Object({
  tabla: TableName,
  /** A bigint of PostgreSQL, as text. */
  semilla: Type.String({ pattern: '^-?\\d{1,19}$' }),
  /** What the agent holds; absent: nothing. */
  libro: Type.Optional(
    Type.Object({
      consulta: Consulta,
      /** Leading bits of a key's hash that make a bucket. */
      bits: Bits,
      firmas: Firmas,
      /** Some of those buckets, a bit each, the lowest of a byte first; what is held of them, by more bits; and that in their order. */
      dentro: Type.Optional(Type.Object({ cubos: Base64(limits.changesMaxBuckets / 8), bits: Bits, firmas: Firmas })),
    }),
  ),
  /** Only which buckets differ is asked, and no row. */
  sinFilas: Type.Optional(Type.Boolean()),
});

export const openChanges = {
  method: 'POST',
  path: '/download-cambios/:tenantId',
  tag: 'bajada',
  summary:
    'Rows for SQL Server, framed: those of the buckets in which the agent holds something else, which the first line names, by as many bits as it says of them; all, where it holds nothing that can be compared. With `sinFilas` none.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: { 'accept-encoding': 'zstd, gzip or neither.' },
  body: json(ChangesSchema),
  answers: { 200: stream({ [mediaTypes.framedNdjson]: undefined }) },
  errors: ['CONFIG_INVALIDA', 'TABLA_DESCONOCIDA', 'SQL_FALLO'],
  examples: [
    example({ body: { tabla: 'consulta', semilla: '-7' } }),
    example({
      body: { tabla: 'consulta', semilla: '5', libro: { consulta: '0'.repeat(32), bits: 0, firmas: 'AAAAAAAAAAA=' } },
    }),
    example({
      body: {
        ...{ tabla: 'consulta', semilla: '5', sinFilas: true },
        libro: {
          ...{ consulta: '0'.repeat(32), bits: 0, firmas: 'AAAAAAAAAAA=' },
          dentro: { cubos: 'AQ==', bits: 1, firmas: 'AAAAAAAAAAAAAAAAAAAAAA==' },
        },
      },
    }),
  ],
} as const satisfies Endpoint;

export const CompareDownloadSchema = Type.Object({
  tabla: TableName,
  /** A bigint of PostgreSQL, as text. */
  semilla: Type.String({ pattern: '^-?\\d{1,19}$' }),
  /** Leading bits of a key's hash that make a bucket. */
  bits: Type.Integer({ minimum: 0, maximum: limits.verifyMaxBits }),
  /** Names of the target's columns, in any case: of a row, what the target has no column for is neither hashed nor sent. */
  columnas: Type.Array(ColumnName, { minItems: 1, maxItems: 1024 }),
  /** Whose rows are wanted: a bit for each bucket, the lowest of a byte first; absent: a line for each bucket. */
  cubos: Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9+/]*={0,2}$',
      maxLength: 4 * Math.ceil(2 ** limits.verifyMaxBits / 8 / 3),
    }),
  ),
});

export const compareDownload = {
  method: 'POST',
  path: '/download-comparado/:tenantId',
  tag: 'verificación',
  summary:
    'What a download would bring, for the agent that compares its target with it: `"bucket,n,xor,0,0"` of each bucket, hexadecimal, or the rows of some. Runs no phase.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: { 'accept-encoding': 'zstd, gzip or neither.' },
  body: json(CompareDownloadSchema),
  answers: { 200: stream({ [mediaTypes.framedNdjson]: undefined }) },
  errors: ['CONFIG_INVALIDA', 'TABLA_DESCONOCIDA', 'SQL_FALLO'],
  examples: [
    example({ body: { tabla: 'clientes', semilla: '-7', bits: 6, columnas: ['codigo', 'nombre'] } }),
    example({ body: { tabla: 'clientes', semilla: '5', bits: 0, columnas: ['codigo'], cubos: 'AQ==' } }),
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
