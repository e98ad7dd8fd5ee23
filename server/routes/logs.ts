import { type LogsResponse, LogsSchema } from '../../protocol/api.ts';
import { translateLogsError } from '../postgres/errors.ts';
import { insertLogs } from '../tenants/logs.ts';
import { logOwner } from '../transfer/phase.ts';
import { jsonBody } from './bodies.ts';
import { TenantParams } from './params.ts';
import type { Routes } from './routes.ts';

/** POST /logs/:tenantId: what the agent did, one batch a run. */
export const logsRoutes: Routes = async (app, { config, database }) => {
  app.post(
    '/logs/:tenantId',
    { schema: { tags: ['logs'], params: TenantParams, body: LogsSchema }, ...jsonBody(config) },
    async (request): Promise<LogsResponse> => {
      const { logs } = request.body;
      const logsInsertados = await database.withTenantConnection(request.tenant.tenantId, (connection) =>
        insertLogs(connection, logOwner(request.tenant), logs).catch((error: unknown) => {
          throw translateLogsError(error);
        }),
      );
      return { success: true, logsInsertados };
    },
  );
};
