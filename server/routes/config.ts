import { createHash } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { AGENT_NAME, headers } from '../../protocol/constants.ts';
import { passwordPlaceOf, sealForAgent } from '../../protocol/crypto/agent-key.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { ConfigResponse } from '../../protocol/tenant-config/config.ts';
import type { Context } from '../context.ts';
import { listAgents } from '../tenants/agents.ts';
import { connectionPlace, mapPasswords, readConnections } from '../tenants/connections.ts';
import { passwordPlace } from '../tenants/passwords.ts';
import type { Handlers } from './register.ts';

/** In the password's place, as in the specification's example, for whoever is not told it. */
const HIDDEN = 'encrypted';

/** What the agent works by. The ETag is of the content, so an unchanged one costs a 304. */
export const configHandlers = (context: Context) =>
  ({
    async getConfig(request, reply) {
      const { tenant } = request;
      const recipient = await findRecipient(context, request);
      const place = {
        id: tenant.id,
        tenantId: tenant.tenantId,
        sqlServerHost: tenant.sqlServerHost,
        sqlServerPort: tenant.sqlServerPort,
        sqlServerDatabase: tenant.sqlServerDatabase,
        sqlServerUser: tenant.sqlServerUser,
      };
      const content = {
        configuracionTablas: tenant.configuracionTablas as ConfigResponse['configuracionTablas'],
        version: tenant.version,
        ultimaModificacion: tenant.ultimaModificacion.toISOString(),
      };
      const etag = etagOf([place, content], recipient, storedSecrets(context, request));
      reply.header('etag', etag).header('cache-control', 'no-cache');
      const { end, renew } = request.apiKey;
      if (end !== null) reply.header(headers.apiKeyExpires, end.toISOString());
      if (renew) reply.header(headers.apiKeyRenew, 'true');
      const known = (request.headers['if-none-match'] ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
      if (known.includes(etag) || known.includes('*')) return reply.code(304).send();
      // In the order of the specification.
      return {
        success: true,
        ...place,
        ...passwordsFor(recipient, context, request),
        ...content,
      } satisfies ConfigResponse;
    },
  }) satisfies Partial<Handlers>;

/**
 * Of all that is answered and of whom it is for: sealed for one agent, an answer is of no use to another. Not of the version
 * alone: a database that was restored and changed once more has that version again.
 */
function etagOf(content: readonly object[], recipient: Recipient, secrets: unknown): string {
  const text = JSON.stringify([content, recipient.id ?? null, secrets]);
  return `"${createHash('sha256').update(text).digest('base64url')}"`;
}

/**
 * The passwords as they are stored, in the place of what each answer seals anew. Without a master key they lie there in plain, and
 * a hash of them would let them be guessed: then `ultimaModificacion` alone tells that they changed.
 */
function storedSecrets({ masterKeys }: Context, { tenant }: FastifyRequest): unknown {
  const kept = (stored: string) => (masterKeys.isSealed(stored) ? stored : '');
  return [kept(tenant.sqlServerPassword), mapPasswords(readConnections(tenant), kept)];
}

/** Who asks: an agent with a registered key; anybody, while the tenant has no such agent; anybody else. */
type Recipient =
  | { kind: 'agent'; id: string; clavePublica: string }
  | { kind: 'plain'; id?: undefined }
  | { kind: 'hidden'; id: 'encrypted' };

/** @throws {SyncError} AGENTE_NO_AUTORIZADO for an agent that could do nothing with the answer */
async function findRecipient({ database }: Context, { headers: sent, tenant }: FastifyRequest): Promise<Recipient> {
  const { tenantId } = tenant;
  const id = sent[headers.agent];
  const agents = await database.withTenantConnection(tenantId, (connection) => listAgents(connection, tenantId));
  if (id === undefined) {
    if (agents.length === 0) return { kind: 'plain' };
    if (sent[headers.userAgent]?.startsWith(`${AGENT_NAME}/`) !== true) return { kind: 'hidden', id: HIDDEN };
    const detail = `El tenant «${tenantId}» tiene agentes con clave y este no dice la suya: es de una versión anterior.`;
    throw new SyncError('AGENTE_NO_AUTORIZADO', `${detail} Actualice el agente.`);
  }
  const found = agents.find((agent) => agent.id === id);
  if (found?.autorizado === true) return { kind: 'agent', id: found.id, clavePublica: found.clavePublica };
  const name = `El agente ${String(id).slice(0, 32)}`;
  const detail =
    found === undefined
      ? `${name} no está registrado en este servidor: ejecute init de nuevo.`
      : `${name} está registrado y no está autorizado.`;
  throw new SyncError('AGENTE_NO_AUTORIZADO', detail);
}

function passwordsFor(
  recipient: Recipient,
  { masterKeys }: Context,
  { tenant, log }: FastifyRequest,
): Pick<ConfigResponse, 'sqlServerPassword' | 'sqlServerConexiones'> {
  const { tenantId, sqlServerPassword } = tenant;
  if (recipient.kind === 'plain') {
    log.warn(
      { tenant: tenantId },
      'la contraseña de SQL Server se entregó sin sellar: el tenant no tiene todavía un agente con clave registrada',
    );
  }
  const tell = (stored: string, at: string, travelsAs: string): string => {
    if (recipient.kind === 'hidden') return HIDDEN;
    const password = masterKeys.open(at, stored);
    return recipient.kind === 'agent' ? sealForAgent(recipient.clavePublica, travelsAs, password) : password;
  };
  const connections = mapPasswords(readConnections(tenant), (stored, name) =>
    tell(stored, connectionPlace(tenantId, name), passwordPlaceOf(tenantId, name)),
  );
  return {
    sqlServerPassword: tell(sqlServerPassword, passwordPlace(tenantId), passwordPlaceOf(tenantId)),
    // Left out where there are none: then the answer is the specification's.
    ...(Object.keys(connections).length === 0 ? {} : { sqlServerConexiones: connections }),
  };
}
