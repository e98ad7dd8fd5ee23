import { mkdir, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { defined } from '../../../protocol/defined.ts';
import { digestOf } from '../../../protocol/digest.ts';
import type { StoredChunk } from './chunk-store.ts';
import type { UploadHead } from './manifest.ts';
import { Spool } from './spool.ts';
import { makeSpoolKey } from './spool-key.ts';
import type { SpooledUpload } from './spooled-upload.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ax-spool-'));
});
/** What a test leaves open is closed behind it. */
const opened: SpooledUpload[] = [];
afterEach(async () => {
  for (const upload of opened.splice(0)) await upload.close();
  await rm(folder, { recursive: true, force: true });
});

const key = makeSpoolKey();
const never = new AbortController().signal;
const head: UploadHead = {
  tabla: 'vista_productos',
  modo: 'incremental',
  huella: 'huella-1',
  reloj: { local: '2024-01-15T10:30:00.0000000', utc: '2024-01-15T13:30:00.0000000' },
  ultimaSync: null,
  desde: null,
  particion: null,
};

async function openSpool(maxBytes = 1e9, withKey = key): Promise<Spool> {
  const spool = await Spool.open({ folder, key: withKey, maxBytes });
  const [create, find] = [spool.create.bind(spool), spool.find.bind(spool)];
  spool.create = async (given) => {
    const upload = await create(given);
    opened.push(upload);
    return upload;
  };
  spool.find = async (tabla) => {
    const upload = await find(tabla);
    if (upload !== undefined && upload !== 'damaged') opened.push(upload);
    return upload;
  };
  return spool;
}

function chunkOf(n: number, size = 1000, range?: StoredChunk['range']): StoredChunk {
  const body = Buffer.alloc(size, `Proveedor ${n} `);
  return { n, body, digest: digestOf(body), rows: n + 1, ...defined({ range }) };
}

async function entryFolder(): Promise<string> {
  const [name] = await readdir(join(folder, 'spool'));
  return join(folder, 'spool', name!);
}

async function found(spool: Spool, tabla = head.tabla): Promise<SpooledUpload> {
  const upload = await spool.find(tabla);
  if (upload === undefined || upload === 'damaged') return expect.unreachable(`found: ${upload}`);
  return upload;
}

async function bytesOnDisk(): Promise<number> {
  const path = await entryFolder();
  const sizes = (await readdir(path)).filter((name) => name.endsWith('.trozo')).map((name) => stat(join(path, name)));
  return (await Promise.all(sizes)).reduce((sum, { size }) => sum + size, 0);
}

test('another process finds every chunk, byte for byte, and what the upload was read with', async () => {
  const upload = await (await openSpool()).create(head);
  for (let n = 0; n < 3; n++) await upload.add(chunkOf(n), never);
  await upload.setId('id-del-backend');
  await upload.finish(7);
  await upload.close();

  const again = await found(await openSpool());
  expect(again.head).toEqual(head);
  expect([again.ready, again.complete, again.id, again.replaced]).toEqual([3, true, 'id-del-backend', 7]);
  for (let n = 0; n < 3; n++) {
    const { body, digest } = chunkOf(n);
    expect(again.info(n)).toEqual({ n, digest, filas: n + 1, bytes: 1000 });
    expect(Buffer.from((await again.read(n))!)).toEqual(body);
  }
  await again.remove();
  expect(await readdir(join(folder, 'spool'))).toEqual([]);
});

test('nothing of the rows lies in the clear, and only its owner may read it', async () => {
  const upload = await (await openSpool()).create(head);
  await upload.add(chunkOf(0), never);
  await upload.close();
  const path = await entryFolder();
  for (const name of await readdir(path)) {
    const text = (await readFile(join(path, name))).toString('latin1');
    for (const secret of ['Proveedor', 'huella-1', '2024-01-15']) expect(text, name).not.toContain(secret);
    if (process.platform !== 'win32') expect((await stat(join(path, name))).mode & 0o077, name).toBe(0);
  }
});

test('a manifest cut off at any byte is a shorter one, or none: never a wrong one', async () => {
  const upload = await (await openSpool()).create(head);
  for (let n = 0; n < 3; n++) await upload.add(chunkOf(n, 10), never);
  await upload.finish(0);
  await upload.close();
  const path = join(await entryFolder(), 'manifiesto');
  const whole = await readFile(path);
  const seen = new Set<string>();
  for (let length = whole.length; length >= 0; length--) {
    await truncate(path, length);
    const spool = await openSpool();
    const cut = await spool.find(head.tabla);
    if (cut === 'damaged' || cut === undefined) {
      seen.add('none');
      // It was removed: put it back, as short as the next round wants it.
      await mkdir(join(path, '..'), { recursive: true });
      await writeFile(path, whole.subarray(0, Math.max(0, length)));
      continue;
    }
    seen.add(`${cut.ready}${cut.complete ? ' complete' : ''}`);
    for (let n = 0; n < cut.ready; n++) expect(cut.info(n).digest).toBe(chunkOf(n, 10).digest);
    await cut.close();
  }
  expect([...seen]).toEqual(['3 complete', '3', '2', '1', '0', 'none']);
});

test('a bit that changed on the disk, and another key, are noticed', async () => {
  const upload = await (await openSpool()).create(head);
  await upload.add(chunkOf(0), never);
  await upload.add(chunkOf(1), never);
  await upload.close();
  const path = await entryFolder();
  const file = join(path, '000001.trozo');
  const bytes = await readFile(file);
  bytes[500]! ^= 1;
  await writeFile(file, bytes);
  const again = await found(await openSpool());
  expect(await again.read(0)).toBeDefined();
  expect(await again.read(1)).toBeUndefined();
  // One chunk in the place of another is as bad.
  await writeFile(file, await readFile(join(path, '000000.trozo')));
  expect(await again.read(1)).toBeUndefined();
  await again.close();

  expect(await (await openSpool(1e9, makeSpoolKey())).find(head.tabla)).toBe('damaged');
  expect(await (await openSpool()).find(head.tabla)).toBeUndefined();
  expect(await readdir(join(folder, 'spool'))).toEqual([]);
});

