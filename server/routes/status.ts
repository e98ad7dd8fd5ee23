import type { StatusResponse } from '../../protocol/api.ts';
import { listBajas } from '../rows/bajas.ts';
import { findOpenUploads } from '../rows/uploads.ts';
import { lastByTable } from '../tenants/logs.ts';
import { TenantParams } from './params.ts';
import type { Routes } from './routes.ts';

/** GET /status/:tenantId: how the tenant's tables stand, as the backend sees it. For the agent's `status`. */
export const statusRoutes: Routes = async (app, { database }) => {
  app.get(
    '/status/:tenantId',
    { schema: { tags: ['logs'], params: TenantParams } },
    async ({ tenant }): Promise<StatusResponse> =>
      database.withTenantConnection(tenant.tenantId, async (connection) => ({
        success: true,
        hora: new Date().toISOString(),
        version: tenant.version,
        ultimaModificacion: tenant.ultimaModificacion.toISOString(),
        tablas: await lastByTable(connection, tenant.tenantId),
        subidasAbiertas: await findOpenUploads(connection, tenant.tenantId),
        bajasRetenidas: await listBajas(connection, tenant.tenantId),
      })),
  );
};
