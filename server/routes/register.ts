import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { limits } from '../../protocol/constants.ts';
import type { AnswerOf, BodyOf, Endpoint, ParamsOf, QueryOf } from '../../protocol/endpoints/endpoint.ts';
import { type EndpointName, type EndpointOf, endpointNames, endpoints } from '../../protocol/endpoints.ts';
import type { Config } from '../config.ts';
import { idleTimeout, streamedBodies } from './bodies.ts';

type RequestOf<E extends Endpoint> = FastifyRequest<{
  Params: ParamsOf<E>;
  Querystring: QueryOf<E>;
  Body: BodyOf<E>;
}>;

/** Answers a request to an endpoint: with its JSON, or by the reply itself. */
export type Handler<E extends Endpoint> = (
  request: RequestOf<E>,
  reply: FastifyReply,
) => Promise<AnswerOf<E> | FastifyReply>;

/** One handler for each endpoint that is declared. */
export type Handlers = { readonly [Name in EndpointName]: Handler<EndpointOf<Name>> };

/** Asked every few seconds by whoever watches: not a line of the log each. */
const PROBES: readonly EndpointName[] = ['checkHealth'];

/**
 * Registers the route of each endpoint with this access. What is validated of a request is what the declaration says. Answers are
 * not serialised by their schemas: the wire has what the handler returns, and the tests hold it against the declaration.
 */
export async function registerEndpoints(
  app: FastifyInstance,
  access: Endpoint['access'],
  handlers: Partial<Handlers>,
  config: Config,
): Promise<void> {
  for (const name of endpointNames) {
    const endpoint: Endpoint = endpoints[name];
    const handler = handlers[name] as Handler<Endpoint> | undefined;
    if (endpoint.access !== access || handler === undefined) continue;
    const route = {
      method: endpoint.method,
      url: endpoint.path,
      ...(PROBES.includes(name) ? { logLevel: 'warn' as const } : {}),
      handler: handler as (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>,
    };
    const { body } = endpoint;
    const schema = {
      ...(isEmpty(endpoint.params) ? {} : { params: endpoint.params }),
      ...(isEmpty(endpoint.query) ? {} : { querystring: endpoint.query }),
    };
    if (body.kind === 'stream') {
      await app.register(async (scope) => {
        await scope.register(streamedBodies);
        scope.route({ ...route, schema });
      });
    } else if (body.kind === 'json') {
      const options = { bodyLimit: limits.jsonBodyMaxBytes, preParsing: idleTimeout(config) };
      app.route({ ...route, ...options, schema: { ...schema, body: body.schema } });
    } else {
      app.route({ ...route, schema });
    }
  }
}

function isEmpty({ properties }: { properties: object }): boolean {
  return Object.keys(properties).length === 0;
}
