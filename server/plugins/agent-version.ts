import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { agentVersionIn, isOlder } from '../../protocol/agent-version.ts';
import { headers } from '../../protocol/constants.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';
import { noteVersion } from '../tenants/agents.ts';
import { authorOf } from './auth.ts';

/**
 * Behind `auth`: keeps which version an agent runs, from its requests that name it (GET /config, once a run), and refuses agents
 * older than SYNC_MIN_AGENT_VERSION. Whoever asks with another User-Agent has no version.
 */
export const agentVersion = fp(async (app: FastifyInstance, { config, database }: Context) => {
  const wanted = config.SYNC_MIN_AGENT_VERSION;
  app.addHook('onRequest', async (request, reply) => {
    const version = agentVersionIn(request.headers['user-agent']);
    if (version === undefined) return;
    const id = request.headers[headers.agent];
    const { tenantId } = request.tenant;
    if (typeof id === 'string') {
      const author = authorOf(request);
      await database.withTenantConnection(tenantId, (connection) =>
        noteVersion(connection, tenantId, { id, version, author }),
      );
    }
    if (wanted === undefined || !isOlder(version, wanted)) return;
    // RFC 9110, 15.5.22: a 426 says what is wanted.
    reply.header('upgrade', `ax-sync-client/${wanted}`).header('connection', 'upgrade');
    throw new SyncError(
      'AGENTE_ANTIGUO',
      `Este agente es la versión ${version} y el backend pide la ${wanted} o posterior.`,
    );
  });
});
