import type { Context } from '../context.ts';
import { inTransaction } from '../postgres/pool.ts';
import { announceSchema } from '../rows/schemas.ts';
import { findUploadTable } from '../tenants/configurations.ts';
import { agentOf } from './bodies.ts';
import type { Handlers } from './register.ts';

/** The columns of an upload table, as an agent describes them. */
export const schemaHandlers = ({ database }: Context) =>
  ({
    async describeTable(request) {
      const { tenant, body, log } = request;
      const tabla = findUploadTable(tenant, body.tabla);
      const described = { tenant: tenant.tenantId, tabla, agente: agentOf(request) };
      const { huella, refused } = await database.withTenantConnection(tenant.tenantId, (connection) =>
        inTransaction(connection, () => announceSchema(connection, described, body.columnas)),
      );
      if (refused !== undefined) {
        log.warn({ tenant: tenant.tenantId, tabla: tabla.nombre }, refused.detail);
        throw refused;
      }
      return { success: true, huella };
    },
  }) satisfies Partial<Handlers>;
