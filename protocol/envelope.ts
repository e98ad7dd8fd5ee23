import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto';

/**
 * A secret sealed under a password: AES-256-GCM with a key that scrypt derives (RFC 7914). One binary layout, so that a
 * file says itself how it is to be opened:
 *
 *     "AXS1" | log2 N (1 byte) | r (1) | p (1) | salt (16) | nonce (12) | tag (16) | ciphertext
 *
 * The header up to the nonce is authenticated as additional data: a changed cost or salt does not open.
 */
const MAGIC = Buffer.from('AXS1');
const COST = { logN: 15, r: 8, p: 1 } as const;
const SALT_AT = MAGIC.length + 3;
const NONCE_AT = SALT_AT + 16;
const TAG_AT = NONCE_AT + 12;
const BODY_AT = TAG_AT + 16;

const REASONS = {
  layout: 'not an envelope',
  newer: 'an envelope of a newer layout',
  password: 'wrong password or damaged envelope',
} as const;

/** The envelope cannot be opened: not one, of a newer layout, damaged, or another password. */
export class EnvelopeError extends Error {
  readonly reason: keyof typeof REASONS;
  constructor(reason: keyof typeof REASONS, cause?: unknown) {
    super(REASONS[reason], { cause });
    this.name = 'EnvelopeError';
    this.reason = reason;
  }
}

/** Seals `plain` under `password`, with a fresh salt and nonce each time. */
export function sealEnvelope(plain: Uint8Array, password: string): Buffer {
  const head = Buffer.concat([MAGIC, Buffer.from([COST.logN, COST.r, COST.p]), randomBytes(16), randomBytes(12)]);
  const cipher = createCipheriv('aes-256-gcm', deriveKey(password, head), head.subarray(NONCE_AT));
  cipher.setAAD(head);
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([head, cipher.getAuthTag(), body]);
}

/** Opens what sealEnvelope made. Throws EnvelopeError. */
export function openEnvelope(sealed: Uint8Array, password: string): Buffer {
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  if (/^AXS[2-9]/.test(bytes.subarray(0, MAGIC.length).toString('latin1'))) throw new EnvelopeError('newer');
  if (bytes.length < BODY_AT || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw new EnvelopeError('layout');
  // Costs beyond these would let a planted file use up the machine before the tag is checked.
  if (bytes[4]! > 20 || bytes[5]! > 16 || bytes[6]! > 4) throw new EnvelopeError('layout');
  const head = bytes.subarray(0, TAG_AT);
  try {
    const decipher = createDecipheriv('aes-256-gcm', deriveKey(password, head), head.subarray(NONCE_AT));
    decipher.setAAD(head);
    decipher.setAuthTag(bytes.subarray(TAG_AT, BODY_AT));
    return Buffer.concat([decipher.update(bytes.subarray(BODY_AT)), decipher.final()]);
  } catch (cause) {
    throw new EnvelopeError('password', cause);
  }
}

function deriveKey(password: string, head: Buffer): Buffer {
  const N = 2 ** head[4]!;
  const r = head[5]!;
  // NFKC: the same password typed on another keyboard or system is the same bytes.
  const secret = password.normalize('NFKC');
  return scryptSync(secret, head.subarray(SALT_AT, NONCE_AT), 32, { N, r, p: head[6]!, maxmem: 256 * N * r });
}
