import type Type from 'typebox';
import { API_PREFIX, headers, mediaTypes } from './constants.ts';
import type { Answer, Body, Content, Endpoint, HeaderNotes } from './endpoints/endpoint.ts';
import { endpointNames, endpoints, errorsOf } from './endpoints.ts';
import { type ErrorCode, errorTable } from './error-table.ts';
import { ProblemSchema } from './problem.ts';

/** The API as OpenAPI 3.1: of the declarations alone. `npm run docs` writes it to protocol/openapi.json. */

type Json = Record<string, unknown>;

const PROBLEM = { $ref: '#/components/schemas/Problem' };

export const openApi: Json = {
  openapi: '3.1.0',
  info: { title: 'AX Sync', description: 'Sincronización SQL Server ↔ PostgreSQL', version: '1.0.0' },
  security: [{ tenant: [], clave: [] }],
  paths: describePaths(),
  components: {
    securitySchemes: {
      tenant: { type: 'apiKey', in: 'header', name: headers.tenant },
      clave: { type: 'apiKey', in: 'header', name: headers.apiKey },
    },
    schemas: { Problem: describeSchema(ProblemSchema) },
  },
};

function describePaths(): Json {
  const paths: Record<string, Json> = {};
  for (const name of endpointNames) {
    const endpoint: Endpoint = endpoints[name];
    const path = API_PREFIX + endpoint.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [endpoint.method.toLowerCase()]: describeOperation(name, endpoint) };
  }
  return paths;
}

function describeOperation(operationId: string, endpoint: Endpoint): Json {
  const { tag, summary, access, params, query, headers: notes, body, answers } = endpoint;
  const parameters = [
    ...describeParameters('path', params),
    ...describeParameters('query', query),
    ...Object.entries(describeHeaders(notes)).map(([name, header]) => ({ name, in: 'header', ...header })),
  ];
  return {
    operationId,
    tags: [tag],
    summary,
    ...(access === 'open' ? { security: [] } : {}),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body.kind === 'none' ? {} : { requestBody: { required: true, content: describeBody(body, endpoint) } }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, describeAnswer(answer)])),
      ...describeErrors(errorsOf(endpoint)),
    },
  };
}

function describeParameters(where: 'path' | 'query', schema: Type.TObject): Json[] {
  const required = new Set(schema.required as string[] | undefined);
  return Object.entries(schema.properties).map(([name, property]) => ({
    name,
    in: where,
    ...(where === 'path' || required.has(name) ? { required: true } : {}),
    schema: describeSchema(property),
  }));
}

function describeHeaders(notes: HeaderNotes): Record<string, Json> {
  return Object.fromEntries(
    Object.entries(notes).map(([name, description]) => [name, { description, schema: { type: 'string' } }]),
  );
}

function describeBody(body: Exclude<Body, { kind: 'none' }>, { examples }: Endpoint): Json {
  if (body.kind === 'stream') return describeContent(body.content);
  return { [mediaTypes.json]: { schema: describeSchema(body.schema), example: examples[0].body } };
}

function describeAnswer(answer: Answer): Json {
  const noted = describeHeaders(answer.headers);
  const described = { description: 'Hecho.', ...(Object.keys(noted).length === 0 ? {} : { headers: noted }) };
  if (answer.kind === 'none') return described;
  const content = answer.kind === 'stream' ? answer.content : { [mediaTypes.json]: answer.schema };
  return { ...described, content: describeContent(content) };
}

function describeContent(content: Content): Json {
  return Object.fromEntries(
    Object.entries(content).map(([type, schema]) => [
      type,
      schema === undefined ? {} : { schema: describeSchema(schema) },
    ]),
  );
}

/** Errors by status; their descriptions name the codes. */
function describeErrors(codes: readonly ErrorCode[]): Json {
  const statuses = new Set(codes.map((code) => errorTable[code].status));
  return Object.fromEntries(
    [...statuses].map((status) => {
      const own = codes.filter((code) => errorTable[code].status === status);
      const description = own.map((code) => `${code}: ${errorTable[code].title}.`).join(' ');
      return [status, { description, content: { [mediaTypes.problem]: { schema: PROBLEM } } }];
    }),
  );
}

/** A schema of typebox as JSON Schema 2020-12, where a tuple is written otherwise. */
function describeSchema(schema: Type.TSchema): unknown {
  return JSON.parse(JSON.stringify(schema), (key, value: unknown) => {
    if (typeof value !== 'object' || value === null || !Array.isArray((value as Json).items)) return value;
    const { items, additionalItems: _, ...rest } = value as Json;
    return key === 'properties' ? value : { ...rest, prefixItems: items, items: false };
  });
}
