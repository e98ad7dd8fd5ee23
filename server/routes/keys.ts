import { type RotateKeyResponse, RotateKeySchema } from '../../protocol/api.ts';
import { authorOf } from '../plugins/auth.ts';
import { rotateApiKey } from '../tenants/api-keys.ts';
import { TenantParams } from './params.ts';
import type { Routes } from './routes.ts';

/** POST /keys/:tenantId: the agent's own rotation. It brings the hash of its new key, so a lost answer costs nothing. */
export const keysRoutes: Routes = async (app, { config, database }) => {
  app.post(
    '/keys/:tenantId',
    { schema: { tags: ['claves'], params: TenantParams, body: RotateKeySchema } },
    async (request): Promise<RotateKeyResponse> => {
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
  );
};
