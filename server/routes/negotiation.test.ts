import { expect, test } from 'vitest';
import { chooseEncoding, chooseFormat } from './negotiation.ts';

test.each([
  [undefined, 'envelope'],
  ['*/*', 'envelope'],
  ['application/*', 'envelope'],
  ['application/json', 'envelope'],
  ['application/json; charset=utf-8', 'envelope'],
  ['application/json;odata.metadata=minimal;q=0.9, */*;q=0.1', 'envelope'],
  ['application/x-ndjson', 'ndjson'],
  ['Application/X-NDJSON', 'ndjson'],
  ['application/x-ndjson; marco=1', 'framed'],
  ['application/x-ndjson;q=0.5;marco=1', 'framed'],
  ['application/x-ndjson; note="a,b;c"; marco=1', 'framed'],
  ['application/jsonl', 'ndjson'],
  ['application/jsonl;marco=1', 'framed'],
  ['text/html, application/json;q=0.2, application/x-ndjson;q=0.8', 'ndjson'],
  ['application/x-ndjson, application/json', 'ndjson'],
  ['application/json, application/x-ndjson', 'envelope'],
  ['application/json;q=0, */*', 'ndjson'],
])('Accept %s is answered as %s', (accept, format) => {
  expect(chooseFormat(accept)).toBe(format);
});

test.each(['text/html', 'application/json;q=0', 'image/*, text/csv;q=0.3'])('Accept %s is refused', (accept) => {
  expect(() => chooseFormat(accept)).toThrow(expect.objectContaining({ code: 'NO_ACEPTABLE' }));
});

test.each([
  [undefined, undefined],
  ['', undefined],
  ['identity', undefined],
  ['br', undefined],
  ['gzip', 'gzip'],
  ['GZIP', 'gzip'],
  ['*', 'zstd'],
  ['deflate, gzip, br, zstd', 'zstd'],
  ['br, gzip;q=0.5', 'gzip'],
  ['zstd;q=0, gzip', 'gzip'],
  ['gzip;q=0.0', undefined],
  ['gzip, identity;q=0', 'gzip'],
  ['identity, gzip;q=0.5', undefined],
  ['*;q=0', undefined],
])('Accept-Encoding %s is answered with %s', (accepted, encoding) => {
  expect(chooseEncoding(accepted, ['zstd', 'gzip'])).toBe(encoding);
});
