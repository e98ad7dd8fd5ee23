import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { countUnsent } from './unsent.ts';

const PIECE = Buffer.alloc(64 * 1024);

test.runIf(process.platform === 'linux').each([
  ['127.0.0.1', '127.0.0.1'],
  ['::', '127.0.0.1'],
  ['::', '::1'],
])('what a peer has not taken is counted: on %s, from %s', async (host, from) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const peer = connect(port, from);
  try {
    const socket = await accepted;
    socket.on('error', () => {});
    peer.pause();
    let written = 0;
    while (socket.write(PIECE)) written += PIECE.length;
    await vi.waitFor(async () => {
      const unsent = await countUnsent(socket);
      expect(unsent).toBeGreaterThan(0);
      await sleep(50);
      expect(await countUnsent(socket)).toBe(unsent);
    }, 20_000);
    peer.resume();
    await vi.waitFor(async () => expect(await countUnsent(socket)).toBe(0), 20_000);
    expect(peer.bytesRead).toBeGreaterThan(written);
  } finally {
    peer.destroy();
    server.close();
  }
});
