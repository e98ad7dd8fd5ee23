import { expect, test } from 'vitest';
import { EnvelopeError, openEnvelope, sealEnvelope } from './password-envelope.ts';

const secret = Buffer.from('{"key":"contraseña 🔑"}');

test('what was sealed opens under the same password, however it was typed', () => {
  const sealed = sealEnvelope(secret, 'contraseña');
  expect(openEnvelope(sealed, 'contraseña')).toEqual(secret);
  expect(openEnvelope(sealed, 'contrasen\u0303a')).toEqual(secret);
});

test('nothing of it can be read, and no two are alike', () => {
  const sealed = sealEnvelope(secret, 'clave');
  expect(sealed.includes('key')).toBe(false);
  expect(sealEnvelope(secret, 'clave').equals(sealed)).toBe(false);
});

test('another password does not open it', () => {
  expect(() => openEnvelope(sealEnvelope(secret, 'clave'), 'Clave')).toThrow(
    expect.objectContaining({ reason: 'password' }),
  );
});

test('a change in any part of it is noticed', () => {
  const sealed = sealEnvelope(Buffer.from('x'), 'clave');
  // One byte at either end of: magic, costs, salt, nonce, tag, ciphertext.
  for (const at of [0, 3, 4, 5, 6, 7, 22, 23, 34, 35, 50, 51]) {
    const damaged = Buffer.from(sealed);
    // The cost byte is lowered, not raised: a higher cost would only be slow.
    damaged[at] = at === 4 ? 10 : damaged[at]! ^ 1;
    expect(() => openEnvelope(damaged, 'clave'), `byte ${at}`).toThrow(EnvelopeError);
  }
});

test('costs 32 MiB three times over to try a password; a planted header past 128 MiB or four times is refused before any work', () => {
  const sealed = sealEnvelope(secret, 'clave');
  // log2 N, r, p: 128 · N · r bytes.
  expect([...sealed.subarray(4, 7)]).toEqual([15, 8, 3]);
  const planted = [
    [18, 8, 1],
    [20, 8, 1],
    [17, 9, 1],
    [20, 16, 4],
    [16, 8, 5],
    [255, 255, 255],
  ];
  for (const costs of planted) {
    const costly = Buffer.from(sealed);
    costly.set(costs, 4);
    const before = process.memoryUsage.rss();
    expect(() => openEnvelope(costly, 'clave'), costs.join()).toThrow(expect.objectContaining({ reason: 'cost' }));
    expect(process.memoryUsage.rss() - before).toBeLessThan(64e6);
  }
});

test('an envelope that an earlier version sealed at a third of the cost opens', () => {
  // sealEnvelope of the first version, with p = 1.
  const old =
    'QVhTMQ8IAVLa+SdRFpQ151kycyHll9QubHSZTU2S5JlIzANNJi9uFjKW2MD+4jVVghz6GjsKr4upStztpZpBByDTaaAzXbqbREvaBZs=';
  expect(openEnvelope(Buffer.from(old, 'base64'), 'contraseña')).toEqual(secret);
});

test('a cut file, an empty file and a planted cost are refused before any work', () => {
  const sealed = sealEnvelope(secret, 'clave');
  expect(() => openEnvelope(sealed.subarray(0, 40), 'clave')).toThrow(expect.objectContaining({ reason: 'layout' }));
  expect(() => openEnvelope(Buffer.alloc(0), 'clave')).toThrow(expect.objectContaining({ reason: 'layout' }));
  const costly = Buffer.from(sealed);
  costly[4] = 30;
  expect(() => openEnvelope(costly, 'clave')).toThrow(expect.objectContaining({ reason: 'cost' }));
});
