import { createHash, randomBytes } from 'node:crypto';

/** API keys: made by the server (`key create`) or, when a key is rotated, by the agent. */

/** Makes a new key: `sk_live_` and 256 random bits in base64url (43 characters). */
export function makeApiKey(): string {
  return `sk_live_${randomBytes(32).toString('base64url')}`;
}

/** Returns what is kept of a key: its SHA-256. The key itself is random throughout, so nothing slower is needed. */
export function hashApiKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
