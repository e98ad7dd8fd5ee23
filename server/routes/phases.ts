import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';
import { inTransaction } from '../postgres/pool.ts';
import { findDownloadTable } from '../tenants/configurations.ts';
import { logFailure, runPhase } from '../transfer/phase.ts';
import type { Handlers } from './register.ts';

/** A download's phase that is configured at `origen`, in a transaction of its own. */
export const phaseHandlers = (context: Context) =>
  ({
    async runPhase(request) {
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
  }) satisfies Partial<Handlers>;
