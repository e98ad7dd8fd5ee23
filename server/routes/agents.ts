import { type RegisterAgentResponse, RegisterAgentSchema } from '../../protocol/api.ts';
import { limits } from '../../protocol/constants.ts';
import { sealForAgent } from '../../protocol/crypto/agent-key.ts';
import { SyncError } from '../../protocol/errors.ts';
import { registerAgent } from '../tenants/agents.ts';
import { TenantParams } from './params.ts';
import type { Routes } from './routes.ts';

/** POST /agents/:tenantId: an agent registers the public half of its key pair. */
export const agentsRoutes: Routes = async (app, { database }) => {
  app.post(
    '/agents/:tenantId',
    {
      schema: { tags: ['agentes'], params: TenantParams, body: RegisterAgentSchema },
      bodyLimit: limits.jsonBodyMaxBytes,
    },
    async (request): Promise<RegisterAgentResponse> => {
      const { tenantId } = request.tenant;
      const { clavePublica } = request.body;
      assertUsable(clavePublica);
      const { id, autorizado } = await database.withTenantConnection(tenantId, (connection) =>
        registerAgent(connection, tenantId, clavePublica),
      );
      request.log.info({ tenant: tenantId, agente: id, autorizado }, 'agente registrado');
      return { success: true, agente: id, autorizado };
    },
  );
};

/** Throws CUERPO_INVALIDO for what is no public key, or one that would make secrets readable to everybody. */
function assertUsable(clavePublica: string): void {
  try {
    sealForAgent(clavePublica, 'prueba', 'prueba');
  } catch (cause) {
    const detail = 'El campo «clavePublica» no es una clave pública X25519.';
    throw new SyncError('CUERPO_INVALIDO', detail, { campo: 'clavePublica', cause });
  }
}
