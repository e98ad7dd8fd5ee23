import { Type } from '@fastify/type-provider-typebox';
import type { Routes } from './routes.ts';

/** GET /health: open; with ?profundo=1 it asks PostgreSQL and says the versions. */
export const healthRoutes: Routes = async (app, { database }) => {
  app.get(
    '/health',
    {
      schema: { tags: ['salud'], querystring: Type.Object({ profundo: Type.Optional(Type.String()) }) },
      logLevel: 'warn',
    },
    async (request) => {
      if (request.query.profundo !== '1') return { success: true, status: 'ok' };
      const started = performance.now();
      const postgres = await database.withTenantConnection('salud', async (connection) => {
        const { rows } = await connection.query<{ version: string }>(
          `SELECT current_setting('server_version') AS version`,
        );
        return rows[0]!.version;
      });
      return {
        success: true,
        status: 'ok',
        postgres,
        node: process.versions.node,
        latenciaMs: Math.round(performance.now() - started),
      };
    },
  );
};
