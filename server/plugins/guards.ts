import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';

const MINUTE_MS = 60_000;

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts a request with the key `apiKey` of the request. Throws DEMASIADAS_PETICIONES. */
    limitKey(request: FastifyRequest): Promise<void>;
  }
}

/**
 * Security headers, and bounds on requests a minute: of an address here, before anything is asked of the database; of a key
 * by the auth plugin, which knows it. Counters are of this process and hold 5000 addresses and keys, the latest.
 */
export const guards = fp(async (app: FastifyInstance, { config }: Context) => {
  await app.register(helmet);
  // Not as hooks of the routes, which come after the auth plugin's.
  await app.register(rateLimit, { global: false });
  const limit = (max: number, options: object) => {
    const count = app.createRateLimit({ ...options, max, timeWindow: MINUTE_MS });
    return async (request: Parameters<typeof count>[0]) => {
      const counted = await count(request);
      if (counted.isAllowed || !counted.isExceeded) return;
      throw new SyncError('DEMASIADAS_PETICIONES', `Se pasó de ${max} peticiones por minuto.`, {
        retryAfter: Math.max(1, counted.ttlInSeconds),
      });
    };
  };
  const limitAddress = limit(config.RATE_LIMIT_ADDRESS_PER_MINUTE, {});
  app.decorate(
    'limitKey',
    limit(config.RATE_LIMIT_PER_MINUTE, { keyGenerator: (request: { apiKey: { id: string } }) => request.apiKey.id }),
  );

  let warned = config.TRUST_PROXY;
  app.addHook('onRequest', async (request) => {
    if (!warned && request.headers['x-forwarded-for'] !== undefined) {
      warned = true;
      app.log.warn(
        'llega X-Forwarded-For y TRUST_PROXY no está activado: tras un proxy, todos cuentan como una dirección',
      );
    }
    await limitAddress(request);
  });
});
