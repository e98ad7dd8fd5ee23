import { expect, test } from 'vitest';
import { agentIdOf, isSealedForAgent, makeAgentKeyPair, openAsAgent, sealForAgent } from './agent-key.ts';

/** Runs in Node (the server) and in Bun (the agent). */

const secret = 'Clave ñ 9 🔑';

test('what is sealed for an agent opens with its private half alone, and for its place alone', () => {
  const agent = makeAgentKeyPair();
  const sealed = sealForAgent(agent.publica, 'acme', secret);
  expect(isSealedForAgent(sealed)).toBe(true);
  expect(openAsAgent(agent, 'acme', sealed)).toBe(secret);
  expect(openAsAgent(agent, 'otro', sealed)).toBeUndefined();
  expect(openAsAgent(makeAgentKeyPair(), 'acme', sealed)).toBeUndefined();
  expect(sealForAgent(agent.publica, 'acme', secret)).not.toBe(sealed);
});

test('what Node sealed opens in Node and in Bun', () => {
  // Sealed by Node 20.20 for this pair.
  const pair = {
    publica: 'in-ZPoB1k6ID1Ucy_7FzLa2hmQo_ta7vENsMPYdIPnA',
    privada: 'oGnQJ40Ynf6fUBwvvtZ9yABv6Ed6iOWzlL-kozAakkc',
  };
  const sealed =
    'x25519:fMxnWVsv7RknNekaDJPTVtzYGFPIDexI546y72jjk1T8mpN2ry5+PnoTJs32iP3SnPQkSDvBIQsxpYZ/zeJK5TZsSVhb0M8BkC/8';
  expect(openAsAgent(pair, 'acme', sealed)).toBe(secret);
});

test('a changed bit anywhere, a cut and an empty text do not open', () => {
  const agent = makeAgentKeyPair();
  const sealed = Buffer.from(sealForAgent(agent.publica, 'acme', secret).slice('x25519:'.length), 'base64');
  for (const at of [0, 30, 32, 43, 44, 59, 60, sealed.length - 1]) {
    const damaged = Buffer.from(sealed);
    damaged[at]! ^= 1;
    expect(openAsAgent(agent, 'acme', `x25519:${damaged.toString('base64')}`), `byte ${at}`).toBeUndefined();
  }
  for (const text of ['', 'x25519:', secret, `x25519:${sealed.subarray(0, 40).toString('base64')}`]) {
    expect(openAsAgent(agent, 'acme', text)).toBeUndefined();
  }
});

test('a public key of small order is refused: its shared secret is known to everybody', () => {
  const zero = Buffer.alloc(32).toString('base64url');
  expect(() => sealForAgent(zero, 'acme', secret)).toThrow();
  const agent = makeAgentKeyPair();
  expect(openAsAgent(agent, 'acme', `x25519:${Buffer.alloc(80).toString('base64')}`)).toBeUndefined();
});

test('an agent is called by 32 hexadecimal digits of its public key', () => {
  const { publica } = makeAgentKeyPair();
  expect(agentIdOf(publica)).toMatch(/^[0-9a-f]{32}$/);
  expect(agentIdOf(makeAgentKeyPair().publica)).not.toBe(agentIdOf(publica));
});
