import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { headers } from '../../protocol/constants.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../sync/context.ts';

/** Security headers, and a bound on requests a minute. */
export const guards = fp(async (app: FastifyInstance, { config }: Context) => {
  await app.register(helmet);
  await app.register(rateLimit, {
    max: config.RATE_LIMIT_PER_MINUTE,
    timeWindow: '1 minute',
    // The address counts too: nobody uses up another's allowance by naming its tenant.
    keyGenerator: (request) => `${request.ip} ${String(request.headers[headers.tenant] ?? '').slice(0, 100)}`,
    errorResponseBuilder: (_request, { max, ttl }) =>
      new SyncError('DEMASIADAS_PETICIONES', `Se pasó de ${max} peticiones por minuto.`, {
        retryAfter: Math.max(1, Math.ceil(ttl / 1000)),
      }),
  });
});
