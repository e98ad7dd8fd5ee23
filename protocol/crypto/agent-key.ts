import {
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
} from 'node:crypto';
import { openBytes, sealBytes } from './sealed.ts';

/**
 * A secret on its way to one agent: X25519 (RFC 7748) with a key pair made for this one message, HKDF-SHA-256 (RFC 5869)
 * over the shared secret with both public keys as salt, AES-256-GCM with the place authenticated.
 *
 *     x25519:<base64 of: public key of the message (32) | nonce (12) | tag (16) | ciphertext>
 */
const PREFIX = 'x25519:';
const PUBLIC_KEY_BYTES = 32;
const INFO = 'ax-sync secret to agent 1';

/** Both halves, 32 bytes each, base64url as in a JWK (RFC 8037). `privada` never leaves the agent. */
export interface AgentKeyPair {
  publica: string;
  privada: string;
}

/** Makes a pair of X25519 keys, base64url. */
export function makeAgentKeyPair(): AgentKeyPair {
  const { x, d } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' });
  return { publica: x!, privada: d! };
}

/** Returns the id by which an agent is called: 32 hexadecimal digits of the SHA-256 of its public key. */
export function agentIdOf(publica: string): string {
  return createHash('sha256').update(Buffer.from(publica, 'base64url')).digest('hex').slice(0, 32);
}

/**
 * Returns the place of a password of SQL Server, for sealForAgent: of the connection of this name, or of the one
 * without.
 */
export function passwordPlaceOf(tenant: string, connection?: string): string {
  // A tenant's name has no `/`.
  return connection === undefined ? tenant : `${tenant}/${connection}`;
}

/** Seals `secret` for the agent whose public key this is. Throws where it is no X25519 public key. */
export function sealForAgent(publica: string, place: string, secret: string): string {
  const own = makeAgentKeyPair();
  const key = sharedKey(own, publica, own.publica, publica);
  const sealed = sealBytes(key, place, Buffer.from(secret));
  return PREFIX + Buffer.concat([Buffer.from(own.publica, 'base64url'), sealed]).toString('base64');
}

/** Returns whether a text is what sealForAgent makes. */
export function isSealedForAgent(text: string): boolean {
  return text.startsWith(PREFIX);
}

/** Opens what sealForAgent sealed, or undefined where it was for another agent or place, or is damaged. */
export function openAsAgent(pair: AgentKeyPair, place: string, text: string): string | undefined {
  const bytes = Buffer.from(text.slice(PREFIX.length), 'base64');
  if (!isSealedForAgent(text) || bytes.length <= PUBLIC_KEY_BYTES) return undefined;
  const sender = bytes.subarray(0, PUBLIC_KEY_BYTES).toString('base64url');
  let key: Buffer;
  try {
    key = sharedKey(pair, sender, sender, pair.publica);
  } catch {
    // Not a point that X25519 accepts.
    return undefined;
  }
  const plain = openBytes(key, place, bytes.subarray(PUBLIC_KEY_BYTES));
  return plain === undefined ? undefined : Buffer.from(plain).toString('utf8');
}

function sharedKey(own: AgentKeyPair, other: string, sender: string, receiver: string): Buffer {
  const jwk = { kty: 'OKP', crv: 'X25519' };
  const secret = diffieHellman({
    privateKey: createPrivateKey({ key: { ...jwk, x: own.publica, d: own.privada }, format: 'jwk' }),
    publicKey: createPublicKey({ key: { ...jwk, x: other }, format: 'jwk' }),
  });
  const salt = Buffer.concat([Buffer.from(sender, 'base64url'), Buffer.from(receiver, 'base64url')]);
  return Buffer.from(hkdfSync('sha256', secret, salt, INFO, 32));
}
