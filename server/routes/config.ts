import type { ConfigResponse } from '../../protocol/config.ts';
import type { Routes } from '../app.ts';
import { passwordPlace } from '../data/passwords.ts';
import { TenantParams } from './params.ts';

/** GET /config/:tenantId: what the agent works by. The ETag is the version, so an unchanged one costs a 304. */
export const configRoutes: Routes = async (app, { masterKeys }) => {
  app.get('/config/:tenantId', { schema: { tags: ['config'], params: TenantParams } }, async (request, reply) => {
    const { tenant } = request;
    const etag = `"${tenant.id}-${tenant.version}"`;
    reply.header('etag', etag).header('cache-control', 'no-cache');
    const known = (request.headers['if-none-match'] ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
    if (known.includes(etag) || known.includes('*')) return reply.code(304).send();
    return {
      success: true,
      id: tenant.id,
      tenantId: tenant.tenantId,
      sqlServerHost: tenant.sqlServerHost,
      sqlServerPort: tenant.sqlServerPort,
      sqlServerDatabase: tenant.sqlServerDatabase,
      sqlServerUser: tenant.sqlServerUser,
      sqlServerPassword: masterKeys.open(passwordPlace(tenant.tenantId), tenant.sqlServerPassword),
      configuracionTablas: tenant.configuracionTablas as ConfigResponse['configuracionTablas'],
      version: tenant.version,
      ultimaModificacion: tenant.ultimaModificacion.toISOString(),
    } satisfies ConfigResponse;
  });
};
