import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { recorded } from '../../fixtures/golden/recorded.ts';
import { type SqlServer, withSqlServer } from './sql-server.ts';

/** Bytes that servers of Microsoft's have sent, played back to the agent: login, errors and rows. */

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const HEADER = 8;
const BATCH = 0x01;
const RPC = 0x03;
/** DONE, nothing counted: to what is neither login nor the query that the test is about. */
const done = bytes('0401001500000100fd000000000000000000000000');

const servers: { server: Server; sockets: Set<Socket> }[] = [];
afterEach(async () => {
  for (const { server, sockets } of servers.splice(0)) {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
});

interface Playback {
  prelogin: string;
  login: Buffer;
  /** To a batch or a call that names `grabado`. */
  answer?: Buffer;
  /** How many bytes go out at a time. */
  piece?: number;
}

/** Answers each message of the client with what was recorded; its port. */
async function play({ prelogin, login, answer = done, piece = 1 << 16 }: Playback): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, async (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    let messages = 0;
    for await (const { type, text } of readMessages(socket)) {
      const isAsked = (type === BATCH || type === RPC) && text.includes('grabado');
      const reply = [bytes(prelogin), login][messages++] ?? (isAsked ? answer : done);
      for (let from = 0; from < reply.length; from += piece) {
        await new Promise((next) => socket.write(reply.subarray(from, from + piece), next));
      }
    }
  });
  servers.push({ server, sockets });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as { port: number }).port;
}

/** Whole messages of the client: packets until one has the end in its status ([MS-TDS] 2.2.3.1). */
async function* readMessages(socket: Socket): AsyncGenerator<{ type: number; text: string }> {
  let rest: Buffer = Buffer.alloc(0);
  let parts: Buffer[] = [];
  for await (const chunk of socket) {
    rest = Buffer.concat([rest, chunk as Buffer]);
    while (rest.length >= HEADER && rest.length >= rest.readUInt16BE(2)) {
      const packet = rest.subarray(0, rest.readUInt16BE(2));
      rest = rest.subarray(packet.length);
      parts.push(packet.subarray(HEADER));
      if ((packet[1]! & 1) === 0) continue;
      yield { type: packet[0]!, text: Buffer.concat(parts).toString('utf16le') };
      parts = [];
    }
  }
}

function nullsExpected(): string {
  const values: Record<string, string> = { a: 'A', g: 'G', h: 'H' };
  return `${JSON.stringify(Object.fromEntries([...'abcdefghijklmnop'].map((name) => [name, values[name] ?? null])))}\n`;
}

const { signal } = new AbortController();
async function use<T>(playback: Playback, work: (db: SqlServer) => Promise<T>): Promise<T> {
  const login = { host: '127.0.0.1', user: 'sa', password: 'Clave-1', database: 'master', encrypt: false };
  return withSqlServer({ ...login, port: await play(playback) }, { signal }, work);
}

async function read(db: SqlServer, sql: string): Promise<string> {
  let text = '';
  for await (const block of db.readRows(sql, { signal })) text += Buffer.from(block.bytes).toString();
  return text;
}

const of2005 = { prelogin: recorded.preloginOf2008, login: bytes(recorded.loginOf2005) };
const of2008 = { prelogin: recorded.preloginOf2008, login: bytes(recorded.loginOf2008) };
const of2022 = { prelogin: recorded.preloginOf2022, login: bytes(recorded.loginOf2022) };

/** One packet of a server around tokens that were recorded without theirs. */
function packet(...tokens: Buffer[]): Buffer {
  const body = Buffer.concat(tokens);
  const header = bytes('0401000000000100');
  header.writeUInt16BE(HEADER + body.length, 2);
  return Buffer.concat([header, body]);
}

const logins: [string, Playback][] = [
  ['SQL Server 2005', of2005],
  ['SQL Server 2008', of2008],
  ['a PRELOGIN with the option of federated logins', { ...of2008, prelogin: recorded.preloginOf2014 }],
  [
    'SQL Server 2017, packets of 8000',
    { prelogin: recorded.preloginOf2014, login: packet(bytes(recorded.loginOf2017)) },
  ],
  ['a PRELOGIN of SQL Server 2019', { ...of2008, prelogin: recorded.preloginOf2019 }],
  ['SQL Server 2022', of2022],
];

test.each(logins)('the login that %s answered is one', async (_, playback) => {
  await expect(use(playback, async () => 'dentro')).resolves.toBe('dentro');
});

/** DONE behind a result of one row. */
const oneRow = bytes('fd1000c1000100000000000000');
/** r2dbc-mssql's client asks for Always Encrypted, so that behind the count stand two bytes for its keys: none here. */
const withoutKeys = (metadata: Buffer) => Buffer.concat([metadata.subarray(0, 3), metadata.subarray(5)]);

