import { gzipSync } from 'node:zlib';
import { headers, mediaTypes } from '../../protocol/constants.ts';
import { digestOf, formatContentDigest } from '../../protocol/digest.ts';
import type { Endpoint, Example } from '../../protocol/endpoints/endpoint.ts';
import { type EndpointName, endpointNames, endpoints, urlTo } from '../../protocol/endpoints.ts';

/** A request as it goes over the wire, but for its credentials. */
export interface ExampleRequest {
  name: EndpointName;
  method: string;
  path: string;
  headers: Record<string, string>;
  body: Buffer<ArrayBuffer>;
}

/** The examples of every endpoint, ready to be sent: tests begin with them, so an endpoint that is added is tried too. */
export const exampleRequests: readonly ExampleRequest[] = endpointNames.flatMap((name) =>
  endpoints[name].examples.map((example: Example) => makeRequest(name, endpoints[name], example)),
);

function makeRequest(name: EndpointName, endpoint: Endpoint, example: Example): ExampleRequest {
  const query = new URLSearchParams(example.query);
  const path = `${urlTo(name, example.params as never)}${query.size === 0 ? '' : `?${query}`}`;
  const json = endpoint.body.kind === 'json' ? { 'content-type': mediaTypes.json } : {};
  const body = bodyOf(endpoint, example);
  const digest =
    body.length > 0 && headers.contentDigest in endpoint.headers
      ? { [headers.contentDigest]: formatContentDigest(digestOf(body)) }
      : {};
  return { name, method: endpoint.method, path, headers: { ...json, ...digest, ...example.headers }, body };
}

function bodyOf({ body }: Endpoint, example: Example): Buffer<ArrayBuffer> {
  if (body.kind === 'none') return Buffer.alloc(0);
  if (body.kind === 'json') return Buffer.from(JSON.stringify(example.body));
  const isGzip = example.headers['content-type'] === mediaTypes.gzip || 'content-encoding' in example.headers;
  return isGzip ? Buffer.from(gzipSync(String(example.body))) : Buffer.from(String(example.body));
}
