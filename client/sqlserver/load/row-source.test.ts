import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from '../../../protocol/constants.ts';
import { sqlServerError } from '../errors.ts';
import type { Codec } from '../tds/codec.ts';
import type { Cell } from '../tds/row-scanner.ts';
import { RowSource, type Rows } from './row-source.ts';

async function* pieces(...parts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield typeof part === 'string' ? Buffer.from(part) : part;
}

/** Writes a value as JSON after its length, so that it can be read back. */
const json: Codec = {
  id: 0,
  typeInfo: () => {},
  nil: (out) => out.writeUInt16LE(0xffff),
  write(out, value) {
    const bytes = Buffer.from(JSON.stringify(value));
    out.writeUInt16LE(bytes.length);
    out.writeBuffer(bytes);
  },
};

function open(source: AsyncIterable<Uint8Array>, names: string[], binary: string[] = []): RowSource {
  const columns = names.map((name) => ({ name, numbers: !binary.includes(name), nullable: true, codec: json }));
  const refuse = (value: string, rule: string, index: number | undefined) =>
    sqlServerError('VALOR_NO_CABE', {
      lugar: `${rows.rows}|${index === undefined ? '' : names[index]}|${value}|`,
      regla: rule,
    });
  const rows = new RowSource(source, columns, { refuse, onPull: () => {} });
  return rows;
}

/** The rows of a batch, each after a ROW token but the first. */
function rowsOf(batch: Buffer, columns: number): Cell[][] {
  const all: Cell[][] = [];
  for (let at = 0; at < batch.length; ) {
    if (all.length > 0) expect(batch[at++]).toBe(0xd1);
    const row: Cell[] = [];
    for (let column = 0; column < columns; column++) {
      const length = batch.readUInt16LE(at);
      at += 2;
      row.push(length === 0xffff ? null : (JSON.parse(batch.toString('utf8', at, at + length)) as Cell));
      if (length !== 0xffff) at += length;
    }
    all.push(row);
  }
  return all;
}

const isBatch = (rows: Rows): rows is [Buffer] => Buffer.isBuffer(rows[0]);

async function readAll(rows: RowSource, columns: number): Promise<Cell[][]> {
  const all: Cell[][] = [];
  while (true) {
    const result = await rows.next();
    if (result.done) return all;
    if (isBatch(result.value)) all.push(...rowsOf(result.value[0], columns));
    else all.push(result.value as Cell[]);
  }
}

const everyKind =
  '{"n":12345678901234567.8900,"s":"añ\\"\\\\\\u0041\\n😀","t":true,"f":false,"z":null,"o":{"a":["}\\"",{}]},"l":[1, 2]}\n';
const everyKindCells: Cell[] = [
  '12345678901234567.8900',
  'añ"\\A\n😀',
  true,
  false,
  null,
  '{"a":["}\\"",{}]}',
  '[1, 2]',
];
const everyName = ['n', 's', 't', 'f', 'z', 'o', 'l'];

