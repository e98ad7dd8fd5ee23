import { createHash } from 'node:crypto';
import { SyncError } from '../../../protocol/errors.ts';
import type { Bytes } from './stage.ts';

/** Maximum bytes to drain from a rejected body, to learn whether it was damaged on the way. */
const REST_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Passes bytes on and compares their SHA-256 with `expected` (base64). Where a later stage fails, which may have read
 * ahead to the end, `verdict.differs` says afterwards whether it was given other bytes than were sent.
 * @throws {SyncError} DIGEST_DISTINTO at the end of the body.
 */
export function checkDigest(expected: string | undefined, verdict: { differs: boolean }) {
  return async function* (source: Bytes): AsyncGenerator<Buffer> {
    if (expected === undefined) {
      yield* source;
      return;
    }
    const hash = createHash('sha256');
    const iterator = source[Symbol.asyncIterator]();
    let over = false;
    const next = async (): Promise<Buffer | undefined> => {
      over = true;
      const { done, value } = await iterator.next();
      if (done === true) return undefined;
      over = false;
      hash.update(value);
      return value;
    };
    try {
      for (let bytes = await next(); bytes !== undefined; bytes = await next()) yield bytes;
      verdict.differs = hash.digest('base64') !== expected;
      if (verdict.differs) throw differentDigest();
    } finally {
      if (!over) {
        let left = REST_MAX_BYTES;
        const rest = () => next().catch(() => undefined);
        for (let bytes = await rest(); bytes !== undefined && left > 0; bytes = await rest()) left -= bytes.length;
        verdict.differs = over && hash.digest('base64') !== expected;
      }
      await iterator.return?.();
    }
  };
}

/** Passes bytes on and sets `seen.digest` to their SHA-256 (base64) at the end. */
export function noteDigest(seen: { digest?: string | undefined }) {
  return async function* (source: Bytes): AsyncGenerator<Buffer> {
    const hash = createHash('sha256');
    for await (const bytes of source) {
      hash.update(bytes);
      yield bytes;
    }
    seen.digest = hash.digest('base64');
  };
}

/** Returns DIGEST_DISTINTO. */
export function differentDigest(cause?: unknown): SyncError {
  return new SyncError('DIGEST_DISTINTO', 'El SHA-256 de lo recibido no es el de Content-Digest.', { cause });
}
