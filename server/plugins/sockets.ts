import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import type { Context } from '../context.ts';

/**
 * Bounds the sockets of the process (HTTP_CONNECTIONS_MAX) so that nobody shuts the others out. Past the bound, room is made where
 * most sockets are: by closing the oldest of that address that serves no request, or else the oldest such of any other; where all
 * serve one, the oldest of the address with the most, unless that is the newcomer's own, who is closed then.
 *
 * Behind a proxy of one's own all sockets are the proxy's.
 */
export const sockets = fp(async (app: FastifyInstance, { config }: Context) => {
  const server = app.server as Server;
  /** By address, oldest first: how many requests each serves. */
  const open = new Map<string, Map<Socket, number>>();
  let count = 0;

  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    const own = open.get(address) ?? new Map<Socket, number>();
    open.set(address, own.set(socket, 0));
    count += 1;
    socket.once('close', () => forget(address, socket));
    if (count <= config.HTTP_CONNECTIONS_MAX) return;
    const [from, victim] = findVictim(address, socket) ?? [address, socket];
    // Now, not when it has closed: more may come before that.
    forget(from, victim);
    victim.destroy();
  });

  server.on('request', ({ socket }, response) => {
    const address = socket.remoteAddress ?? '';
    note(address, socket, 1);
    response.once('close', () => note(address, socket, -1));
  });

  function note(address: string, socket: Socket, change: number): void {
    const own = open.get(address);
    const serving = own?.get(socket);
    // Setting a value that is there keeps its place.
    if (serving !== undefined) own!.set(socket, serving + change);
  }

  function forget(address: string, socket: Socket): void {
    const own = open.get(address);
    if (own?.delete(socket) !== true) return;
    count -= 1;
    if (own.size === 0) open.delete(address);
  }

  function findVictim(address: string, newcomer: Socket): [address: string, socket: Socket] | undefined {
    let most: [string, Map<Socket, number>] = [address, open.get(address)!];
    for (const one of open) if (one[1].size > most[1].size) most = one;
    for (const [from, its] of [most, ...open]) {
      for (const [socket, serving] of its) if (serving === 0 && socket !== newcomer) return [from, socket];
    }
    return most[0] === address ? undefined : [most[0], most[1].keys().next().value!];
  }
});
