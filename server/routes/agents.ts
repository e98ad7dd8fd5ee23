import { sealForAgent } from '../../protocol/crypto/agent-key.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';
import { registerAgent } from '../tenants/agents.ts';
import type { Handlers } from './register.ts';

/** An agent registers the public half of its key pair. */
export const agentHandlers = ({ database }: Context) =>
  ({
    async registerAgent(request) {
      const { tenantId } = request.tenant;
      const { clavePublica } = request.body;
      assertUsable(clavePublica);
      const { id, autorizado } = await database.withTenantConnection(tenantId, (connection) =>
        registerAgent(connection, tenantId, clavePublica),
      );
      request.log.info({ tenant: tenantId, agente: id, autorizado }, 'agente registrado');
      return { success: true, agente: id, autorizado };
    },
  }) satisfies Partial<Handlers>;

/** @throws {SyncError} CUERPO_INVALIDO: no public key, or one that would make secrets readable to everybody. */
function assertUsable(clavePublica: string): void {
  try {
    sealForAgent(clavePublica, 'prueba', 'prueba');
  } catch (cause) {
    const detail = 'El campo «clavePublica» no es una clave pública X25519.';
    throw new SyncError('CUERPO_INVALIDO', detail, { campo: 'clavePublica', cause });
  }
}
