import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';
import { findDownloadTable } from '../tenants/configurations.ts';
import { runPhase } from '../transfer/phase.ts';
import { withTenantTransfer } from '../transfer/transfer.ts';
import type { Handlers } from './register.ts';

/** A download's phase that is configured at `origen`, in a transaction of its own. */
export const phaseHandlers = (context: Context) =>
  ({
    async runPhase({ tenant, body: { tabla, fase } }) {
      const table = findDownloadTable(tenant, tabla);
      return withTenantTransfer(context, tenant, { direccion: 'download', tabla }, async (transfer) => {
        const filas = await runPhase(transfer, table, fase);
        if (filas !== undefined) return { success: true, tabla, fase, registrosAfectados: filas };
        const detail = `«${fase}» de «${tabla}» no está configurado para ejecutarse en origen.`;
        throw new SyncError('FASE_DESCONOCIDA', detail, { tabla, fase });
      });
    },
  }) satisfies Partial<Handlers>;
