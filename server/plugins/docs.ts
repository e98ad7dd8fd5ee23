import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { API_PREFIX, headers } from '../../protocol/constants.ts';

/** The OpenAPI document of the routes that are registered after it. */
export const docs = fp(async (app: FastifyInstance) => {
  await app.register(swagger, {
    openapi: {
      info: { title: 'AX Sync', description: 'Sincronización SQL Server ↔ PostgreSQL', version: '1.0.0' },
      components: {
        securitySchemes: { clave: { type: 'apiKey', in: 'header', name: headers.apiKey } },
      },
      security: [{ clave: [] }],
    },
  });
  app.get(`${API_PREFIX}/docs/json`, { schema: { hide: true } }, async () => app.swagger());
});
