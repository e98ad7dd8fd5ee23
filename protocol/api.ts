import Type from 'typebox';
import { limits } from './constants.ts';
import { MUESTRA_MAX } from './guard.ts';

/**
 * Bodies and answers of the API, beside the configuration (config.ts) and the errors (errors.ts). Either side passes over
 * fields that it does not know: the other may be newer. What changes the meaning of a body therefore needs a path of its own.
 */

const Count = Type.Integer({ minimum: 0 });
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

export interface OpenUploadResponse {
  success: true;
  id: string;
  tabla: string;
  modo: 'completo' | 'incremental';
  limites: { chunkBodyMaxBytes: number; chunkMaxBytes: number; lineMaxBytes: number; chunksMaxCount: number };
  /** When the server forgets the upload unless a chunk arrives before (each chunk moves it on). */
  expira: string;
}

/** PUT …/chunks/:n */
export interface ChunkResponse {
  success: true;
  trozo: number;
  filas: number;
  /** Whether the same chunk had been stored before (nothing was stored now). */
  repetido: boolean;
}

/** GET /uploads/:tenantId/:id */
export interface UploadStateResponse {
  success: true;
  id: string;
  tabla: string;
  modo: 'completo' | 'incremental';
  estado: 'abierta' | 'confirmada';
  /** In order of `trozo`. */
  trozos: { trozo: number; filas: number; digest: string }[];
  expira: string;
}

/** POST …/commit */
export const CommitSchema = Type.Object({
  trozos: Count,
  filas: Count,
  digest: Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$' }),
});

/** What an upload did: the answer of a commit and of a one-shot NDJSON upload. */
export interface UploadResult {
  success: true;
  tabla: string;
  tipoCampo: string;
  /** Lines received. */
  filas: number;
  registrosInsertados: number;
  registrosActualizados: number;
  registrosSinCambios: number;
  /** Rows set to `activo = false` because the source no longer has them. */
  registrosDesactivados: number;
  /** Lines whose key came again later in the same upload: the last one won (`clavesRepetidas: "ultima"`). */
  clavesRepetidas: number;
  /** Bajas that wait for an administrator; 0 too where he has discarded them. */
  bajasRetenidas: number;
  /** Of those, or of the discarded ones. */
  retencion?: Retencion;
  /** Keys inserted now that SQL Server, by the collation that is its usual one, takes for another one that is here. */
  clavesParecidas?: { pares: number; muestra: [string, string][] };
  /** The generation that it made; not there where it has no name, and of an older server. */
  generacion?: string;
  timestamp: string;
}

/** POST /generaciones/:tenantId: what an agent's marks stand on; null: a mark from before there were generations. */
export const GeneracionesSchema = Type.Object({
  tablas: Type.Record(
    Type.String({ minLength: 1, maxLength: limits.tableNameMaxLength }),
    Type.Union([GeneracionSchema, Type.Null()]),
    { maxProperties: limits.generationsMaxCount },
  ),
});

export interface GeneracionesResponse {
  success: true;
  /** The generation to go on with; null: the mark stands on nothing that the server has. Tables it does not know are left out. */
  tablas: Record<string, string | null>;
}

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

export interface RunPhaseResponse {
  success: true;
  tabla: string;
  fase: 'pre_process' | 'post_process';
  registrosAfectados: number;
}

/** POST /keys/:tenantId: puts a key that the agent has made in the place of the one that the request brings. */
export const RotateKeySchema = Type.Object({
  /** SHA-256 of the new key, base64. */
  huella: Type.String({ pattern: '^[A-Za-z0-9+/]{43}=$' }),
});

export interface RotateKeyResponse {
  success: true;
  /** Of the new key. */
  id: string;
  /** When it ends; null: never. */
  expira: string | null;
  /** How long the old one is in force after the first use of the new one. */
  graciaHoras: number;
}

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

export interface RegisterAgentResponse {
  success: true;
  /** agentIdOf the key: what the agent names itself by in X-Sync-Agent. */
  agente: string;
  /** Otherwise an administrator has to authorise it before it is told secrets. */
  autorizado: boolean;
}

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

export interface LogsResponse {
  success: true;
  logsInsertados: number;
}

/** GET /status/:tenantId: what the backend knows of a tenant's agent. */
export interface StatusResponse {
  success: true;
  /** The backend's clock. */
  hora: string;
  version: number;
  ultimaModificacion: string;
  /** The last reading or loading of each table, or what failed since. Of the tenant's newest log entries alone. */
  tablas: {
    direccion: 'upload' | 'download';
    tabla: string;
    fase: string | null;
    estado: string;
    registrosAfectados: number | null;
    mensaje: string | null;
    fechaInicio: string;
    fechaFin: string | null;
  }[];
  /** Uploads that wait for their commit. */
  subidasAbiertas: { id: string; tabla: string; trozos: number; filas: number; expira: string }[];
  /** Most first; not from servers of an earlier version. */
  bajasRetenidas?: BajasRetenidas[];
}

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

export type EstadoBajas = 'pendiente' | 'aprobada' | 'descartada';

export interface ReportBajasResponse {
  success: true;
  /** `ninguna` and `aplicada` answer `bajas: 0` and `aplicada`. */
  estado: EstadoBajas | 'ninguna' | 'aplicada';
  /** Whether this set is told of for the first time. */
  nueva: boolean;
}

/** What an upload holds back. */
export interface Retencion {
  id: string;
  estado: 'pendiente' | 'descartada';
  /** Whether nobody was told of this set before. */
  nueva: boolean;
  bajas: number;
  /** Active rows before the run. */
  total: number;
  muestra: string[];
  /** What the same run inserted. */
  altas: number;
  muestraAltas: string[];
}

/** Bajas that wait for an administrator, or of which he has decided. */
export interface BajasRetenidas {
  id: string;
  direccion: 'upload' | 'download';
  tabla: string;
  /** Of a download: whose target it is, where the agent said so. */
  agente: string;
  bajas: number;
  total: number;
  muestra: string[];
  altas: number;
  muestraAltas: string[];
  estado: EstadoBajas;
  desde: string;
  /** When they are forgotten, and asked for again if they are still there; null: discarded. */
  hasta: string | null;
}

export type Modo = Type.Static<typeof ModoSchema>;
export type OpenUpload = Type.Static<typeof OpenUploadSchema>;
export type Commit = Type.Static<typeof CommitSchema>;
export type RunPhase = Type.Static<typeof RunPhaseSchema>;
export type RotateKey = Type.Static<typeof RotateKeySchema>;
export type ReportBajas = Type.Static<typeof ReportBajasSchema>;
export type LogEntry = Type.Static<typeof LogEntrySchema>;
