import { type GeneracionesResponse, GeneracionesSchema } from '../../protocol/api.ts';
import { inTransaction } from '../postgres/pool.ts';
import { checkGenerations } from '../rows/commits.ts';
import { readTables, tipoCampoOf } from '../tenants/configurations.ts';
import { agentOf, jsonBody } from './bodies.ts';
import { TenantParams } from './params.ts';
import type { Routes } from './routes.ts';

/** POST /generaciones/:tenantId: whether an agent's marks stand on what the database has. Once a run, before its tables. */
export const generacionesRoutes: Routes = async (app, { config, database }) => {
  app.post(
    '/generaciones/:tenantId',
    { schema: { tags: ['subida'], params: TenantParams, body: GeneracionesSchema }, ...jsonBody(config) },
    async (request): Promise<GeneracionesResponse> => {
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
  );
};
