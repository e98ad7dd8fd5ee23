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
/**
 * 128 · N · r = 32 MiB, three times over, about 0.3 s for each password that is tried. More memory at once would take the start of
 * an agent past the 150 MB that all of a run keeps to: p makes up for it (OWASP counts N = 2^17, p = 1 for the same).
 */
const COST = { logN: 15, r: 8, p: 3 } as const;
/** Beyond it a planted file would use up the machine before its tag is checked: 128 MiB, four times over. */
const MAX_COST = { logN: 17, r: 8, p: 4 } as const;
const SALT_AT = MAGIC.length + 3;
const NONCE_AT = SALT_AT + 16;
const TAG_AT = NONCE_AT + 12;
const BODY_AT = TAG_AT + 16;

const REASONS = {
  layout: 'not an envelope',
  newer: 'an envelope of a newer layout',
  cost: 'an envelope that costs more than any that is sealed here',
  password: 'wrong password or damaged envelope',
} as const;

/** The envelope cannot be opened: not one, of a newer layout, of a planted cost, damaged, or another password. */
export class EnvelopeError extends Error {
  readonly reason: keyof typeof REASONS;
  constructor(reason: keyof typeof REASONS, cause?: unknown) {
    super(REASONS[reason], { cause });
    this.name = 'EnvelopeError';
    this.reason = reason;
  }
}

/**
 * The key that was derived last: a run that opens a file and writes it again pays once, and never beside a table that is under
 * way. Its salt (`costs` is the head up to the nonce) is used again, the nonce never.
 */
let derived: { password: string; costs: Buffer; key: Buffer } | undefined;

/** Seals `plain` under `password`, with a fresh nonce each time. */
export function sealEnvelope(plain: Uint8Array, password: string): Buffer {
  const costs = Buffer.from([...MAGIC, COST.logN, COST.r, COST.p]);
  const known = derived?.password === password && derived.costs.subarray(0, SALT_AT).equals(costs);
  const salted = known ? derived!.costs : Buffer.concat([costs, randomBytes(16)]);
  const head = Buffer.concat([salted, randomBytes(12)]);
  const cipher = createCipheriv('aes-256-gcm', deriveKey(password, head), head.subarray(NONCE_AT));
  cipher.setAAD(head);
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([head, cipher.getAuthTag(), body]);
}

/**
 * Opens what sealEnvelope made.
 * @throws {EnvelopeError}
 */
export function openEnvelope(sealed: Uint8Array, password: string): Buffer {
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
  if (/^AXS[2-9]/.test(bytes.subarray(0, MAGIC.length).toString('latin1'))) throw new EnvelopeError('newer');
  if (bytes.length < BODY_AT || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw new EnvelopeError('layout');
  const [logN, r, p] = bytes.subarray(MAGIC.length, SALT_AT) as unknown as [number, number, number];
  if (logN > MAX_COST.logN || r > MAX_COST.r || p > MAX_COST.p) throw new EnvelopeError('cost');
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
  const costs = Buffer.from(head.subarray(0, NONCE_AT));
  if (derived?.password === password && derived.costs.equals(costs)) return derived.key;
  const N = 2 ** head[4]!;
  const r = head[5]!;
  // NFKC: the same password typed on another keyboard or system is the same bytes.
  const secret = password.normalize('NFKC');
  const key = scryptSync(secret, head.subarray(SALT_AT, NONCE_AT), 32, { N, r, p: head[6]!, maxmem: 256 * N * r });
  derived = { password, costs, key };
  return key;
}
