import { afterAll, beforeAll, beforeEach, expect, inject, test } from 'vitest';
import { startTestServer, type TestServer } from '../../../server/testing/start-test-server.ts';
import { Backend, type CompressedChunk } from '../../http/backend.ts';
import type { StoredChunk } from '../../state/spool/chunk-store.ts';
import type { UploadHead } from '../../state/spool/manifest.ts';
import { UploadBuffer } from './buffer.ts';
import { compressChunks } from './chunks.ts';
import { Delivery, type SentUpload } from './deliver.ts';
import { silentEvents } from './events.ts';
import { fill } from './extract.ts';
import { deliverAsRead } from './upload.ts';

/** The end of an upload against the real server and PostgreSQL. */

let server: TestServer;
let backend: Backend;
const clock = { local: '2026-01-01T00:00:00', utc: '2026-01-01T00:00:00' };
const head: UploadHead = {
  ...{ tabla: 'vista_productos', modo: 'completo', huella: 'h', reloj: clock },
  ...{ ultimaSync: null, desde: null, particion: null },
};
interface SendOptions {
  sendEmpty?: boolean;
  signal?: AbortSignal;
  to?: Backend;
}
/** Without a spool, from memory. */
function send(chunks: AsyncGenerator<StoredChunk>, options: SendOptions = {}): Promise<SentUpload | undefined> {
  const { sendEmpty = false, signal = new AbortController().signal, to = backend } = options;
  const buffer = new UploadBuffer(head);
  const delivery = new Delivery(to, buffer, silentEvents);
  return deliverAsRead(delivery, (inner) => fill(buffer, chunks, inner), sendEmpty, signal);
}

beforeAll(async () => {
  const tables = {
    tablasSubida: [
      { nombre: 'vista_productos', primaryKey: 'codigo', desactivarAusentes: true, process: { query: 'SELECT 1' } },
    ],
  };
  server = await startTestServer(inject('postgresUrl'), { tables });
  backend = new Backend({ url: server.url, tenant: server.tenant, key: server.key });
});
afterAll(() => server?.close());
beforeEach(() => server.sql.query('DELETE FROM parametros_maestros'));

async function* chunksOf(...groups: (string[] | Error)[]) {
  for (const group of groups) {
    if (group instanceof Error) throw group;
    const lines = group.map((codigo) => `${JSON.stringify({ codigo, precio: 1.5 })}\n`);
    yield { bytes: Buffer.from(lines.join('')), rows: group.length };
  }
}

async function readStored(): Promise<string[]> {
  const { rows } = await server.sql.query<{ codigo: string; activo: boolean }>(
    'SELECT codigo, activo FROM parametros_maestros ORDER BY codigo',
  );
  return rows.map(({ codigo, activo }) => `${codigo}${activo ? '' : ' (inactivo)'}`);
}

async function countOpenUploads(): Promise<number> {
  const { rows } = await server.sql.query<{ n: string }>('SELECT count(*) AS n FROM sync_uploads');
  return Number(rows[0]!.n);
}

test('one chunk goes in one request and opens no upload', async () => {
  const sent = await send(compressChunks(chunksOf(['a', 'b'])));
  expect(sent).toMatchObject({ rows: 2, chunks: 1, result: { registrosInsertados: 2, tipoCampo: 'producto' } });
  expect(await readStored()).toEqual(['a', 'b']);
  expect(await countOpenUploads()).toBe(0);
});

test('many chunks are applied together, and a full upload deactivates what is absent', async () => {
  await send(compressChunks(chunksOf(['vieja', 'a'])));
  const groups = Array.from({ length: 9 }, (_, index) => [`${index}`, `${index}-bis`]);
  const sent = await send(compressChunks(chunksOf(...groups, ['a'])));
  expect(sent).toMatchObject({ rows: 19, chunks: 10, result: { registrosInsertados: 18, registrosDesactivados: 1 } });
  expect(await readStored()).toContain('vieja (inactivo)');
});

test('no rows: nothing is sent, unless it has to be', async () => {
  await send(compressChunks(chunksOf(['a'])));
  expect(await send(compressChunks(chunksOf()))).toBeUndefined();
  expect(await readStored()).toEqual(['a']);
  const sent = await send(compressChunks(chunksOf()), { sendEmpty: true });
  // The backend heard of it; that the source has nothing at all is not believed.
  expect(sent).toMatchObject({ rows: 0, result: { registrosDesactivados: 0, bajasRetenidas: 1 } });
  expect(await readStored()).toEqual(['a']);
});

test('a source that breaks midway applies nothing', async () => {
  const broken = chunksOf(['a'], ['b'], ['c'], ['d'], new Error('SQL Server cortó'));
  await expect(send(compressChunks(broken))).rejects.toThrow('SQL Server cortó');
  expect(await readStored()).toEqual([]);
});

test('a chunk that the backend refuses ends the upload with its reason, and the source is closed', async () => {
  let closed = false;
  async function* source(): AsyncGenerator<{ bytes: Buffer<ArrayBuffer>; rows: number }> {
    try {
      for (let n = 0; ; n++) yield { bytes: Buffer.from(n === 3 ? '[1]\n' : `{"codigo":"${n}"}\n`), rows: 1 };
    } finally {
      closed = true;
    }
  }
  const error = await send(compressChunks(source())).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ code: 'LINEA_INVALIDA', place: { trozo: 3 } });
  expect(closed).toBe(true);
  expect(await readStored()).toEqual([]);
});

test('chunks that the backend lost and that were kept in memory alone are told as lost', async () => {
  async function* source() {
    yield* chunksOf(...Array.from({ length: 6 }, (_, index) => [`${index}`]));
    // What a crash of PostgreSQL does to its unlogged tables.
    await server.sql.query('DELETE FROM sync_upload_chunks');
  }
  const error = await send(compressChunks(source())).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ code: 'TROZO_PERDIDO', kind: 'backend' });
  expect(await readStored()).toEqual([]);
});

test('giving up stops the chunks on their way and applies nothing', async () => {
  const controller = new AbortController();
  async function* source(): AsyncGenerator<{ bytes: Buffer<ArrayBuffer>; rows: number }> {
    for (let n = 0; ; n++) {
      if (n === 4) controller.abort(new DOMException('interrupted', 'AbortError'));
      yield { bytes: Buffer.from(`{"codigo":"${n}"}\n`), rows: 1 };
    }
  }
  const error = await send(compressChunks(source()), { signal: controller.signal }).catch((cause) => cause);
  expect((error as Error).name).toBe('AbortError');
  expect(await readStored()).toEqual([]);
});

test('two chunks are on their way at a time, never more', async () => {
  let inFlight = 0;
  let most = 0;
  class Counting extends Backend {
    override async putChunk(id: string, chunk: CompressedChunk, inner: AbortSignal): Promise<void> {
      most = Math.max(most, ++inFlight);
      await super.putChunk(id, chunk, inner);
      inFlight--;
    }
  }
  const counting = new Counting({ url: server.url, tenant: server.tenant, key: server.key });
  const groups = Array.from({ length: 12 }, (_, index) => [`${index}`]);
  await send(compressChunks(chunksOf(...groups)), { to: counting });
  expect(most).toBe(2);
});
