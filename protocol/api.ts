import type Type from 'typebox';
import type { RegisterAgentResponseSchema, RotateKeyResponseSchema } from './endpoints/agents.ts';
import type {
  BajasRetenidasSchema,
  EstadoBajasSchema,
  ReportBajasResponseSchema,
  ReportBajasSchema,
} from './endpoints/bajas.ts';
import type {
  ChangesSchema,
  CompareDownloadSchema,
  RunPhaseResponseSchema,
  RunPhaseSchema,
} from './endpoints/download.ts';
import type { DescribeTableSchema, EsquemaCambiadoSchema, EsquemaPendienteSchema } from './endpoints/esquemas.ts';
import type { ModoSchema } from './endpoints/fields.ts';
import type { GeneracionesResponseSchema } from './endpoints/generaciones.ts';
import type { LogEntrySchema, LogsResponseSchema, StatusResponseSchema } from './endpoints/logs.ts';
import type { RetencionSchema, UploadResultSchema } from './endpoints/upload.ts';
import type {
  BajasSchema,
  ChunkResponseSchema,
  CommitSchema,
  OpenUploadResponseSchema,
  OpenUploadSchema,
  UploadStateResponseSchema,
} from './endpoints/uploads.ts';
import type {
  DetailsResponseSchema,
  DetailsSchema,
  PairsSchema,
  SummarySchema,
  VerificacionSchema,
} from './endpoints/verificaciones.ts';

/**
 * Types of the API's bodies and answers; their schemas stand with their endpoints (`endpoints/`). Either side passes over fields
 * that it does not know: the other may be newer. What changes the meaning of a body therefore needs a path of its own.
 */

export type { DownloadEnd, DownloadLedger, DownloadStart } from './endpoints/download.ts';

export type Modo = Type.Static<typeof ModoSchema>;
export type OpenUpload = Type.Static<typeof OpenUploadSchema>;
export type Commit = Type.Static<typeof CommitSchema>;
/** Bajas of a commit. */
export type Bajas = Type.Static<typeof BajasSchema>;
export type ChangesRequest = Type.Static<typeof ChangesSchema>;
export type CompareDownload = Type.Static<typeof CompareDownloadSchema>;
export type RunPhase = Type.Static<typeof RunPhaseSchema>;
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
export type DescribeTable = Type.Static<typeof DescribeTableSchema>;
export type EsquemaCambiado = Type.Static<typeof EsquemaCambiadoSchema>;
export type EsquemaPendiente = Type.Static<typeof EsquemaPendienteSchema>;
export type Retencion = Type.Static<typeof RetencionSchema>;
export type SummaryRequest = Type.Static<typeof SummarySchema>;
export type PairsRequest = Type.Static<typeof PairsSchema>;
export type DetailsRequest = Type.Static<typeof DetailsSchema>;
export type DetailsResponse = Type.Static<typeof DetailsResponseSchema>;
export type Verificacion = Type.Static<typeof VerificacionSchema>;
