import { agentIdOf, makeAgentKeyPair } from '../../protocol/crypto/agent-key.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Backend } from '../http/backend.ts';
import type { LocalConfig } from './local.ts';

/**
 * The key pair under which the backend tells this agent secrets. It is made once, its public half registered, and its
 * private half leaves `sync-config.enc` never.
 */

export interface Registered<T> {
  local: T;
  /** For the operator; undefined when there is nothing new. */
  note?: string;
  autorizado: boolean;
}

/**
 * Brings the key pair in `local` to the backend: made where there is none, and registered (again, which changes
 * nothing).
 */
export async function registerAgentKey<T extends Pick<LocalConfig, 'agentKey'>>(
  backend: Backend,
  local: T,
  signal: AbortSignal,
): Promise<Registered<T>> {
  const agentKey = local.agentKey ?? makeAgentKeyPair();
  try {
    const { agente, autorizado } = await backend.registerAgent(agentKey.publica, signal);
    return { local: { ...local, agentKey }, note: `Agente ${agente}: su clave pública está registrada.`, autorizado };
  } catch (error) {
    if (!(error instanceof SyncError) || error.code !== 'RUTA_DESCONOCIDA') throw error;
    const note =
      'El backend es de una versión anterior: entrega la contraseña de SQL Server sin sellar, protegida solo por TLS.';
    return { local, note, autorizado: true };
  }
}

/** Returns the id by which the backend knows this agent; undefined before it has registered. */
export function agentIdIn({ agentKey }: Pick<LocalConfig, 'agentKey'>): string | undefined {
  return agentKey === undefined ? undefined : agentIdOf(agentKey.publica);
}
