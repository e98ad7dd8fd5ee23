import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FaultProxy, startFaultProxy } from '../../../fixtures/chaos/proxy.ts';
import type { SqlValue } from '../../../fixtures/sqlserver/engine.ts';
import { parseSqlType } from '../../../protocol/rows/sql-types.ts';
import { type SqlServer, withSqlServer } from '../sql-server.ts';
import { answerRows, type RunningWire, startWire } from '../testing/wire.ts';

/**
 * What the agent holds while one end is slow, as bytes: what has gone in at one end and not come out at the other, less what
 * waits in the kernel. That depends on the machine (up to 36 MB for a connection), so Linux is asked for it.
 */

const MEBIBYTE = 1024 * 1024;
const HELD_MAX = 8 * MEBIBYTE;
const SOCKETS = '/proc/net/tcp';
const TEXT = 'x'.repeat(1000);
/** As NVARCHAR on the wire. */
const ROW_BYTES = 2 * TEXT.length;
/** 48 MB on the wire. */
const ROWS = 24_000;
const column = { name: 'a', type: parseSqlType('NVARCHAR(1000)'), nullable: true };

describe.skipIf(!existsSync(SOCKETS)).each([false, true])('with TLS: %s', (tls) => {
  let wire: RunningWire;
  let proxy: FaultProxy;
  beforeAll(async () => {
    function* rows(): Generator<SqlValue[]> {
      for (let n = 0; n < ROWS; n++) yield [TEXT];
    }
    wire = await startWire((...call) => answerRows([column], rows())(...call), { tls });
    wire.engine.bulkColumns = [column];
    proxy = await startFaultProxy({ host: '127.0.0.1', port: wire.settings.port });
  });
  afterAll(async () => {
    await proxy?.close();
    await wire?.stop();
  });

  const { signal } = new AbortController();
  const use = <T>(run: (db: SqlServer) => Promise<T>) =>
    withSqlServer({ ...wire.settings, port: proxy.port }, { signal }, run);

  test('a bulk load to a slow SQL Server pulls no more rows than the line takes', async () => {
    let handed = 0;
    async function* lines(): AsyncGenerator<Buffer> {
      const line = Buffer.from(`{"a":"${TEXT}"}\n`);
      for (let n = 0; n < ROWS; n += 50) {
        handed += 50 * ROW_BYTES;
        yield Buffer.concat(Array<Buffer>(50).fill(line));
      }
    }
    await use(async (db) => {
      proxy.arm({ kind: 'slow', direction: 'subida', bytesPerSecond: MEBIBYTE });
      const loading = db.bulkLoad('#t', [column], lines(), { signal });
      while (handed === 0) await sleep(5);
      await settled(() => handed);
      expect(handed - proxy.bytes.subida - inKernel(proxy.port)).toBeLessThan(HELD_MAX);
      // What was held back goes on, all of it.
      proxy.arm(undefined);
      expect(await loading).toBe(ROWS);
    });
    expect(wire.engine.loaded).toHaveLength(ROWS);
  });

  test('rows of a fast SQL Server wait there for a slow consumer', async () => {
    let taken = 0;
    let most = 0;
    await use(async (db) => {
      proxy.arm(undefined);
      for await (const { rows } of db.readRows('SELECT a', { signal })) {
        taken += rows;
        // As long as the line brings more than has been asked for.
        await settled(() => proxy.bytes.bajada);
        most = Math.max(most, proxy.bytes.bajada - taken * ROW_BYTES - inKernel(proxy.port));
        if (taken > ROWS / 6) break;
      }
    });
    expect(most).toBeLessThan(HELD_MAX);
  });
});

/** Waits until what `read` answers hardly changes any more. */
async function settled(read: () => number): Promise<void> {
  for (let still = 0, before = read(); still < 3; before = read()) {
    await sleep(20);
    still = read() - before > MEBIBYTE / 8 ? 0 : still + 1;
  }
}

/** Returns the bytes that wait in the kernel between the agent and the proxy, in the queues of both ends. */
function inKernel(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const [, ...lines] = readFileSync(SOCKETS, 'latin1').trimEnd().split('\n');
  let waiting = 0;
  for (const line of lines) {
    const [, local = '', remote = '', , queues = ''] = line.trim().split(/\s+/);
    if (![local, remote].some((end) => end.endsWith(`:${hex}`))) continue;
    for (const queue of queues.split(':')) waiting += Number.parseInt(queue, 16);
  }
  return waiting;
}
