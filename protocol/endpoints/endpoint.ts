import Type from 'typebox';
import { limits } from '../constants.ts';
import type { ErrorCode } from '../error-table.ts';

/**
 * What an endpoint is. Each is declared once, here beside this file: the server registers its routes from the declarations, the agent
 * builds its requests and checks its answers by them, and `protocol/openapi.json`, the tables of SPEC.md and the requests that
 * the tests mutate come from them. A declaration that lacks a member does not compile.
 */
export interface Endpoint {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Below API_PREFIX. `:name` is a member of `params`. */
  path: string;
  tag: string;
  /** One English sentence, as OpenAPI and SPEC.md show it. */
  summary: string;
  /** `tenant`: X-Tenant-Id and X-API-Key have to agree with the path. */
  access: 'open' | 'tenant';
  params: Type.TObject;
  query: Type.TObject;
  /** Request headers that change what is done, by name, with what they say. Not the credentials. */
  headers: HeaderNotes;
  body: Body;
  /** By status. Errors are not among them. */
  answers: Readonly<Record<number, Answer>>;
  /** Codes of errors that it may answer beside those that any may (`errorsOf`). */
  errors: readonly ErrorCode[];
  /** Requests that are in order: what the documentation shows, and what tests begin with. */
  examples: readonly [Example, ...Example[]];
}

export type HeaderNotes = Readonly<Record<string, string>>;

/** By media type: its schema, or undefined where it is lines or bytes that no schema describes. */
export type Content = Readonly<Record<string, Type.TSchema | undefined>>;

export type Body = NoContent | Json | Stream;
export type Answer = (NoContent | Json | Stream) & { headers: HeaderNotes };

interface NoContent {
  kind: 'none';
}

interface Json<Schema extends Type.TSchema = Type.TSchema> {
  kind: 'json';
  schema: Schema;
}

interface Stream {
  kind: 'stream';
  content: Content;
}

/** A request beside its credentials. A body of a stream is its NDJSON, as it is before it is compressed. */
export interface Example {
  params: Readonly<Record<string, string>>;
  query: Readonly<Record<string, string>>;
  headers: Readonly<Record<string, string>>;
  body: unknown;
}

/** No body. */
export const nothing = { kind: 'none', headers: {} } as const;

/** Declares a JSON body of this schema. */
export function json<Schema extends Type.TSchema>(schema: Schema, headers: HeaderNotes = {}) {
  return { kind: 'json', schema, headers } as const;
}

/** Declares a body that is passed on as it comes. */
export function stream(content: Content, headers: HeaderNotes = {}) {
  return { kind: 'stream', content, headers } as const;
}

export const NoParams = Type.Object({});
export const NoQuery = Type.Object({});
export const TenantParams = Type.Object({ tenantId: Type.String({ minLength: 1, maxLength: limits.tenantMaxLength }) });

/** The tenant of the examples. */
export const EXAMPLE_TENANT = 'acme-001';

/** Makes an example of a tenant's endpoint: what is not given is empty. */
export function example({ params, ...given }: Partial<Example> = {}): Example {
  return { params: { tenantId: EXAMPLE_TENANT, ...params }, query: {}, headers: {}, body: undefined, ...given };
}

export type ParamsOf<E extends Endpoint> = Type.Static<E['params']>;
export type QueryOf<E extends Endpoint> = Type.Static<E['query']>;
/** A JSON body; a stream's is unknown. */
export type BodyOf<E extends Endpoint> = SchemaTypeOf<E['body']>;
/** The JSON of an answer that says that all went well. */
export type AnswerOf<E extends Endpoint> = SchemaTypeOf<E['answers'][keyof E['answers']]>;

type SchemaTypeOf<Part> = Part extends { kind: 'json'; schema: infer Schema extends Type.TSchema }
  ? Type.Static<Schema>
  : never;
