import { openApi } from '../../protocol/openapi.ts';
import type { Context } from '../context.ts';
import type { Handlers } from './register.ts';

/** What is open: whether the server answers, and what its API is. */
export const healthHandlers = ({ database }: Context) =>
  ({
    async checkHealth(request) {
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

    async describeApi() {
      return openApi;
    },
  }) satisfies Partial<Handlers>;
