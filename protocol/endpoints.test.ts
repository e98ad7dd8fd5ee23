import { Check } from 'typebox/value';
import { expect, test } from 'vitest';
import type { Endpoint } from './endpoints/endpoint.ts';
import { getStatus } from './endpoints/logs.ts';
import { type EndpointName, endpointNames, endpoints, errorsOf, pathTo } from './endpoints.ts';
import { errorTable } from './error-table.ts';

const all = endpointNames.map((name): [EndpointName, Endpoint] => [name, endpoints[name]]);

test.each(all)(
  '%s: the names in its path are its parameters, and no other has its method and path',
  (name, endpoint) => {
    const names = [...endpoint.path.matchAll(/:(\w+)/g)].map((match) => match[1]);
    expect(names).toEqual(Object.keys(endpoint.params.properties));
    const same = all.filter(([, { method, path }]) => method === endpoint.method && path === endpoint.path);
    expect(same.map(([one]) => one)).toEqual([name]);
  },
);

test.each(all)('%s: its examples are what it declares', (_name, { params, query, headers, body, examples }) => {
  for (const example of examples) {
    expect(Check(params, example.params)).toBe(true);
    expect(Check(query, example.query)).toBe(true);
    if (body.kind === 'json') expect(Check(body.schema, example.body)).toBe(true);
    const known = ['content-type', ...Object.keys(headers)];
    expect(Object.keys(example.headers).filter((header) => !known.includes(header))).toEqual([]);
    if (body.kind === 'stream') expect(Object.keys(body.content)).toContain(example.headers['content-type']);
  }
});

test('every code is an error of some endpoint, but those of no endpoint and of no request', () => {
  const answered = new Set(all.flatMap(([, endpoint]) => errorsOf(endpoint)));
  const others = Object.keys(errorTable).filter((code) => !answered.has(code as keyof typeof errorTable));
  expect(others).toEqual(['RUTA_DESCONOCIDA', 'CONFIG_NO_ENCONTRADA']);
});

test('a name in a path is text in its place', () => {
  expect(pathTo('findUpload', { tenantId: 'a/b?c', id: 'ñ' })).toBe('/uploads/a%2Fb%3Fc/%C3%B1');
});

test('a declaration that lacks a member does not compile', () => {
  const { summary: _summary, ...untold } = getStatus;
  const { examples: _examples, ...untried } = getStatus;
  const { errors: _errors, ...unfailing } = getStatus;
  const { answers: _answers, ...unanswered } = getStatus;
  const lacking = [
    // @ts-expect-error: no summary
    untold satisfies Endpoint,
    // @ts-expect-error: no examples
    untried satisfies Endpoint,
    // @ts-expect-error: no errors
    unfailing satisfies Endpoint,
    // @ts-expect-error: no answers
    unanswered satisfies Endpoint,
    // @ts-expect-error: a code that is none
    { ...getStatus, errors: ['OTRO'] } satisfies Endpoint,
  ];
  // The compiler says so (`npm run lint`), not this line.
  expect(lacking).toHaveLength(5);
});
