import { createServer, request as forward, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a gateway answers in the backend's place. */
export interface GatewayAnswer {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

/** An HTTP gateway before the backend that sometimes answers by itself. */
export interface Gateway {
  url: string;
  /** Asked of each request; undefined lets it through. */
  answer: (line: string) => GatewayAnswer | undefined;
  /** Changes the backend's answer of these requests, once it has done what was asked. */
  rewrite: { requests: RegExp; change: (body: string, status: number) => GatewayAnswer } | undefined;
  /** The request lines that came, in order: `POST /api/sync/…`. */
  lines: string[];
  close(): Promise<void>;
}

/** Starts one before the HTTP server at `target`. */
export async function startGateway(target: string): Promise<Gateway> {
  const { hostname, port } = new URL(target);
  const server = createServer((request, response) => {
    const line = `${request.method} ${request.url}`;
    gateway.lines.push(line);
    const send = ({ status, headers = {}, body = '' }: GatewayAnswer) => {
      request.resume();
      response.writeHead(status, headers).end(body);
    };
    const own = gateway.answer(line);
    if (own !== undefined) return send(own);
    const { method, url: path, headers } = request;
    const upstream = forward({ hostname, port, method, path, headers }, (answer) => {
      const { rewrite } = gateway;
      if (rewrite?.requests.test(line) !== true) {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
        return;
      }
      readAll(answer).then(
        (body) => send({ headers: jsonHeaders, ...rewrite.change(body, answer.statusCode!) }),
        () => response.destroy(),
      );
    });
    upstream.on('error', () => response.destroy());
    request.pipe(upstream);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const gateway: Gateway = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    answer: () => undefined,
    rewrite: undefined,
    lines: [],
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return gateway;
}

const jsonHeaders = { 'content-type': 'application/json; charset=utf-8' };

async function readAll(message: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of message) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}
