import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { hashApiKey } from '../../protocol/api-key.ts';
import { headers, limits } from '../../protocol/constants.ts';
import { SyncError } from '../../protocol/errors.ts';
import type { Context } from '../context.ts';
import { findByKey, type KeyInUse, noteUse } from '../tenants/api-keys.ts';
import type { Author } from '../tenants/audit.ts';
import type { Configuration } from '../tenants/configurations.ts';
import { ParsedTables } from '../tenants/parsed-tables.ts';
import { makeKeyProbe } from './key-probe.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** The tenant whose key the request brought; set for every route below the auth plugin. */
    tenant: Configuration;
    apiKey: KeyInUse;
  }
}

const KEY_MAX_LENGTH = 200;
/** Keys that this process has let in, the latest: they are not locked out with their address. */
const KNOWN_KEYS_MAX = 10_000;

/**
 * Routes registered beside this plugin take a tenant in their path and answer only its key: path, X-Tenant-Id and key
 * must agree. Whatever is wrong, the answer and its cost are the same.
 *
 * An address whose credentials were refused LOCKOUT_FAILURES times within LOCKOUT_SECONDS is refused unasked for the rest
 * of them, except with a key that is in force: one neighbour behind the same router does not lock out the others. Keys that this
 * process has let in need no look for that.
 */
export const auth = fp(async (app: FastifyInstance, { config, database }: Context) => {
  app.decorateRequest('tenant');
  app.decorateRequest('apiKey');
  const countFailures = app.createRateLimit({
    max: config.LOCKOUT_FAILURES,
    timeWindow: config.LOCKOUT_SECONDS * 1000,
  });
  const known = new Set<string>();
  const parsed = new ParsedTables();
  const isInForce = makeKeyProbe(database);

  async function assertNotLockedOut(request: FastifyRequest, hash: Buffer): Promise<void> {
    const failures = await countFailures(request, { increment: false });
    if (failures.isAllowed || failures.remaining > 0 || (await isInForce(hash))) return;
    throw new SyncError('DEMASIADAS_PETICIONES', 'Se rechazaron demasiadas credenciales de esta dirección.', {
      retryAfter: Math.max(1, failures.ttlInSeconds),
    });
  }

  async function refuse(request: FastifyRequest): Promise<never> {
    const failures = await countFailures(request);
    if (!failures.isAllowed && failures.remaining === 0 && !failures.isExceeded) {
      const fields = { direccion: failures.key, rechazos: failures.max, segundos: failures.ttlInSeconds };
      app.log.warn(fields, 'dirección bloqueada por credenciales rechazadas');
    }
    throw new SyncError('NO_AUTORIZADO', 'El tenant o la clave no son válidos.');
  }

  app.addHook('onRequest', async (request) => {
    const inPath = (request.params as { tenantId?: string }).tenantId ?? '';
    const tenant = one(request.headers[headers.tenant]).slice(0, limits.tenantMaxLength);
    const key = one(request.headers[headers.apiKey]).slice(0, KEY_MAX_LENGTH);
    const hash = hashApiKey(key);
    const mark = hash.toString('base64');
    if (!known.has(mark)) await assertNotLockedOut(request, hash);
    const asked = { tenant, key, agreed: inPath === tenant };
    // The address with it: a name that anybody may write takes nothing from the tenant's own share elsewhere.
    const asker = `${request.ip} ${tenant}`;
    const found = await database.withTenantConnection(asker, (connection) => findByKey(connection, asked, parsed));
    if (found === undefined) {
      known.delete(mark);
      return refuse(request);
    }
    remember(known, mark);
    request.tenant = found.tenant;
    request.apiKey = found.key;
    await app.limitKey(request);
    if (found.use.isDue) {
      const options = { graceHours: config.KEY_GRACE_HOURS, author: authorOf(request) };
      await database.withTenantConnection(found.tenant.tenantId, (connection) =>
        noteUse(connection, found.key, found.use, options),
      );
    }
    if (!found.tenant.activo) {
      throw new SyncError('TENANT_INACTIVO', `El tenant «${found.tenant.tenantId}» está desactivado.`);
    }
  });
});

/** Returns whom the audit names for what a request changes. */
export function authorOf({ apiKey, ip }: FastifyRequest): Author {
  return { actor: `clave ${apiKey.id}`, origen: ip };
}

function remember(known: Set<string>, mark: string): void {
  if (known.has(mark)) return;
  known.add(mark);
  if (known.size > KNOWN_KEYS_MAX) for (const oldest of known) return void known.delete(oldest);
}

function one(value: string | string[] | undefined): string {
  return typeof value === 'string' ? value : '';
}
