import type { Context } from '../context.ts';
import { inTransaction } from '../postgres/pool.ts';
import { checkGenerations } from '../rows/commits.ts';
import { readTables, tipoCampoOf } from '../tenants/configurations.ts';
import { agentOf } from './bodies.ts';
import type { Handlers } from './register.ts';

/** Whether an agent's marks stand on what the database has. Once a run, before its tables. */
export const generacionesHandlers = ({ database }: Context) =>
  ({
    async checkGenerations(request) {
      const { tenant, body } = request;
      const configured = (readTables(tenant).tablasSubida ?? []).map(
        (tabla) => [tabla.nombre, { tipoCampo: tipoCampoOf(tabla) }] as const,
      );
      const tablas = await database.withTenantConnection(tenant.tenantId, (connection) =>
        inTransaction(connection, () =>
          checkGenerations(connection, tenant.tenantId, agentOf(request), body.tablas, new Map(configured)),
        ),
      );
      return { success: true, tablas };
    },
  }) satisfies Partial<Handlers>;
