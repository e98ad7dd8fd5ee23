import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { SqlServerError } from '../errors.ts';
import { openSession } from './session.ts';

const open: { server: Server; sockets: Set<Socket> }[] = [];

/** A TCP server that does with each connection what `act` says; its port. */
async function listen(act: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    act(socket);
  });
  open.push({ server, sockets });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as { port: number }).port;
}

afterEach(async () => {
  for (const { server, sockets } of open.splice(0)) {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
});

const settings = { host: '127.0.0.1', database: 'b', user: 'u', password: 'una clave', connectTimeoutMs: 300 };
const idle = () => ({ signal: new AbortController().signal });

async function failureOf(promise: Promise<unknown>): Promise<SqlServerError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SqlServerError);
  return error as SqlServerError;
}

test('nobody listens', async () => {
  const port = await listen(() => {});
  const { server } = open.pop()!;
  await new Promise((resolve) => server.close(resolve));
  const error = await failureOf(openSession({ ...settings, port }, idle()));
  expect(error).toMatchObject({ code: 'CONEXION', retryable: true });
  expect(error.message).toContain(`127.0.0.1:${port}, base b`);
  expect(error.action).toContain('servicio esté en marcha');
  expect(error.message).not.toContain('una clave');
});

test('a server that never answers is given up after the connect timeout', async () => {
  const port = await listen(() => {});
  const error = await failureOf(openSession({ ...settings, port }, idle()));
  expect(error).toMatchObject({ code: 'TIEMPO', retryable: true });
});

test('a server that hangs up', async () => {
  const port = await listen((socket) => socket.end());
  expect(await failureOf(openSession({ ...settings, port }, idle()))).toMatchObject({
    code: 'CONEXION',
    retryable: true,
  });
});

test('abort while connecting ends at once with the reason', async () => {
  const port = await listen(() => {});
  const stop = new AbortController();
  const reason = new Error('Ctrl-C');
  setTimeout(() => stop.abort(reason), 30);
  const start = performance.now();
  await expect(openSession({ ...settings, port, connectTimeoutMs: 10_000 }, { signal: stop.signal })).rejects.toBe(
    reason,
  );
  expect(performance.now() - start).toBeLessThan(2000);
  await expect(openSession({ ...settings, port }, { signal: stop.signal })).rejects.toBe(reason);
});
