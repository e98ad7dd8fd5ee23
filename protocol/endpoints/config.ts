import { headers } from '../constants.ts';
import { ConfigResponseSchema } from '../tenant-config/config.ts';
import { type Endpoint, example, json, NoQuery, nothing, TenantParams } from './endpoint.ts';

const keyHeaders = {
  etag: 'Of all that is answered, and of whom it is for.',
  [headers.apiKeyExpires]: 'When the key of the request ends, ISO 8601; absent when it never does.',
  [headers.apiKeyRenew]: '`true` when the agent should rotate its key now.',
};

export const getConfig = {
  method: 'GET',
  path: '/config/:tenantId',
  tag: 'config',
  summary: 'What the agent works by: SQL Server, its login, and the tables with their SQL.',
  access: 'tenant',
  params: TenantParams,
  query: NoQuery,
  headers: {
    'if-none-match': 'An ETag: what has not changed since is answered by 304.',
    [headers.agent]: 'Which registered agent asks: secrets are sealed for it.',
  },
  body: nothing,
  answers: { 200: json(ConfigResponseSchema, keyHeaders), 304: { ...nothing, headers: keyHeaders } },
  errors: ['AGENTE_NO_AUTORIZADO', 'CONFIG_INVALIDA', 'SECRETO_ILEGIBLE'],
  examples: [example()],
} as const satisfies Endpoint;
