import type { Context } from '../context.ts';
import { inTransaction } from '../postgres/pool.ts';
import { forgetBajas, type Place, retainBajas, shortenApproval } from '../rows/bajas.ts';
import { listAgents } from '../tenants/agents.ts';
import { findDownloadTable } from '../tenants/configurations.ts';
import { agentOf } from './bodies.ts';
import type { Handlers } from './register.ts';

/** What an agent holds back at its SQL Server, and whether an administrator has decided of it. */
export const bajasHandlers = ({ database }: Context) =>
  ({
    async reportBajas(request) {
      const { tenant, body, log } = request;
      const { direccion, digest, bajas, total, muestra, altas = 0, muestraAltas = [], aplicada = false } = body;
      const tabla = findDownloadTable(tenant, body.tabla).nombre;
      return database.withTenantConnection(tenant.tenantId, async (connection) => {
        const named = agentOf(request);
        const known = named === undefined ? [] : await listAgents(connection, tenant.tenantId);
        const agente = known.find(({ id }) => id === named)?.id ?? '';
        const place: Place = { tenant: tenant.tenantId, direccion, tabla, agente };
        return inTransaction(connection, async () => {
          if (bajas === 0 || aplicada) {
            await forgetBajas(connection, place);
            return { success: true, estado: aplicada ? 'aplicada' : 'ninguna', nueva: false };
          }
          const found = { digest, bajas, total, muestra, altas, muestraAltas };
          const { id, estado, nueva } = await retainBajas(connection, place, found);
          if (estado === 'aprobada') await shortenApproval(connection, id);
          if (nueva) log.warn({ tenant: tenant.tenantId, tabla, bajas, total, altas, muestra }, 'bajas retenidas');
          return { success: true, estado, nueva };
        });
      });
    },
  }) satisfies Partial<Handlers>;
