import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { SyncError } from '../../protocol/errors.ts';
import type { Config } from '../config.ts';

/**
 * Returns what asserts that a request is the administrator's: `Authorization: Bearer <METRICS_TOKEN>`. Hashes are compared, in constant
 * time, so that neither content nor length of the token shows in how long the answer takes. Without METRICS_TOKEN nobody is.
 *
 * The assertion throws NO_AUTORIZADO.
 */
export function makeOperatorCheck({ METRICS_TOKEN }: Config): (request: FastifyRequest) => void {
  const expected = METRICS_TOKEN === undefined ? undefined : hashOf(METRICS_TOKEN);
  return ({ headers }) => {
    const [, given = ''] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
    if (expected !== undefined && timingSafeEqual(hashOf(given), expected)) return;
    throw new SyncError('NO_AUTORIZADO', 'Hace falta el testigo del administrador (METRICS_TOKEN).');
  };
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
