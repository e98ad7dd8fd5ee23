import type { Context } from '../context.ts';
import { translateLogsError } from '../postgres/errors.ts';
import { insertLogs } from '../tenants/logs.ts';
import { emitAgentSpans } from '../tracing/agent-spans.ts';
import { logOwner } from '../transfer/log-entries.ts';
import type { Handlers } from './register.ts';

/** What the agent did, one batch a run. */
export const logHandlers = ({ database }: Context) =>
  ({
    async storeLogs(request) {
      const { logs } = request.body;
      const logsInsertados = await database.withTenantConnection(request.tenant.tenantId, (connection) =>
        insertLogs(connection, logOwner(request.tenant), logs).catch((error: unknown) => {
          throw translateLogsError(error);
        }),
      );
      emitAgentSpans(request.tenant.tenantId, logs);
      return { success: true, logsInsertados };
    },
  }) satisfies Partial<Handlers>;
