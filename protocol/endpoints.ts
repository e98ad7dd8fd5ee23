import type Type from 'typebox';
import { API_PREFIX } from './constants.ts';
import { registerAgent, rotateKey } from './endpoints/agents.ts';
import { reportBajas } from './endpoints/bajas.ts';
import { getConfig } from './endpoints/config.ts';
import { compareDownload, openChanges, openDownload, runPhase } from './endpoints/download.ts';
import type { AnswerOf, BodyOf, Endpoint, ParamsOf } from './endpoints/endpoint.ts';
import { describeTable } from './endpoints/esquemas.ts';
import { checkGenerations } from './endpoints/generaciones.ts';
import { checkHealth, describeApi } from './endpoints/health.ts';
import { getStatus, storeLogs } from './endpoints/logs.ts';
import { uploadOnce } from './endpoints/upload.ts';
import { abandonUpload, commitUpload, findUpload, openUpload, putChunk } from './endpoints/uploads.ts';
import { findDetails, listPairs, storeVerification, summarize } from './endpoints/verificaciones.ts';
import type { ErrorCode } from './error-table.ts';

/** Every endpoint of the API, by its operationId. */
export const endpoints = {
  checkHealth,
  describeApi,
  registerAgent,
  rotateKey,
  getConfig,
  uploadOnce,
  openUpload,
  findUpload,
  putChunk,
  commitUpload,
  abandonUpload,
  checkGenerations,
  describeTable,
  openDownload,
  openChanges,
  compareDownload,
  runPhase,
  reportBajas,
  summarize,
  listPairs,
  findDetails,
  storeVerification,
  getStatus,
  storeLogs,
} as const satisfies Record<string, Endpoint>;

export type EndpointName = keyof typeof endpoints;
export type EndpointOf<Name extends EndpointName> = (typeof endpoints)[Name];
export type ParamsTo<Name extends EndpointName> = ParamsOf<EndpointOf<Name>>;
export type BodyTo<Name extends EndpointName> = BodyOf<EndpointOf<Name>>;
export type AnswerTo<Name extends EndpointName> = AnswerOf<EndpointOf<Name>>;

export const endpointNames = Object.keys(endpoints) as EndpointName[];

/** Returns the path of a request below API_PREFIX. */
export function pathTo<Name extends EndpointName>(name: Name, params: ParamsTo<Name>): string {
  const given = params as Record<string, string>;
  return endpoints[name].path.replace(/:(\w+)/g, (_, param: string) => encodeURIComponent(given[param]!));
}

/** Returns the same from the root of the server. */
export function urlTo<Name extends EndpointName>(name: Name, params: ParamsTo<Name>): string {
  return API_PREFIX + pathTo(name, params);
}

/** Returns the status that says that all went well: the lowest that it has. */
export function successOf(endpoint: Endpoint): number {
  return Math.min(...Object.keys(endpoint.answers).map(Number));
}

/** Returns the schema of its JSON answer, if it has one. */
export function answerSchemaOf(endpoint: Endpoint): Type.TSchema | undefined {
  const answer = endpoint.answers[successOf(endpoint)];
  return answer?.kind === 'json' ? answer.schema : undefined;
}

const ofAny = [
  'CUERPO_INVALIDO',
  'DEMASIADAS_PETICIONES',
  'OCUPADO',
  'BASE_NO_DISPONIBLE',
  'INTERNO',
] as const satisfies ErrorCode[];
const ofTenants = ['NO_AUTORIZADO', 'TENANT_INACTIVO', 'AGENTE_ANTIGUO'] as const satisfies ErrorCode[];
const ofBodies = ['CUERPO_CORTADO', 'DEMASIADO_GRANDE', 'TIPO_NO_ADMITIDO'] as const satisfies ErrorCode[];

/** Returns every code that an endpoint may answer. */
export function errorsOf({ access, method, errors }: Endpoint): readonly ErrorCode[] {
  return [...ofAny, ...(access === 'tenant' ? ofTenants : []), ...(method === 'GET' ? [] : ofBodies), ...errors];
}
