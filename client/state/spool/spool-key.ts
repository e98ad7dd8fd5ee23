import { hkdfSync, randomBytes } from 'node:crypto';

/**
 * Makes a new key for an install folder: 32 random bytes, base64. It lives in `sync-config.enc`, under the password.
 */
export function makeSpoolKey(): string {
  return randomBytes(32).toString('base64');
}

/** Returns the key of one entry, so that no key seals more than the chunks of one upload. HKDF, RFC 5869. */
export function deriveEntryKey(spoolKey: string, entryId: string): Buffer {
  return Buffer.from(hkdfSync('sha256', Buffer.from(spoolKey, 'base64'), entryId, 'ax-sync spool', 32));
}
