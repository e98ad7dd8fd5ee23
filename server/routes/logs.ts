import { type LogsResponse, LogsSchema } from '../../protocol/api.ts';
import { limits } from '../../protocol/constants.ts';
import type { Routes } from '../app.ts';
import { insertLogs } from '../data/logs.ts';
import { logOwner } from '../sync/phase.ts';
import { TenantParams } from './params.ts';

/** POST /logs/:tenantId: what the agent did, one batch a run. */
export const logsRoutes: Routes = async (app, { database }) => {
  app.post(
    '/logs/:tenantId',
    { schema: { tags: ['logs'], params: TenantParams, body: LogsSchema }, bodyLimit: limits.jsonBodyMaxBytes },
    async (request): Promise<LogsResponse> => {
      const { logs } = request.body;
      const logsInsertados = await database.withConnection((connection) =>
        insertLogs(connection, logOwner(request.tenant), logs),
      );
      return { success: true, logsInsertados };
    },
  );
};
