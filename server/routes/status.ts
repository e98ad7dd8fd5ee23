import type { Context } from '../context.ts';
import { listBajas } from '../rows/bajas.ts';
import { listWaitingSchemas } from '../rows/schema-approval.ts';
import { findOpenUploads } from '../rows/uploads.ts';
import { lastByTable } from '../tenants/logs.ts';
import type { Handlers } from './register.ts';

/** How the tenant's tables stand, as the backend sees it. For the agent's `status`. */
export const statusHandlers = ({ database }: Context) =>
  ({
    async getStatus({ tenant }) {
      return database.withTenantConnection(tenant.tenantId, async (connection) => ({
        success: true,
        hora: new Date().toISOString(),
        version: tenant.version,
        ultimaModificacion: tenant.ultimaModificacion.toISOString(),
        tablas: await lastByTable(connection, tenant.tenantId),
        subidasAbiertas: await findOpenUploads(connection, tenant.tenantId),
        bajasRetenidas: await listBajas(connection, tenant.tenantId),
        esquemasPendientes: await listWaitingSchemas(connection, tenant.tenantId),
      }));
    },
  }) satisfies Partial<Handlers>;
