import Type from 'typebox';
import { limits } from './constants.ts';
import { MUESTRA_MAX } from './tenant-config/guard.ts';

/**
 * Bodies and answers of the API, beside the configuration (config.ts) and the errors (errors.ts). Either side passes over
 * fields that it does not know: the other may be newer. What changes the meaning of a body therefore needs a path of its own.
 */

const Count = Type.Integer({ minimum: 0 });
/** What alone says that it was done: every answer has it, and no error. */
const Done = Type.Literal(true);
/** A count that PostgreSQL keeps as an integer. */
const Many = Type.Integer({ minimum: 0, maximum: 2_147_483_647 });
const Timestamp = Type.String({
  pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,9})?)?(Z|[+-]\\d\\d:\\d\\d)$',
});

export const ModoSchema = Type.Union([Type.Literal('completo'), Type.Literal('incremental')]);

/**
 * A generation: the state of a table at the centre that one commit made, named by that commit's upload (its id, or the
 * Idempotency-Key of a one-shot one).
 */
export const GeneracionSchema = Type.String({ pattern: '^[!-~]{1,200}$' });

/** What an upload says of the reading that it is; of both kinds of upload. */
export const lecturaProperties = {
  /** The generation that the sender's mark stands on. Without it nothing is compared. */
  base: Type.Optional(GeneracionSchema),
  /** The source's UTC clock before the reading. Without it nothing is compared. */
  lectura: Type.Optional(Type.String({ pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,7})?Z$' })),
  /** The sender has seen that the source's clock went back: `lectura` may be older than the newest. */
  relojAtrasado: Type.Optional(Type.Boolean()),
};

/** POST /uploads/:tenantId */
export const OpenUploadSchema = Type.Object({
  tabla: Type.String({ minLength: 1, maxLength: limits.tableNameMaxLength }),
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

/** PUT …/chunks/:n */
export const ChunkResponseSchema = Type.Object({
  success: Done,
  trozo: Count,
  filas: Count,
  /** Whether the same chunk had been stored before (nothing was stored now). */
  repetido: Type.Boolean(),
});

/** GET /uploads/:tenantId/:id */
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

/** POST …/commit */
export const CommitSchema = Type.Object({
  trozos: Count,
  filas: Count,
  digest: Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$' }),
});

/** What an upload holds back. */
const RetencionSchema = Type.Object({
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
  /** The generation that it made; not there where it has no name, and of an older server. */
  generacion: Type.Optional(Type.String()),
  timestamp: Type.String(),
});

/** POST /generaciones/:tenantId: what an agent's marks stand on; null: a mark from before there were generations. */
export const GeneracionesSchema = Type.Object({
  tablas: Type.Record(
    Type.String({ minLength: 1, maxLength: limits.tableNameMaxLength }),
    Type.Union([GeneracionSchema, Type.Null()]),
    { maxProperties: limits.generationsMaxCount },
  ),
});

export const GeneracionesResponseSchema = Type.Object({
  success: Done,
  /** The generation to go on with; null: the mark stands on nothing that the server has. Tables it does not know are left out. */
  tablas: Type.Record(Type.String(), Type.Union([GeneracionSchema, Type.Null()])),
});

/** The answer to the JSON envelope: the specification's fields and no others. */
export interface UploadEnvelopeResponse {
  success: true;
  tabla: string;
  registrosInsertados: number;
  timestamp: string;
}

/** POST /phases/:tenantId: runs a phase of a download that is configured at `origen` (PostgreSQL). */
export const RunPhaseSchema = Type.Object({
  tabla: Type.String({ minLength: 1, maxLength: limits.tableNameMaxLength }),
  fase: Type.Union([Type.Literal('pre_process'), Type.Literal('post_process')]),
});

export const RunPhaseResponseSchema = Type.Object({
  success: Done,
  ...RunPhaseSchema.properties,
  registrosAfectados: Count,
});

/** POST /keys/:tenantId: puts a key that the agent has made in the place of the one that the request brings. */
export const RotateKeySchema = Type.Object({
  /** SHA-256 of the new key, base64. */
  huella: Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$' }),
});

export const RotateKeyResponseSchema = Type.Object({
  success: Done,
  /** Of the new key. */
  id: Type.String(),
  /** When it ends; null: never. */
  expira: Type.Union([Type.String(), Type.Null()]),
  /** How long the old one is in force after the first use of the new one. */
  graciaHoras: Type.Number(),
});

/** First line of a framed download. */
export interface DownloadStart {
  $inicio: {
    tabla: string;
    schema: { columns: { name: string; type: string; nullable: boolean }[] };
    timestamp: string;
  };
}

/** Last line of a framed download: without it, or with another count, the download is not complete. */
export interface DownloadEnd {
  $fin: { filas: number };
}

/** POST /agents/:tenantId: the public half of an agent's key pair (agent-key.ts). */
export const RegisterAgentSchema = Type.Object({ clavePublica: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }) });

export const RegisterAgentResponseSchema = Type.Object({
  success: Done,
  /** agentIdOf the key: what the agent names itself by in X-Sync-Agent. */
  agente: Type.String(),
  /** Otherwise an administrator has to authorise it before it is told secrets. */
  autorizado: Type.Boolean(),
});

export const LogEntrySchema = Type.Object({
  /** The client's own random name for it: what is sent again, after a lost answer, is stored once. */
  id: Type.Optional(Type.String({ pattern: '^c[0-9a-z]{24}$' })),
  direccion: Type.Union([Type.Literal('upload'), Type.Literal('download')]),
  tabla: Type.String({ minLength: 1, maxLength: limits.tableNameMaxLength }),
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

/** POST /logs/:tenantId */
export const LogsSchema = Type.Object({ logs: Type.Array(LogEntrySchema, { maxItems: limits.logsMaxCount }) });

export const LogsResponseSchema = Type.Object({ success: Done, logsInsertados: Count });

/** POST /bajas/:tenantId: bajas that an agent holds back at its SQL Server (guard.ts), or that none are any more. */
export const ReportBajasSchema = Type.Object({
  direccion: Type.Literal('download'),
  tabla: Type.String({ minLength: 1, maxLength: limits.tableNameMaxLength }),
  /** Of the set of keys, in no order; hexadecimal. */
  digest: Type.String({ pattern: '^[0-9a-f]{16,64}$' }),
  /** 0: nothing is held back any more. */
  bajas: Many,
  /** Rows of the target before the run. */
  total: Many,
  /** Some of the keys. */
  muestra: Type.Array(Type.String({ maxLength: 1000 }), { maxItems: MUESTRA_MAX }),
  /** What the same run inserts. */
  altas: Type.Optional(Many),
  muestraAltas: Type.Optional(Type.Array(Type.String({ maxLength: 1000 }), { maxItems: MUESTRA_MAX })),
  /** What was approved has been applied: the approval is used up. */
  aplicada: Type.Optional(Type.Boolean()),
});

const EstadoBajasSchema = Type.Union([Type.Literal('pendiente'), Type.Literal('aprobada'), Type.Literal('descartada')]);

export const ReportBajasResponseSchema = Type.Object({
  success: Done,
  /** `ninguna` and `aplicada` answer `bajas: 0` and `aplicada`. */
  estado: Type.Union([...EstadoBajasSchema.anyOf, Type.Literal('ninguna'), Type.Literal('aplicada')]),
  /** Whether this set is told of for the first time. */
  nueva: Type.Boolean(),
});

const DireccionSchema = Type.Union([Type.Literal('upload'), Type.Literal('download')]);
const TextOrNull = Type.Union([Type.String(), Type.Null()]);

/** Bajas that wait for an administrator, or of which he has decided. */
const BajasRetenidasSchema = Type.Object({
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

/** GET /status/:tenantId: what the backend knows of a tenant's agent. */
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
});

/** GET /health. */
export const HealthResponseSchema = Type.Object({ success: Done });

export type Modo = Type.Static<typeof ModoSchema>;
export type OpenUpload = Type.Static<typeof OpenUploadSchema>;
export type Commit = Type.Static<typeof CommitSchema>;
export type RunPhase = Type.Static<typeof RunPhaseSchema>;
export type RotateKey = Type.Static<typeof RotateKeySchema>;
export type ReportBajas = Type.Static<typeof ReportBajasSchema>;
export type LogEntry = Type.Static<typeof LogEntrySchema>;
export type OpenUploadResponse = Type.Static<typeof OpenUploadResponseSchema>;
export type ChunkResponse = Type.Static<typeof ChunkResponseSchema>;
export type UploadStateResponse = Type.Static<typeof UploadStateResponseSchema>;
export type UploadResult = Type.Static<typeof UploadResultSchema>;
export type GeneracionesResponse = Type.Static<typeof GeneracionesResponseSchema>;
export type RunPhaseResponse = Type.Static<typeof RunPhaseResponseSchema>;
export type RotateKeyResponse = Type.Static<typeof RotateKeyResponseSchema>;
export type RegisterAgentResponse = Type.Static<typeof RegisterAgentResponseSchema>;
export type LogsResponse = Type.Static<typeof LogsResponseSchema>;
export type ReportBajasResponse = Type.Static<typeof ReportBajasResponseSchema>;
export type StatusResponse = Type.Static<typeof StatusResponseSchema>;
export type EstadoBajas = Type.Static<typeof EstadoBajasSchema>;
export type BajasRetenidas = Type.Static<typeof BajasRetenidasSchema>;
export type Retencion = Type.Static<typeof RetencionSchema>;