test('a full spool makes the reading wait, and gives away the oldest of what has been delivered', async () => {
  const spool = await openSpool(3500);
  const upload = await spool.create(head);
  for (let n = 0; n < 3; n++) await upload.add(chunkOf(n), never);
  let added = false;
  const waiting = upload.add(chunkOf(3), never).then(() => {
    added = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect([upload.full, added]).toEqual([true, false]);
  upload.delivered(1);
  await waiting;
  expect(upload.full).toBe(false);
  expect(await bytesOnDisk()).toBeLessThanOrEqual(3500);
  expect(await upload.read(1)).toBeUndefined();
  expect(await upload.read(0)).toBeDefined();

  // Giving up ends the wait.
  const controller = new AbortController();
  const given = upload.add(chunkOf(4), controller.signal);
  controller.abort(new DOMException('interrupted', 'AbortError'));
  await expect(given).rejects.toThrow('interrupted');
  await upload.remove();
  // Its place is free again, for another table too; and one chunk alone may be larger than all of it.
  const other = await spool.create({ ...head, tabla: 'otra' });
  await other.add(chunkOf(0, 9000), never);
  await other.remove();
});

test('what other tables have waiting counts as well', async () => {
  const before = await (await openSpool(3500)).create(head);
  for (let n = 0; n < 3; n++) await before.add(chunkOf(n), never);
  await before.close();
  const upload = await (await openSpool(3500)).create({ ...head, tabla: 'otra' });
  await upload.add(chunkOf(0), never);
  const controller = new AbortController();
  const second = upload.add(chunkOf(1), controller.signal);
  expect(upload.full).toBe(true);
  controller.abort();
  await expect(second).rejects.toThrow();
});

test('tables that write at the same time keep to the limit together, but for one chunk each; what they held is free again', async () => {
  const spool = await openSpool(5500);
  const tables = ['a', 'b', 'c', 'd'];
  const uploads = await Promise.all(tables.map((tabla) => spool.create({ ...head, tabla })));
  const stop = new AbortController();
  await Promise.all(uploads.map((upload) => upload.add(chunkOf(0), never)));
  const second = Promise.allSettled(uploads.map((upload) => upload.add(chunkOf(1), stop.signal)));
  await vi.waitFor(() => expect(uploads.filter(({ full }) => full)).toHaveLength(3));
  stop.abort(new Error('enough'));
  expect((await second).filter(({ status }) => status === 'fulfilled')).toHaveLength(1);

  // One after the other goes while another takes room.
  const last = await spool.create({ ...head, tabla: 'e' });
  await Promise.all([...uploads.map((upload) => upload.remove()), last.add(chunkOf(0), never)]);
  for (let n = 1; n < 5; n++) await last.add(chunkOf(n), never);
  const sixth = last.add(chunkOf(5), AbortSignal.timeout(200));
  expect(last.full).toBe(true);
  await expect(sixth).rejects.toThrow();
});

test('of a reading in ranges, whole ranges alone are sent and kept', async () => {
  const upload = await (await openSpool()).create({ ...head, particion: 'id' });
  await upload.add(chunkOf(0), never);
  expect(upload.ready).toBe(0);
  await upload.add(chunkOf(1, 1000, { ultima: '17', sustituidos: 2 }), never);
  expect(upload.ready).toBe(2);
  await upload.add(chunkOf(2), never);
  await upload.close();

  const again = await found(await openSpool());
  expect([again.ready, again.lastKey, again.replaced, again.complete]).toEqual([2, '17', 2, false]);
  expect(await readdir(await entryFolder())).not.toContain('000002.trozo');
  await again.add(chunkOf(2, 500, { ultima: '18', sustituidos: 2 }), never);
  await again.finish(2);
  await again.close();
  const finished = await found(await openSpool());
  expect([finished.ready, finished.lastKey, finished.complete]).toEqual([3, '18', true]);
  expect((await finished.read(2))!.length).toBe(500);
});

test('tables that are no longer configured go, and say what the backend is to forget', async () => {
  const spool = await openSpool();
  for (const tabla of ['vieja', head.tabla]) {
    const upload = await spool.create({ ...head, tabla });
    await upload.setId(`id de ${tabla}`);
    await upload.close();
  }
  expect(await spool.prune([head.tabla], () => expect.unreachable())).toEqual(['id de vieja']);
  expect(await readdir(join(folder, 'spool'))).toHaveLength(1);
  expect((await found(spool)).id).toBe(`id de ${head.tabla}`);
});

test('names that the file system would not take are tables all the same', async () => {
  const spool = await openSpool();
  for (const tabla of ['..', 'dbo.ñandú', 'a'.repeat(128), 'CON', 'A', 'a']) {
    await (await spool.create({ ...head, tabla })).close();
    expect((await found(spool, tabla)).head.tabla).toBe(tabla);
  }
  expect(await readdir(join(folder, 'spool'))).toHaveLength(6);
  expect(await readdir(folder)).toEqual(['spool']);
});

test('a folder that cannot be written is told with its path', async () => {
  const spool = await openSpool();
  await writeFile(join(folder, 'spool'), 'a file where the folder should be');
  const error = await spool.create(head).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ code: 'SPOOL_NO_ESCRIBIBLE' });
  expect((error as Error).message).toContain(`No se puede escribir en ${join(folder, 'spool')}`);
});
