import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

/**
 * Bytes at rest or on their way: AES-256-GCM, `nonce (12) | tag (16) | ciphertext`. `associatedData` is authenticated with them, so
 * that one file, record or row cannot stand in for another.
 */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Seals `plain` under `key` (32 bytes), with a fresh nonce. */
export function sealBytes(key: Buffer, associatedData: string, plain: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(associatedData));
  const body = cipher.update(plain);
  cipher.final();
  return Buffer.concat([nonce, cipher.getAuthTag(), body]);
}

/** Opens what sealBytes sealed, or undefined where the key or the associated data is another, or a bit has changed. */
export function openBytes(
  key: Buffer,
  associatedData: string,
  sealed: Uint8Array,
): Uint8Array<ArrayBuffer> | undefined {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES));
  decipher.setAAD(Buffer.from(associatedData));
  decipher.setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  const plain = decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES));
  try {
    decipher.final();
  } catch {
    return undefined;
  }
  return plain as Uint8Array<ArrayBuffer>;
}