/** What was recorded of an answer, and the rows that it is. */
const answers: [string, Buffer, string][] = [
  ['INT and NVARCHAR', bytes(recorded.inventory), '{"id":2,"name":"orange","quantity":154}\n'],
  ['INT and NVARCHAR of 2019', bytes(recorded.movies), '{"id":10,"name":"Fast & Furious"}\n'],
  ['DATETIME that is never NULL', bytes(recorded.datetime), '{"id":32,"created":"2022-08-07T20:57:45.927"}\n'],
  [
    'TEXT and NTEXT with their pointers, NUMERIC and FLOAT',
    bytes(recorded.legacy),
    '{"id":10,"val1":"text 1","val2":"a","val3":"b","val4":"text 4","val5":"c","val6":43,"val7":3.14}\n' +
      '{"id":15,"val1":"ex 1","val2":"x","val3":"y","val4":"ex 4","val5":"z","val6":500,"val7":0.25}\n',
  ],
  ['a bitmap of sixteen NULLs or not', bytes(recorded.nulls), nullsExpected()],
  [
    'TINYINT, MONEY, UNIQUEIDENTIFIER, FLOAT and REAL',
    packet(withoutKeys(bytes(recorded.salaries)), oneRow),
    '{"employee_id":1,"last_name":"paluch","first_name":"mark","salary":50.0000,"foo":"C70D7BF1-E5C7-40C5-98C7-A12F7E686724",' +
      '"flt":11344.554,"bar":11344.554}\n',
  ],
];

// The server counts characters in UCS-2; the packets' ends fall wherever they like.
const pieces = [1 << 16, 7, 1];

describe.each(pieces)('%i bytes at a time', (piece) => {
  test('a row of VARCHAR', async () => {
    const text = await use({ ...of2005, answer: bytes(recorded.batch), piece }, (db) => read(db, 'SELECT grabado'));
    expect(text).toBe('{"bar":"foo"}\n');
  });

  test('rows of INT and XML, whole and with a bitmap of NULLs', async () => {
    const text = await use({ ...of2008, answer: bytes(recorded.sparse), piece }, (db) => read(db, 'SELECT grabado'));
    const first = [
      '<sparseProp1>1000</sparseProp1><sparseProp2>foo</sparseProp2>',
      '<sparseProp1>1000</sparseProp1>',
      '<sparseProp2>abcd</sparseProp2>',
    ];
    const rows = Array.from({ length: 10 }, (_, n) => {
      const xml = first[n];
      return `{"id":${n + 1},"sparsePropertySet":${xml === undefined ? 'null' : `"${xml}"`}}\n`;
    });
    expect(text).toBe(rows.join(''));
  });

  test.each(answers)('%s', async (_, answer, expected) => {
    expect(await use({ ...of2022, answer, piece }, (db) => read(db, 'SELECT grabado'))).toBe(expected);
  });

  test('as objects, too', async () => {
    const rows = await use({ ...of2005, answer: bytes(recorded.batch), piece }, (db) => db.query('SELECT grabado'));
    expect(rows).toEqual([{ bar: 'foo' }]);
  });
});

test('the count of a procedure', async () => {
  const done = await use({ ...of2008, answer: bytes(recorded.procedure) }, (db) => db.execute('EXEC grabado'));
  expect(done).toEqual({ rowsAffected: 1 });
});

test('the count of an INSERT', async () => {
  const done = await use({ ...of2022, answer: bytes(recorded.insert) }, (db) => db.execute('INSERT grabado'));
  expect(done).toEqual({ rowsAffected: 1 });
});

test('a query that the server refuses: its number and its words', async () => {
  const answer = packet(bytes(recorded.invalidColumn), bytes('fd0200c1000000000000000000'));
  const refused = use({ ...of2022, answer }, (db) => read(db, 'SELECT grabado'));
  await expect(refused).rejects.toMatchObject({
    number: 207,
    message: expect.stringContaining("'fsdf'"),
    retryable: false,
  });
});

test('an answer that ends in the middle of a row is no result', async () => {
  const cut = bytes(recorded.sparse);
  // As much as a packet of its own: its length says so, and what follows never comes.
  const packet = Buffer.from(cut.subarray(0, 100));
  packet.writeUInt16BE(packet.length, 2);
  const reading = use({ ...of2008, answer: packet }, (db) => read(db, 'SELECT grabado'));
  await expect(reading).rejects.toMatchObject({ name: 'SqlServerError' });
});

/**
 * Both recordings answer clients of TDS 7.1, where the line has two bytes; since 7.2 it has four, as the DONE behind it has
 * a longer count ([MS-TDS] 2.2.7.10, 2.2.7.6). All else is as it was recorded.
 */
function asOf72(token: string): Buffer {
  const error = bytes(`${token}0000`);
  error.writeUInt16LE(error.length - 3, 1);
  const header = bytes('0401000000000100');
  const body = Buffer.concat([error, bytes('fd020000000000000000000000')]);
  header.writeUInt16BE(HEADER + body.length, 2);
  return Buffer.concat([header, body]);
}

test.each([
  ['sa', recorded.loginRefused],
  ['user', recorded.loginRefusedOfUser],
])('a login that was refused to %s: its number, and nothing to try again', async (_, token) => {
  const refused = use({ prelogin: recorded.preloginOf2008R2, login: asOf72(token) }, async () => {});
  await expect(refused).rejects.toMatchObject({ code: 'CREDENCIALES', number: 18456, retryable: false });
});
