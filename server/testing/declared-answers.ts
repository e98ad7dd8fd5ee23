import type { Server } from 'node:http';
import type Type from 'typebox';
import { Check, Errors } from 'typebox/value';
import { API_PREFIX, mediaTypes } from '../../protocol/constants.ts';
import type { Answer, Endpoint } from '../../protocol/endpoints/endpoint.ts';
import { endpointNames, endpoints, errorsOf } from '../../protocol/endpoints.ts';
import { errorTable } from '../../protocol/error-table.ts';
import type { Problem } from '../../protocol/errors.ts';
import { ProblemSchema } from '../../protocol/problem.ts';

/** An answer as it went over the wire. `text` is undefined where its body is compressed, or too long to keep. */
export interface SentAnswer {
  status: number;
  type: string;
  text: string | undefined;
}

/** Returns the endpoint that a request is for, or undefined. */
export function endpointOf(method: string, url: string): Endpoint | undefined {
  const path = url.split('?')[0]!;
  const name = endpointNames.find((one) => {
    const pattern = (API_PREFIX + endpoints[one].path).replace(/:\w+/g, '[^/]+');
    return endpoints[one].method === method && new RegExp(`^${pattern}$`).test(path);
  });
  return name && endpoints[name];
}

/** Returns what makes an answer another than its endpoint declares, or undefined. */
export function findFault(endpoint: Endpoint, { status, type, text }: SentAnswer): string | undefined {
  const declared = endpoint.answers[status];
  if (declared === undefined) return findProblemFault(endpoint, { status, type, text });
  if (declared.kind === 'none') return text === '' || text === undefined ? undefined : 'it has a body';
  const content = contentOf(declared);
  const found = Object.keys(content).find((one) => bare(one) === bare(type));
  if (found === undefined) return `its type is ${type}`;
  const schema = content[found];
  return schema === undefined || text === undefined ? undefined : findSchemaFault(schema, JSON.parse(text));
}

function contentOf(answer: Exclude<Answer, { kind: 'none' }>): Readonly<Record<string, Type.TSchema | undefined>> {
  return answer.kind === 'stream' ? answer.content : { [mediaTypes.json]: answer.schema };
}

function findProblemFault(endpoint: Endpoint, { status, type, text }: SentAnswer): string | undefined {
  if (bare(type) !== mediaTypes.problem) return `${status} is neither declared nor a problem`;
  if (text === undefined) return undefined;
  const problem = JSON.parse(text) as Problem;
  const fault = findSchemaFault(ProblemSchema, problem);
  if (fault !== undefined) return fault;
  if (errorTable[problem.code].status !== status) return `${problem.code} does not have status ${status}`;
  // What the router cannot read is no endpoint, however much it looks like one.
  if (problem.code === 'RUTA_DESCONOCIDA' || errorsOf(endpoint).includes(problem.code)) return undefined;
  return `${problem.code} is not among its errors`;
}

function findSchemaFault(schema: Type.TSchema, value: unknown): string | undefined {
  const [first] = Check(schema, value) ? [] : Errors(schema, value);
  if (first !== undefined) return `${first.instancePath || 'the body'} ${first.message}`;
  const more = findUndeclared(schema, value);
  return more && `${more} is not declared`;
}

/** Returns the path of a member that the schema does not name: a schema lets it pass, the documentation would lack it. */
function findUndeclared(schema: Type.TSchema, value: unknown): string | undefined {
  const { anyOf, properties, items } = schema as { anyOf?: Type.TSchema[]; properties?: object; items?: Type.TSchema };
  if (anyOf !== undefined) {
    const faults = anyOf.filter((one) => Check(one, value)).map((one) => findUndeclared(one, value));
    return faults.includes(undefined) ? undefined : faults[0];
  }
  if (Array.isArray(value) && items !== undefined && !Array.isArray(items)) {
    return value.map((item) => findUndeclared(items, item)).find((found) => found !== undefined);
  }
  if (properties === undefined || typeof value !== 'object' || value === null) return undefined;
  for (const [name, member] of Object.entries(value)) {
    const own = (properties as Record<string, Type.TSchema>)[name];
    if (own === undefined) return `/${name}`;
    const found = findUndeclared(own, member);
    if (found !== undefined) return `/${name}${found}`;
  }
  return undefined;
}

/** A media type as it is compared: without blanks and charset. */
function bare(type: string): string {
  return type.toLowerCase().replace(/\s/g, '').replace(';charset=utf-8', '');
}

const KEPT_MAX_BYTES = 1024 * 1024;

/** Holds every answer of a server against what its endpoint declares; returns what it finds, to be looked at in the end. */
export function watchAnswers(server: Server): ReadonlySet<string> {
  const faults = new Set<string>();
  server.prependListener('request', ({ method = '', url = '' }, response) => {
    const endpoint = endpointOf(method, url);
    if (endpoint === undefined) return;
    const parts: Buffer[] = [];
    let bytes = 0;
    let headers: Record<string, unknown> = {};
    const keep = (chunk: unknown) => {
      if (typeof chunk !== 'string' && !Buffer.isBuffer(chunk)) return;
      bytes += chunk.length;
      if (bytes <= KEPT_MAX_BYTES) parts.push(Buffer.from(chunk));
    };
    const { writeHead, write, end } = response;
    Object.assign(response, {
      writeHead(...args: unknown[]) {
        headers = { ...response.getHeaders(), ...(args.findLast((arg) => typeof arg === 'object') as object) };
        return writeHead.apply(response, args as never);
      },
      write(...args: unknown[]) {
        keep(args[0]);
        return write.apply(response, args as never);
      },
      end(...args: unknown[]) {
        keep(args[0]);
        return end.apply(response, args as never);
      },
    });
    response.once('finish', () => {
      const whole = bytes <= KEPT_MAX_BYTES && headers['content-encoding'] === undefined;
      const text = whole ? Buffer.concat(parts).toString() : undefined;
      const answer = { status: response.statusCode, type: String(headers['content-type'] ?? ''), text };
      const fault = findFault(endpoint, answer);
      if (fault !== undefined) faults.add(`${method} ${endpoint.path}: ${fault} (${text?.slice(0, 300)})`);
    });
  });
  return faults;
}
