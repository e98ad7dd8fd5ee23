import { type RunPhaseResponse, RunPhaseSchema } from '../../protocol/api.ts';
import { SyncError } from '../../protocol/errors.ts';
import { inTransaction } from '../postgres/pool.ts';
import { findDownloadTable } from '../tenants/configurations.ts';
import { logFailure, runPhase } from '../transfer/phase.ts';
import { jsonBody } from './bodies.ts';
import { TenantParams } from './params.ts';
import type { Routes } from './routes.ts';

/** POST /phases/:tenantId: runs a download's phase that is configured at `origen`, in a transaction of its own. */
export const phasesRoutes: Routes = async (app, context) => {
  app.post(
    '/phases/:tenantId',
    { schema: { tags: ['fases'], params: TenantParams, body: RunPhaseSchema }, ...jsonBody(context.config) },
    async (request): Promise<RunPhaseResponse> => {
      const { tenant } = request;
      const { tabla, fase } = request.body;
      const table = findDownloadTable(tenant, tabla);
      const started = new Date();
      try {
        const filas = await context.database.withTransfer(tenant.tenantId, (connection) =>
          inTransaction(connection, () => runPhase(connection, context, tenant, 'download', table, fase)),
        );
        if (filas === undefined) {
          const detail = `«${fase}» de «${tabla}» no está configurado para ejecutarse en origen.`;
          throw new SyncError('FASE_DESCONOCIDA', detail, { tabla, fase });
        }
        return { success: true, tabla, fase, registrosAfectados: filas };
      } catch (error) {
        await logFailure(context, tenant, 'download', tabla, started, error);
        throw error;
      }
    },
  );
};
