import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { Request } from 'tedious';
import type { ColumnMetadata } from 'tedious/lib/token/colmetadata-token-parser.js';
import { RequestTokenHandler } from 'tedious/lib/token/handler.js';
import { afterEach, describe, expect, test } from 'vitest';
import { goldenColumns } from '../../../fixtures/golden/values.ts';
import { parseSqlType } from '../../../protocol/rows/sql-types.ts';
import { makeRowEncoder } from '../read/row-events.ts';
import { SqlServerError, withSqlServer } from '../sql-server.ts';
import { answerRows, startWire } from '../testing/wire.ts';
import { RowTranscoder } from './row-transcoder.ts';
import { canTranscode, sendRowsTo, TranscodingConnection } from './transcoding-connection.ts';

const bytesOf = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');
const DONE_MORE = bytesOf('fd 11 00 c1 00 01 00 00 00 00 00 00 00');
const DONE = bytesOf('fd 10 00 c1 00 01 00 00 00 00 00 00 00');

interface Field {
  name: string;
  userType?: number;
  typeInfo: string;
}

/** [MS-TDS] 2.2.7.4 */
function columnsToken(fields: readonly Field[]): Buffer {
  const parts = fields.map(({ name, userType = 0, typeInfo }) => {
    const head = Buffer.alloc(6);
    head.writeUInt32LE(userType);
    const info = bytesOf(typeInfo);
    // text, ntext and image say their table too: one part, `t`.
    const table = [0x22, 0x23, 0x63].includes(info[0]!) ? bytesOf('01 01 00 74 00') : Buffer.alloc(0);
    return Buffer.concat([head, info, table, Buffer.of(name.length), Buffer.from(name, 'utf16le')]);
  });
  return Buffer.concat([Buffer.of(0x81, fields.length, 0), ...parts]);
}

const row = (...values: string[]) => Buffer.concat([Buffer.of(0xd1), ...values.map(bytesOf)]);

/** Parses an answer as the connection would, without a socket. */
function parse(message: AsyncIterable<Buffer>, request: Request) {
  const connection = new TranscodingConnection({ server: 'localhost' });
  const handler = new RequestTokenHandler(connection, request);
  const parser = connection.createTokenStreamParser(message as never, handler);
  return { parser, ended: once(parser, 'end') };
}

async function* packets(...chunks: Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
}

/** A request whose rows go to a transcoder made for its first result. */
function transcodedRequest(blockBytes = 1 << 16) {
  const request = new Request('', () => {});
  const seen = { events: 0, onBlock: () => {}, transcoder: undefined as RowTranscoder | undefined };
  request.on('columnMetadata', (columns) => {
    seen.transcoder ??= new RowTranscoder(columns as ColumnMetadata[], { blockBytes });
  });
  request.on('row', () => {
    seen.events += 1;
  });
  const text = () => Buffer.from(seen.transcoder?.take()?.bytes ?? []).toString();
  sendRowsTo(request, {
    get transcoder() {
      return seen.transcoder;
    },
    onBlock: () => seen.onBlock(),
  });
  return { request, seen, text };
}

const tiny: Field[] = [{ name: 'n', typeInfo: '30' }];
const pair: Field[] = [...tiny, { name: 't', typeInfo: 'e7 64 00 09 04 d0 00 34' }];

test('this tedious is the one that is known', () => {
  expect(canTranscode()).toBe(true);
});

describe('an answer', () => {
  test('is the same cut in two anywhere, with other tokens around the rows', async () => {
    const info = bytesOf('ab 10 00 00 00 00 00 01 00 01 00 68 00 00 00 00 00 00 00');
    info.writeUInt16LE(info.length - 3, 1);
    const answer = Buffer.concat([columnsToken(pair), row('01', '02 00 61 00'), info, row('02', 'ff ff'), DONE]);
    for (let cut = 0; cut <= answer.length; cut++) {
      const { request, seen, text } = transcodedRequest();
      await parse(packets(answer.subarray(0, cut), answer.subarray(cut)), request).ended;
      expect(text(), `cut at ${cut}`).toBe('{"n":1,"t":"a"}\n{"n":2,"t":null}\n');
      expect(seen.events).toBe(0);
    }
  });

  test('of a request without a sink gives row events', async () => {
    const request = new Request('', () => {});
    const rows: unknown[] = [];
    request.on('row', (cells: { value: unknown }[]) => rows.push(cells.map(({ value }) => value)));
    await parse(packets(columnsToken(pair), row('01', '02 00 61 00'), DONE), request).ended;
    expect(rows).toEqual([[1, 'a']]);
  });

  test('that ends within a row is an error, and is dropped after a cancel', async () => {
    const cut = Buffer.concat([columnsToken(pair), row('01', 'ff ff'), row('02', '08 00 61 00 62 00')]);
    await expect(parse(packets(cut), transcodedRequest().request).ended).rejects.toThrow(/ends within a row/);
    // What follows is a token to us, and was the rest of the row.
    await expect(parse(packets(cut, DONE), transcodedRequest().request).ended).rejects.toThrow();
    const { request } = transcodedRequest();
    request.canceled = true;
    await parse(packets(columnsToken(pair), cut, DONE, DONE), request).ended;
  });

  test('a second result after a cancel is not read with the columns of the first', async () => {
    const { request, seen, text } = transcodedRequest();
    async function* answer() {
      yield Buffer.concat([columnsToken(tiny), row('01'), DONE_MORE]);
      expect(text()).toBe('{"n":1}\n');
      request.canceled = true;
      yield Buffer.concat([columnsToken(pair), row('02', '02 00 62 00'), DONE]);
    }
    await parse(answer(), request).ended;
    expect(text()).toBe('');
    expect(seen.events).toBe(0);
  });

  test('is not pulled while a full block waits', async () => {
    const { request, seen, text } = transcodedRequest(7);
    let pulled = 0;
    async function* answer() {
      yield columnsToken(tiny);
      for (; pulled < 5; pulled++) yield row(`0${pulled}`);
      yield DONE;
    }
    const { parser, ended } = parse(answer(), request);
    seen.onBlock = () => parser.pause();
    for (let block = 0; block < 5; block++) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(pulled).toBe(block);
      expect(text()).toBe(`{"n":${block}}\n`);
      parser.resume();
    }
    await ended;
  });
});