describe('rows of NDJSON', () => {
  test('numbers keep their text, nested values are their own', async () => {
    expect(await readAll(open(pieces(everyKind), everyName), everyName.length)).toEqual([everyKindCells]);
  });

  test('bytes may be cut anywhere', async () => {
    const bytes = Buffer.from(everyKind + everyKind);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const rows = open(pieces(bytes.subarray(0, cut), bytes.subarray(cut)), everyName);
      expect(await readAll(rows, everyName.length)).toEqual([everyKindCells, everyKindCells]);
    }
    const one = [...bytes].map((byte) => Uint8Array.of(byte));
    expect(await readAll(open(pieces(...one), everyName), everyName.length)).toEqual([everyKindCells, everyKindCells]);
  });

  test('a piece may be overwritten once the next is asked for', async () => {
    const piece = Buffer.alloc(8);
    async function* reuse() {
      for (const part of ['{"a":"xy', 'z"}\n     ']) {
        piece.write(part, 'latin1');
        yield piece.subarray(0, 8);
      }
    }
    expect(await readAll(open(reuse(), ['a']), 1)).toEqual([['xyz']]);
  });

  test('keys in any order, unknown ones ignored, missing ones NULL, the last of a repeated one', async () => {
    const rows = open(pieces('{"b": 1 , "x":[{"a":9}], "a" : "q", "b":2}\n{}\n\n{"a":1}'), ['a', 'b']);
    expect(await readAll(rows, 2)).toEqual([
      ['q', '2'],
      [null, null],
      ['1', null],
    ]);
  });

  test('a key in another case is the column all the same; the exact one wins', async () => {
    const rows = open(pieces('{"A":1,"B":2}\n{"A":1,"a":2,"b":3}\n{"a":2,"A":1,"b":3}'), ['a', 'b']);
    expect(await readAll(rows, 2)).toEqual([
      ['1', '2'],
      ['2', '3'],
      ['2', '3'],
    ]);
  });

  test('CRLF and a last line without an end', async () => {
    expect(await readAll(open(pieces('{"a":1}\r\n{"a":2}'), ['a']), 1)).toEqual([['1'], ['2']]);
  });

  test('any object of JSON.stringify', async () => {
    const value = fc.oneof(fc.string({ unit: 'grapheme' }), fc.integer(), fc.double(), fc.boolean(), fc.constant(null));
    const object = fc.dictionary(fc.string({ minLength: 1, maxLength: 3 }), value, { noNullPrototype: true });
    await fc.assert(
      fc.asyncProperty(fc.array(object, { maxLength: 5 }), fc.nat(200), async (objects, cut) => {
        const names = [...new Set(objects.flatMap(Object.keys))];
        fc.pre(names.length > 0);
        const lines = objects.map((row) => `${JSON.stringify(row)}\n`);
        const bytes = Buffer.from(lines.join(''));
        const cells = await readAll(open(pieces(bytes.subarray(0, cut), bytes.subarray(cut)), names), names.length);
        const expected = lines.map((line) => {
          const row = JSON.parse(line) as Record<string, Cell | number>;
          return names.map((name) => (typeof row[name] === 'number' ? JSON.stringify(row[name]) : (row[name] ?? null)));
        });
        expect(cells).toEqual(expected);
      }),
      { seed: 7, numRuns: 300 },
    );
  });

  test('rows go out in batches; one that is at hand costs no promise', async () => {
    const lines = Array.from({ length: 20_000 }, (_, n) => `{"a":${n}}\n`);
    const rows = open(pieces(lines.join('')), ['a']);
    expect(await rows.prime()).toBe(true);
    const first = rows.next() as IteratorResult<[Buffer]>;
    const second = rows.next() as IteratorResult<[Buffer]>;
    const read = [first, second].flatMap(({ value }) => rowsOf(value[0], 1));
    expect(rows.rows - read.length).toBeLessThanOrEqual(1);
    expect([...read, ...(await readAll(rows, 1))]).toEqual(lines.map((_, n) => [String(n)]));
    expect(rows.rows).toBe(20_000);
    // The buffer of a batch is not used again.
    expect(rowsOf(first.value[0], 1)[0]).toEqual(['0']);
  });

  test('a row too long for a batch goes value by value, in its place', async () => {
    const long = 'ñ'.repeat(40_000);
    const lines = ['{"a":1,"b":"x"}', `{"a":2,"b":"${long}"}`, `{"a":3,"b":"${long}"}`, '{"b":"y"}'];
    const rows = open(pieces(`${lines.join('\n')}\n`), ['a', 'b']);
    const kinds: boolean[] = [];
    const all: Cell[][] = [];
    for await (const row of rows as unknown as AsyncIterable<Rows>) {
      kinds.push(isBatch(row));
      all.push(...(isBatch(row) ? rowsOf(row[0], 2) : [row as Cell[]]));
    }
    expect(kinds).toEqual([true, false, false, true]);
    expect(all).toEqual([
      ['1', 'x'],
      ['2', long],
      ['3', long],
      [null, 'y'],
    ]);
  });

  test('no bytes are no rows', async () => {
    expect(await open(pieces(), ['a']).prime()).toBe(false);
    expect(await open(pieces('\n \n'), ['a']).prime()).toBe(false);
  });
});

describe('what is no row is refused with its number', () => {
  test.each([
    ['{"a":1}\n{"a":1', /^2\|\|\|: no es un objeto JSON/],
    ['[1]\n', /^1\|/],
    ['{"a":tru}\n', /^1\|/],
    ['{"a":01}\n', /^1\|/],
    ['{"a":1,}\n', /^1\|/],
    ['{"a":"\\x"}\n', /^1\|/],
    ['{"a":"x}\n', /^1\|/],
    ['{"a":[1\n]}\n', /^1\|/],
    ['{a:1}\n', /^1\|/],
  ])('%j', async (text, message) => {
    await expect(readAll(open(pieces(text), ['a']), 1)).rejects.toThrow(message);
  });

  test('bytes that are no UTF-8', async () => {
    const rows = open(pieces(Buffer.from('7b2261223a22ff227d0a', 'hex')), ['a']);
    await expect(readAll(rows, 1)).rejects.toThrow(/UTF-8/);
  });

  test('a number where only base64 may stand', async () => {
    await expect(readAll(open(pieces('{"b":1234}\n'), ['b'], ['b']), 1)).rejects.toThrow('1|b|1234|: es un número');
  });

  test('a line without an end is not collected for ever', async () => {
    let sent = 0;
    async function* endless() {
      while (true) {
        sent += 1 << 20;
        yield new Uint8Array(1 << 20).fill(0x61);
      }
    }
    await expect(readAll(open(endless(), ['a']), 1)).rejects.toThrow(/la línea pasa de/);
    expect(sent).toBeLessThanOrEqual(limits.lineMaxBytes + 2 * (1 << 20));
  });
});

test('the error of the source comes through, and a source that is left is let go', async () => {
  const broken = new Error('cut');
  async function* failing() {
    yield Buffer.from('{"a":1}\n');
    throw broken;
  }
  const rows = open(failing(), ['a']);
  await expect(readAll(rows, 1)).rejects.toBe(broken);
  expect(rows.failure).toEqual({ error: broken });

  let released = false;
  async function* watched() {
    try {
      yield Buffer.from('{"a":1}\n');
      yield Buffer.from('{"a":2}\n');
    } finally {
      released = true;
    }
  }
  const left = open(watched(), ['a']);
  await left.next();
  left.return();
  await Promise.resolve();
  expect(released).toBe(true);
});
