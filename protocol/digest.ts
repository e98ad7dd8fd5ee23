import { createHash } from 'node:crypto';

/** Returns the SHA-256 of a chunk's body as it is sent, base64. */
export function digestOf(body: Uint8Array): string {
  return createHash('sha256').update(body).digest('base64');
}

/** Formats the Content-Digest field (RFC 9530) for a base64 SHA-256. */
export function formatContentDigest(sha256: string): string {
  return `sha-256=:${sha256}:`;
}

/**
 * Returns the base64 SHA-256 of a Content-Digest field, or undefined where it holds none (other algorithms are passed
 * over).
 */
export function parseContentDigest(field: string): string | undefined {
  return /(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):/.exec(field)?.[1];
}

/** Returns what a commit states: SHA-256 over the raw digests of all chunks, in order of n; base64. */
export function digestOfDigests(sha256s: readonly string[]): string {
  const hash = createHash('sha256');
  for (const digest of sha256s) hash.update(Buffer.from(digest, 'base64'));
  return hash.digest('base64');
}