describe.each(goldenColumns.filter(({ type }) => type !== 'NULL'))('row events of $type', (golden) => {
  test.each(golden.values)('$hex agree, or are refused', async ({ hex, json }) => {
    const request = new Request('', () => {});
    let line: string | undefined;
    let columns: ColumnMetadata[] = [];
    request.on('columnMetadata', (metadata) => {
      columns = metadata as ColumnMetadata[];
    });
    request.on('row', (cells: { value: unknown }[]) => {
      try {
        line = makeRowEncoder(columns).encode(cells, 1);
      } catch (error) {
        if (!(error instanceof SqlServerError && error.code === 'VALOR_INEXACTO')) throw error;
        line = 'refused';
      }
    });
    const answer = packets(columnsToken([{ ...golden, name: 'v' }]), row(hex), DONE);
    await parse(answer, request).ended;
    expect([`{"v":${json}}`, 'refused']).toContain(line);
  });
});

test('a line over the limit names its row and column, and the session goes on', async () => {
  const columns = ['n INT', 'foto VARBINARY(MAX)'].map((text) => {
    const [name, type] = text.split(' ');
    return { name: name!, type: parseSqlType(type!), nullable: true };
  });
  const photo = Buffer.alloc(52_000_000);
  const wire = await startWire((sql, ...rest) =>
    answerRows(
      columns,
      sql === 'ok'
        ? [[7, null]]
        : [
            [1, Buffer.of(1)],
            [2, photo],
            [3, null],
          ],
    )(sql, ...rest),
  );
  try {
    const { signal } = new AbortController();
    await withSqlServer(wire.settings, { signal }, async (db) => {
      const drain = async () => {
        for await (const _ of db.readRows('x', { signal }));
      };
      const drained = drain();
      await expect(drained).rejects.toThrow(/Fila 2, columna «foto».*64 MiB/);
      await expect(drained).rejects.toMatchObject({ code: 'FILA_GRANDE' });
      expect(await db.query('ok')).toEqual([{ n: 7, foto: null }]);
    });
  } finally {
    await wire.stop();
  }
});

describe('a column that the transcoder does not know', () => {
  const closers: (() => unknown)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0).reverse()) await close();
  });

  /** Stands before the stand-in and gives every text an unknown collation. */
  async function startRenamingProxy(port: number): Promise<number> {
    const sockets: Socket[] = [];
    const server = createServer((client) => {
      const upstream = connect(port, '127.0.0.1');
      sockets.push(client, upstream);
      for (const socket of [client, upstream]) socket.on('error', () => {});
      client.pipe(upstream);
      upstream.on('data', (bytes) => {
        const collation = bytesOf('09 04 d0 00 34');
        for (let at = bytes.indexOf(collation); at !== -1; at = bytes.indexOf(collation)) {
          bytes.set(bytesOf('ff 7f d0 00 00'), at);
        }
        client.write(bytes);
      });
      upstream.on('end', () => client.end());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closers.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    return address.port;
  }

  test('is read through row events, with a notice', async () => {
    const column = { name: 'texto', type: parseSqlType('VARCHAR(9)'), nullable: true };
    const wire = await startWire(answerRows([column], [[null]]));
    closers.push(() => wire.stop());
    const port = await startRenamingProxy(wire.settings.port);
    const { signal } = new AbortController();
    const notices: string[] = [];
    const onMessage = (text: string) => notices.push(text);
    await withSqlServer({ ...wire.settings, port }, { signal, onMessage }, async (db) => {
      let text = '';
      for await (const { bytes } of db.readRows('x', { signal })) text += Buffer.from(bytes).toString();
      expect(text).toBe('{"texto":null}\n');
    });
    expect(notices).toEqual([expect.stringMatching(/«texto».*más despacio/)]);
  });
});
