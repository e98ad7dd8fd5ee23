import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { headers, limits } from '../../protocol/constants.ts';
import { SyncError } from '../../protocol/errors.ts';
import { findTenantByKey } from '../data/api-keys.ts';
import type { Configuration } from '../data/configurations.ts';
import type { Context } from '../sync/context.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The tenant whose key the request brought; set for every route below the auth plugin. */
    tenant: Configuration;
  }
}

const KEY_MAX_LENGTH = 200;

/**
 * Routes registered beside this plugin take a tenant in their path and answer only its key: path, X-Tenant-Id and key
 * must agree. Whatever is wrong, the answer and its cost are the same.
 */
export const auth = fp(async (app: FastifyInstance, { database }: Context) => {
  app.decorateRequest('tenant');
  app.addHook('onRequest', async (request) => {
    const inPath = (request.params as { tenantId?: string }).tenantId ?? '';
    const inHeader = one(request.headers[headers.tenant]);
    const key = one(request.headers[headers.apiKey]).slice(0, KEY_MAX_LENGTH);
    const found = await database.withConnection((connection) => findTenantByKey(connection, key));
    if (
      found === undefined ||
      found.tenantId !== inHeader ||
      found.tenantId !== inPath ||
      inPath.length > limits.tenantMaxLength
    ) {
      throw new SyncError('NO_AUTORIZADO', 'El tenant o la clave no son válidos.');
    }
    if (!found.activo) throw new SyncError('TENANT_INACTIVO', `El tenant «${found.tenantId}» está desactivado.`);
    request.tenant = found;
  });
});

function one(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}
