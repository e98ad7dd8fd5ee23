import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';

/** A TCP proxy between the agent and the backend that breaks answers where a test says. */
export interface CuttingProxy {
  url: string;
  /** From now on an answer is cut after so many bytes, as many times as said; undefined passes everything. */
  cut: { afterBytes: number; times: number; requests: RegExp } | undefined;
  /** A connection that sends such a request is destroyed, and the request goes nowhere. */
  refuse: RegExp | undefined;
  /** Such requests get to the backend so much later, where their connection has been closed meanwhile too. */
  late: { ms: number; requests: RegExp } | undefined;
  /** Told of each request line before it goes on. */
  onRequest: ((line: string) => void) | undefined;
  /** How many answers have been cut. */
  cuts: number;
  close(): Promise<void>;
}

/**
 * Starts a proxy to the HTTP server at `target`. A connection whose first request line matches `cut.requests` is
 * destroyed once `afterBytes` of answers have passed.
 */
export async function startCuttingProxy(target: string): Promise<CuttingProxy> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    let held = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        if (!held) upstream.destroy();
      });
    }
    let left: number | undefined;
    client.on('data', (bytes) => {
      const head = bytes.toString('latin1').split('\r\n', 1)[0]!;
      if (/ HTTP\/1\.1$/.test(head)) proxy.onRequest?.(head);
      if (proxy.refuse?.test(head) === true) return void client.destroy();
      if (proxy.cut !== undefined && proxy.cut.times > 0 && proxy.cut.requests.test(head)) {
        left = proxy.cut.afterBytes;
        proxy.cut.times--;
      }
      if (proxy.late?.requests.test(head) === true) {
        held = true;
        setTimeout(() => upstream.write(bytes), proxy.late.ms);
      } else upstream.write(bytes);
    });
    upstream.on('data', (bytes) => {
      held = false;
      if (left === undefined || bytes.length <= left) {
        if (left !== undefined) left -= bytes.length;
        client.write(bytes);
        return;
      }
      proxy.cuts++;
      if (left === 0) client.destroy();
      else client.write(bytes.subarray(0, left), () => client.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy: CuttingProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut: undefined,
    refuse: undefined,
    late: undefined,
    onRequest: undefined,
    cuts: 0,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}
