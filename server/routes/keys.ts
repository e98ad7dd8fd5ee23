import type { Context } from '../context.ts';
import { authorOf } from '../plugins/auth.ts';
import { rotateApiKey } from '../tenants/api-keys.ts';
import type { Handlers } from './register.ts';

/** The agent's own rotation. It brings the hash of its new key, so a lost answer costs nothing. */
export const keyHandlers = ({ config, database }: Context) =>
  ({
    async rotateKey(request) {
      const { tenant, apiKey, body } = request;
      const made = await database.withTenantConnection(tenant.tenantId, (connection) =>
        rotateApiKey(connection, {
          tenant: tenant.tenantId,
          id: apiKey.id,
          hash: Buffer.from(body.huella, 'base64'),
          author: authorOf(request),
        }),
      );
      const graciaHoras = config.KEY_GRACE_HOURS;
      return { success: true, id: made.id, expira: made.expiresAt?.toISOString() ?? null, graciaHoras };
    },
  }) satisfies Partial<Handlers>;
