import Type from 'typebox';
import { type Endpoint, example, json, NoQuery, TenantParams } from './endpoint.ts';
import { Done, Sha256 } from './fields.ts';

/** Who asks: the key pair of an agent, and its API key. */

export const RegisterAgentSchema = Type.Object({ clavePublica: Type.String({ pattern: '^[A-Za-z0-9_-]{43}$' }) });

export const RegisterAgentResponseSchema = Type.Object({
  success: Done,
  /** agentIdOf the key: what the agent names itself by in X-Sync-Agent. */
  agente: Type.String(),
  /** Otherwise an administrator has to authorise it before it is told secrets. */
  autorizado: Type.Boolean(),
});

export const registerAgent = {
  method: 'POST',
  path: '/agents/:tenantId',
  tag: 'agentes',
  summary: 'Registers the public half of an agent’s X25519 key pair; the first of a tenant is authorised at once.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: {},
  body: json(RegisterAgentSchema),
  answers: { 200: json(RegisterAgentResponseSchema) },
  errors: ['AGENTE_NO_AUTORIZADO'],
  examples: [example({ body: { clavePublica: 'hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo' } })],
} as const satisfies Endpoint;

export const RotateKeySchema = Type.Object({
  /** SHA-256 of the new key, base64. */
  huella: Sha256,
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

export const rotateKey = {
  method: 'POST',
  path: '/keys/:tenantId',
  tag: 'claves',
  summary:
    'Puts a key that the agent has made in the place of the one that the request brings; repeated, it answers the same.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: {},
  body: json(RotateKeySchema),
  answers: { 200: json(RotateKeyResponseSchema) },
  errors: ['CLAVE_RETIRADA', 'DEMASIADAS_CLAVES'],
  examples: [example({ body: { huella: '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' } })],
} as const satisfies Endpoint;
