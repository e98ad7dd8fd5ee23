import { readFile } from 'node:fs/promises';
import { isIPv4, type Socket } from 'node:net';

/**
 * Bytes that were written to `socket` and that its peer has not taken yet, as the kernel counts them; undefined where it does not
 * say (only Linux does). Node calls a write done when the kernel has taken it, up to some megabytes ahead of a slow peer, and the
 * next one not before a third of them has gone: a minute and more without a sign of life, at 32 KB/s.
 */
export async function countUnsent({ localPort, remotePort, remoteAddress }: Socket): Promise<number | undefined> {
  if (localPort === undefined || remotePort === undefined || remoteAddress === undefined) return undefined;
  const peer = `${hexOfAddress(remoteAddress)}:${hexOfPort(remotePort)}`;
  for (const name of ['tcp', 'tcp6']) {
    const table = await readFile(`/proc/self/net/${name}`, 'latin1').catch(() => '');
    for (const line of table.split('\n')) {
      const [, local, remote, , queues] = line.trim().split(/\s+/);
      if (local?.endsWith(`:${hexOfPort(localPort)}`) !== true || remote?.endsWith(peer) !== true) continue;
      return Number.parseInt(queues!, 16);
    }
  }
  return undefined;
}

const hexOfPort = (port: number) => port.toString(16).toUpperCase().padStart(4, '0');

/** The end of the address as the kernel prints it: 32 bits at a time, each with its lowest byte first. */
function hexOfAddress(address: string): string {
  const mapped = address.replace(/^::ffff:/i, '');
  if (isIPv4(mapped)) {
    return Buffer.from(mapped.split('.').map(Number).reverse()).toString('hex').toUpperCase();
  }
  const [head = '', tail] = mapped.split('%')[0]!.split('::');
  const groupsOf = (text: string) => (text === '' ? [] : text.split(':'));
  const first = groupsOf(head);
  const last = groupsOf(tail ?? '');
  const zeros = tail === undefined ? [] : Array<string>(8 - first.length - last.length).fill('0');
  const bytes = Buffer.from([...first, ...zeros, ...last].map((group) => group.padStart(4, '0')).join(''), 'hex');
  return bytes.swap32().toString('hex').toUpperCase();
}
