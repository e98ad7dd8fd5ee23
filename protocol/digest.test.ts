import { expect, test } from 'vitest';
import { digestOf, digestOfDigests, formatContentDigest, parseContentDigest } from './digest.ts';

// RFC 9530, section 2 and appendix B: the digest of `{"hello": "world"}` and a newline.
const RFC_BODY = Buffer.from('{"hello": "world"}\n');
const RFC_SHA256 = 'RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=';

test('the digest is that of the example in RFC 9530', () => {
  expect(digestOf(RFC_BODY)).toBe(RFC_SHA256);
  expect(formatContentDigest(RFC_SHA256)).toBe(`sha-256=:${RFC_SHA256}:`);
});

test('a field with several algorithms gives its sha-256', () => {
  expect(parseContentDigest(`sha-512=:YWJj:, sha-256=:${RFC_SHA256}:`)).toBe(RFC_SHA256);
});

test.each(['', 'sha-256=abc', 'sha-512=:YWJj:', 'sha-256=:YWJj:', `x-sha-256=:${RFC_SHA256}:`])(
  '%s holds none',
  (field) => {
    expect(parseContentDigest(field)).toBeUndefined();
  },
);

test('the digest of digests depends on their order', () => {
  const [a, b] = [digestOf(Buffer.from('a')), digestOf(Buffer.from('b'))];
  expect(digestOfDigests([a, b])).not.toBe(digestOfDigests([b, a]));
  // sha256(sha256("a") || sha256("b")), computed with `openssl dgst -sha256 -binary`.
  expect(digestOfDigests([a, b])).toBe('5aAf7hTg7VxIcU8iGA8lrYNltT+XefedxKPX6Tlj+Uo=');
});
